"""A reward that a policy with random weights earns half of the time."""

from dataclasses import dataclass

from rsgrpo.types import Completion, Prompt, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityReward:
    """1 when the completion holds an even number of the letter `1`, else 0."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        even = completion.text.count("1") % 2 == 0
        return Score(value=float(even), correct=even)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithAnswers(ParityReward):
    """The same, and the answer is how many there are: several are right."""

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        return str(completion.text.count("1"))


def whole(prompt: Prompt, completion: Completion) -> Score:
    """The same, as a whole number and a truth value where a `Score` has floats."""
    even = completion.text.count("1") % 2 == 0
    return Score(value=even, correct=even, parts={"even": int(even)})
