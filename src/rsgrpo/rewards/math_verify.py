"""Symbolic comparison of the last box with the gold answer, by the math-verify library."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rsgrpo.rewards.base import last_boxed
from rsgrpo.types import Problem, Score, check_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class MathVerifyReward:
    """1 when math-verify finds the last `\\boxed{...}` equal to the gold answer, else 0; no box scores 0.

    Both sides are wrapped in a box of their own, since a raw answer string is often parsed as something else. The
    library's time limits use SIGALRM, so this reward runs in the main thread only.

    `parts` tells the failures apart: `no_box`, `too_long`, `unparsed`, `wrong`.
    """

    timeout_s: int = 2
    """Limit of each parse and of the comparison, in whole seconds."""
    max_answer_chars: int = 1000
    """Longer boxes score 0 unread."""

    def __post_init__(self) -> None:
        check_fields(self, timeout_s=(1, math.inf), max_answer_chars=(1, math.inf))

    def __call__(self, problem: Problem, text: str) -> Score:
        boxed = last_boxed(text)
        if boxed is None:
            return _wrong("no_box")
        if len(boxed) > self.max_answer_chars:
            return _wrong("too_long")
        answer, gold = _parse(boxed, self.timeout_s), _parse_gold(problem.answer, self.timeout_s)
        if not answer or not gold:
            return _wrong("unparsed")
        return Score(value=1.0, correct=True) if _equal(gold, answer, self.timeout_s) else _wrong("wrong")


def _wrong(why: str) -> Score:
    return Score(value=0.0, correct=False, parts={why: 1.0})


def _parse(answer: str, timeout_s: int) -> list[Any]:
    from math_verify import parse

    return parse(f"\\boxed{{{answer}}}", parsing_timeout=timeout_s, raise_on_error=False)


_parse_gold = lru_cache(maxsize=65536)(_parse)


def _equal(gold: list[Any], answer: list[Any], timeout_s: int) -> bool:
    from math_verify import verify

    return bool(verify(gold, answer, timeout_seconds=timeout_s, raise_on_error=False))
