"""A metric of one's own is added with the very words that a message proposes."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from rsgrpo.callbacks.metrics import StepMetrics
from rsgrpo.command_line.keys import unknown_key
from rsgrpo.composition.callbacks import build_callbacks
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.errors import maker_of
from rsgrpo.types import StepReport

CONF = Path(__file__).parents[2] / "conf"


def mine(report: StepReport) -> Mapping[str, float]:
    """A metric of one's own."""
    return {"mine": 1.0}


@pytest.mark.parametrize("key", ["callbacks.mine", "callbacks.mine._target_"])
def test_the_words_of_the_cure_are_taken(key: str) -> None:
    said = unknown_key(key, CONF, value=f"{__name__}.mine")
    assert said is not None
    found = re.fullmatch(rf"{re.escape(key)}: no such key; .*'(\+callbacks\.mine\._target_=\S+)'", said)
    assert found is not None, said
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [found[1]])
    metrics = [callback for callback in build_callbacks(cfg, build_recipe(cfg)) if isinstance(callback, StepMetrics)]
    assert maker_of(metrics[0].metrics["mine"]) is mine


def test_a_callback_that_is_misspelt_or_taken_away_is_another_matter() -> None:
    said = unknown_key("callbacks.timming", CONF, value="null")
    assert said == "callbacks.timming: no such key; did you mean callbacks.timing?"
    assert "_target_" not in (unknown_key("callbacks.mine", CONF) or "")
