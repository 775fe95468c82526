"""RS-GRPO's estimators: values, Theorem 1, limits, float32, and their bias, each against an oracle of its own."""

import decimal
import itertools
import math
from decimal import Decimal

import pytest
import torch
from mpmath import mp, mpf

from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.base import AdvantageContext
from rsgrpo.objectives.grpo import mean_baseline
from rsgrpo.objectives.rloo import RLOO
from rsgrpo.objectives.rs_grpo import RSGRPO, leave_one_out, risk_sensitive, vimco
from tests.objectives import enumeration
from tests.objectives.cases import advantages_of, binary_group
from tests.objectives.enumeration import (
    BINARY,
    CONTINUOUS,
    POLICY,
    REWARDS,
    cosine,
    gradient,
    moments,
    ordered_groups,
    scale,
    utility,
    utility_of_group,
    weight,
)


def exact(rewards: list[float], beta: float) -> list[float]:
    """The definition in 60 decimal digits; Decimal(float) is exact, and its exponents do not overflow."""
    with decimal.localcontext(decimal.Context(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)):
        e = [(Decimal(beta) * Decimal(r)).exp() for r in rewards]
        mean = sum(e, Decimal(0)) / len(e)
        return [float((x / mean - 1) / Decimal(beta)) for x in e]


def true_weight(beta: float, p: float) -> float:
    """d J_beta / d p for binary rewards: J = (1/beta) log(1 + p (e^beta - 1))."""
    return math.expm1(beta) / (beta * (1 + p * math.expm1(beta)))


def estimated_weight(n: int, beta: float, p: float) -> float:
    """w in E[g] = w grad p: the expectation over the binomial number c of correct completions.

    grad log pi is grad p / p for a correct one and -grad p / (1 - p) for a wrong one, so a group with c correct
    contributes (1/N) (c A+ / p - (N - c) A- / (1 - p)). Groups with c = 0 or N have no advantage.
    """
    total = 0.0
    for c in range(1, n):
        a = risk_sensitive(binary_group(c, n), beta)[0].tolist()
        chance = math.comb(n, c) * p**c * (1 - p) ** (n - c)
        total += chance * (c * a[0] / p - (n - c) * a[-1] / (1 - p)) / n
    return total


def expected_gradient(rewards, beta, n=4):
    """E[(1/N) sum_i A_i grad log pi(y_i)] over all M^N groups."""
    return enumeration.expected_gradient(lambda r: risk_sensitive(r, beta), rewards, n)


def gradient_of_objective(rewards, beta):
    """Autograd of J_beta = (1/beta) log E[exp(beta r)] by the logits."""
    return gradient(utility(beta), rewards, 4)


def test_one_success_of_four_by_hand():
    # beta = ln 3: e = (3, 1, 1, 1), mean 1.5, so A = (1/ln 3) (1, -1/3, -1/3, -1/3).
    beta = math.log(3)
    got = risk_sensitive(torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64), beta)[0].tolist()
    assert got == pytest.approx([1 / beta, -1 / (3 * beta), -1 / (3 * beta), -1 / (3 * beta)], abs=1e-13)


def test_continuous_rewards_and_negative_beta_by_hand():
    # beta = -ln 2: e = (1, 1/2, 1/4, 1/4), mean 1/2, so e/mean - 1 = (1, 0, -1/2, -1/2), divided by -ln 2.
    beta = -math.log(2)
    got = risk_sensitive(torch.tensor([[0.0, 1.0, 2.0, 2.0]], dtype=torch.float64), beta)[0].tolist()
    assert got == pytest.approx([1 / beta, 0, -0.5 / beta, -0.5 / beta], abs=1e-13)


