"""RS-GRPO: the risk-sensitive objective of the paper, with its own estimator and two less biased ones."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from rsgrpo.errors import FieldError, UserError
from rsgrpo.fields import check_fields
from rsgrpo.objectives.base import AdvantageContext, Objective, PromptFloat, check_completions
from rsgrpo.objectives.claims import NEGLIGIBLE_BETA, exponential_utility, utility_of_groups
from rsgrpo.objectives.grpo import mean_baseline

LARGEST_TILT = 24 * math.log(2)
"""Beyond exp of this, 2^24, float32 has no digit left for the others: a step would follow that completion alone."""


def risk_sensitive(rewards: Float[Tensor, "P N"], beta: PromptFloat) -> Float[Tensor, "P N"]:
    """A_i = (1/beta) (e_i / mean_j e_j - 1), e_i = exp(beta r_i); the mean baseline at beta = 0.

    See "Risk-Sensitive RL for Alleviating Exploration Dilemmas in Large Language Models", Eq. 8: the plug-in estimate
    of the gradient of J_beta = (1/beta) log E[exp(beta r)], which lies between the mean (beta -> 0) and the maximum
    (beta -> inf) of the reward; beta < 0 is risk-averse. Biased at finite N, like a smaller |beta|.

    Computed as e = expm1(beta r - max(beta r)), A = (e - mean e) / (beta (1 + mean e)): never overflows, and keeps its
    digits as beta -> 0, where exp(..) - 1 loses them all, and with rewards that are far from 0 and close together. A
    number below |beta| = 1e-20 is the mean baseline to the last bit; in a column of betas it counts as 1e-20, so that
    all rows share one formula.

    >>> risk_sensitive(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), beta=2.0)
    tensor([[ 0.9225, -0.3075, -0.3075, -0.3075]])
    """
    if not isinstance(beta, Tensor) and abs(beta) < NEGLIGIBLE_BETA:
        return mean_baseline(rewards)
    if isinstance(beta, Tensor):
        beta = torch.where(beta.abs() < NEGLIGIBLE_BETA, NEGLIGIBLE_BETA, beta)
    e = below_best(rewards, beta).expm1()
    mean = e.mean(dim=1, keepdim=True)
    return (e - mean) / (beta * (1 + mean))


def below_best(rewards: Float[Tensor, "P N"], beta: PromptFloat) -> Float[Tensor, "P N"]:
    """beta r_i - max_j beta r_j, subtracted before it is multiplied: what all rewards have in common costs no digits.

    >>> below_best(torch.tensor([[0.0, 1.0]]), 2.0)
    tensor([[-2.,  0.]])
    """
    tilted = beta * (rewards - rewards[:, :1])
    return tilted - tilted.amax(dim=1, keepdim=True)


def log_others_over_all(rewards: Float[Tensor, "P N"], beta: PromptFloat) -> Float[Tensor, "P N"]:
    """L_i = log( mean_(j != i) e_j / mean_j e_j ), e_j = exp(beta r_j), in float64.

    With the plug-in advantage a_i this is log1p(-beta a_i / (N - 1)). When i holds most of the sum that would be the
    logarithm of a rounding error, so the others are summed without it.
    """
    n = rewards.shape[1]
    tilted = below_best(rewards.double(), beta)
    e = tilted.expm1()
    mean = e.mean(dim=1, keepdim=True)
    left_out = (mean - e) / ((n - 1) * (1 + mean))  # mean of the others / mean of all - 1
    largest = torch.zeros_like(tilted, dtype=torch.bool).scatter(1, tilted.argmax(dim=1, keepdim=True), True)
    others = tilted.masked_fill(largest, -torch.inf).logsumexp(dim=1, keepdim=True)
    without_largest = others - tilted.logsumexp(dim=1, keepdim=True) - math.log1p(-1 / n)
    return torch.where(left_out > -0.5, left_out.clamp(min=-0.5).log1p(), without_largest)


def leave_one_out(rewards: Float[Tensor, "P N"], beta: PromptFloat) -> Float[Tensor, "P N"]:
    """A_i = (1/beta) (e_i / mean_(j != i) e_j - 1), e_i = exp(beta r_i); RLOO at beta = 0. In float64.

    See "Learning to Discover at Test Time" (2026), which uses it without the 1/beta. Exactly the direction of
    grad J_beta, with a scale that is too large: on average by about the variance of e over (N - 1) times its squared
    mean, and a single success in a group gets (e^beta - 1)/beta. Not centred.

    With the plug-in advantage a_i: A_i = N/(N-1) a_i exp(-L_i), L_i of `log_others_over_all`.

    >>> leave_one_out(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), beta=2.0)[0]
    tensor([ 3.1945, -0.3402, -0.3402, -0.3402], dtype=torch.float64)
    """
    n = rewards.shape[1]
    return n / (n - 1) * risk_sensitive(rewards.double(), beta) * (-log_others_over_all(rewards, beta)).exp()


def largest_tilt(rewards: Float[Tensor, "P N"], beta: PromptFloat) -> float:
    """The largest log(e_i / mean_(j != i) e_j) of all groups, e_i = exp(beta r_i): it bounds what leave-one-out gives.

    >>> largest_tilt(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), beta=2.0)
    2.0
    """
    ordered = below_best(rewards.double(), beta).sort(dim=1).values
    others = ordered[:, :-1].logsumexp(dim=1) - math.log(rewards.shape[1] - 1)
    return -others.min().item() if len(others) else 0.0


def check_tilt(rewards: Float[Tensor, "P N"], beta: PromptFloat, *, name: str, otherwise: str) -> None:
    """Refuse a beta under which one completion outweighs all others beyond the digits of float32.

    Raises:
        FieldError: naming beta and one that these rewards allow.
    """
    tilt = largest_tilt(rewards, beta)
    if tilt > LARGEST_TILT:
        largest = _largest(beta)
        raise FieldError(
            "beta",
            f"{largest:g}",
            f"is too large for {name}, which gives a single best completion exp({tilt:.3g}) times what others get",
            f"try beta={0.9 * LARGEST_TILT * largest / tilt:.3g}, or {otherwise}",
        )


def _largest(beta: PromptFloat) -> float:
    """The beta of the largest size, of one for all prompts or one for each."""
    return max(beta.flatten().tolist(), key=abs) if isinstance(beta, Tensor) else beta


def vimco(rewards: Float[Tensor, "P N"], beta: PromptFloat) -> Float[Tensor, "P N"]:
    """A_i = (N/beta) (log mean_j e_j - log mean_(j != i) e_j), e_j = exp(beta r_j); RLOO at beta = 0. In float64.

    The leave-one-out control variate of "Variational Inference for Monte Carlo Objectives" (Mnih and Rezende, 2016),
    here with the others' mean as it is. Exactly unbiased for J_N = E[(1/beta) log((1/N) sum_j e_j)], which lies below
    J_beta for beta > 0 and tightens with N. Not centred.

    >>> vimco(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), beta=2.0)[0]
    tensor([ 1.9089, -0.3729, -0.3729, -0.3729], dtype=torch.float64)
    """
    n = rewards.shape[1]
    log_ratio = log_others_over_all(rewards, beta)
    b = torch.as_tensor(beta, dtype=torch.float64)
    negligible = b.abs() < NEGLIGIBLE_BETA
    rloo = n / (n - 1) * mean_baseline(rewards.double())
    return torch.where(negligible, rloo, -n * log_ratio / torch.where(negligible, 1.0, b))


LARGEST_SPREAD = 600.0
"""exp of its negative is still a number of float64."""


def check_jackknife(rewards: Float[Tensor, "P N"], beta: PromptFloat) -> None:
    """Refuse groups of two, and a beta under which what is left without the two best completions is 0 in float64.

    Raises:
        UserError: for groups of two.
        FieldError: naming beta and one that these rewards allow.
    """
    if rewards.shape[1] < 3:
        raise UserError(
            "estimator=jackknife leaves out two completions of a group, and completions_per_prompt=2 has no third; use "
            "at least 3, or estimator=vimco",
            estimator="objective",
            completions_per_prompt="batching",
        )
    spread = -below_best(rewards.double(), beta).min().item() if rewards.numel() else 0.0
    if spread > LARGEST_SPREAD:
        largest = _largest(beta)
        raise FieldError(
            "beta",
            f"{largest:g}",
            f"is too large for estimator=jackknife, which compares rewards as far apart as exp({spread:.3g})",
            f"try beta={0.9 * LARGEST_SPREAD * largest / spread:.3g}, or estimator=vimco",
            estimator="objective",
        )


def jackknife(rewards: Float[Tensor, "P N"], beta: PromptFloat) -> Float[Tensor, "P N"]:
    """A_i = N (T - T_(-i)), T = (1/beta) (N log mean_j e_j - (N-1)/N sum_j log mean_(k != j) e_k); in float64.

    T is the jackknife of (1/beta) log mean_j e_j (Quenouille, "Notes on Bias in Estimation", 1956), T_(-i) that of the
    others, for which the means leave out two. Exactly unbiased for N J_N - (N-1) J_(N-1), J_N of `vimco`: the part of
    J_N's distance to J_beta that shrinks like 1/N is gone. Not centred; RLOO at beta = 0.

    >>> jackknife(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), beta=2.0)[0]
    tensor([ 2.5015, -0.5207, -0.5207, -0.5207], dtype=torch.float64)
    """
    n = rewards.shape[1]
    one, two = log_others_over_all(rewards, beta), _log_without_two_over_all(rewards, beta)
    whole = -(n - 1) / n * one.sum(dim=1, keepdim=True)
    others = (n - 1) * one - (n - 2) / (n - 1) * two.sum(dim=2)
    b = torch.as_tensor(beta, dtype=torch.float64)
    negligible = b.abs() < NEGLIGIBLE_BETA
    rloo = n / (n - 1) * mean_baseline(rewards.double())
    return torch.where(negligible, rloo, n * (whole - others) / torch.where(negligible, 1.0, b))


def _log_without_two_over_all(rewards: Float[Tensor, "P N"], beta: PromptFloat) -> Float[Tensor, "P N N"]:
    """log( mean_(k != i, j) e_k / mean_k e_k ), and 0 for i = j: `log_others_over_all` with two left out.

    Where the two hold most of the sum, the others are added up without the two largest, which come last, if they stay.
    """
    n = rewards.shape[1]
    tilted = below_best(rewards.double(), beta)
    e = tilted.expm1()
    mean = e.mean(dim=1, keepdim=True)
    left_out = (2 * mean[:, :, None] - e[:, :, None] - e[:, None, :]) / ((n - 2) * (1 + mean[:, :, None]))
    full = tilted.exp()
    largest, where = full.topk(2, dim=1)
    is_top = torch.zeros_like(full, dtype=torch.bool).scatter(1, where, True)
    other = torch.zeros_like(full).scatter(1, where, largest.flip(1))  # for each of the two, the other one
    first, second = is_top[:, :, None], is_top[:, None, :]
    kept = torch.where(first, other[:, :, None], other[:, None, :]).masked_fill(first & second, 0.0)
    kept = torch.where(first | second, kept, largest.sum(dim=1)[:, None, None])
    rest = full.masked_fill(is_top, 0.0)
    sums = rest.sum(dim=1)[:, None, None] - rest[:, :, None] - rest[:, None, :] + kept
    of_sums = sums.log() - tilted.logsumexp(dim=1)[:, None, None] - math.log1p(-2 / n)
    found = torch.where(left_out > -0.5, left_out.clamp(min=-0.5).log1p(), of_sums)
    return found.masked_fill(torch.eye(n, dtype=torch.bool, device=e.device), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RSGRPO(Objective):
    """Maximises (1/beta) log E[exp(beta r)].

    Raises:
        FieldError: when beta is not a finite number, or so large that `estimator=loo` gives one completion everything.
    """

    beta: PromptFloat = 2.0
    """Risk sensitivity: any real number. The paper's setting is 2; larger explores more, and shrinks the advantages
    like 1/beta, so betas are not comparable at one learning rate under plain SGD."""
    estimator: Literal["plugin", "loo", "vimco", "jackknife"] = "plugin"
    """`plugin` is the paper's Eq. 8; `loo` has the exact direction; `vimco` is exactly unbiased for a lower bound,
    `jackknife` for one that is nearer in N and noisier."""

    def __post_init__(self) -> None:
        check_fields(self)

    def advantages(self, rewards: Float[Tensor, "P N"], context: AdvantageContext) -> Float[Tensor, "P N"]:
        if self.estimator == "plugin":
            return risk_sensitive(rewards, self.beta)
        check_completions(rewards, name=f"rs_grpo (estimator={self.estimator})")
        if self.estimator == "vimco":
            return vimco(rewards, self.beta).to(rewards.dtype)
        if self.estimator == "jackknife":
            check_jackknife(rewards, self.beta)
            return jackknife(rewards, self.beta).to(rewards.dtype)
        check_tilt(rewards, self.beta, name="estimator=loo", otherwise="estimator=vimco")
        return leave_one_out(rewards, self.beta).to(rewards.dtype)

    def claim(self, policy: Float[Tensor, " M"], rewards: Float[Tensor, " M"], completions: int) -> Float[Tensor, ""]:
        if self.estimator == "vimco":
            return utility_of_groups(policy, rewards, float(self.beta), completions)
        if self.estimator == "jackknife":
            n, fewer = (utility_of_groups(policy, rewards, float(self.beta), n) for n in (completions, completions - 1))
            return completions * n - (completions - 1) * fewer
        return exponential_utility(policy, rewards, float(self.beta))
