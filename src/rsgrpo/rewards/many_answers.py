"""The reward of many answers: the boxed pair is looked up, and its last digits are compared."""

from dataclasses import dataclass

from rsgrpo.rewards.base import TextReward, wrong
from rsgrpo.types import Completion, Problem, Prompt, Score
from rsgrpo.verification.boxes import last_boxed
from rsgrpo.verification.listed import boxed_numbers, whole_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyAnswersReward(TextReward):
    """1 when the last box holds two listed numbers that end in the two wanted digits, in either order; else 0.

    `parts` tells the failures apart: `no_box`, `malformed`, `not_listed`, `wrong_digits`.
    """

    def judge(self, problem: Problem, text: str) -> Score:
        boxed = last_boxed(text)
        if boxed is None:
            return wrong("no_box")
        pair = whole_numbers(boxed)
        if pair is None or len(pair) != 2:
            return wrong("malformed")
        if not set(pair) <= set(problem.facts["numbers"]):
            return wrong("not_listed")
        if sorted(number % 10 for number in pair) != sorted(problem.facts["digits"]):
            return wrong("wrong_digits")
        return Score(value=1.0, correct=True)

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """The numbers of the last box, the smallest first; None where it holds none."""
        numbers = boxed_numbers(completion.text)
        return None if numbers is None else " ".join(map(str, sorted(numbers)))
