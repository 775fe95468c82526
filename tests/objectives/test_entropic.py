"""The entropic objective: the beta that a KL asks for, and the advantage at that beta."""

import decimal
import math
from decimal import Decimal

import pytest
import torch

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.base import AdvantageContext
from rsgrpo.objectives.entropic import Entropic, beta_of_kl
from rsgrpo.objectives.rs_grpo import RSGRPO
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import REWARDS, cosine, expected_gradient, gradient, scale, times, utility

LOG2 = math.log(2)

GROUPS = {
    "continuous": [0.0, 0.2, 0.5, 1.0],
    "one success": [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    "negative": [-3.0, 2.0, -1.0, 0.5, 0.0, -7.0],
    "almost equal": [0.5, 0.5 + 1e-9, 0.5, 0.5, 0.5],
    "two nearly best": [1.0, 1.0 - 1e-7, 0.0, 0.0, 0.0],
    "large": [1e8, -1e8, 0.0, 3e7, 2.0],
}


def kl_of(rewards, beta, weights=None):
    """KL(q || w), q proportional to w exp(beta r), in 60 digits."""
    with decimal.localcontext(decimal.Context(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)):
        w = [Decimal(x) for x in weights or [1.0] * len(rewards)]
        w = [x / sum(w) for x in w]
        tilted = [x * (Decimal(beta) * Decimal(r)).exp() for x, r in zip(w, rewards, strict=True)]
        q = [t / sum(tilted) for t in tilted]
        return float(sum((a * (a / b).ln() for a, b in zip(q, w, strict=True) if a > 0 and b > 0), Decimal(0)))


def solve(rewards, kl, beta_max=1e12, weights=None):
    row = torch.tensor([rewards], dtype=torch.float64)
    given = None if weights is None else torch.tensor([weights], dtype=torch.float64)
    return beta_of_kl(row, kl, beta_max=beta_max, weights=given).item()


@pytest.mark.parametrize("kl", [1e-6, 1e-3, 0.1, LOG2, 1.2])
@pytest.mark.parametrize("name", GROUPS)
def test_the_kl_is_reached(name, kl):
    rewards = GROUPS[name]
    assert kl < math.log(len(rewards))
    beta = solve(rewards, kl)
    assert beta > 0
    assert kl_of(rewards, beta) == pytest.approx(kl, rel=1e-9)


def test_small_kls_take_the_beta_of_the_variance():
    # KL = beta^2 Var / 2 for small beta: (0, 1) has the variance 1/4, so beta = sqrt(8 kl).
    assert solve([0.0, 1.0], 1e-10) == pytest.approx(math.sqrt(8e-10), rel=1e-5)


@pytest.mark.parametrize(
    ("weights", "kl"),
    [([0.5, 0.3, 0.15, 0.05], LOG2), ([0.97, 0.01, 0.01, 0.01], 2.0), ([0.01, 0.01, 0.01, 0.97], 0.02)],
)
def test_outcomes_may_have_probabilities_of_their_own(weights, kl):
    rewards = [0.0, 0.3, 0.7, 1.0]
    beta = solve(rewards, kl, weights=weights)
    assert kl_of(rewards, beta, weights) == pytest.approx(kl, rel=1e-9)


def test_equal_weights_are_the_default_and_repeated_outcomes_are_one_heavier():
    group = solve([1.0, 0.0, 0.0, 0.0], LOG2)
    assert solve([1.0, 0.0, 0.0, 0.0], LOG2, weights=[0.25] * 4) == pytest.approx(group, rel=1e-12)
    assert solve([1.0, 0.0], LOG2, weights=[0.25, 0.75]) == pytest.approx(group, rel=1e-12)


@pytest.mark.parametrize(("correct", "n"), [(8, 16), (9, 16), (16, 16), (0, 16), (2, 4)], ids=lambda value: str(value))
def test_a_kl_out_of_reach_gives_the_largest_beta(correct, n):
    # At most log(N/c): log 2 for half of the group, in the limit only.
    rewards = binary_group(correct, n)
    assert beta_of_kl(rewards, LOG2, beta_max=1e6).item() == 1e6
    assert beta_of_kl(rewards, LOG2, beta_max=32.0).item() == 32.0


def test_a_largest_beta_that_is_too_small_is_taken_too():
    assert solve([1.0, 0.0, 0.0, 0.0], LOG2, beta_max=2.5) == 2.5  # 2.553 would be needed
    assert solve([1.0, 0.0, 0.0, 0.0], LOG2, beta_max=2.6) == pytest.approx(2.5532449, abs=1e-7)


@pytest.mark.parametrize("factor", [1e-6, 0.5, 3.0, 1e5])
@pytest.mark.parametrize("name", ["continuous", "one success", "negative"])
def test_rewards_times_c_have_beta_over_c_and_a_constant_changes_nothing(name, factor):
    rewards = GROUPS[name]
    beta = solve(rewards, 0.6)
    assert solve([factor * r for r in rewards], 0.6) == pytest.approx(beta / factor, rel=1e-9)
    assert solve([r + 16 for r in rewards], 0.6) == pytest.approx(beta, rel=1e-9)


@pytest.mark.parametrize("correct", [1, 2, 3, 4, 5, 6, 7])
def test_documented_betas_of_groups_of_16(correct):
    documented = [2.660, 2.465, 2.458, 2.553, 2.752, 3.106, 3.810]
    got = beta_of_kl(binary_group(correct, 16), LOG2, beta_max=1e6).item()
    assert got == pytest.approx(documented[correct - 1], abs=5.1e-4)


def test_groups_are_solved_independently():
    # Reachable and not, easy and hard, in one batch.
    rows = [
        [1.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 0.0, 0.0],
        [0.3, 0.3, 0.3, 0.3],
        [0.0, 1e-9, 2e-9, 9.0],
        [0.0, -1.0, 5.0, 5.1],
    ]
    together = beta_of_kl(torch.tensor(rows, dtype=torch.float64), LOG2, beta_max=1e6)[:, 0].tolist()
    assert together == pytest.approx([solve(row, LOG2, beta_max=1e6) for row in rows], rel=1e-9)
    assert together[1:3] == [1e6, 1e6]


@pytest.mark.parametrize(("weights", "largest"), [([1.0, 0.0], 1e6), ([1.0, 0.0], 8.0), ([0.0, 1.0], 1e6)])
def test_an_outcome_that_never_happens_leaves_nothing_to_solve(weights, largest):
    assert solve([0.0, 1.0], 0.5, beta_max=largest, weights=weights) == largest


def test_no_groups_have_no_beta():
    assert beta_of_kl(torch.zeros(0, 4), LOG2, beta_max=1e6).shape == (0, 1)


# --- the objective


def test_by_hand():
    # beta = ln 3: e = (3, 1, 1); without the first the mean is 1, without another it is 2.
    assert advantages_of(Entropic(beta=math.log(3)), [1.0, 0.0, 0.0]).tolist() == pytest.approx(
        [2.0, -0.5, -0.5], abs=1e-14
    )


def test_a_solved_beta_by_hand():
    # The KL of q = (3, 1, 1)/5 from uniform is what beta = ln 3 gives: solving for it must give these advantages again.
    kl = 3 / 5 * math.log(9 / 5) + 2 / 5 * math.log(3 / 5)
    assert advantages_of(Entropic(kl=kl), [1.0, 0.0, 0.0]).tolist() == pytest.approx([2.0, -0.5, -0.5], abs=1e-9)


def test_a_solved_beta_makes_the_scale_of_the_rewards_irrelevant():
    rewards = torch.tensor([0.0, 0.2, 0.5, 1.0], dtype=torch.float64)
    a = advantages_of(Entropic(), rewards)
    torch.testing.assert_close(advantages_of(Entropic(), 100 * rewards - 7), a, atol=1e-9, rtol=0)


def test_where_no_beta_solves_it_the_best_share_everything():
    # At beta_max e of the wrong ones is nothing. 2 correct of 4: the others' mean is 1/3 for a correct one, else 2/3.
    assert advantages_of(Entropic(kl=LOG2), [1.0, 1.0, 0.0, 0.0]).tolist() == pytest.approx([2.0, 2.0, -1.0, -1.0])


@pytest.mark.parametrize("beta", [2.0, -2.0, 0.5])
def test_a_fixed_beta_is_the_leave_one_out_estimate_times_beta(beta):
    rewards = torch.tensor([[0.0, 0.2, 0.5, 1.0], [1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    expected = beta * advantages_of(RSGRPO(beta=beta, estimator="loo"), rewards)
    torch.testing.assert_close(advantages_of(Entropic(beta=beta), rewards), expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize("beta", [2.0, -1.0])
def test_a_fixed_beta_has_exactly_the_right_direction_and_too_large_a_scale(kind, beta):
    estimate = expected_gradient(Entropic(beta=beta), REWARDS[kind], 4)
    truth = gradient(times(beta, utility(beta)), REWARDS[kind], 4)
    assert cosine(estimate, truth) == pytest.approx(1, abs=1e-13)
    assert 1.01 < scale(estimate, truth) < 2


def test_a_beta_of_zero_is_refused():
    with pytest.raises(FieldError, match=r"beta=0.* makes log E\[exp\(beta r\)\] a constant; use objective=RSGRPO\(\)"):
        Entropic(beta=0.0)


def test_a_beta_of_zero_in_one_prompt_teaches_it_nothing():
    betas = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    a = advantages_of(Entropic(beta=betas), torch.tensor([[1.0, 0.0, 0.0]] * 2))
    assert a[0].tolist() == [0.0] * 3
    assert a[1].ne(0).all()


@pytest.mark.parametrize("n", [2, 3, 4, 16, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_largest_kl_that_is_taken_leaves_the_advantages_within_bounds(dtype, n):
    # 1.386294 < log 4 would give 1e8: what is taken stays well below, and near log N nothing is taken.
    rewards = binary_group(1, n).to(dtype)
    context = AdvantageContext(iteration=1, prompt_ids=["a"], sampler_logprobs=rewards)
    largest = Entropic(kl=0.95 * math.log(n) - 1e-9).advantages(rewards, context).abs().max().item()
    assert 100 < largest < 5000
    for short in (1e-2, 1e-6, 1e-9, 0.0):
        with pytest.raises(FieldError, match=rf"cannot be reached by groups of N = {n}\b"):
            Entropic(kl=math.log(n) - short).advantages(rewards, context)


@pytest.mark.parametrize(("kl", "n"), [(1.0, 2), (LOG2, 2), (0.693147, 2), (1.386294, 4), (1.5, 4)])
def test_a_kl_that_no_group_can_reach_is_refused_and_the_cure_works(kl, n):
    rewards = [1.0] + [0.0] * (n - 1)
    with pytest.raises(FieldError, match=rf"kl=.* cannot be reached by groups of N = {n}") as error:
        advantages_of(Entropic(kl=kl), rewards)
    assert error.value.name == "kl"
    cured = Entropic(kl=float(error.value.cure.removeprefix("try kl=")))
    assert advantages_of(cured, rewards).isfinite().all()
    # With a beta of its own no kl is solved.
    assert advantages_of(Entropic(kl=kl, beta=2.0), rewards).isfinite().all()


def test_an_overflow_is_refused_with_a_cure():
    # A single success gets e^beta - 1: e^800 is no float64, and beside e^17 float32 has no digits for the others.
    for beta in (800.0, 17.0):
        says = rf"beta={beta:g} is too large for entropic, .* exp\({beta:g}\) times.*; try beta=15, or null"
        with pytest.raises(FieldError, match=says):
            advantages_of(Entropic(beta=beta), [1.0, 0.0, 0.0])
    assert advantages_of(Entropic(beta=15.0), [1.0, 0.0, 0.0])[0].item() == pytest.approx(math.exp(15) - 1, rel=1e-9)


def test_a_group_of_one_is_refused():
    with pytest.raises(UserError, match=r"objective entropic .*completions_per_prompt=1"):
        advantages_of(Entropic(), [1.0])


@pytest.mark.parametrize("fields", [{"kl": 0.0}, {"kl": -0.1}, {"beta_max": 0.0}, {"beta": math.nan}])
def test_values_out_of_range_are_refused(fields):
    with pytest.raises(FieldError, match=next(iter(fields))):
        Entropic(**fields)
