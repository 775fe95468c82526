"""REINFORCE: the reward itself is the advantage."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.claims import expected_reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Reinforce(Objective):
    """Maximises E[r] with A_i = r_i and no baseline. Exactly unbiased, with the variance that baselines remove.

    See "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning" (Williams, 1992).
    """

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        return rewards.clone()

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)
