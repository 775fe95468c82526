"""Calling an engine, which may be of a class of the user's own: what it raises is one sentence with its place."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rsgrpo.distributed.ranks import OtherRankFailed
from rsgrpo.errors import OwnCodeFailed, UserError, failures_name_their_place, is_ours
from rsgrpo.rollouts.engine import EngineLost, RolloutEngine, checked_groups
from rsgrpo.types import Group, Prompt, Sampling

PASS = (EngineLost, OtherRankFailed, SystemExit)
"""What an engine hands on, and has not done: another rank has failed, or a signal ends the process."""


@contextmanager
def failures_name_the_engine(engine: RolloutEngine, method: str) -> Iterator[None]:
    """Turn what an engine of the user's raises in a method of the protocol into one sentence.

    Raises:
        OwnCodeFailed: naming class, method, exception, file and line.
    """
    like = getattr(RolloutEngine, method)
    passed = None
    try:
        with failures_name_their_place("rollout", engine, method, like=like if callable(like) else None):
            yield
    except OwnCodeFailed as error:
        if not isinstance(error.__cause__, PASS):
            raise
        passed = error.__cause__
    if passed is not None:
        raise passed  # here: raised while `error` is handled, it would be the cause of its own cause


def sampled_groups(
    engine: RolloutEngine, prompts: Sequence[Prompt], sampling: Sampling, *, num_completions: int, seeds: Sequence[int]
) -> Iterator[tuple[int, Group]]:
    """The groups of `RolloutEngine.generate` as they come, held to what it promises.

    Raises:
        UserError: naming what an engine of the user's raised or yielded.
        RuntimeError: for a broken promise of an engine of this package.
    """
    with failures_name_the_engine(engine, "generate"):
        groups = engine.generate(prompts, sampling, num_completions=num_completions, seeds=seeds)
    refusal = RuntimeError if is_ours(engine) else UserError
    return checked_groups(_named(engine, groups), prompts, num_completions, refusal=refusal)


def _named(engine: RolloutEngine, groups: object) -> Iterator[tuple[int, Group]]:
    """What an engine yields, each a pair of an index and a group."""
    name = type(engine).__name__
    if not isinstance(groups, Iterator | list | tuple):
        raise UserError(f"rollout: {name}.generate returned {type(groups).__name__}; yield pairs (index, group)")
    left, end = iter(groups), object()
    while True:
        with failures_name_the_engine(engine, "generate"):
            pair = next(left, end)
        if pair is end:
            return
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[1], Group)):
            raise UserError(
                f"rollout: {name}.generate yielded {type(pair).__name__}; yield pairs (index of the prompt, "
                "rsgrpo.types.Group)"
            )
        yield pair
