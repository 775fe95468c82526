"""Symbolic comparison of the last box with the gold answer, in worker processes, by the math-verify library."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rsgrpo.fields import check_fields
from rsgrpo.rewards.base import Pending
from rsgrpo.types import Completion, Group, Problem, Prompt, Score
from rsgrpo.verification.boxes import last_boxed
from rsgrpo.verification.notation.tidy import tidy
from rsgrpo.workers.pool import Program, Workers, default_count


def verifier(limit_s: int) -> Program:
    """Questions (kind, gold, answer): `answer` asks whether the two are equal, `gold` whether the gold can be compared
    with. Verdicts are those of `rsgrpo.verification.equality`, within `limit_s` whole seconds for each step."""
    return Program(
        module="rsgrpo.verification.verifier",
        arguments=(str(limit_s),),
        encode=lambda question: json.dumps(question).encode(),
        decode=json.loads,
    )


@dataclass(slots=True, kw_only=True)
class MathVerifyReward:
    """1 when the last `\\boxed{...}` equals the gold answer, else 0; no box scores 0.

    Each distinct answer of a group is compared once, in a worker process: with integer time limits inside, and a
    deadline outside after which the worker is killed, replaced, and the answer scores 0. Groups are worked on in the
    background, while others are still being sampled.

    `parts` tells the failures apart: `no_box`, `too_long`, `unparsed`, `timeout`, `error`, `wrong`; and `truncated`
    marks completions that ran into `max_new_tokens`, whatever their verdict.
    """

    one_right_answer: ClassVar[bool] = True

    timeout_s: float = 4.0
    """Deadline of one answer, in seconds."""
    max_answer_chars: int = 1000
    """Longer boxes score 0 unread."""
    workers: int | None = None
    """Worker processes; null: one for each core of this process, at most 8."""
    _pool: Workers = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_fields(self, timeout_s=(0.1, math.inf), max_answer_chars=(1, math.inf), workers=(1, math.inf))
        limit_s = max(1, int(self.timeout_s) // 2)  # math-verify silently returns False for a fraction
        self._pool = Workers(self.workers or default_count(), verifier(limit_s), timeout_s=self.timeout_s)

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return self.begin(Group(prompt=prompt, completions=(completion,)))()[0]

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """The last box in the one notation that the rules read; `1/2` and `0.5` stay two."""
        boxed = last_boxed(completion.text)
        return None if boxed is None or len(boxed) > self.max_answer_chars else tidy(boxed)

    def begin(self, group: Group) -> Pending:
        """Start on a group, and return what waits for its scores."""
        boxes = [last_boxed(completion.text) for completion in group.completions]
        distinct = sorted({box for box in boxes if box is not None and len(box) <= self.max_answer_chars})
        gold = group.prompt.problem.answer
        verdicts = self._pool.submit([("answer", gold, box) for box in distinct])

        def scores() -> tuple[Score, ...]:
            verdict_of = dict(zip(distinct, verdicts.result(), strict=True))
            return tuple(
                _score("no_box" if box is None else verdict_of.get(box, "too_long"), completion)
                for box, completion in zip(boxes, group.completions, strict=True)
            )

        return scores

    def unreadable(self, problems: Sequence[Problem]) -> list[str | None]:
        """Why gold answers cannot be compared with, where no answer would ever be right but a copy; else None."""
        distinct = sorted({problem.answer for problem in problems})
        verdicts = [self._pool.submit([("gold", gold, "")]) for gold in distinct]
        why = {gold: verdict.result()[0] for gold, verdict in zip(distinct, verdicts, strict=True)}
        return [None if why[problem.answer] == "right" else why[problem.answer] for problem in problems]

    @property
    def process_ids(self) -> list[int]:
        """The ids of the worker processes that are running now."""
        return self._pool.process_ids

    def close(self) -> None:
        """End the worker processes; the next answer starts new ones."""
        self._pool.close()


def _score(verdict: str, completion: Completion) -> Score:
    right = verdict == "right"
    parts = {} if right else {verdict: 1.0}
    return Score(value=float(right), correct=right, parts=parts if completion.finished else parts | {"truncated": 1.0})
