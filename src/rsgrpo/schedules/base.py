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

from rsgrpo.errors import FieldError, UserError, failures_name_their_place, field_errors_name_their_key, keyed
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptFloat, PromptInt, checked_advantages
from rsgrpo.schedules.rescale import each_expected_square, expected_square

SCHEDULED = ("beta", "k")
"""The fields of an objective that a schedule may drive, the first that it has."""

_NO_BETA = "schedule.rescale=times_beta needs an objective with a beta; use schedule.rescale=unit_rms or none"

Value = PromptFloat | PromptInt


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(ABC):
    """Base of all schedules. A subclass is final, and its constructor is its configuration."""

    rescale: Literal["none", "times_beta", "unit_rms"] = "none"
    """The advantages of RS-GRPO shrink like 1/beta: `times_beta` multiplies them by |beta|, `unit_rms` divides them by
    their expected root mean square, see `expected_square`: the same number for all prompts. `none` is the paper's."""

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

    def with_value(self, objective: Objective, name: str, value: Value) -> Objective:
        """What computes the advantages under a value that is not the objective's own."""
        return replaced(objective, name, value)

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
        name = scheduled_field(objective)
        value = self._value(objective, name, context, accuracies)
        with field_errors_name_their_key("objective"):
            in_force = self._with(objective, name, value)
            advantages = checked_advantages(in_force, rewards, context)
            return self._rescaled(advantages, objective, name, value), _range(name, value)

    def in_force(
        self, objective: Objective, context: AdvantageContext, accuracies: Float[Tensor, " P"]
    ) -> Mapping[str, float]:
        """What is in force, as `advantages` says it; with a value for each prompt nothing where there are none."""
        name = scheduled_field(objective)
        return _range(name, self._value(objective, name, context, accuracies))

    def tried(self, objective: Objective) -> Sequence[Objective]:
        """The objective at its own value and at both ends of the schedule: all between which a run moves.

        Raises:
            UserError: when the schedule cannot drive it.
        """
        name = scheduled_field(objective)
        if name is None or not self.changes_value:
            return [objective]
        own = getattr(objective, name)
        ends = [_of_field(name, end) for end in self._extremes(name, own)]
        return [objective, *(self.with_value(objective, name, end) for end in ends if end != own)]

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
        with field_errors_name_their_key("objective"):
            _try(objective, completions)
        if self.rescale == "times_beta" and name != "beta":
            raise UserError(_NO_BETA)
        ends = [] if name is None else self._extremes(name, getattr(objective, name))
        for end in ends if self.changes_value else ():
            assert name is not None
            value = torch.full((2, 1), float(end), dtype=torch.float64) if self.per_prompt else end
            try:
                _try(self._with(objective, name, _of_field(name, value)), completions)
            except FieldError as error:
                raise UserError(f"schedule: on its way {keyed(error, 'objective')}") from error
        if self.rescale == "unit_rms":
            with field_errors_name_their_key("objective"):
                for in_force in self.tried(objective):
                    expected_square(in_force, completions)
        if self.rescale == "times_beta" and min(ends) <= 0 <= max(ends):
            raise UserError(
                "schedule.rescale=times_beta multiplies the advantages by beta, which comes to 0: nothing would be "
                "trained there; use schedule.rescale=unit_rms"
            )

    def _value(
        self, objective: Objective, name: str | None, context: AdvantageContext, accuracies: Float[Tensor, " P"]
    ) -> Value | None:
        if name is None:
            return None
        with failures_name_their_place("schedule", self, "value"):
            value = self.value(name, getattr(objective, name), context, accuracies)
        return _of_field(name, value)

    def _extremes(self, name: str, final: float) -> Sequence[float]:
        with failures_name_their_place("schedule", self, "extremes"):
            return self.extremes(name, final)

    def _with(self, objective: Objective, name: str | None, value: Value | None) -> Objective:
        if name is None or value is None or value is getattr(objective, name):
            return objective
        with failures_name_their_place("schedule", self, "with_value"):
            return self.with_value(objective, name, value)

    def _rescaled(
        self, advantages: Float[Tensor, "P N"], objective: Objective, name: str | None, value: Value | None
    ) -> Float[Tensor, "P N"]:
        if self.rescale == "times_beta" and name == "beta" and value is not None:
            return (advantages * abs(value)).to(advantages.dtype)
        if self.rescale != "unit_rms":
            return advantages
        values = [value]
        if self.per_prompt and name is not None:
            # The mean of both ends, so that one number holds for all prompts and for the whole run.
            values = [_of_field(name, end) for end in self._extremes(name, getattr(objective, name))]
        squares = [
            each_expected_square(lambda v: self._with(objective, name, v), v, advantages.shape[1]) for v in values
        ]
        return (advantages / (sum(squares) / len(squares)) ** 0.5).to(advantages.dtype)


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


def _of_field(name: str, value: PromptFloat) -> Any:
    """A value as the field takes it: `k` is a whole number of at least 1."""
    if name == "k":
        return value.round().clamp(min=1).long() if isinstance(value, Tensor) else max(1, round(value))
    return value


def _try(objective: Objective, completions: int) -> None:
    """Hand the objective two groups with one success each."""
    rewards = torch.zeros(2, completions, dtype=torch.float64)
    rewards[:, 0] = 1.0
    logprobs = -torch.rand(2, completions, dtype=torch.float64)
    context = AdvantageContext(iteration=1, prompt_ids=["a try", "another"], sampler_logprobs=logprobs)
    checked_advantages(objective, rewards, context)


def _range(name: str | None, value: Value | None) -> dict[str, float]:
    if name is None or value is None:
        return {}
    if not isinstance(value, Tensor):
        return {name: float(value)}
    if not value.numel():
        return {}
    value = value.double()
    return {name: value.mean().item(), f"{name}_min": value.min().item(), f"{name}_max": value.max().item()}
