"""What every reward is."""

import io
import math
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Protocol, runtime_checkable

from rsgrpo.errors import UserError, check_signature, is_ours, place_of, repr_of
from rsgrpo.types import Completion, Group, Problem, Prompt, Score
from rsgrpo.verification.boxes import last_boxed


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

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """The last box, without its spaces."""
        boxed = last_boxed(completion.text)
        return None if boxed is None else "".join(boxed.split())


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
    """A reward that can tell whether any other answer could equal a gold answer."""

    def unreadable(self, problems: Sequence[Problem]) -> list[str | None]:
        """For each problem why its gold answer cannot be compared with, `prose` for example, or None where it can."""
        ...


@runtime_checkable
class FindsAnswers(Protocol):
    """A reward that can say which answer a completion gives, written one way: for objectives that compare answers."""

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """The answer, or None where it finds none."""
        ...


def has_one_right_answer(reward: Reward) -> bool:
    """Whether a reward says, by an attribute `one_right_answer`, that all that is correct is the gold answer."""
    return bool(getattr(reward, "one_right_answer", False))


def answers(reward: Reward, group: Group, scores: Sequence[Score] = ()) -> tuple[str | None, ...]:
    """The answer of each completion of a group.

    With the `scores` of a reward that knows only one right answer, what is correct has the gold one, however it was
    written: 1/2 and 0.5 are equal because the verifier says so.

    Raises:
        UserError: when the reward does not say, or says it wrong.
    """
    if not isinstance(reward, FindsAnswers):
        raise UserError(
            f"reward: the objective needs answers, and {name_of(reward)} has no method answer(prompt, completion); "
            "give it one, or use another objective"
        )
    with _named(reward, group.prompt, "answer", FindsAnswers.answer):
        found = tuple(reward.answer(group.prompt, completion) for completion in group.completions)
    wrong = next((answer for answer in found if answer is not None and not isinstance(answer, str)), None)
    if wrong is not None:
        raise UserError(f"reward: {name_of(reward)}.answer returned {type(wrong).__name__}; return text, or None")
    if scores and has_one_right_answer(reward):
        gold = group.prompt.problem.answer
        return tuple(gold if s.correct else answer for s, answer in zip(scores, found, strict=True))
    return found


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
        UserError: here or by the returned function, when the reward raises or does not return a finite score.
    """
    if not isinstance(reward, BackgroundReward):
        return lambda: tuple(_shown(reward, *judged(reward, group.prompt, c)) for c in group.completions)
    with _named(reward, group.prompt, "begin", BackgroundReward.begin):
        pending = reward.begin(group)

    def scores() -> tuple[Score, ...]:
        with _named(reward, group.prompt, "begin"):
            found = tuple(checked_score(score, reward) for score in pending())
        if len(found) != len(group.completions):
            raise UserError(
                f"reward: {name_of(reward)} scored {len(found)} of {len(group.completions)} completions; give one "
                "score for each"
            )
        return found

    return scores


def judged(reward: Reward, prompt: Prompt, completion: Completion) -> tuple[Score | UserError, str]:
    """The checked score of one completion, or what is wrong with the reward; and what it printed meanwhile."""
    printed = io.StringIO()
    named = _named(reward, prompt, "__call__", Reward.__call__)
    try:
        with redirect_stdout(printed), redirect_stderr(printed), named:
            return checked_score(reward(prompt, completion), reward), printed.getvalue()
    except UserError as error:
        return error, printed.getvalue()


def answered(reward: Reward, prompt: Prompt, completion: Completion) -> tuple[str | UserError | None, str]:
    """The answer of one completion, or what is wrong with the reward; and what it printed meanwhile."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            return answers(reward, Group(prompt=prompt, completions=(completion,)))[0], printed.getvalue()
    except UserError as error:
        return error, printed.getvalue()


def _shown(reward: Reward, result: Score | UserError, printed: str) -> Score:
    show(reward, printed)
    if isinstance(result, UserError):
        raise result
    return result


def show(reward: Reward, printed: str) -> None:
    """Pass on what a reward printed, line by line, under its name: the first lines of a process."""
    name = name_of(reward)
    for line in printed.splitlines():
        _lines_of[name] += 1
        if _lines_of[name] <= SHOWN_LINES:
            print(f"reward {name} printed: {line}", file=sys.stderr)
        elif _lines_of[name] == SHOWN_LINES + 1:
            print(f"reward {name} has printed {SHOWN_LINES} lines; the rest is left out", file=sys.stderr)


SHOWN_LINES = 20
"""Printed lines of each reward that are passed on, in each process."""

_lines_of: Counter[str] = Counter()


@contextmanager
def _named(reward: Reward, prompt: Prompt, method: str, like: Callable[..., Any] | None = None) -> Iterator[None]:
    """An exception of a user's reward becomes one sentence, and one that ends the process does not."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # of a user's function, which may raise anything
        if isinstance(error, TypeError) and like is not None and not is_ours(reward):
            check_signature("reward", reward, method, like)
        where, place = prompt.problem.origin or prompt.id, place_of(error, _module_of(reward))
        raise UserError(
            f"reward: {name_of(reward)} raised {repr_of(error)} on a completion of {where}{place}; a reward scores "
            "every text (RSGRPO_TRACEBACK=1 shows the traceback)"
        ) from error


LARGEST = 3.4e38
"""Of float32, in which advantages are trained and parts are logged."""


def name_of(reward: Reward) -> str:
    """The name of a reward's function or class."""
    named = _code_of(reward)
    return getattr(named, "__name__", type(named).__name__)


def _module_of(reward: Reward) -> str:
    return _code_of(reward).__module__


def _code_of(reward: Reward) -> Any:
    """The function, or the object of a class."""
    return getattr(reward, "func", reward)  # of a function with its settings filled in


def checked_score(score: object, reward: Reward) -> Score:
    """The score, checked.

    Raises:
        UserError: naming the reward and what is wrong with its result.
    """
    name = name_of(reward)
    if not isinstance(score, Score):
        raise UserError(
            f"reward: {name} returned {type(score).__name__}; return rsgrpo.types.Score(value=..., correct=...)"
        )
    for what, number in {"value": score.value, **{f"part {part}": n for part, n in score.parts.items()}}.items():
        if isinstance(number, str) or not math.isfinite(number):
            raise UserError(f"reward: {name} returned the {what} {number}; return a finite one")
        if abs(number) > LARGEST:
            raise UserError(f"reward: {name} returned the {what} {number}; return one that fits into float32")
    return score
