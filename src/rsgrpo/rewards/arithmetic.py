"""The reward of arithmetic: the boxed number, its digits together or apart."""

from dataclasses import dataclass
from typing import ClassVar

from rsgrpo.rewards.base import TextReward, wrong
from rsgrpo.types import Problem, Score
from rsgrpo.verification.boxes import last_boxed


@dataclass(frozen=True, slots=True, kw_only=True)
class ArithmeticReward(TextReward):
    """1 when the last box holds the answer as a whole number, spaces between its digits or not; else 0.

    `parts` tells the failures apart: `no_box`, `malformed`, `wrong`.
    """

    one_right_answer: ClassVar[bool] = True

    def judge(self, problem: Problem, text: str) -> Score:
        boxed = last_boxed(text)
        if boxed is None:
            return wrong("no_box")
        digits = boxed.replace(" ", "")
        if not (digits.isascii() and digits.isdigit()):
            return wrong("malformed")
        # Compared as text: a completion may hold more digits than Python converts.
        if (digits.lstrip("0") or "0") != problem.answer:
            return wrong("wrong")
        return Score(value=1.0, correct=True)
