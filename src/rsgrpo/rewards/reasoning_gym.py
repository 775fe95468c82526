r"""The reward of the task families of reasoning-gym: each judges answers by a verifier of its own."""

import json
import math
import pickle
import re
import sys
from dataclasses import dataclass, field

from rsgrpo.fields import check_fields
from rsgrpo.rewards.base import Pending
from rsgrpo.types import Completion, Group, Prompt, Score
from rsgrpo.verification.boxes import end_of_group, last_boxed, spoken
from rsgrpo.verification.families import check_installed
from rsgrpo.workers.pool import Program, Workers, default_count

RIGHT = 1 - 1e-9
"""Least score of an answer that is correct."""

_WRAP = re.compile(r"\\(?:text|textbf|texttt|mathbf|mathrm|mathtt)\s*(?=\{)")
_OPEN, _CLOSE = "<answer>", "</answer>"


def answer_in(text: str) -> str | None:
    r"""The answer of a text: its last box, else what stands in its last `<answer>` tags; None where both are missing.

    A box that is one `\text{...}` holds what is inside it.

    >>> given = (r"\boxed{\text{no}} <answer>yes</answer>", "<answer> yes\n</answer>", r"\boxed{ }", "yes")
    >>> tuple(answer_in(text) for text in given)
    ('no', 'yes', None, None)
    """
    boxed = last_boxed(text)
    found = _tagged(spoken(text)) if boxed is None else _unwrapped(boxed.strip())
    return found or None


def _tagged(text: str) -> str:
    close = text.rfind(_CLOSE)
    start = text.rfind(_OPEN, 0, max(close, 0))
    return "" if start < 0 else text[start + len(_OPEN) : close].strip()


def _unwrapped(boxed: str) -> str:
    command = _WRAP.match(boxed)
    whole = command is not None and end_of_group(boxed, command.end()) == len(boxed)
    return boxed[command.end() + 1 : -1].strip() if command is not None and whole else boxed


@dataclass(slots=True, kw_only=True)
class ReasoningGymReward:
    r"""1 when the verifier of the problem's family gives the answer its full score, else 0, or the score itself.

    The answer is the last `\boxed{...}`, or else what stands in the last `<answer>` tags. Verifiers work in worker
    processes, on each distinct answer of a group once, while others are still being sampled. A worker that takes
    longer than `timeout_s` is killed and replaced, and the answer scores 0.

    `parts` tells the failures apart: `no_answer`, `too_long`, `malformed`, `timeout`, `error`, `wrong`; and `truncated`
    marks completions that ran into `max_new_tokens`, whatever their verdict. With `graded`, an answer that is `wrong`
    may be worth something, as its family says; what is correct is the same.
    """

    graded: bool = False
    timeout_s: float = 10.0
    """Deadline of one answer, in seconds."""
    max_answer_chars: int = 10_000
    """Longer answers score 0 unread."""
    workers: int | None = None
    """Worker processes; null: one for each core of this process, at most 8."""
    _pool: Workers = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_fields(self, timeout_s=(0.1, math.inf), max_answer_chars=(1, math.inf), workers=(1, math.inf))
        self._pool = Workers(self.workers or default_count(), _verifier(), timeout_s=self.timeout_s)

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return self.begin(Group(prompt=prompt, completions=(completion,)))()[0]

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """The answer with single spaces between its words; two ways to write one answer stay two."""
        found = answer_in(completion.text)
        return None if found is None or len(found) > self.max_answer_chars else " ".join(found.split())

    def begin(self, group: Group) -> Pending:
        """Start on a group, and return what waits for its scores.

        Raises:
            UserError: where reasoning-gym is not installed.
        """
        check_installed()
        found = [answer_in(completion.text) for completion in group.completions]
        distinct = sorted({answer for answer in found if answer is not None and len(answer) <= self.max_answer_chars})
        facts = group.prompt.problem.facts
        problem = (facts["dataset"], facts["settings"], facts["entry"])
        verdicts = self._pool.submit([(*problem, answer) for answer in distinct])

        def scores() -> tuple[Score, ...]:
            verdict_of: dict[str | None, str | float] = dict(zip(distinct, verdicts.result(), strict=True))
            return tuple(
                self._score("no_answer" if answer is None else verdict_of.get(answer, "too_long"), completion)
                for answer, completion in zip(found, group.completions, strict=True)
            )

        return scores

    @property
    def process_ids(self) -> list[int]:
        """The ids of the worker processes that are running now."""
        return self._pool.process_ids

    def close(self) -> None:
        """End the worker processes; the next answer starts new ones."""
        self._pool.close()

    def _score(self, verdict: str | float, completion: Completion) -> Score:
        score = 0.0 if isinstance(verdict, str) else verdict
        right = score >= RIGHT
        why = verdict if isinstance(verdict, str) else "wrong"
        parts = {} if right else {why: 1.0}
        return Score(
            value=1.0 if right else score if self.graded else 0.0,
            correct=right,
            parts=parts if completion.finished else parts | {"truncated": 1.0},
        )


def _verifier() -> Program:
    return Program(
        module="rsgrpo.rewards.reasoning_gym_worker",
        greeting=pickle.dumps(sys.path),
        encode=pickle.dumps,
        decode=json.loads,
    )
