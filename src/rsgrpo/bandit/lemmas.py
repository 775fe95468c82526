"""The paper's lemmas on one exact update of a softmax bandit, checked on many random policies at once.

With the advantages A of the K arms, one step of policy gradient adds lr pi_a A_a to the logit of arm a (Eq. 13 and 14
of the paper), so that

    log pi'(best) - log pi(best) = lr pi A(best) - log sum_a pi_a exp(lr pi_a A_a),

summed over the best arms where there are several. A = r - E r is the standard step, A = (1/beta)(e^(beta r)/Z - 1) the
risk-sensitive one (Eq. 7).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

EXAMPLES = 40
"""Bandits whose curve of gain against beta is kept for the figure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bandits:
    """P random bandits of K arms: rewards in [0, 1], policies of very different peakedness."""

    rewards: Float[Tensor, "P K"]
    policies: Float[Tensor, "P K"]

    @property
    def best(self) -> Bool[Tensor, "P K"]:
        """The arms that pay most."""
        return self.rewards == self.rewards.amax(dim=1, keepdim=True)


def random_bandits(count: int, arms: int, *, seed: int, optimal_arms: int = 1) -> Bandits:
    """Uniform rewards, the largest given to `optimal_arms` arms; logits normal with a scale drawn from [0.1, 6]."""
    generator = torch.Generator().manual_seed(seed)
    rewards = torch.rand(count, arms, generator=generator, dtype=torch.float64).sort(dim=1, descending=True).values
    rewards[:, :optimal_arms] = rewards[:, :1]
    scale = 0.1 + 5.9 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    logits = scale * torch.randn(count, arms, generator=generator, dtype=torch.float64)
    return Bandits(rewards=rewards, policies=logits.softmax(dim=1))


def exact_advantages(
    policies: Float[Tensor, "P K"], rewards: Float[Tensor, "P K"], beta: Float[Tensor, "P B"]
) -> Float[Tensor, "P B K"]:
    """Eq. 7 for each of B values of beta: (1/beta) (e^(beta r) / E[e^(beta r)] - 1), r - E r at beta = 0.

    >>> policies, rewards = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.0, 1.0]])
    >>> exact_advantages(policies, rewards, torch.tensor([[0.0, 2.0]]))
    tensor([[[-0.5000,  0.5000],
             [-0.3808,  0.3808]]])
    """
    b, r, pi = beta[:, :, None], rewards[:, None, :], policies[:, None, :]
    tilted = (b * (r - rewards.amax(dim=1)[:, None, None])).expm1()
    mean = (pi * tilted).sum(dim=2, keepdim=True)
    risky = (tilted - mean) / torch.where(b == 0, 1.0, b * (1 + mean))
    return torch.where(b == 0, r - (pi * r).sum(dim=2, keepdim=True), risky)


def improvement(bandits: Bandits, beta: Float[Tensor, "P B"], learning_rate: float) -> Float[Tensor, "P B"]:
    """log pi'(best) - log pi(best) after one exact step, for each beta; 0 is the standard step."""
    pi = bandits.policies[:, None, :]
    step = learning_rate * pi * exact_advantages(bandits.policies, bandits.rewards, beta)
    best = bandits.best[:, None, :]
    moved = (pi.log() + step).masked_fill(~best, -math.inf).logsumexp(dim=2)
    before = pi.log().masked_fill(~best, -math.inf).logsumexp(dim=2)
    return moved - before - (pi.log() + step).logsumexp(dim=2)


def misleading(bandits: Bandits, *, share: float = 0.05) -> Bandits:
    """The policies of Lemma 2 and 6: nearly all mass on the second best arm, `share` on the worst.

    As in the paper's proof, sum_a pi_a^2 A_a > pi A(best): by convexity the logarithm above then exceeds the best arm's
    own step at any learning rate. A collapsed policy, such as training starts from, looks like this.
    """
    rewards = bandits.rewards
    second = rewards.masked_fill(bandits.best, -math.inf).argmax(dim=1, keepdim=True)
    worst = rewards.argmin(dim=1, keepdim=True)
    policies = torch.full_like(rewards, share**4 / rewards.shape[1])
    policies.scatter_(1, worst, share)
    policies.scatter_(1, second, 0.0)
    policies.scatter_(1, second, 1 - policies.sum(dim=1, keepdim=True))
    return Bandits(rewards=rewards, policies=policies)


def sufficient_beta(bandits: Bandits) -> Float[Tensor, " P"]:
    """A beta above which the step raises the mass of the best arms: Lemma 3, in closed form.

    With p their mass and gap the distance to the second best reward, every other arm has a negative advantage as soon
    as e^(beta r) < Z, which p e^(beta gap) > 1 guarantees: beta > log(1/p) / gap.
    """
    best = bandits.best
    mass = (bandits.policies * best).sum(dim=1)
    second = bandits.rewards.masked_fill(best, -math.inf).amax(dim=1)
    return -mass.log() / (bandits.rewards.amax(dim=1) - second)


def beta_grid(bandits: Bandits, points: int, *, times: float = 1e3) -> Float[Tensor, "P B"]:
    """Betas from a thousandth of the sufficient one to `times` it, evenly spaced in the logarithm."""
    factors = torch.logspace(-3, math.log10(times), points, dtype=torch.float64)
    return sufficient_beta(bandits)[:, None] * factors


def last_loss(gains: Float[Tensor, "P B"], beta: Float[Tensor, "P B"]) -> Float[Tensor, " P"]:
    """The threshold of Lemma 3 on a grid: the largest beta at which the best arms do not gain; 0 if they always do."""
    return (beta * (gains <= 0)).amax(dim=1)


def last_rise(gains: Float[Tensor, "P B"], beta: Float[Tensor, "P B"]) -> Float[Tensor, " P"]:
    """The threshold of Lemma 4 on a grid: the largest beta after which the gain still rises; 0 where it never does."""
    rises = gains[:, 1:] >= gains[:, :-1]
    return (beta[:, 1:] * rises).amax(dim=1)


def check_lemmas(bandits: Bandits, learning_rate: float, points: int) -> dict[str, Any]:
    """Lemmas 2, 3 and 4 (6 and 8 with several best arms) on these bandits, as counts and thresholds.

    Lemma 2 is checked on the policies of `misleading`, the others on the policies as they are. Thresholds are those of
    a grid of betas up to a thousand times the sufficient one; the closed form is verified on every grid point above it.
    """
    standard = torch.zeros(len(bandits.rewards), 1, dtype=torch.float64)
    sufficient, beta = sufficient_beta(bandits), beta_grid(bandits, points)
    gains = improvement(bandits, beta, learning_rate)
    above = beta > sufficient[:, None]
    rise = last_rise(gains, beta)
    return {
        "bandits": len(bandits.rewards),
        "optimal_arms": int(bandits.best[0].sum()),
        "learning_rate": learning_rate,
        "lowered_when_misled": int((improvement(misleading(bandits), standard, learning_rate) < 0).sum()),
        "lowered_at_random": int((improvement(bandits, standard, learning_rate) < 0).sum()),
        "raised_above_sufficient": int(((gains > 0) | ~above).all(dim=1).sum()),
        "shrinks_in_the_end": int((rise < beta[:, -1]).sum()),
        "sufficient": sufficient.tolist(),
        "threshold_of_gain": last_loss(gains, beta).tolist(),
        "threshold_of_decline": rise.tolist(),
        "relative_beta": (beta[0] / sufficient[0]).tolist(),
        "gains": gains[:EXAMPLES].tolist(),
    }
