"""A reward that is neither 0 nor 1."""

from dataclasses import dataclass

from rsgrpo.types import Completion, Prompt, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfReward:
    """1 or 1/2, so that groups differ."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        even = completion.text.count("1") % 2 == 0
        return Score(value=1.0 if even else 0.5, correct=even)
