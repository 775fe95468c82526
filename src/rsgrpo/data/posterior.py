"""Prompts in the order of what they have to teach, by the posterior of their solve rate."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rsgrpo.data.order import Order
from rsgrpo.fields import check_fields
from rsgrpo.seeds import derive_seed
from rsgrpo.types import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior(Order):
    """Thompson sampling: draw a solve rate p of every prompt from its posterior, and visit the largest p (1 - p).

    The posterior of a prompt is Beta(prior + c, prior + w), with c and w its right and wrong completions so far; before
    each visit's are added, those of earlier ones are multiplied by `memory`, since the policy moves. p (1 - p) is the
    variance of a reward of 0 or 1: what a centred gradient grows with. A prompt that was never visited has the
    posterior of the prior, so it is tried sooner or later.

    Thompson (1933), "On the likelihood that one unknown probability exceeds another"; for prompts of RL, "Can Prompt
    Difficulty be Online Predicted for Accelerating RL Finetuning of Reasoning Models?" (Qu et al., 2025).

    Raises:
        FieldError: for a value outside its range.
    """

    prior: float = 1.0
    """Completions of either kind that each prompt is taken to have had; 1 is the uniform distribution."""
    memory: float = 0.5
    """How much of the earlier visits stays at each new one."""
    counts: dict[str, tuple[float, float]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Right and wrong completions of each prompt, earlier ones discounted."""

    def __post_init__(self) -> None:
        check_fields(self, prior=(1e-6, math.inf), memory=(0.0, 1.0))

    def places(self, prompt_ids: Sequence[str], *, drawn: int, count: int, seed: int) -> list[int]:
        """The `count` best of one draw, best first; where there are fewer prompts than that, all of them again."""
        right, wrong = np.array([self.counts.get(prompt, (0.0, 0.0)) for prompt in prompt_ids]).T
        p = np.random.default_rng(derive_seed(seed, "posterior", drawn)).beta(self.prior + right, self.prior + wrong)
        best = np.argsort(-p * (1 - p), kind="stable")
        return [int(best[i % len(best)]) for i in range(count)]

    def observe(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            right, wrong = self.counts.get(outcome.prompt_id, (0.0, 0.0))
            correct = outcome.num_correct
            self.counts[outcome.prompt_id] = (
                self.memory * right + correct,
                self.memory * wrong + len(outcome.scores) - correct,
            )

    def state_dict(self) -> dict[str, Any]:
        return {"counts": {prompt: list(counts) for prompt, counts in self.counts.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.counts.clear()
        self.counts.update({prompt: (right, wrong) for prompt, (right, wrong) in state["counts"].items()})
