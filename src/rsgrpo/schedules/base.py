"""What every schedule is: the value of an objective's `beta`, or of its `k`, at an iteration and for a prompt.

`objective.beta` (or `objective.k`) is one end of a schedule: the last value of `linear` and `cosine`, the first of
`switch`, that of the easiest prompts for `adaptive`. The schedule adds the other end and the way. It hands
the objective a copy of itself with the value in force, so that no formula knows of schedules.

A new schedule is one file here and one yaml in `conf/schedule/`.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, Objective, PromptFloat, PromptInt, checked_advantages
from rsgrpo.types import FieldError, UserError, field_errors_name_their_key, keyed

SCHEDULED = ("beta", "k")
"""The fields of an objective that a schedule may drive, the first that it has."""

_NO_BETA = "schedule.rescale=times_beta needs an objective with a beta; use schedule.rescale=unit_rms or none"

MEAN_REWARD = {"beta": 0.0, "k": 1.0}
"""The values at which an objective with that field ascends the mean reward (or, like `entropic`, refuses)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(ABC):
    """Base of all schedules. A subclass is final, and its constructor is its configuration."""

    rescale: Literal["none", "times_beta", "unit_rms"] = "none"
    """The advantages of RS-GRPO shrink like 1/beta: `times_beta` multiplies them by |beta|, `unit_rms` divides those of
    an iteration by their root mean square. `none` is the paper's."""

    changes_value: ClassVar[bool] = True
    """Whether it needs an objective with a field that it can drive."""
    per_prompt: ClassVar[bool] = False
    """Whether prompts of one iteration get different values."""

    @abstractmethod
    def value(
        self, name: str, final: PromptFloat, context: AdvantageContext, accuracies: Float[Tensor, " P"]
    ) -> PromptFloat:
        """The value in force, one for all prompts or one for each; `k` is rounded later.

        Args:
            name: the field, `beta` or `k`.
            final: its value in the objective's configuration.
            accuracies: share of each prompt's present completions that are correct.
        """

    @abstractmethod
    def extremes(self, name: str, final: float) -> Sequence[float]:
        """The values between which all values lie: what an objective is checked with before a run."""

    def observe(self, prompt_ids: Sequence[str], accuracies: Sequence[float]) -> None:  # noqa: B027
        """Learn the accuracies of an iteration, those of dropped groups too, once its advantages are known."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint has to keep."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027
        """Take up the state of a checkpoint."""

    def advantages(
        self,
        objective: Objective,
        rewards: Float[Tensor, "P N"],
        context: AdvantageContext,
        accuracies: Float[Tensor, " P"],
    ) -> tuple[Float[Tensor, "P N"], Mapping[str, float]]:
        """The objective's advantages under this schedule, and what was in force: `beta` or `k`, mean and range.

        Raises:
            UserError: naming what the objective refuses, or what is wrong with what it returned.
        """
        name, value, in_force = scheduled_field(objective), None, objective
        with field_errors_name_their_key("objective"):
            if name is not None:
                final = getattr(objective, name)
                value = _of_field(name, self.value(name, final, context, accuracies), rewards)
                in_force = objective if value is final else replaced(objective, name, value)
            advantages = checked_advantages(in_force.advantages(rewards, context), rewards, objective)
        return self._rescaled(advantages, value if name == "beta" else None), _range(name, value)

    def check(self, objective: Objective, completions: int) -> None:
        """Try the objective on a group of N = `completions`, at both ends of the schedule, before a run spends an hour.

        Raises:
            UserError: naming the key that is wrong and the cure.
        """
        name = scheduled_field(objective)
        if name is None and self.changes_value:
            unset = next((field for field in SCHEDULED if hasattr(objective, field)), None)
            cure = f"set objective.{unset} to a number" if unset else "take an objective that has one"
            raise UserError(
                f"schedule: {type(objective).__name__} has no number `beta` or `k` that a schedule could drive; "
                f"{cure}, or use schedule=constant"
            )
        rewards = torch.zeros(2, completions)
        rewards[:, 0] = 1.0
        context = AdvantageContext(
            iteration=1, prompt_ids=["a try", "another"], sampler_logprobs=-torch.rand(2, completions)
        )
        with field_errors_name_their_key("objective"):
            checked_advantages(objective.advantages(rewards, context), rewards, objective)
        if self.rescale == "times_beta" and name != "beta":
            raise UserError(_NO_BETA)
        if name is None:
            return
        ends = self.extremes(name, getattr(objective, name))
        for end in ends if self.changes_value else ():
            value = torch.full((2, 1), float(end)) if self.per_prompt else end
            try:
                tried = replaced(objective, name, _of_field(name, value, rewards))
                checked_advantages(tried.advantages(rewards, context), rewards, objective)
            except FieldError as error:
                raise UserError(f"schedule: on its way {keyed(error, 'objective')}") from error
        if self.rescale == "times_beta" and min(ends) <= 0 <= max(ends):
            raise UserError(
                "schedule.rescale=times_beta multiplies the advantages by beta, which comes to 0: nothing would be "
                "trained there; use schedule.rescale=unit_rms"
            )

    def _rescaled(self, advantages: Float[Tensor, "P N"], beta: PromptFloat | None) -> Float[Tensor, "P N"]:
        if self.rescale == "times_beta" and beta is not None:
            return advantages * abs(beta)
        if self.rescale == "unit_rms":
            rms = advantages.square().mean().sqrt()
            return advantages / rms if rms > 0 else advantages
        return advantages


def scheduled_field(objective: Objective) -> str | None:
    """The field that a schedule drives: the first of `beta` and `k` that the objective has as a number or a column."""
    numbers = [name for name in SCHEDULED if isinstance(getattr(objective, name, None), int | float | Tensor)]
    return numbers[0] if numbers else None


def replaced(objective: Objective, name: str, value: PromptFloat | PromptInt) -> Objective:
    """The objective with another value in one field.

    Raises:
        UserError: when its class is no dataclass, which could not be copied with a change.
    """
    if not dataclasses.is_dataclass(objective):
        raise UserError(
            f"schedule: {type(objective).__name__} is no dataclass, so its {name} cannot be replaced; decorate it with "
            "@dataclass(frozen=True, kw_only=True), or use schedule=constant"
        )
    return dataclasses.replace(objective, **{name: value})


def _of_field(name: str, value: PromptFloat, rewards: Float[Tensor, "P N"]) -> Any:
    """A value as the field takes it: `k` is a whole number of at least 1, a tensor has the type of the rewards."""
    if name == "k":
        return value.round().clamp(min=1).long() if isinstance(value, Tensor) else max(1, round(value))
    return value.to(rewards) if isinstance(value, Tensor) else value


def _range(name: str | None, value: PromptFloat | PromptInt | None) -> dict[str, float]:
    if name is None or value is None:
        return {}
    if not isinstance(value, Tensor):
        return {name: float(value)}
    if not value.numel():
        return {}
    value = value.double()
    return {name: value.mean().item(), f"{name}_min": value.min().item(), f"{name}_max": value.max().item()}