@pytest.mark.parametrize("beta", [-2.0, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("correct", [1, 4, 15])
def test_binary_closed_form(beta, correct):
    # With D = p e^beta + 1 - p at p = c/N: A+ = (1-p)(e^beta - 1)/(beta D), A- = -p (e^beta - 1)/(beta D).
    p = correct / 16
    unit = (math.exp(beta) - 1) / (beta * (p * math.exp(beta) + 1 - p))
    a = risk_sensitive(binary_group(correct, 16), beta)[0]
    assert a[0].item() == pytest.approx((1 - p) * unit, rel=1e-12)
    assert a[-1].item() == pytest.approx(-p * unit, rel=1e-12)


def test_beta_of_the_objective_is_used():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    context = AdvantageContext(iteration=1, prompt_ids=["a"], sampler_logprobs=torch.zeros(1, 4))
    # A+ = (3/4)(e^beta - 1)/(beta (e^beta + 3)/4): 0.9225 at beta = 2, 0.6979 at 4, the mean baseline's 0.75 at 0.
    values = [RSGRPO(beta=b).advantages(rewards, context)[0, 0].item() for b in (2.0, 4.0, 0.0)]
    assert values == pytest.approx([0.922469, 0.697915, 0.75], abs=1e-6)
    assert RSGRPO() == RSGRPO(beta=2.0)


@pytest.mark.parametrize("beta", [math.nan, math.inf, -math.inf, True])
def test_a_beta_that_is_no_finite_number_is_refused(beta):
    with pytest.raises(FieldError, match="beta"):
        RSGRPO(beta=beta)


# --- what it estimates


@pytest.mark.parametrize("beta", [-3.0, -0.5, 0.1, 1.0, 2.0, 8.0])
def test_theorem_1_autograd_of_the_objective_is_the_tilted_policy_gradient(beta):
    # Eq. 6-7: grad J = E[A(y) grad log pi(y)], A = (1/beta)(exp(beta r)/E[exp(beta r)] - 1). A group in which every
    # action occurs exactly as often as the policy has it (10, 6, 3, 1 of 20) makes the group's mean the expectation,
    # so the estimator must give grad J itself.
    group = torch.arange(4).repeat_interleave(torch.tensor([10, 6, 3, 1]))
    scores = (torch.eye(4, dtype=torch.float64) - POLICY)[group]
    estimate = (risk_sensitive(CONTINUOUS[group][None], beta)[0][:, None] * scores).mean(dim=0)
    truth = gradient_of_objective(CONTINUOUS, beta)
    torch.testing.assert_close(estimate, truth, atol=1e-15, rtol=1e-12)


@pytest.mark.parametrize(
    ("beta", "size", "direction"),
    [(1.0, 0.711, 0.9973), (2.0, 0.658, 0.9843), (4.0, 0.536, 0.9054), (8.0, 0.348, 0.6711), (-2.0, 0.789, 0.9971)],
)
def test_groups_of_four_are_biased_in_direction_for_continuous_rewards(beta, size, direction):
    # Scale is the estimate's component along the truth, as a share of it. An unbiased estimator has 1 and 1.
    estimate, truth = expected_gradient(CONTINUOUS, beta), gradient_of_objective(CONTINUOUS, beta)
    assert scale(estimate, truth) == pytest.approx(size, abs=6e-4)
    assert cosine(estimate, truth) == pytest.approx(direction, abs=6e-5)


@pytest.mark.parametrize("beta", [1.0, 2.0, 8.0, -2.0])
def test_the_bias_is_that_of_dividing_by_a_mean_that_holds_the_sample_itself(beta):
    # E[g] = sum_y pi_y grad log pi_y (e_y / beta) E[N / (e_y + sum of the 3 others' e)], others drawn independently.
    e = (beta * CONTINUOUS).exp()
    others = torch.tensor(list(itertools.product(range(4), repeat=3)))
    chances, sums = POLICY[others].prod(dim=1), e[others].sum(dim=1)
    shares = torch.stack([(chances * 4 / (e_y + sums)).sum() for e_y in e])
    weights = POLICY * e / beta * shares
    expected = weights - POLICY * weights.sum()  # sum_y weight_y (onehot_y - pi)
    torch.testing.assert_close(expected_gradient(CONTINUOUS, beta), expected, atol=1e-15, rtol=1e-12)


@pytest.mark.parametrize("beta", [1.0, 4.0, -2.0])
def test_groups_of_four_have_the_right_direction_and_a_smaller_scale_for_binary_rewards(beta):
    estimate, truth = expected_gradient(BINARY, beta), gradient_of_objective(BINARY, beta)
    ratio = estimate / truth
    torch.testing.assert_close(ratio, ratio[0].expand(4), atol=0, rtol=1e-11)
    # 0.35 is the policy's chance of a reward.
    assert ratio[0].item() == pytest.approx(estimated_weight(4, beta, 0.35) / true_weight(beta, 0.35), rel=1e-11)
    assert ratio[0].item() < 0.95


@pytest.mark.parametrize("n", [4, 16])
@pytest.mark.parametrize("beta", [1.0, 8.0, -2.0])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_the_binary_weight_has_a_closed_form_over_the_other_completions(n, beta, p):
    # From the formula above with two actions: w = (N/beta) E_c'[e^b/((c'+1)e^b + N-1-c') - 1/(c' e^b + N-c')],
    # c' ~ Binomial(N-1, p).
    b = math.exp(beta)
    closed = 0.0
    for c in range(n):
        chance = math.comb(n - 1, c) * p**c * (1 - p) ** (n - 1 - c)
        closed += chance * n / beta * (b / ((c + 1) * b + n - 1 - c) - 1 / (c * b + n - c))
    assert estimated_weight(n, beta, p) == pytest.approx(closed, rel=1e-11)


@pytest.mark.parametrize(
    ("n", "beta", "ratios"),
    [
        (16, 1.0, [0.851, 0.865, 0.881, 0.916, 0.949, 0.973]),
        (16, 2.0, [0.691, 0.761, 0.824, 0.921, 0.970, 0.989]),
        (16, 4.0, [0.312, 0.593, 0.789, 0.966, 0.994, 0.998]),
        (16, 8.0, [0.144, 0.538, 0.794, 0.986, 1.000, 1.000]),
        (64, 4.0, [0.684, 0.915, 0.973, 0.995, 0.999, 1.000]),
        (16, -2.0, [0.991, 0.990, 0.989, 0.985, 0.970, 0.824]),
    ],
)
def test_the_share_of_the_true_binary_weight_that_survives_the_bias(n, beta, ratios):
    got = [estimated_weight(n, beta, p) / true_weight(beta, p) for p in (0.01, 0.05, 0.10, 0.25, 0.50, 0.90)]
    assert got == pytest.approx(ratios, abs=6e-4)


@pytest.mark.parametrize("beta", [1.0, 4.0, 8.0])
def test_on_prompts_that_are_almost_never_solved_the_group_size_caps_the_weight(beta):
    # p -> 0: at most one of N is correct, A+ = (N-1)(e^beta - 1)/(beta (e^beta + N - 1)) against (e^beta - 1)/beta.
    n, p = 16, 1e-7
    cap = (n - 1) / (math.exp(beta) + n - 1)
    assert estimated_weight(n, beta, p) / true_weight(beta, p) == pytest.approx(cap, rel=1e-3)


# --- limits and symmetries


def test_beta_zero_is_the_mean_baseline():
    rewards = torch.tensor([[0.0, 0.2, 0.5, 1.0]])
    assert risk_sensitive(rewards, 0.0).equal(mean_baseline(rewards))


@pytest.mark.parametrize("beta", [1e-4, -1e-4])
def test_small_beta_adds_the_first_order_term_to_the_mean_baseline(beta):
    # With m = mean r and q = mean r^2, to second order in beta,
    # e_i/mean(e) - 1 = beta (r - m) + beta^2 ((r^2 - q)/2 - m (r - m)).
    r = torch.tensor([[0.0, 0.2, 0.5, 1.0]], dtype=torch.float64)
    m, q = r.mean(), r.square().mean()
    slope = (r.square() - q) / 2 - m * (r - m)
    torch.testing.assert_close(risk_sensitive(r, beta), r - m + beta * slope, atol=1e-8, rtol=0)
    assert (beta * slope).abs().max().item() > 5e-6  # far above the tolerance: the term is really seen


@pytest.mark.parametrize(("rewards", "maxima"), [([0.0, 0.2, 0.5, 1.0], 1), ([1.0, 0.0, 1.0, 0.3], 2)])
def test_large_beta_singles_out_the_maxima(rewards, maxima):
    # beta A -> N / #maxima - 1 for the maxima, -1 for all others.
    got = 1e3 * risk_sensitive(torch.tensor([rewards], dtype=torch.float64), 1e3)[0]
    expected = [4 / maxima - 1 if r == 1 else -1.0 for r in rewards]
    assert got.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("correct", [1, 3, 8, 15])
def test_large_beta_is_maxrl_divided_by_beta_for_binary_rewards(correct):
    rewards = binary_group(correct, 16)
    maxrl = (rewards - rewards.mean()) / rewards.mean()
    torch.testing.assert_close(200 * risk_sensitive(rewards, 200.0), maxrl, atol=1e-12, rtol=0)


@pytest.mark.parametrize("beta", [1.0, 2.0, 3.0, 4.0, 8.0, -2.0])
def test_total_advantage_peaks_at_the_documented_accuracy(beta):
    # Sum |A| is proportional to c (N-c) / (c e^beta + N - c), whose maximum over c/N is 1 / (1 + e^(beta/2)).
    n = 1000
    groups = torch.cat([binary_group(c, n) for c in range(n + 1)])
    peak = risk_sensitive(groups, beta).abs().sum(dim=1).argmax().item()
    assert abs(peak - n / (1 + math.exp(beta / 2))) <= 1


@pytest.mark.parametrize("beta", [0.5, 2.0, 8.0])
@pytest.mark.parametrize("correct", [1, 5, 8, 15])
def test_risk_aversion_mirrors_risk_seeking_for_binary_rewards(beta, correct):
    # Exchanging right and wrong and the sign of beta flips the sign of every advantage.
    rewards = binary_group(correct, 16)
    mirrored = -risk_sensitive(1 - rewards, beta)
    torch.testing.assert_close(risk_sensitive(rewards, -beta), mirrored, atol=1e-15, rtol=1e-12)


@pytest.mark.parametrize("beta", [2.0, -2.0])
def test_a_constant_added_to_all_rewards_changes_nothing(beta):
    rewards = torch.tensor([[0.0, 0.25, 0.5, 1.0]], dtype=torch.float64)
    torch.testing.assert_close(risk_sensitive(rewards + 8, beta), risk_sensitive(rewards, beta), atol=1e-15, rtol=1e-12)


@pytest.mark.parametrize("beta", [-8.0, -1.0, 1e-3, 1.0, 8.0])
def test_advantages_of_a_group_sum_to_zero(beta):
    rewards = torch.tensor([[0.0, 0.2, 0.5, 1.0], [-3.0, 2.0, 0.1, 0.5]], dtype=torch.float64)
    assert risk_sensitive(rewards, beta).sum(dim=1).abs().max().item() < 1e-14


# --- float32


@pytest.mark.parametrize("rewards", [[0.0, 0.2, 0.5, 1.0], [1.0, 0.0, 0.0, 0.0], [-0.3, 0.9, 0.1, 0.4]])
@pytest.mark.parametrize("beta", [1e-8, -1e-8, 1e-4, 2.0, -2.0, 64.0, -64.0, 1e4])
def test_float32_keeps_its_digits(rewards, beta):
    single = torch.tensor([rewards])
    truth = exact(single[0].tolist(), beta)
    # Relative to the largest advantage, which shrinks like 1/|beta|.
    assert risk_sensitive(single, beta)[0].tolist() == pytest.approx(truth, abs=1e-6 * max(map(abs, truth)))


@pytest.mark.parametrize("beta", [1e6, -1e6])
def test_extreme_betas_do_not_overflow(beta):
    # A lies in [-1/beta, (N-1)/beta] for beta > 0, mirrored for beta < 0; the best (worst) of four has 3/beta.
    got = risk_sensitive(torch.tensor([[0.0, 0.2, 0.5, 1.0]]), beta)[0].tolist()
    expected = [-1e-6, -1e-6, -1e-6, 3e-6] if beta > 0 else [-3e-6, 1e-6, 1e-6, 1e-6]
    assert got == pytest.approx(expected, rel=1e-6)


# --- the other two estimators


def exact_others(rewards: list[float], beta: float) -> dict[str, list[float]]:
    """Both definitions in 60 decimal digits; the others are summed without i, so that nothing cancels."""
    with decimal.localcontext(decimal.Context(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)):
        b, n = Decimal(beta), len(rewards)
        e = [(b * Decimal(r)).exp() for r in rewards]
        mean = sum(e, Decimal(0)) / n
        others = [sum(e[:i] + e[i + 1 :], Decimal(0)) / (n - 1) for i in range(n)]
        return {
            "loo": [float((x / o - 1) / b) for x, o in zip(e, others, strict=True)],
            "vimco": [float(n / b * (mean / o).ln()) for o in others],
        }


RISKY = {
    "spread": [0.0, 0.2, 0.5, 1.0],
    "one success": [1.0, 0.0, 0.0, 0.0],
    "one failure": [1.0, 1.0, 0.0, 1.0, 1.0],
    "two nearly best": [1.0, 1.0 - 2**-20, 0.0, 0.1, 0.3],
    "negative": [-0.3, 0.9, 0.1, 0.4],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", RISKY)
@pytest.mark.parametrize(
    ("estimator", "beta"),
    [(e, b) for e in ("loo", "vimco") for b in (1e-8, -1e-8, 1e-4, 2.0, -2.0, 64.0, -64.0)]
    + [("vimco", 1e4), ("vimco", -1e4)],
)
def test_they_keep_their_digits(estimator, beta, name, dtype):
    single = torch.tensor([RISKY[name]], dtype=dtype)  # what is in float32 is exact in float64
    formula = leave_one_out if estimator == "loo" else vimco  # the objective takes no beta at which loo explodes
    truth = exact_others(single[0].tolist(), beta)[estimator]
    # Each advantage by itself: one success may have e^64 where a failure has 1/64. Near 0 nothing is finer than the
    # group's typical size.
    relative = 1e-7 if dtype == torch.float32 else 1e-11
    typical = sorted(map(abs, truth))[len(truth) // 2]
    got = formula(single, beta).to(dtype)[0].tolist()
    assert got == pytest.approx(truth, rel=relative, abs=relative * typical)


def test_they_are_by_hand():
    # beta = ln 3: e = (3, 1, 1, 1), mean 3/2; without the first it is 1, without another 5/3.
    beta, rewards = math.log(3), [1.0, 0.0, 0.0, 0.0]
    loo = [2 / beta] + [(3 / 5 - 1) / beta] * 3
    assert advantages_of(RSGRPO(beta=beta, estimator="loo"), rewards).tolist() == pytest.approx(loo, abs=1e-14)
    vimco = [4 * math.log(3 / 2) / beta] + [4 * math.log(9 / 10) / beta] * 3
    assert advantages_of(RSGRPO(beta=beta, estimator="vimco"), rewards).tolist() == pytest.approx(vimco, abs=1e-14)


@pytest.mark.parametrize("estimator", ["loo", "vimco"])
def test_at_beta_zero_they_are_rloo(estimator):
    rewards = torch.tensor([0.0, 0.2, 0.5, 1.0], dtype=torch.float64)
    expected = advantages_of(RLOO(), rewards)
    for beta in (0.0, 1e-30, 1e-13):
        got = advantages_of(RSGRPO(beta=beta, estimator=estimator), rewards)
        torch.testing.assert_close(got, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("estimator", ["loo", "vimco"])
@pytest.mark.parametrize("beta", [2.0, -2.0])
def test_a_constant_changes_nothing_but_they_are_not_centred(estimator, beta):
    rewards = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)
    a = advantages_of(RSGRPO(beta=beta, estimator=estimator), rewards)
    assert abs(a.sum().item()) > 0.1
    shifted = advantages_of(RSGRPO(beta=beta, estimator=estimator), rewards + 8)
    torch.testing.assert_close(shifted, a, atol=1e-13, rtol=0)


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize("beta", [1.0, 2.0, 4.0, -2.0])
def test_loo_has_exactly_the_right_direction_and_a_scale_of_its_own(kind, beta):
    # A_i holds e_i and, independently of it, the others' mean: E[g] = grad J times Z E[1 / mean of N - 1 e's] >= 1.
    e = (beta * REWARDS[kind]).exp()
    others = ordered_groups(4, 3)
    inflation = (POLICY @ e) * (POLICY[others].prod(dim=1) @ e[others].mean(dim=1).reciprocal())
    estimate = enumeration.expected_gradient(RSGRPO(beta=beta, estimator="loo"), REWARDS[kind], 4)
    expected = inflation * gradient(utility(beta), REWARDS[kind], 4)
    torch.testing.assert_close(estimate, expected, atol=1e-14, rtol=1e-10)
    assert inflation.item() > 1.01


def test_loo_explodes_where_success_is_rare_and_beta_large():
    assert weight(RSGRPO(beta=8.0, estimator="loo"), 16, 0.05) / true_weight(8.0, 0.05) == pytest.approx(69.8, abs=0.05)


@pytest.mark.parametrize("kind", REWARDS)
@pytest.mark.parametrize(("beta", "n"), [(2.0, 4), (8.0, 4), (-2.0, 4), (2.0, 2), (2.0, 3)])
def test_vimco_is_unbiased_for_the_utility_of_the_group(kind, beta, n):
    truth = gradient(utility_of_group(beta), REWARDS[kind], n)
    estimate = enumeration.expected_gradient(RSGRPO(beta=beta, estimator="vimco"), REWARDS[kind], n)
    torch.testing.assert_close(estimate, truth, atol=1e-14, rtol=1e-10)


@pytest.mark.parametrize("beta", [2.0, 4.0, -2.0])
def test_the_utility_of_the_group_bounds_the_objective_and_tightens_with_n(beta):
    # Below J for beta > 0 and above it for beta < 0: the logarithm is concave.
    objective = utility(beta)(POLICY, CONTINUOUS, 0).item()
    gaps = [
        (objective - utility_of_group(beta)(POLICY, CONTINUOUS, n).item()) * math.copysign(1, beta) for n in (1, 2, 4)
    ]
    assert gaps[0] > gaps[1] > gaps[2] > 0


@pytest.mark.parametrize(
    ("beta", "ratios"),
    [(2.0, [0.862, 0.927, 0.977, 1.03, 1.04]), (4.0, [0.615, 1.04, 1.22, 1.16, 1.07])],
)
def test_vimco_beside_the_true_weight_in_groups_of_16(beta, ratios):
    for p, ratio in zip((0.01, 0.05, 0.1, 0.25, 0.5), ratios, strict=True):
        got = weight(RSGRPO(beta=beta, estimator="vimco"), 16, p) / true_weight(beta, p)
        assert got == pytest.approx(ratio, abs=6e-4 if ratio < 1 else 6e-3)


@pytest.mark.parametrize(
    ("estimator", "p", "mean", "deviation"),
    [
        ("plugin", 0.05, 0.0876, 0.081),
        ("loo", 0.05, 0.1226, 0.111),
        ("vimco", 0.05, 0.1066, 0.098),
        ("plugin", 0.25, 0.2124, 0.0317),
        ("loo", 0.25, 0.2509, 0.0335),
        ("vimco", 0.25, 0.2380, 0.0334),
    ],
)
def test_mean_and_standard_deviation_of_the_gradient_in_groups_of_16(estimator, p, mean, deviation):
    got = moments(RSGRPO(beta=2.0, estimator=estimator), 16, p)
    assert got[0] == pytest.approx(mean, abs=5.1e-5)
    assert got[1] == pytest.approx(deviation, abs=5.1e-4 if p == 0.05 else 5.1e-5)


@pytest.mark.parametrize(("p", "truth"), [(0.05, 0.1150), (0.25, 0.2306)])
def test_the_gradient_that_they_estimate(p, truth):
    assert true_weight(2.0, p) * p * (1 - p) == pytest.approx(truth, abs=5.1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [1, -1])
def test_loo_refuses_a_beta_that_leaves_nothing_to_the_others(sign, dtype):
    # The one that beta prefers gets (e^|beta| - 1)/|beta|: e^16.6 = 2^24, where float32 has no digits for the others.
    rewards = sign * torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=dtype)
    context = AdvantageContext(iteration=1, prompt_ids=["a"], sampler_logprobs=torch.zeros_like(rewards))
    largest = RSGRPO(beta=sign * 16.0, estimator="loo").advantages(rewards, context)[0, 0].item()
    assert largest == pytest.approx(sign * (math.exp(16) - 1) / 16, rel=1e-6)
    says = r"beta=-?{0} is too large for estimator=loo, .* exp\({0}\) times .*; try beta=-?15, or estimator=vimco"
    for beta in (17, 80, 800):
        for given in (float(sign * beta), torch.tensor([[sign * float(beta)]], dtype=dtype)):
            with pytest.raises(FieldError, match=says.format(beta)):
                RSGRPO(beta=given, estimator="loo").advantages(rewards, context)
            assert RSGRPO(beta=given, estimator="vimco").advantages(rewards, context).isfinite().all()
    # What counts is beta times the range of the rewards, and several best ones share.
    assert RSGRPO(beta=sign * 80.0, estimator="loo").advantages(rewards / 8, context).abs().max() < 1e4
    shared = sign * torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=dtype)
    assert RSGRPO(beta=sign * 800.0, estimator="loo").advantages(shared, context).abs().max() < 1


@pytest.mark.parametrize("estimator", ["loo", "vimco"])
def test_they_need_others(estimator):
    with pytest.raises(UserError, match=rf"objective rs_grpo \(estimator={estimator}\) .*completions_per_prompt=1"):
        advantages_of(RSGRPO(estimator=estimator), [1.0])


def test_the_plug_in_gives_a_group_of_one_no_advantage():
    # The released code gives it (e^(beta r) - 1)/beta.
    assert advantages_of(RSGRPO(), [1.0]).tolist() == [0.0]


def test_an_unknown_estimator_is_refused(unchecked):
    with pytest.raises(FieldError, match="estimator=exact is unknown; choose one of plugin, loo, vimco, jackknife"):
        RSGRPO(estimator="exact")  # pyright: ignore[reportArgumentType]


# --- jackknife


@pytest.mark.parametrize("beta", [-2.0, 0.5, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("rewards", REWARDS)
def test_the_jackknife_is_exactly_unbiased_for_its_own_claim(beta, rewards):
    objective = RSGRPO(beta=beta, estimator="jackknife")

    def claim(policy, values, n):
        return n * utility_of_group(beta)(policy, values, n) - (n - 1) * utility_of_group(beta)(policy, values, n - 1)

    got = enumeration.expected_gradient(lambda r: advantages_of(objective, r), REWARDS[rewards], 4)
    torch.testing.assert_close(got, gradient(claim, REWARDS[rewards], 4), atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("rewards", REWARDS)
def test_the_jackknife_is_nearer_to_the_objective_than_vimco(rewards):
    truth = gradient(utility(2.0), REWARDS[rewards], 5)

    def off(estimator):
        objective = RSGRPO(beta=2.0, estimator=estimator)
        got = enumeration.expected_gradient(lambda r: advantages_of(objective, r), REWARDS[rewards], 5)
        return ((got - truth).norm() / truth.norm()).item()

    assert off("jackknife") < off("vimco") < off("plugin")


@pytest.mark.parametrize("beta", [3.0, -50.0, 1e-8, 590.0])
def test_the_jackknife_in_600_digits(beta):
    mp.dps = 600
    for rewards in ([0.3, 0.9, 1.0, 0.0, 0.2], [1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.999, 0.998, 0.0, 0.0]):
        e = [mp.exp(mpf(beta) * mpf(r)) for r in rewards]

        def statistic(of):
            m, total = len(of), mp.fsum(of)
            return m * mp.log(total / m) - mpf(m - 1) / m * mp.fsum(mp.log((total - x) / (m - 1)) for x in of)

        expected = [float(5 * (statistic(e) - statistic(e[:i] + e[i + 1 :])) / mpf(beta)) for i in range(5)]
        got = advantages_of(RSGRPO(beta=beta, estimator="jackknife"), rewards).tolist()
        assert got == pytest.approx(expected, rel=1e-7, abs=1e-12 * max(map(abs, expected)))


def test_the_jackknife_leaves_two_out_and_says_so():
    with pytest.raises(UserError, match=r"estimator=jackknife leaves out two .*completions_per_prompt=2 has no third"):
        advantages_of(RSGRPO(estimator="jackknife"), [1.0, 0.0])
    with pytest.raises(FieldError, match="beta=1000 is too large for estimator=jackknife") as error:
        advantages_of(RSGRPO(estimator="jackknife", beta=1000.0), [1.0, 0.0, 0.0])
    assert error.value.cure == "try beta=540, or estimator=vimco"
