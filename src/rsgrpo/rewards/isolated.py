"""A reward of your own in worker processes, where a hang, a crash or a lack of memory costs one answer only."""

import json
import math
import pickle
import sys
from dataclasses import dataclass, field
from typing import Any

from rsgrpo.errors import UserError
from rsgrpo.fields import check_fields
from rsgrpo.rewards.base import Pending, Reward, has_one_right_answer, name_of, show, wrong
from rsgrpo.types import Completion, Group, Prompt, Score
from rsgrpo.workers.pool import Program, Workers, default_count

GIVE_UP_AFTER = 8
"""Completions that a reward may lose its worker on, one after another, before its first verdict."""


@dataclass(slots=True, kw_only=True)
class IsolatedReward:
    """The scores of `reward`, called in worker processes.

    A completion on which it hangs beyond the deadline scores 0 with the part `timeout`. One on which it ends its
    process three times, in fresh workers, or wants more memory than it may have, scores 0 with the part `error`. What
    it starts ends with its worker. A reward that raises, or does not return a score, ends the run, as it does in the
    trainer's own process; and so does one that has lost its worker on each of its first `GIVE_UP_AFTER` completions:
    then the texts are not at fault. Each worker has its own copy of the reward, and they share no memory.

    Raises:
        UserError: when the reward cannot be sent to another process.
    """

    reward: Reward
    timeout_s: float = 10.0
    """Deadline of one completion, in seconds."""
    memory_gib: float = 4.0
    """What a worker may take beyond its imports, in GiB."""
    workers: int | None = None
    """Worker processes; null: one for each core of this process, at most 8."""
    _pool: Workers = field(init=False, repr=False, compare=False)
    _lost: list[str] | None = field(init=False, repr=False, compare=False, default_factory=list)
    """Why the completions so far got no verdict; None from the first verdict on."""

    def __post_init__(self) -> None:
        check_fields(self, timeout_s=(0.1, math.inf), memory_gib=(0.01, math.inf), workers=(1, math.inf))
        self._pool = Workers(self.workers or default_count(), self._program(), timeout_s=self.timeout_s)

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return self.begin(Group(prompt=prompt, completions=(completion,)))()[0]

    def begin(self, group: Group) -> Pending:
        """Start on a group, and return what waits for its scores."""
        pending = [self._pool.submit([("score", group.prompt, completion)]) for completion in group.completions]
        return lambda: tuple(self._score(future.result()[0]) for future in pending)

    def answer(self, prompt: Prompt, completion: Completion) -> str | None:
        """As the reward finds it, in a worker; None where that hangs, or ends its process."""
        reply = self._pool.submit([("answer", prompt, completion)]).result()[0]
        if reply in ("timeout", "error"):
            return None
        show(self.reward, reply["printed"])
        if "refused" in reply:
            raise UserError(reply["refused"])
        return reply.get("answer")

    @property
    def one_right_answer(self) -> bool:
        """Whether the reward knows only one."""
        return has_one_right_answer(self.reward)

    @property
    def process_ids(self) -> list[int]:
        """The ids of the worker processes that are running now."""
        return self._pool.process_ids

    def close(self) -> None:
        """End the worker processes; the next completion starts new ones."""
        self._pool.close()

    def _program(self) -> Program:
        try:
            reward = pickle.dumps(self.reward)
        except Exception as error:  # pickle raises whatever an object's own methods raise
            raise UserError(
                f"reward: {name_of(self.reward)} cannot be sent to another process ({error}); make it a function or a "
                "class at the top level of a module, or leave isolated=false"
            ) from error
        return Program(
            module="rsgrpo.rewards.isolated_worker",
            arguments=(str(int(self.memory_gib * 2**30)),),
            greeting=pickle.dumps((sys.path, reward)),
            encode=pickle.dumps,
            decode=json.loads,
        )

    def _score(self, reply: Any) -> Score:
        if reply in ("timeout", "error"):
            self._lose(reply)
            return wrong(reply)
        show(self.reward, reply["printed"])
        if "refused" in reply:
            raise UserError(reply["refused"])
        if "error" in reply:
            return wrong("error")
        self._lost = None
        return Score(**reply["score"])

    def _lose(self, why: str) -> None:
        """Count a completion without a verdict; refuse a reward that has never given one.

        Raises:
            UserError: saying what became of its workers.
        """
        if self._lost is None:
            return
        self._lost.append(why)
        if len(self._lost) < GIVE_UP_AFTER:
            return
        hung = self._lost.count("timeout")
        ended, hangs = GIVE_UP_AFTER - hung, f"hung beyond timeout_s={self.timeout_s:g} on {hung}"
        what = [*([f"ended its worker process on {ended}"] if ended else []), *([hangs] if hung else [])]
        raise UserError(
            f"reward: {name_of(self.reward)} {' and '.join(what)} of its first {GIVE_UP_AFTER} completions and has "
            f"scored none; fix it{', or give it longer' if hung else ''}",
            timeout_s="isolation",
        )
