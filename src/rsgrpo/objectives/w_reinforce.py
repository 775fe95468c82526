"""Weighted REINFORCE: correct completions pull, wrong ones push, each with its own weight; PSR and NSR are its ends."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, check_rewards
from rsgrpo.objectives.claims import expected_reward


@dataclass(frozen=True, slots=True, kw_only=True)
class WReinforce(Objective):
    """A_i = `positive` when correct, -`negative` when wrong.

    See "The Surprising Effectiveness of Negative Reinforcement in LLM Reasoning" (Zhu et al., 2025): W-REINFORCE is
    (0.1, 1), positive sample reinforcement (PSR) is (1, 0), negative sample reinforcement (NSR) is (0, 1). On policy
    all of them have the expected gradient (positive + negative) grad p: a constant baseline changes nothing but the
    variance, and what they do comes from clipping, several updates per rollout, and Adam. Groups of equal rewards teach
    too, so use it with `filter=none`.

    Raises:
        FieldError: for a negative weight.
        UserError: for rewards other than 0 and 1.
    """

    positive: float = 0.1
    negative: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, positive=(0.0, math.inf), negative=(0.0, math.inf))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_rewards(rewards, "binary", name="w_reinforce", instead="Reinforce()")
        return self.positive * rewards - self.negative * (1 - rewards)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return (self.positive + self.negative) * expected_reward(policy, rewards)
