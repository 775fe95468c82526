"""The process in which problems of reasoning-gym are made: `python -m rsgrpo.data.reasoning_gym_generator`.

It takes pickled (import path, split) and returns the pickled entries of each family. The order of Python's sets depends
on PYTHONHASHSEED, and the problems of some families on that order: this process has a fixed one, so every rank of a run
and every resumed run gets the same problems.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rsgrpo.errors import UserError, repr_of
from rsgrpo.seeds import derive_seed
from rsgrpo.verification import families
from rsgrpo.workers.expendable import end_with_parent

LEAST_DRAWN, MOST_DRAWN = 100, 10_000
"""Problems of one draw. A draw without any new problem says that the family has no more."""

SEEDS = 2**31
"""Seeds are below this: some families hand theirs, plus the index of a problem, to NumPy."""


class Share(NamedTuple):
    """What a family gives to a split."""

    family: str
    settings: Mapping[str, Any]
    count: int


class Wanted(NamedTuple):
    """A split that is to be made."""

    name: str
    seed: int
    shares: Sequence[Share]
    known: frozenset[str]
    """Questions that it must not have."""


class Drawn(NamedTuple):
    """The entries that a family has given, fewer than were wanted where it has no more, and how many came again."""

    entries: list[families.Entry]
    repeated: int


def generate(wanted: Wanted) -> list[Drawn]:
    """What each family gives to a split, made in a process of its own.

    Raises:
        UserError: when the code of a family raises, or ends its process.
    """
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        input=pickle.dumps((sys.path, wanted)),
        capture_output=True,
        env=os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": path},
        check=False,
    )
    if done.returncode != 0:
        said = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        raise UserError(f"reasoning-gym has ended the process that makes the problems ({said or done.returncode})")
    reply: list[tuple[list[families.Entry], int]] | str = pickle.loads(done.stdout)
    if isinstance(reply, str):
        raise UserError(reply)
    return [Drawn(*of_family) for of_family in reply]


def main() -> None:
    """Make one split."""
    end_with_parent()
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as reply:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # for what the package may print
        sys.path[:], wanted = pickle.load(sys.stdin.buffer)
        try:
            known = set(wanted.known)
            made: list[tuple[list[families.Entry], int]] | str
            made = [_different(share, wanted, known) for share in wanted.shares]
        except UserError as error:
            made = str(error)
        pickle.dump(made, reply)


def _different(share: Share, wanted: Wanted, known: set[str]) -> tuple[list[families.Entry], int]:
    """Entries with questions that are not `known`, which learns them, and how many had one that is."""
    found, repeated, draws, before = list[families.Entry](), 0, 0, -1
    while before < len(found) < share.count:
        before, size = len(found), min(max(share.count - len(found), LEAST_DRAWN), MOST_DRAWN)
        seed = derive_seed("reasoning_gym", share.family, wanted.seed, wanted.name, draws) % SEEDS
        draws += 1
        with families.own_randomness(seed):
            for entry in _draw(share, seed, size):
                if entry["question"] in known:
                    repeated += 1
                    continue
                known.add(entry["question"])
                found.append(entry)
                if len(found) == share.count:
                    break
    return found, repeated


def _draw(share: Share, seed: int, size: int) -> Iterator[families.Entry]:
    """The problems of a draw, up to where the family says that it has no more.

    Raises:
        UserError: when its own code raises.
    """
    try:
        problems = families.problems(share.family, share.settings, seed=seed, size=size)
        for index in range(size):
            try:
                entry = problems[index]
            except IndexError:
                return
            yield entry
    except Exception as error:  # of others' code
        raise UserError(
            f"task={share.family}: reasoning-gym raised {repr_of(error)} while it made problems; choose other "
            "settings, or another seed"
        ) from error


if __name__ == "__main__":
    main()
