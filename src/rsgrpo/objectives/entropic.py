"""The entropic objective of TTT-Discover: risk-seeking leave-one-out, with beta solved for each group."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import FieldError
from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptFloat, check_completions
from rsgrpo.objectives.claims import exponential_utility
from rsgrpo.objectives.rs_grpo import check_tilt, leave_one_out

REACHED = 0.95
"""Share of the largest KL that may be asked for: beta, and with it the advantage, grow without bound towards all of it.
At .95 a single best of N = 2, 4, 16, 128 gets about 180, 280, 820, 4800."""

MOST_STEPS = 100
"""Newton with bisection halves its interval at worst; float64 has no more digits than this settles."""


def beta_of_kl(
    rewards: Float[Tensor, "P M"], kl: float, *, beta_max: float, weights: Float[Tensor, "P M"] | None = None
) -> Float[Tensor, "P 1"]:
    """The beta > 0 at which KL(q || w) = kl, q_i proportional to w_i exp(beta r_i), or `beta_max` if none is smaller.

    `weights` are probabilities, uniform by default: a group of N completions, or M outcomes of known probability. KL
    grows with beta from 0 to -log w(best outcome), which for c correct of N is log(N/c): a larger `kl` is not reached.

    Found by Newton's method on log KL against log(beta x range of the rewards), kept inside an interval that bisection
    would use: all groups at once, O(N) a step, about eight steps.

    >>> beta_of_kl(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), math.log(2), beta_max=1e6)
    tensor([[2.5532]], dtype=torch.float64)
    """
    w = torch.full_like(rewards, 1 / rewards.shape[1]).double() if weights is None else weights.double()
    # An outcome that never happens must not be the one that all others are measured from.
    r = torch.where(w > 0, rewards, rewards.masked_fill(w == 0, -torch.inf).amax(dim=1, keepdim=True)).double()
    spread = r.amax(dim=1, keepdim=True) - r.amin(dim=1, keepdim=True)
    shape = (r - r.amax(dim=1, keepdim=True)) / torch.where(spread > 0, spread, 1.0)  # in [-1, 0]
    high = (beta_max * spread).clamp(min=torch.finfo(torch.float64).tiny).log()
    unreachable = _kl_and_slope(high, shape, w)[0] <= kl
    low = high.clamp(max=-20.0) - 1.0  # where KL is below any that makes sense
    x = torch.where(unreachable, high, high.clamp(max=1.0))
    for _ in range(MOST_STEPS):
        value, slope = _kl_and_slope(x, shape, w)
        low, high = torch.where(value < kl, x, low), torch.where(value < kl, high, x)
        newton = x - value * (value.clamp(min=1e-300) / kl).log() / slope
        inside = (newton >= low) & (newton <= high)  # once it has converged it stands on an end
        step = torch.where(inside, newton, (low + high) / 2) - x
        step = step.masked_fill(unreachable, 0.0)
        x = x + step
        if not step.numel() or step.abs().max() < 1e-12:
            break
    solved = x.exp() / torch.where(spread > 0, spread, 1.0)
    return torch.where(unreachable, torch.full_like(solved, beta_max), solved)


def _kl_and_slope(
    x: Float[Tensor, "P 1"], shape: Float[Tensor, "P M"], weights: Float[Tensor, "P M"]
) -> tuple[Float[Tensor, "P 1"], Float[Tensor, "P 1"]]:
    """KL(q || w) for q proportional to w exp(e^x shape), and its derivative by x."""
    scale = x.exp()
    tilted = (scale * shape).exp() * weights
    total = tilted.sum(dim=1, keepdim=True)
    q = tilted / total
    mean = (q * shape).sum(dim=1, keepdim=True)
    variance = (q * (shape - mean).square()).sum(dim=1, keepdim=True)
    return scale * mean - total.log(), scale.square() * variance


@dataclass(frozen=True, slots=True, kw_only=True)
class Entropic(Objective):
    """Maximises log E[exp(beta r)]: A_i = e_i / mean_(j != i) e_j - 1, e_i = exp(beta r_i); RS-GRPO has a 1/beta more.

    See "Learning to Discover at Test Time" (TTT-Discover, arXiv 2601.16175) and its released code. `beta=null` solves
    KL(softmax(beta r) || uniform) = kl for each group, so that each group moves its policy about equally far; where the
    best rewards are half of the group or more this has no solution for kl = log 2 and beta is `beta_max`. A fixed beta
    has exactly the right direction, with too large a scale. Not centred.

    Raises:
        FieldError: for values outside their range, a beta of 0, a kl too near log N, which nothing reaches, or a beta
            that gives one completion everything.
    """

    beta: PromptFloat | None = None
    """null: solved for each group. A number: that beta for all; TTT-Discover's fixed setting is 2."""
    kl: float = 0.693147
    """In nats. log 2 in TTT-Discover."""
    beta_max: float = 1e6

    def __post_init__(self) -> None:
        check_fields(self, kl=(1e-12, math.inf), beta_max=(1e-12, math.inf))
        if isinstance(self.beta, int | float) and self.beta == 0:
            raise FieldError(
                "beta",
                self.beta,
                "makes log E[exp(beta r)] a constant",
                "use objective=RSGRPO(), where 0 is the mean reward",
            )

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        check_completions(rewards, name="entropic")
        n = rewards.shape[1]
        if self.beta is not None:
            check_tilt(rewards, self.beta, name="entropic", otherwise="null to solve it for each group")
        elif self.kl > REACHED * math.log(n):
            raise FieldError(
                "kl",
                self.kl,
                f"cannot be reached by groups of N = {n}, whose KL stays below log N = {math.log(n):.3f}",
                f"try kl={0.9 * math.log(n):.3f}",
            )
        beta = beta_of_kl(rewards, self.kl, beta_max=self.beta_max) if self.beta is None else self.beta
        return (beta * leave_one_out(rewards, beta)).to(rewards.dtype)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        if self.beta is not None:
            return float(self.beta) * exponential_utility(policy, rewards, float(self.beta))
        fixed = policy.detach()[None]
        beta = beta_of_kl(rewards[None], self.kl, beta_max=self.beta_max, weights=fixed).item()
        return beta * exponential_utility(policy, rewards, beta)
