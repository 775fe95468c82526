"""Which number a schedule drives, and what is in force once it has set it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, get_type_hints

from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import UserError, fields_belong_to
from rsgrpo.fields import is_whole_number
from rsgrpo.losses.base import Loss
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptFloat, PromptInt
from rsgrpo.objectives.checked import checked_advantages

Value = PromptFloat | PromptInt

SCHEDULED = ("beta", "k")
"""The fields of an objective that a schedule drives when it is not told which: the first one that the objective has."""


class Driven(NamedTuple):
    """A number of the objective or of the loss."""

    part: str
    """`objective` or `loss`."""
    name: str
    own: Any
    """Its configured value."""
    whole: bool
    """Whether it takes whole numbers only."""

    def rounded(self, value: PromptFloat) -> Value:
        """A value as the field takes it: a whole number where it has to be, and at least 1 for `k`."""
        if not self.whole:
            return value
        if isinstance(value, Tensor):
            return (value.round().clamp(min=1) if self.name == "k" else value.round()).long()
        return max(1, round(value)) if self.name == "k" else round(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The objective and the loss of one iteration, with the scheduled value in its place."""

    objective: Objective
    loss: Loss | None
    values: Mapping[str, float]
    """The scheduled value by the name of its field; with one for each prompt their mean, `_min` and `_max`."""
    scale: PromptFloat = 1.0
    """What the advantages are multiplied by."""

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        """The objective's advantages, checked and rescaled.

        Raises:
            UserError: naming what the objective refuses, or what is wrong with what it returned.
        """
        with fields_belong_to("objective"):
            advantages = checked_advantages(self.objective, rewards, context)
        unchanged = not isinstance(self.scale, Tensor) and self.scale == 1
        return advantages if unchanged else (advantages * self.scale).to(advantages.dtype)


def driven(objective: Objective, loss: Loss | None = None, field: str | None = None) -> Driven | None:
    """The number that a schedule drives: `field`, or else the first of `beta` and `k` that the objective has.

    Args:
        field: a name, looked for in the objective and then in the loss, or `objective.<name>` or `loss.<name>`.

    Returns:
        None where no field was named and the objective has neither.

    Raises:
        UserError: when neither has a number of that name.
    """
    if field is None:
        return next((found for name in SCHEDULED if (found := _number("objective", objective, name))), None)
    part, _, name = field.rpartition(".")
    parts = {"objective": objective, "loss": loss}
    for place, owner in parts.items():
        if part in ("", place) and owner is not None and (found := _number(place, owner, name)):
            return found
    names = [f"{place}.{n}" for place, owner in parts.items() for n in _numbers(place, owner)]
    cure = f"choose one of {', '.join(names)}" if names else "use schedule=Constant()"
    raise UserError(
        f"field={field}: neither the objective nor the loss has a number of that name; {cure}", field="schedule"
    )


def scheduled_field(objective: Objective) -> str | None:
    """The name of the objective's number that a schedule drives when it is not told which; None where it has none."""
    found = driven(objective)
    return None if found is None else found.name


def replaced(owner: Any, name: str, value: Value) -> Any:
    """The objective or the loss with another value in one field.

    Raises:
        UserError: when its class is not a dataclass, so that it cannot be copied with a change.
    """
    if not dataclasses.is_dataclass(owner) or isinstance(owner, type):
        raise UserError(
            f"schedule: {type(owner).__name__} is not a dataclass, so its {name} cannot be replaced; decorate it with "
            "@dataclass(frozen=True, kw_only=True), or use schedule=Constant()"
        )
    return dataclasses.replace(owner, **{name: value})


def logged(name: str, value: Value) -> dict[str, float]:
    """The value in force as a record has it; nothing where there is no prompt."""
    if not isinstance(value, Tensor):
        return {name: float(value)}
    if not value.numel():
        return {}
    value = value.double()
    return {name: value.mean().item(), f"{name}_min": value.min().item(), f"{name}_max": value.max().item()}


def _number(part: str, owner: Any, name: str) -> Driven | None:
    value = getattr(owner, name, None)
    if not isinstance(value, int | float | Tensor) or isinstance(value, bool):
        return None
    annotated = dataclasses.is_dataclass(owner) and name in (hints := get_type_hints(type(owner)))
    whole = name == "k" or (annotated and is_whole_number(hints[name]))
    return Driven(part, name, value, whole)


def _numbers(part: str, owner: Any) -> list[str]:
    """The names of all numbers of the objective or the loss."""
    names = [spec.name for spec in dataclasses.fields(owner)] if dataclasses.is_dataclass(owner) else []
    return [name for name in names if _number(part, owner, name)]
