"""What the tests of all schedules share: schedules as a run builds them, groups, and what a schedule makes of them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.schedules.base import Schedule

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(file.stem for file in (CONF / "schedule").glob("*.yaml") if file.stem != "custom")

REWARDS = torch.tensor(
    [
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
    ],
    dtype=torch.float64,
)
"""P = 3 groups of N = 16 with 1, 8 and 15 successes."""

PROMPTS = ("a", "b", "c")


@cache
def configuration(name: str, *overrides: str) -> DictConfig:
    """The configuration of a run with this schedule, of 6 iterations."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", [f"schedule={name}", "iterations=6", *overrides])


def context(iteration: int = 1, prompts: Sequence[str] = PROMPTS, completions: int = 16) -> AdvantageContext:
    logprobs = -torch.ones(len(prompts), completions, dtype=torch.float64)
    return AdvantageContext(iteration=iteration, prompt_ids=prompts, sampler_logprobs=logprobs)


def scheduled(
    schedule: Schedule,
    objective: Objective,
    iteration: int = 1,
    rewards: Tensor = REWARDS,
    prompts: Sequence[str] = PROMPTS,
) -> tuple[Tensor, dict[str, float]]:
    """Advantages and what was in force; the accuracies are the mean rewards."""
    given = dataclasses.replace(context(iteration, prompts, rewards.shape[1]), correct=rewards > 0)
    in_force = schedule.in_force(objective, given)
    return in_force.advantages(rewards, given), dict(in_force.values)


def values(schedule: Schedule, objective: Objective, name: str, iterations: int) -> list[float]:
    """The one value in force at each of the first iterations."""
    seen = [scheduled(schedule, objective, i)[1] for i in range(1, iterations + 1)]
    assert all(set(record) == {name} for record in seen)
    return [record[name] for record in seen]


def with_value(objective: Objective, **changed: Any) -> Any:
    return dataclasses.replace(objective, **changed)  # type: ignore[type-var]


def risk_sensitive_by_definition(rewards: Tensor, beta: float) -> Tensor:
    """(1/beta) (e_i / mean_j e_j - 1), e = exp(beta r): the formula as published, for betas that are not near 0."""
    e = (beta * rewards).exp()
    return (e / e.mean(dim=1, keepdim=True) - 1) / beta


@dataclass(frozen=True, kw_only=True)
class WritesDown(Objective):
    """An objective of one's own with a k; it remembers every k it was asked to compute with."""

    k: Any = 4
    seen: list[Any] = field(default_factory=list, compare=False)

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        self.seen.append(self.k)
        return rewards - rewards.mean(dim=1, keepdim=True)
