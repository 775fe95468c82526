"""The exact moments against every ordered group, one by one, and claims against gradients that were worked out by hand.

The library goes through unordered groups; here all M^N ordered ones are drawn, in plain Python.
"""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

from rsgrpo.audit.curves import weight_curve
from rsgrpo.audit.enumeration import advantages_of, claimed_gradient, gradient_moments, outcomes_of
from rsgrpo.audit.report import audit
from rsgrpo.errors import UserError
from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.best_of_n import BestOfN
from rsgrpo.objectives.entropic import Entropic
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.maxrl import MaxRL
from rsgrpo.objectives.reinforce import Reinforce
from rsgrpo.objectives.rloo import RLOO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.unlikeliness import Unlikeliness
from rsgrpo.objectives.w_reinforce import WReinforce

POLICIES = {3: (0.6, 0.3, 0.1), 4: (0.45, 0.3, 0.2, 0.05)}
REWARDS = {3: (0.0, 0.4, 1.0), 4: (0.1, 0.8, 0.0, 1.0)}


class Surprise(Objective):
    """Pays for unlikely rewards: looks at log-probs, and has no claim."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return -rewards * context.sampler_logprobs


class Stranger:
    """A user's class that does not inherit."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return rewards + 1.0


def doubles(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No runtime type checks, as in a real run: a class that does not inherit would not pass them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def brute_force(objective: Objective, m: int, n: int) -> tuple[list[float], float, float]:
    """(mean, std, largest sum) over all m^n ordered groups, each handed to the objective on its own."""
    policy, rewards = POLICIES[m], REWARDS[m]
    drawn = []
    for group in itertools.product(range(m), repeat=n):
        context = AdvantageContext(
            iteration=1, prompt_ids=["only"], sampler_logprobs=doubles(tuple(math.log(policy[y]) for y in group))[None]
        )
        a = objective.advantages(doubles(tuple(rewards[y] for y in group))[None], context)[0].tolist()
        gradient = [sum(a_i * ((y == j) - policy[j]) for a_i, y in zip(a, group, strict=True)) / n for j in range(m)]
        drawn.append((math.prod(policy[y] for y in group), gradient, a))
    mean = [sum((chance * gradient[j] for chance, gradient, _ in drawn), 0.0) for j in range(m)]
    variance = sum(
        chance * sum((g - e) ** 2 for g, e in zip(gradient, mean, strict=True)) for chance, gradient, _ in drawn
    )
    largest = max(max(map(abs, a)) for *_, a in drawn)
    return mean, math.sqrt(variance), max(abs(sum(a)) for *_, a in drawn) / largest


@pytest.mark.parametrize(("m", "n"), [(3, 3), (3, 4), (4, 3), (4, 4)])
@pytest.mark.parametrize(
    "objective",
    [
        pytest.param(Reinforce(), id="reinforce"),
        pytest.param(GRPO(normalize_std=True), id="grpo std"),
        pytest.param(RSGRPO(beta=3.0), id="rs_grpo"),
        pytest.param(MaxPO(k=2), id="maxpo"),
        pytest.param(Unlikeliness(), id="unlikeliness, which ranks log-probs"),
        pytest.param(Surprise(), id="log-probs themselves"),
    ],
)
def test_moments_equal_those_over_all_ordered_groups(objective: Objective, m: int, n: int) -> None:
    mean, std, largest_sum = brute_force(objective, m, n)
    moments = gradient_moments(objective, doubles(POLICIES[m]), doubles(REWARDS[m]), n)
    assert moments.mean.tolist() == pytest.approx(mean, rel=1e-9, abs=1e-13)
    assert moments.std == pytest.approx(std, rel=1e-9)
    assert moments.largest_sum == pytest.approx(largest_sum, rel=1e-9, abs=1e-12)


def test_one_completion_of_two_outcomes_by_hand() -> None:
    """A group of one, A = r: g is (1 - p, -(1 - p)) or 0. Mean p (1-p) (1, -1), |g|^2 = 2 (1-p)^2 with chance p."""
    p = 0.25
    moments = gradient_moments(Reinforce(), doubles((p, 1 - p)), doubles((1, 0)), 1)
    assert moments.mean.tolist() == pytest.approx([p * (1 - p), -p * (1 - p)])
    variance = p * 2 * (1 - p) ** 2 - 2 * (p * (1 - p)) ** 2
    assert moments.std == pytest.approx(math.sqrt(variance))
    assert moments.largest_sum == 1  # the group's only advantage is its sum


def test_a_centred_objective_has_no_largest_sum() -> None:
    assert gradient_moments(RLOO(), doubles(POLICIES[4]), doubles(REWARDS[4]), 16).largest_sum < 1e-12


def test_the_largest_sum_is_relative_to_the_largest_advantage() -> None:
    """A = r: four rewards of 1 sum to 4 times the largest, whatever the unit of the reward."""
    for unit in (1.0, 1e-6, 1e6):
        moments = gradient_moments(Reinforce(), doubles(POLICIES[3]), unit * doubles(REWARDS[3]), 4)
        assert moments.largest_sum == pytest.approx(4)


def test_an_objective_that_teaches_nothing_has_zero_moments() -> None:
    moments = gradient_moments(RLOO(), doubles(POLICIES[3]), doubles((1, 1, 1)), 4)
    assert moments.mean.abs().max() < 1e-13
    assert moments.std < 1e-13


def test_an_objective_that_refuses_the_rewards_says_so() -> None:
    with pytest.raises(UserError, match="mahdavi"):
        gradient_moments(Mahdavi(k=2), doubles(POLICIES[3]), doubles(REWARDS[3]), 4)


def test_outcomes_of_each_group_are_listed_in_order() -> None:
    counts = torch.tensor([[0, 0, 3], [1, 0, 2], [1, 1, 1], [3, 0, 0]])
    assert outcomes_of(counts).tolist() == [[2, 2, 2], [0, 2, 2], [0, 1, 2], [0, 0, 0]]


def test_advantages_of_many_groups_are_those_of_each_alone() -> None:
    rewards = torch.tensor([[1, 0, 0], [0.5, 0.2, 1], [0, 0, 0]], dtype=torch.float64)
    logprobs = torch.tensor([[-1, -2, -3], [-3, -2, -1], [-2, -1, -3]], dtype=torch.float64)
    together = advantages_of(Unlikeliness(), rewards, logprobs)
    alone = torch.cat([advantages_of(Unlikeliness(), r[None], x[None]) for r, x in zip(rewards, logprobs, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-13, atol=0)


# Claims


P4, R4 = POLICIES[4], REWARDS[4]
MEAN = sum(p * r for p, r in zip(P4, R4, strict=True))


def tilted(beta: float) -> list[float]:
    """grad J_beta by the logits is (q - pi) / beta, where q is pi tilted by exp(beta r): Theorem 1 of the paper."""
    z = sum(p * math.exp(beta * r) for p, r in zip(P4, R4, strict=True))
    return [(p * math.exp(beta * r) / z - p) / beta for p, r in zip(P4, R4, strict=True)]


def best_of_two() -> list[float]:
    """d/dpi_j of sum_(a, b) pi_a pi_b max(r_a, r_b) is d_j = 2 sum_b pi_b max(r_j, r_b); by logits pi_j (d_j - E d)."""
    d = [2 * sum(p * max(r_j, r) for p, r in zip(P4, R4, strict=True)) for r_j in R4]
    mean = sum(p * x for p, x in zip(P4, d, strict=True))
    return [p * (x - mean) for p, x in zip(P4, d, strict=True)]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        pytest.param(Reinforce(), [p * (r - MEAN) for p, r in zip(P4, R4, strict=True)], id="mean reward"),
        pytest.param(RSGRPO(beta=3.0), tilted(3.0), id="rs_grpo"),
        pytest.param(RSGRPO(beta=-2.0), tilted(-2.0), id="rs_grpo, risk-averse"),
        pytest.param(RSGRPO(beta=0.0), [p * (r - MEAN) for p, r in zip(P4, R4, strict=True)], id="rs_grpo at 0"),
        pytest.param(Entropic(beta=3.0), [3 * x for x in tilted(3.0)], id="entropic, without 1/beta"),
        pytest.param(MaxPO(k=2), best_of_two(), id="best of two"),
    ],
)
def test_a_claimed_gradient_is_the_one_derived_by_hand(objective: Objective, expected: list[float]) -> None:
    gradient = claimed_gradient(objective, doubles(P4), doubles(R4), 16)
    assert gradient is not None
    assert gradient.tolist() == pytest.approx(expected, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize(("n", "p"), [(4, 0.2), (16, 0.05), (16, 0.7)])
def test_claims_on_rewards_of_0_and_1_by_hand(n: int, p: float) -> None:
    """By the logit of the only correct outcome, grad p = p (1 - p)."""
    weights = {
        MaxRL(): (1 - (1 - p) ** (n - 1)) / p,
        BestOfN(): n * (1 - p) ** (n - 1),
        MaxPO(k=3): 3 * (1 - p) ** 2,
        WReinforce(positive=0.3, negative=0.5): 0.8,
    }
    for objective, weight in weights.items():
        gradient = claimed_gradient(objective, doubles((1 - p, p)), doubles((0, 1)), n)
        assert gradient is not None
        assert gradient.tolist() == pytest.approx([-weight * p * (1 - p), weight * p * (1 - p)], rel=1e-10)


def test_the_claim_of_vimco_is_the_utility_of_whole_groups() -> None:
    """E over ordered groups of (1/beta) log mean exp(beta r), differentiated by central differences."""
    beta, n, step = 2.5, 3, 1e-6

    def value(logits: list[float]) -> float:
        weights = [math.exp(x) for x in logits]
        policy = [w / sum(weights) for w in weights]
        return sum(
            math.prod(policy[y] for y in group) * math.log(sum(math.exp(beta * R4[y]) for y in group) / n) / beta
            for group in itertools.product(range(4), repeat=n)
        )

    logits = [math.log(p) for p in P4]
    shifted = [[x + (i == j) * step for i, x in enumerate(logits)] for j in range(4)]
    back = [[x - (i == j) * step for i, x in enumerate(logits)] for j in range(4)]
    expected = [(value(a) - value(b)) / (2 * step) for a, b in zip(shifted, back, strict=True)]
    gradient = claimed_gradient(RSGRPO(beta=beta, estimator="vimco"), doubles(P4), doubles(R4), n)
    assert gradient is not None
    assert gradient.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("beta", [-3.0, 0.5, 2.0, 8.0])
def test_theorem_1_the_gradient_of_j_is_the_expectation_of_the_risk_sensitive_advantage(beta: float) -> None:
    """Eq. 6-7: grad J_beta = E[(1/beta)(exp(beta r)/Z - 1) grad log pi(y)], every expectation written as a sum."""
    policy, rewards = doubles((0.5, 0.3, 0.15, 0.05)), doubles((0.0, 0.3, 0.7, 1.0))
    z = (policy * (beta * rewards).exp()).sum()
    logits = policy.log().requires_grad_()
    expected = torch.zeros(4, dtype=torch.float64)
    for y in range(4):
        (score,) = torch.autograd.grad(logits.log_softmax(0)[y], logits)
        expected += policy[y] * ((beta * rewards[y]).exp() / z - 1) / beta * score
    gradient = claimed_gradient(RSGRPO(beta=beta), policy, rewards, 16)
    assert gradient is not None
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-15)


def test_without_a_claim_there_is_no_gradient() -> None:
    assert claimed_gradient(Surprise(), doubles(P4), doubles(R4), 16) is None


@pytest.mark.usefixtures("unchecked")
def test_a_class_that_does_not_inherit_has_moments_and_no_claim() -> None:
    stranger: Any = Stranger()
    mean, std, largest_sum = brute_force(stranger, 3, 3)
    moments = gradient_moments(stranger, doubles(POLICIES[3]), doubles(REWARDS[3]), 3)
    assert moments.mean.tolist() == pytest.approx(mean)
    assert (moments.std, moments.largest_sum) == pytest.approx((std, largest_sum))
    assert claimed_gradient(stranger, doubles(POLICIES[3]), doubles(REWARDS[3]), 3) is None


# Classes of a user's own, which the enumeration could misjudge


class Whitened(Objective):
    """Divides by the standard deviation of the whole batch."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return (rewards - rewards.mean(dim=1, keepdim=True)) / (rewards.std() + 1e-4)


class Remembers(Objective):
    """Its baseline moves from call to call."""

    def __init__(self) -> None:
        self.baseline = 0.0

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        self.baseline += 0.1
        return rewards - self.baseline


class Noisy(Objective):
    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return rewards + 0.1 * torch.randn_like(rewards)


class FromTheFirst(Objective):
    """The first completion is the baseline."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return rewards - rewards[:, :1]


class Single(Objective):
    """Works in float32, as much code does."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        single = rewards.float()
        return (single - single.mean(dim=1, keepdim=True)) * rewards.shape[1] / (rewards.shape[1] - 1)

    def claim(self, policy: Tensor, rewards: Tensor, completions: int) -> Tensor:
        return policy @ rewards


class Whole(Objective):
    """Returns whole numbers: 1 above the mean, -1 below."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return (rewards - rewards.mean(dim=1, keepdim=True)).sign().long()


@pytest.mark.parametrize("objective", [Whitened(), Remembers(), Noisy()], ids=lambda o: type(o).__name__)
def test_advantages_that_do_not_belong_to_the_group_alone_are_refused(objective: Objective) -> None:
    with pytest.raises(
        UserError, match=rf"{type(objective).__name__}\.advantages gives a group other .*\(dim=1, keepd"
    ):
        gradient_moments(objective, doubles(POLICIES[4]), doubles(REWARDS[4]), 6)
    with pytest.raises(UserError, match="gives a group other"):
        weight_curve(objective, doubles((0.05, 0.5)), 6)


def test_advantages_that_depend_on_the_order_are_refused() -> None:
    for n in (2, 3, 6):
        with pytest.raises(UserError, match=r"FromTheFirst\.advantages depends on the order"):
            gradient_moments(FromTheFirst(), doubles(POLICIES[3]), doubles(REWARDS[3]), n)


def test_advantages_in_float32_are_taken_with_their_own_precision() -> None:
    entry = audit(Single(), 6)
    assert entry["unbiased"] == {"binary": True, "continuous": True}
    assert entry["centred"]
    assert entry["at"]["0.5"]["weight"] == pytest.approx(1, rel=1e-6)
    # A biased one is not forgiven: the mean baseline is off by 1/6.
    assert not audit(GRPO(), 6)["unbiased"]["binary"]


def test_whole_numbers_are_floats() -> None:
    # Of two completions at p = 1/2 one is right with chance 1/2: (1/2)(1/p + 1/(1-p))/2 = 1.
    assert audit(Whole(), 2)["at"]["0.5"]["weight"] == pytest.approx(1.0)


class Claims(Objective):
    """A class of a user's own, whose claim is what it was made with."""

    def __init__(self, claimed: Any, dtype: torch.dtype = torch.float64) -> None:
        self.claimed, self.dtype = claimed, dtype

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return rewards.sub_(rewards.mean(dim=1, keepdim=True)).mul_(2).to(self.dtype)

    def claim(self, policy: Tensor, rewards: Tensor, completions: int) -> Any:
        return self.claimed(policy * rewards)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "claimed", [lambda r: 1.0, lambda r: r, lambda r: r.sum().detach(), lambda r: r.sum() * math.nan, lambda r: "r"]
)
def test_a_claim_that_is_no_differentiable_number_is_refused(claimed: Any) -> None:
    with pytest.raises(
        UserError, match=r"^objective: Claims\.claim returned .*; return one finite number that is differentiable"
    ):
        audit(Claims(claimed), 4)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_advantages_in_half_precision_or_complex_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(UserError, match=rf"Claims\.advantages returned {dtype}; return the type of the rewards"):
        audit(Claims(Tensor.sum, dtype), 4)


@pytest.mark.usefixtures("unchecked")
def test_a_class_that_calculates_in_the_rewards_themselves_changes_nothing_else() -> None:
    own = audit(Claims(Tensor.sum), 4)["at"]
    assert own["0.25"]["weight"] == pytest.approx(2 * audit(GRPO(), 4)["at"]["0.25"]["weight"], rel=1e-12)
