"""A penalty for completions that come near the longest length."""

import math
from dataclasses import dataclass

from rsgrpo.fields import check_fields
from rsgrpo.types import Completion, Prompt, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlongPenalty:
    """0 up to L - B tokens, then (L - B - length) / B down to -1, for L = `max_new_tokens` and B = `buffer` L.

    The soft overlong punishment of "DAPO: An Open-Source LLM Reinforcement Learning System at Scale" (2025), Eq. 13. It
    knows nothing about answers: use it in `reward=weighted`, beside one that does.

    Raises:
        FieldError: for a value outside its range.
    """

    max_new_tokens: int
    buffer: float = 0.2
    """Share of `max_new_tokens`; DAPO's is 4,096 of 20,480."""

    def __post_init__(self) -> None:
        check_fields(self, max_new_tokens=(1, math.inf), buffer=(1e-6, 1))

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        buffer = self.buffer * self.max_new_tokens
        over = len(completion.token_ids) - (self.max_new_tokens - buffer)
        return Score(value=-min(1.0, max(0.0, over / buffer)), correct=False)
