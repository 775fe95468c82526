"""RLOO: the mean reward of the other completions is the baseline."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, Objective, check_completions
from rsgrpo.objectives.claims import expected_reward
from rsgrpo.objectives.grpo import mean_baseline


def leave_one_out(rewards: Float[Tensor, "P N"]) -> Float[Tensor, "P N"]:
    """A_i = r_i - mean_(j != i) r_j = N/(N-1) (r_i - mean_j r_j).

    See "Back to Basics: Revisiting REINFORCE-Style Optimization for Learning from Human Feedback in LLMs" (Ahmadian et
    al., 2024), Eq. 6. Exactly unbiased for the gradient of E[r], and centred.

    >>> import torch
    >>> leave_one_out(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    tensor([[ 1.0000, -0.3333, -0.3333, -0.3333]])
    """
    n = rewards.shape[1]
    return mean_baseline(rewards) * (n / (n - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class RLOO(Objective):
    """Maximises E[r] with the leave-one-out baseline: GRPO's mean baseline without its factor (N-1)/N."""

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="rloo")
        return leave_one_out(rewards)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_reward(policy, rewards)
