"""What every schedule is: the value of one number of the objective or of the loss, at an iteration and for a prompt.

`objective.beta` (or `objective.k`, or whatever `schedule.field` names) is one end of a schedule: the last value of
`linear` and `cosine`, the first of `switch`, that of the easiest prompts for `adaptive`. The schedule adds the other
end and the path between them. It gives a copy of the objective, or of the loss, with the value in force, so that no
formula knows of schedules.

A new schedule is one file here and one yaml in `conf/schedule/`, or a class in any module: `schedule=custom`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from rsgrpo.errors import FieldError, UserError, failures_name_their_place, fields_belong_to
from rsgrpo.losses.base import Loss
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptFloat, needs_of
from rsgrpo.objectives.checked import checked_advantages
from rsgrpo.schedules.driven import SCHEDULED, Driven, InForce, Value, driven, logged, replaced
from rsgrpo.schedules.rescale import each_expected_square, expected_square

ROUNDING = 1e-9
"""How far a value may lie outside of the extremes, relative to the larger one."""

_NO_BETA = "rescale=times_beta needs an objective with a beta; use rescale=unit_rms or none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule(ABC):
    """Base of all schedules. A subclass is final, and its constructor is its configuration."""

    field: str | None = None
    """The number that is driven, `tau` or `loss.clip_high` for example. null: `beta`, or else `k`, of the objective."""
    rescale: Literal["none", "times_beta", "unit_rms"] = "none"
    """The advantages of RS-GRPO shrink like 1/beta: `times_beta` multiplies them by |beta|, `unit_rms` divides them by
    their expected root mean square, see `expected_square`: the same number for all prompts. `none` is the paper's."""

    changes_value: ClassVar[bool] = True
    """Whether it needs a number that it can drive."""
    per_prompt: ClassVar[bool] = False
    """Whether prompts of one iteration get different values."""

    @abstractmethod
    def value(self, name: str, final: PromptFloat, context: AdvantageContext) -> PromptFloat:
        """The value in force, one for all prompts or, of shape [P, 1], one for each; whole numbers are rounded later.

        Args:
            name: the field, `beta` or `k` for example.
            final: its value in the configuration.
            context: the iteration, counted from 1, the prompts, and how they were solved just now.
        """

    @abstractmethod
    def extremes(self, name: str, final: float) -> Sequence[float]:
        """The values between which all values lie: what an objective is checked with before a run. A run holds the
        schedule to them."""

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

    def in_force(self, objective: Objective, context: AdvantageContext, loss: Loss | None = None) -> InForce:
        """The objective and the loss of this iteration.

        Raises:
            UserError: for a value that is neither a number nor one number for each prompt.
        """
        target = driven(objective, loss, self.field)
        if target is None:
            return InForce(objective=objective, loss=loss, values={}, scale=self._scale(objective, None, None, context))
        with failures_name_their_place("schedule", self, "value", like=Schedule.value):
            said = self.value(target.name, target.own, context)
        value = target.rounded(self._held(target, _checked(self, said, len(context.prompt_ids))))
        if target.part == "loss":
            changed = loss if value is target.own else replaced(loss, target.name, value)
            scale = self._scale(objective, None, None, context)
            return InForce(objective=objective, loss=changed, values=logged(target.name, value), scale=scale)
        with fields_belong_to("objective"):
            return InForce(
                objective=self._with(objective, target, value),
                loss=loss,
                values=logged(target.name, value),
                scale=self._scale(objective, target, value, context),
            )

    def tried(self, objective: Objective) -> Sequence[Objective]:
        """The objective at its own value and at both ends of the schedule, between which a run moves.

        Raises:
            UserError: when the schedule cannot drive it.
        """
        target = self._of_objective(objective)
        if target is None or not self.changes_value:
            return [objective]
        ends = [target.rounded(end) for end in self._extremes(target)]
        return [objective, *(self.with_value(objective, target.name, end) for end in ends if end != target.own)]

    def check(self, objective: Objective, completions: int, loss: Loss | None = None) -> None:
        """Try the objective on a group of N = `completions`, at both ends of the schedule, before a run spends an hour.

        Raises:
            UserError: naming the key that is wrong and the cure.
        """
        target = driven(objective, loss, self.field)
        if target is None and self.changes_value:
            unset = next((field for field in SCHEDULED if hasattr(objective, field)), None)
            another = "take an objective that has one, name another number with field=..."
            cure = f"give it a number, {unset}=..." if unset else another
            of_objective = {} if unset is None else {unset: "objective"}
            raise UserError(
                f"schedule: {type(objective).__name__} has no number `beta` or `k` that a schedule could drive; "
                f"{cure}, or use schedule=Constant()",
                field="schedule",
                **of_objective,
            )
        with fields_belong_to("objective"):
            _try(objective, completions)
        if target is not None and target.part == "loss":
            self._check_loss(loss, target)
            target = None
        if self.rescale == "times_beta" and (target is None or target.name != "beta"):
            raise UserError(_NO_BETA, rescale="schedule")
        ends = [] if target is None else self._extremes(target)
        for end in ends if self.changes_value else ():
            assert target is not None
            value = torch.full((2, 1), float(end), dtype=torch.float64) if self.per_prompt else end
            try:
                _try(self._with(objective, target, target.rounded(value)), completions)
            except FieldError as error:
                raise _at_an_end(error, "objective") from error
        if self.rescale == "unit_rms":
            with fields_belong_to("objective"):
                for in_force in self.tried(objective):
                    expected_square(in_force, completions)
        if self.rescale == "times_beta" and min(ends) <= 0 <= max(ends):
            raise UserError(
                "rescale=times_beta multiplies the advantages by beta, which reaches 0: nothing would be trained "
                "there; use rescale=unit_rms",
                rescale="schedule",
            )

    def _check_loss(self, loss: Loss | None, target: Driven) -> None:
        """Refuse a schedule that the loss cannot follow: it has one value for all prompts."""
        if self.per_prompt:
            raise UserError(
                f"field={target.name} is a number of the loss, which is the same for all prompts; use "
                "schedule=Linear(...), or a field of the objective",
                field="schedule",
            )
        for end in self._extremes(target):
            try:
                replaced(loss, target.name, target.rounded(end))
            except FieldError as error:
                raise _at_an_end(error, "loss") from error

    def _of_objective(self, objective: Objective) -> Driven | None:
        """The objective's number that is driven; None where it has none, or where the loss has it."""
        try:
            return driven(objective, None, self.field)
        except UserError:
            return None

    def _extremes(self, target: Driven) -> Sequence[float]:
        with failures_name_their_place("schedule", self, "extremes", like=Schedule.extremes):
            said: object = self.extremes(target.name, target.own)
        if not isinstance(said, Sequence) or not said or not all(_is_number(end) for end in said):
            raise UserError(
                f"schedule: {type(self).__name__}.extremes returned {said!r}; return a list of the numbers "
                "between which all values lie"
            )
        return said

    def _held(self, target: Driven, value: PromptFloat) -> PromptFloat:
        """The value in force, when it lies between the extremes that the schedule has named.

        Raises:
            UserError: naming the schedule, the value and its extremes.
        """
        if not self.changes_value or value is target.own:
            return value
        own = target.own.unique().tolist() if isinstance(target.own, Tensor) else [target.own]  # several in the bandit
        ends = [float(end) for one in own for end in self._extremes(target._replace(own=one))]
        low, high = min(ends), max(ends)
        room = ROUNDING * max(abs(low), abs(high))
        values = torch.as_tensor(value, dtype=torch.float64)
        within = (low - room <= values) & (values <= high + room)
        if not within.all():
            wrong = values[~within][0].item()
            raise UserError(
                f"schedule: {type(self).__name__}.value returned {wrong:g} for {target.name}, and its extremes are "
                f"{low:g} and {high:g}; return values between them, or name larger extremes"
            )
        return value

    def _with(self, objective: Objective, target: Driven, value: Value) -> Objective:
        if value is target.own:
            return objective
        with failures_name_their_place("schedule", self, "with_value", like=Schedule.with_value):
            return self.with_value(objective, target.name, value)

    def _scale(
        self, objective: Objective, target: Driven | None, value: Value | None, context: AdvantageContext
    ) -> PromptFloat:
        """What the advantages are multiplied by, see `rescale`."""
        if self.rescale == "times_beta" and target is not None and value is not None:
            return abs(value)
        if self.rescale != "unit_rms":
            return 1.0
        values = [value]
        if self.per_prompt and target is not None:
            # The mean of both ends, so that one number holds for all prompts and for the whole run.
            values = [target.rounded(end) for end in self._extremes(target)]

        def under(value: Value | None) -> Objective:
            return objective if target is None or value is None else self._with(objective, target, value)

        squares = [each_expected_square(under, v, context.completions) for v in values]
        return (sum(squares) / len(squares)) ** -0.5


def _at_an_end(error: FieldError, part: str) -> UserError:
    """The error of a part that refuses a value that the schedule reaches."""
    return UserError(f"at one end of the schedule, {error}", **{error.name: part} | error.fields)


def _checked(schedule: Schedule, value: object, prompts: int) -> PromptFloat:
    """The value of a schedule, checked to be one number or one for each prompt."""
    if isinstance(value, Tensor):
        right = list(value.shape) == [prompts, 1] and not value.is_complex()
    else:
        right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right:
        got = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise UserError(
            f"schedule: {type(schedule).__name__}.value returned {got}; return a number, or a tensor of shape "
            f"[{prompts}, 1] with one for each prompt"
        )
    return value  # pyright: ignore[reportReturnType]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Tensor) and not isinstance(value, bool)


def _try(objective: Objective, completions: int) -> None:
    """Hand the objective two groups with one success each."""
    rewards = torch.zeros(2, completions, dtype=torch.float64)
    rewards[:, 0] = 1.0
    logprobs = -torch.rand(2, completions, dtype=torch.float64)
    context = AdvantageContext.of_one_token(["a try", "another"], rewards, logprobs, needs=needs_of(objective))
    checked_advantages(objective, rewards, context)
