"""One value for the whole run: the paper's runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, PromptFloat
from rsgrpo.schedules.base import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant(Schedule):
    """`objective.beta` (or `objective.k`), always; objectives without either are as they are."""

    changes_value: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_fields(self)

    def value(self, name: str, final: PromptFloat, context: AdvantageContext) -> PromptFloat:
        return final

    def extremes(self, name: str, final: float) -> Sequence[float]:
        return [final]
