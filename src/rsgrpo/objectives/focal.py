"""F-GRPO: GRPO's advantage, smaller on prompts that are already solved."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions, check_rewards
from rsgrpo.objectives.claims import expected_reward
from rsgrpo.objectives.grpo import std_normalized


@dataclass(frozen=True, slots=True, kw_only=True)
class Focal(Objective):
    """A_i = (1 - mean r)^gamma (r_i - mean r) / (std r + eps): E[r] with a focal weight on each prompt.

    See "F-GRPO" (arXiv 2602.06717). As N grows it weighs a prompt of accuracy p by (1-p)^gamma / sqrt(p (1-p)).

    Raises:
        FieldError: for a negative gamma or eps, or a ddof other than 0 or 1.
        UserError: for rewards outside [0, 1], where 1 - mean r would be no failure rate.
    """

    gamma: float = 1.0
    ddof: int = 1
    eps: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, gamma=(0.0, math.inf), ddof=(0, 1), eps=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="focal")
        check_rewards(rewards, "[0, 1]", name="focal", instead="GRPO()")
        weight = (1 - rewards).mean(dim=1, keepdim=True) ** self.gamma
        return weight * std_normalized(rewards, ddof=self.ddof, eps=self.eps)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)
