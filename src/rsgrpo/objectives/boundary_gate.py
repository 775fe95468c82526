"""Bayesian boundary gating: the weight of pass@k, averaged over what a group lets one believe of the accuracy."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptInt, check_completions, check_rewards
from rsgrpo.objectives.claims import expected_max
from rsgrpo.objectives.grpo import mean_baseline


def expected_weight(correct: Float[Tensor, "P 1"], completions: int, k: PromptInt) -> Float[Tensor, "P 1"]:
    """u(c; N, k) = E[k (1 - p)^(k-1)] for p ~ Beta(c + 1, N - c + 1) = k prod_(j=1..k-1) (N - c + j) / (N + 1 + j).

    The posterior is that of a prior under which every accuracy is equally likely.

    >>> expected_weight(torch.tensor([[0.0], [2.0]]), 2, 2)  # means of p: 1/4 and 3/4
    tensor([[1.5000],
            [0.5000]])
    """
    wrong = completions - correct
    k = torch.as_tensor(k).to(correct)

    def rising(x: Tensor | float) -> Tensor:
        """log of x (x + 1) ... (x + k - 2)."""
        x = torch.as_tensor(x).to(correct)
        return (x + k - 1).lgamma() - x.lgamma()

    return k * (rising(wrong + 1) - rising(completions + 2.0)).exp()


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryGate(Objective):
    """A_i = u (r_i - c / N), u = u(c; N, k), and 0 for the whole group where u < threshold (N + 1).

    See "Understanding Diversity Collapse in RLVR via the Lens of Overtraining" (arXiv 2606.15455), Eq. 8 for u and
    Eq. 9 for the threshold. It gates problems that are solved often enough; that u multiplies the mean baseline, and
    that groups without a correct completion get nothing, is this project's reading. `mahdavi` with the posterior's mean
    in place of the group's accuracy: biased for pass@k, with a weight that is never 0 by chance.

    Raises:
        FieldError: for a k below 1, or a threshold outside [0, 1] or so high that no group has an advantage.
        UserError: for rewards other than 0 and 1, or groups of one.
    """

    k: PromptInt = 16
    threshold: float = 0.01

    def __post_init__(self) -> None:
        check_fields(self, k=(1, math.inf), threshold=(0.0, 1.0))

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="boundary_gate")
        check_rewards(rewards, "binary", name="boundary_gate", instead="MaxPO()")
        n = rewards.shape[1]
        one_right = torch.ones(len(rewards), 1, dtype=torch.float64)
        highest = expected_weight(one_right, n, self.k).max().item() if len(rewards) else math.inf
        if highest < self.threshold * (n + 1):
            raise FieldError(
                "threshold",
                self.threshold,
                f"closes the gate on every group of N = {n} with a success: their weights end at {highest:.3g}",
                f"try threshold={0.1 * highest / (n + 1):.2g}",
            )
        utility = expected_weight(rewards.sum(dim=1, keepdim=True).double(), n, self.k)
        gated = torch.where(utility >= self.threshold * (n + 1), utility, 0.0)
        return gated.to(rewards.dtype) * mean_baseline(rewards)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        return expected_max(policy, rewards, int(self.k))
