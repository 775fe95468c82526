"""An engine that says in a file when it starts and ends."""

import os
from dataclasses import dataclass
from pathlib import Path

from rsgrpo.rollouts.hf import HFEngine


def _say(word: str) -> None:
    with Path(os.environ["ENGINES"]).open("a") as out:
        out.write(f"{word}\n")


@dataclass(slots=True, kw_only=True)
class CountedEngine(HFEngine):
    def __post_init__(self) -> None:
        _say("starts")
        HFEngine.__post_init__(self)

    def close(self) -> None:
        _say("ends")
