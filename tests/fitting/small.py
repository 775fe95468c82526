"""The smallest run from Python that trains something."""

from dataclasses import replace
from typing import Any

from rsgrpo.batching.filters import KeepAll
from rsgrpo.batching.plan import BatchPlan
from rsgrpo.data.countdown import Countdown
from rsgrpo.evaluation.evaluate import EvaluationPlan
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.training.optimizer import AdamW
from rsgrpo.training.recipe import Recipe
from rsgrpo.types import Problem, Sampling
from tests.training.parity_reward import ParityReward

SAMPLING = Sampling(max_new_tokens=6)
PROBLEMS: list[Problem] = Countdown(levels=[2]).split("train")[:6]


def recipe(**changed: Any) -> Recipe:
    """A recipe of two iterations of four groups of four, in two updates each."""
    small = Recipe(
        objective=RSGRPO(beta=4.0),
        reward=ParityReward(),
        filter=KeepAll(),
        sampling=SAMPLING,
        optimizer=AdamW(lr=1e-3, warmup_steps=3),
        iterations=2,
        batching=BatchPlan(prompts_per_iteration=4, completions_per_prompt=4, prompts_per_update=2),
        evaluation=EvaluationPlan(sampling=SAMPLING, every=2, validation_completions=4, test_completions=4, k=(1, 4)),
    )
    return replace(small, **changed)
