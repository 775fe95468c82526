"""What every reward is, and the one place that finds the answer in a completion."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from rsgrpo.types import Completion, Group, Problem, Prompt, Score, UserError

BOX = "\\boxed{"


@runtime_checkable
class Reward(Protocol):
    """(prompt, completion) -> Score. Total: never raises, always finite, in bounded time."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score: ...


class TextReward(ABC):
    """Base of rewards that look at the problem and the text alone."""

    @abstractmethod
    def judge(self, problem: Problem, text: str) -> Score:
        """The verdict on a text."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return self.judge(prompt.problem, completion.text)


def wrong(why: str, value: float = 0.0) -> Score:
    """The score of an answer that is not correct, with its reason as a part."""
    return Score(value=value, correct=False, parts={why: 1.0})


@runtime_checkable
class BackgroundReward(Reward, Protocol):
    """A reward that can work on a group while others are still being sampled."""

    def begin(self, group: Group) -> "Pending":
        """Start on a group, and return at once what waits for its scores."""
        ...


@runtime_checkable
class ReadsGolds(Protocol):
    """A reward that can tell of a gold answer whether any other answer could equal it."""

    def unreadable(self, problems: Sequence[Problem]) -> list[bool]:
        """For each problem whether its gold answer cannot be compared with."""
        ...


@runtime_checkable
class Closes(Protocol):
    """A reward that holds processes which end with the run."""

    def close(self) -> None: ...


def close(reward: Reward) -> None:
    """End what a reward has started; the next answer starts it again."""
    if isinstance(reward, Closes):
        reward.close()


Pending = Callable[[], tuple[Score, ...]]
"""Waits for the scores of a group, one for each of its completions."""


def begin(reward: Reward, group: Group) -> Pending:
    """Start scoring a group, now where the reward can do so in the background, else when the scores are asked for.

    Raises:
        UserError: by the returned function, when the reward raises or returns what is no finite score.
    """
    if isinstance(reward, BackgroundReward):
        return reward.begin(group)
    return lambda: tuple(_score(reward, group.prompt, completion) for completion in group.completions)


def _score(reward: Reward, prompt: Prompt, completion: Completion) -> Score:
    try:
        score = reward(prompt, completion)
    except UserError:
        raise
    except Exception as error:  # of a user's function, which may raise anything
        raise UserError(
            f"reward: {_name(reward)} raised {error!r} on a completion of {prompt.problem.origin or prompt.id}; a "
            "reward scores every text (RSGRPO_TRACEBACK=1 shows where it failed)"
        ) from error
    return checked_score(score, reward)


def _name(reward: Reward) -> str:
    named = getattr(reward, "func", reward)  # of a function with its settings filled in
    return getattr(named, "__name__", type(named).__name__)


def checked_score(score: object, reward: Reward) -> Score:
    """The score, when it is one.

    Raises:
        UserError: naming the reward and what is wrong with its result.
    """
    name = _name(reward)
    if not isinstance(score, Score):
        raise UserError(
            f"reward: {name} returned {type(score).__name__}; return rsgrpo.types.Score(value=..., correct=...)"
        )
    if not math.isfinite(score.value):
        raise UserError(f"reward: {name} returned the value {score.value}; return a finite one")
    return score


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` of `text`, braces matched; None without one, or when it stays open.

    >>> last_boxed(r"\boxed{1} then \boxed{\frac{1}{2}}"), last_boxed(r"\boxed{1"), last_boxed("1")
    ('\\frac{1}{2}', None, None)
    """
    start = text.rfind(BOX)
    if start < 0:
        return None
    start += len(BOX)
    depth = 1
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start:i]
    return None
