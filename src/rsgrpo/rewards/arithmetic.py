"""The reward of arithmetic: the boxed number, its digits together or apart."""

from dataclasses import dataclass

from rsgrpo.rewards.base import last_boxed
from rsgrpo.types import Completion, Problem, Prompt, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class ArithmeticReward:
    """1 when the last box holds the answer as a whole number, spaces between its digits or not; else 0.

    `parts` tells the failures apart: `no_box`, `malformed`, `wrong`.
    """

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return self.judge(prompt.problem, completion.text)

    def judge(self, problem: Problem, text: str) -> Score:
        """The verdict on a text."""
        boxed = last_boxed(text)
        if boxed is None:
            return _wrong("no_box")
        digits = boxed.replace(" ", "")
        if not (digits.isascii() and digits.isdigit()):
            return _wrong("malformed")
        # Compared as text: a completion may hold more digits than Python converts.
        if (digits.lstrip("0") or "0") != problem.answer:
            return _wrong("wrong")
        return Score(value=1.0, correct=True)


def _wrong(why: str) -> Score:
    return Score(value=0.0, correct=False, parts={why: 1.0})
