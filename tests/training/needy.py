"""An objective that asks for all that costs something, and writes down what it got."""

from dataclasses import dataclass, field
from typing import Any

import torch

from rsgrpo.objectives.base import AdvantageContext, Objective


@dataclass(frozen=True, kw_only=True)
class Needy(Objective):
    needs = ("answers", "entropies", "history")
    seen: list[AdvantageContext] = field(default_factory=list, compare=False)

    def advantages(self, rewards: torch.Tensor, context: AdvantageContext) -> Any:
        self.seen.append(context)
        return rewards - rewards.mean(dim=1, keepdim=True)
