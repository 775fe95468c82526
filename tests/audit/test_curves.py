"""Weights against closed forms, and the numbers behind Fig. 2 and Fig. 8 of the paper against reference tables."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from rsgrpo.audit.curves import accuracy_curve, binary_groups, reward_curve, weight_curve
from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.best_of_n import BestOfN
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.focal import Focal
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.maxrl import MaxRL
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.reinforce import Reinforce
from rsgrpo.objectives.rloo import RLOO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.rspo import RSPO
from rsgrpo.objectives.w_reinforce import WReinforce

N = 16
GRID = (0.02, 0.05, 0.3, 0.5, 0.9)


class Surprise(Objective):
    """A = -log pi: looks at log-probs alone, and has no claim."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return -context.sampler_logprobs


def weights(objective: Objective, accuracies: tuple[float, ...] = GRID, n: int = N) -> list[float]:
    return weight_curve(objective, torch.tensor(accuracies, dtype=torch.float64), n).weight.tolist()


def claimed(objective: Objective, accuracies: tuple[float, ...] = GRID, n: int = N) -> list[float]:
    curve = weight_curve(objective, torch.tensor(accuracies, dtype=torch.float64), n)
    assert curve.claimed is not None
    return curve.claimed.tolist()


# Weights


def mean_over_others(f: Callable[[int], float], p: float, n: int) -> float:
    """E[f(c)], c the number of correct ones among the n - 1 others."""
    return sum(math.comb(n - 1, c) * p**c * (1 - p) ** (n - 1 - c) * f(c) for c in range(n))


def plugin_weight(beta: float, p: float, n: int = N) -> float:
    """E[A+ - A-] of RS-GRPO's Eq. 8 given c correct others: the -1 cancels, and the denominators do not agree."""
    e = math.exp(beta)
    return mean_over_others(lambda c: (e / ((c + 1) * e + n - c - 1) - 1 / (c * e + n - c)) * n / beta, p, n)


def mahdavi_weight(k: int, p: float, n: int = N) -> float:
    """A+ = k (1-a)^(k-1) (1-a) at a = (c+1)/n, A- = -k (1-a)^(k-1) a at a = c/n."""
    return mean_over_others(
        lambda c: k * ((1 - (c + 1) / n) ** k + (1 - c / n) ** (k - 1) * c / n),
        p,
        n,
    )


@pytest.mark.parametrize(
    ("objective", "weight"),
    [
        pytest.param(Reinforce(), lambda p: 1.0, id="reinforce"),
        pytest.param(RLOO(), lambda p: 1.0, id="rloo"),
        pytest.param(GRPO(), lambda p: 15 / 16, id="mean baseline"),
        pytest.param(MaxPO(k=4), lambda p: 4 * (1 - p) ** 3, id="maxpo"),
        pytest.param(PKPO(k=4), lambda p: 4 * (1 - p) ** 3, id="pkpo s_loo_minus_one"),
        pytest.param(PKPO(k=4, estimator="s"), lambda p: 4 * (1 - p) ** 3, id="pkpo s"),
        pytest.param(PKPO(k=7, estimator="s_loo"), lambda p: 7 * (1 - p) ** 6, id="pkpo s_loo"),
        pytest.param(PKPO(k=16), lambda p: 16 * (1 - p) ** 15, id="pkpo at k = N"),
        pytest.param(RSPO(k=2), lambda p: 2 * (1 - p), id="rspo"),
        pytest.param(Mahdavi(k=4, estimator="unbiased"), lambda p: 4 * (1 - p) ** 3, id="mahdavi unbiased"),
        pytest.param(Chen(k=4, normalize_std=False), lambda p: (1 - 4 / 16) * (1 - p) ** 3, id="chen without sigma"),
        pytest.param(MaxRL(), lambda p: (1 - (1 - p) ** 15) / p, id="maxrl"),
        pytest.param(BestOfN(), lambda p: 16 * (1 - p) ** 15, id="best_of_n"),
        pytest.param(WReinforce(positive=0.1, negative=1.0), lambda p: 1.1, id="w_reinforce"),
        pytest.param(WReinforce(positive=0.0, negative=1.0), lambda p: 1.0, id="nsr"),
        pytest.param(RSGRPO(beta=2.0), lambda p: plugin_weight(2.0, p), id="rs_grpo"),
        pytest.param(RSGRPO(beta=-2.0), lambda p: plugin_weight(-2.0, p), id="rs_grpo, risk-averse"),
        pytest.param(RSGRPO(beta=8.0), lambda p: plugin_weight(8.0, p), id="rs_grpo at 8"),
        pytest.param(Mahdavi(k=4), lambda p: mahdavi_weight(4, p), id="mahdavi"),
        pytest.param(Surprise(), lambda p: math.log(1 - p) - math.log(p), id="an objective of log-probs"),
    ],
)
def test_the_weight_is_its_closed_form(objective: Objective, weight: Callable[[float], float]) -> None:
    """At k = N and p = .9 the weight is 1.6e-14, below what is left of terms of order 1 that cancel."""
    assert weights(objective) == pytest.approx([weight(p) for p in GRID], rel=1e-9, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "limit"),
    [
        pytest.param(GRPO(normalize_std=True), lambda p: 1 / math.sqrt(p * (1 - p)), id="grpo std"),
        pytest.param(Focal(gamma=2.0), lambda p: (1 - p) ** 2 / math.sqrt(p * (1 - p)), id="focal"),
        pytest.param(
            Mahdavi(k=4, estimator="grpo"), lambda p: 4 * (1 - p) ** 3 / math.sqrt(p * (1 - p)), id="mahdavi grpo"
        ),
        pytest.param(Chen(k=4), lambda p: (1 - p) / math.sqrt(1 - (1 - p) ** 4), id="chen"),
        pytest.param(
            RSGRPO(beta=3.0), lambda p: (math.exp(3) - 1) / (3 * (1 + p * (math.exp(3) - 1))), id="rs_grpo plugin"
        ),
        pytest.param(
            RSGRPO(beta=3.0, estimator="loo"),
            lambda p: (math.exp(3) - 1) / (3 * (1 + p * (math.exp(3) - 1))),
            id="rs_grpo loo",
        ),
    ],
)
def test_the_weight_of_large_groups_is_the_population_weight(
    objective: Objective, limit: Callable[[float], float]
) -> None:
    """The difference falls like 1/N: a few percent at N = 600, twice as much at N = 300."""
    grid = (0.2, 0.5, 0.8)
    expected = [limit(p) for p in grid]
    at_300, at_600 = weights(objective, grid, 300), weights(objective, grid, 600)
    assert at_600 == pytest.approx(expected, rel=0.03)
    for far, near, true in zip(at_300, at_600, expected, strict=True):
        assert abs(near - true) == pytest.approx(abs(far - true) / 2, rel=0.1, abs=1e-4 * true)


@pytest.mark.parametrize(
    ("n", "beta", "ratios"),
    [
        (16, 1, (0.851, 0.865, 0.881, 0.916, 0.949, 0.973)),
        (16, 2, (0.691, 0.761, 0.824, 0.921, 0.970, 0.989)),
        (16, 4, (0.312, 0.593, 0.789, 0.966, 0.994, 0.998)),
        (16, 8, (0.144, 0.538, 0.794, 0.986, 1.00, 1.00)),
        (64, 4, (0.684, 0.915, 0.973, 0.995, 0.999, 1.00)),
        (16, -2, (0.991, 0.990, 0.989, 0.985, 0.970, 0.824)),
    ],
)
def test_the_share_of_the_true_weight_that_eq_8_keeps(n: int, beta: float, ratios: tuple[float, ...]) -> None:
    grid = (0.01, 0.05, 0.1, 0.25, 0.5, 0.9)
    objective = RSGRPO(beta=float(beta))
    got = [w / true for w, true in zip(weights(objective, grid, n), claimed(objective, grid, n), strict=True)]
    assert got == pytest.approx(ratios, abs=6e-4 if max(ratios) < 1 else 5e-3)


@pytest.mark.parametrize(
    ("objective", "weight"),
    [
        pytest.param(GRPO(normalize_std=True), lambda p: 1.0, id="grpo"),
        pytest.param(RSGRPO(beta=2.0), lambda p: (math.exp(2) - 1) / (2 * (1 + p * (math.exp(2) - 1))), id="rs_grpo"),
        pytest.param(Chen(k=4), lambda p: 4 * (1 - p) ** 3, id="chen"),
        pytest.param(BestOfN(), lambda p: 16 * (1 - p) ** 15, id="best_of_n"),
        pytest.param(MaxRL(), lambda p: (1 - (1 - p) ** 15) / p, id="maxrl"),
        pytest.param(WReinforce(), lambda p: 1.1, id="w_reinforce"),
    ],
)
def test_the_claimed_weight_is_the_derivative_of_the_claim(
    objective: Objective, weight: Callable[[float], float]
) -> None:
    """By hand: J is p, log(1 + p (e^beta - 1))/beta, 1 - (1-p)^k, a sum of these over k, (1 + lambda) p."""
    assert claimed(objective) == pytest.approx([weight(p) for p in GRID], rel=1e-9)


def test_an_objective_without_a_claim_claims_no_weight() -> None:
    assert weight_curve(Surprise(), torch.tensor([0.3, 0.6]), 4).claimed is None


# (p, truth, mean, std) of the gradient by the logit of the correct one of two actions: the weight times p (1 - p).
NOISE = [
    pytest.param(RSGRPO(beta=2.0), 0.05, 0.1150, 0.0876, 0.081, id="rs plugin .05"),
    pytest.param(RSGRPO(beta=2.0, estimator="loo"), 0.05, 0.1150, 0.1226, 0.111, id="rs loo .05"),
    pytest.param(RSGRPO(beta=2.0), 0.25, 0.2306, 0.2124, 0.0317, id="rs plugin .25"),
    pytest.param(RSGRPO(beta=2.0, estimator="loo"), 0.25, 0.2306, 0.2509, 0.0335, id="rs loo .25"),
    *(
        pytest.param(objective, p, truth, truth, std, id=f"{name} {p}")
        for name, objective, stds in (
            ("s", PKPO(estimator="s"), (0.181, 0.257, 0.418)),
            ("s_loo", PKPO(estimator="s_loo"), (0.150, 0.101, 0.098)),
            ("s_loo_minus_one", PKPO(), (0.155, 0.061, 0.045)),
            ("maxpo", MaxPO(), (0.151, 0.083, 0.069)),
        )
        for p, truth, std in zip((0.05, 0.25, 0.6), (0.1629, 0.3164, 0.0614), stds, strict=True)
    ),
]


@pytest.mark.parametrize(("objective", "p", "truth", "mean", "std"), NOISE)
def test_the_noise_of_one_groups_estimate(
    objective: Objective, p: float, truth: float, mean: float, std: float
) -> None:
    curve = weight_curve(objective, torch.tensor([p], dtype=torch.float64), N)
    assert curve.claimed is not None
    slope = p * (1 - p)
    assert curve.claimed.item() * slope == pytest.approx(truth, abs=6e-5)
    assert curve.weight.item() * slope == pytest.approx(mean, abs=6e-5)
    assert curve.std.item() * slope == pytest.approx(std, abs=6e-4)


@pytest.mark.parametrize(("p", "mean", "std"), [(0.05, 0.1066, 0.098), (0.25, 0.2380, 0.0334)])
def test_the_noise_of_vimco(p: float, mean: float, std: float) -> None:
    """Its claim is another, of whole groups, which it meets exactly."""
    curve = weight_curve(RSGRPO(beta=2.0, estimator="vimco"), torch.tensor([p], dtype=torch.float64), N)
    assert curve.claimed is not None
    assert curve.weight.item() == pytest.approx(curve.claimed.item(), rel=1e-9)
    assert curve.weight.item() * p * (1 - p) == pytest.approx(mean, abs=6e-5)
    assert curve.std.item() * p * (1 - p) == pytest.approx(std, abs=6e-4)


# Groups


def test_binary_groups_hold_every_number_of_correct_completions() -> None:
    groups = binary_groups(5)
    assert groups.sum(dim=1).tolist() == [0, 1, 2, 3, 4, 5]
    assert set(groups.flatten().tolist()) == {0.0, 1.0}


CORRECT = (1, 2, 4, 6, 8, 10, 12, 14, 15)
ACCURACY = {
    "mean": (
        GRPO(),
        (0.9375, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0625),
        (-0.0625, -0.125, -0.25, -0.375, -0.5, -0.625, -0.75, -0.875, -0.9375),
        (1.875, 3.5, 6, 7.5, 8, 7.5, 6, 3.5, 1.875),
        0.5,
    ),
    "rs_grpo beta=1": (
        RSGRPO(beta=1.0),
        (1.4547, 1.2377, 0.9015, 0.6531, 0.4621, 0.3107, 0.1877, 0.0858, 0.0411),
        (-0.0970, -0.1768, -0.3005, -0.3919, -0.4621, -0.5178, -0.5631, -0.6006, -0.6170),
        (2.909, 4.951, 7.212, 7.837, 7.394, 6.214, 4.505, 2.402, 1.234),
        0.375,
    ),
    "rs_grpo beta=2": (
        RSGRPO(beta=2.0),
        (2.1402, 1.5541, 0.9225, 0.5879, 0.3808, 0.2399, 0.1379, 0.0606, 0.0286),
        (-0.1427, -0.2220, -0.3075, -0.3528, -0.3808, -0.3999, -0.4137, -0.4241, -0.4285),
        (4.281, 6.216, 7.380, 7.055, 6.093, 4.798, 3.309, 1.697, 0.857),
        0.25,
    ),
    "rs_grpo beta=4": (
        RSGRPO(beta=4.0),
        (2.8879, 1.5227, 0.6979, 0.3969, 0.2410, 0.1457, 0.0813, 0.0350, 0.0163),
        (-0.1925, -0.2175, -0.2326, -0.2382, -0.2410, -0.2428, -0.2439, -0.2448, -0.2451),
        (5.776, 6.091, 5.583, 4.763, 3.856, 2.913, 1.952, 0.979, 0.490),
        0.125,
    ),
    "rs_grpo beta=8": (
        RSGRPO(beta=8.0),
        (1.8650, 0.8727, 0.3745, 0.2081, 0.1249, 0.0750, 0.0416, 0.0179, 0.0083),
        (-0.1243, -0.1247, -0.1248, -0.1249, -0.1249, -0.1249, -0.1249, -0.1249, -0.1250),
        (3.730, 3.491, 2.996, 2.498, 1.999, 1.499, 1.000, 0.500, 0.250),
        0.0625,
    ),
    "mahdavi plain": (
        Mahdavi(),
        (3.0899, 2.3447, 1.2656, 0.6104, 0.25, 0.0791, 0.0156, 0.0010, 0.0001),
        (-0.2060, -0.3350, -0.4219, -0.3662, -0.25, -0.1318, -0.0469, -0.0068, -0.0009),
        (6.180, 9.379, 10.125, 7.324, 4, 1.582, 0.375, 0.027, 0.002),
        0.1875,
    ),
    "mahdavi grpo": (
        Mahdavi(estimator="grpo", eps=1e-6),
        (12.7649, 7.0898, 2.9228, 1.2607, 0.5, 0.1634, 0.0361, 0.0030, 0.0003),
        (-0.8510, -1.0128, -0.9743, -0.7564, -0.5, -0.2723, -0.1083, -0.0207, -0.0038),
        (25.53, 28.36, 23.38, 15.13, 8, 3.268, 0.866, 0.083, 0.008),
        0.125,
    ),
    "chen": (
        Chen(eps=1e-6),
        (1.7320, 1.1055, 0.6112, 0.3612, 0.2, 0.0912, 0.0234, 0, 0),
        (-0.1155, -0.1579, -0.2037, -0.2167, -0.2, -0.1519, -0.0703, 0, 0),
        (3.464, 4.422, 4.890, 4.334, 3.2, 1.823, 0.563, 0, 0),
        0.25,
    ),
    "maxpo": (
        MaxPO(),
        (4, 2.9333, 1.4505, 0.6154, 0.2051, 0.0440, 0.0029, 0, 0),
        (-0.2667, -0.4190, -0.4835, -0.3692, -0.2051, -0.0733, -0.0088, 0, 0),
        (8, 11.73, 11.60, 7.385, 3.282, 0.879, 0.070, 0, 0),
        0.1875,
    ),
    "maxrl": (
        MaxRL(),
        (15, 7, 3, 1.6667, 1, 0.6, 0.3333, 0.1429, 0.0667),
        (-1,) * 9,
        (30, 28, 24, 20, 16, 12, 8, 4, 2),
        0.0625,
    ),
}
"""(objective, A+, A-, sum |A|, accuracy of the highest sum |A|) in groups of 16; k = 4."""

PUBLISHED_AS_SUM = {
    "pkpo": (
        PKPO(),
        (0.25, 0.2, 0.1209, 0.0659, 0.0308, 0.0110, 0.0022, 0, 0),
        (0.25, 0.4, 0.4835, 0.3956, 0.2462, 0.1099, 0.0264, 0, 0),
        0.25,
    ),
    "best_of_n": (BestOfN(), (1, 0, 0, 0, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0, 0, 0, 0), 0.0625),
}
"""The same without A-, which is 0, as printed for a sum over completions: 1/16 of the advantage here."""


def at(curve: Tensor) -> list[float]:
    return curve[list(CORRECT)].tolist()


@pytest.mark.parametrize("name", ACCURACY)
def test_advantages_by_the_accuracy_of_the_group(name: str) -> None:
    """Four digits, three decimals where the table has no more."""
    objective, positive, negative, cumulative, peak = ACCURACY[name]
    curve = accuracy_curve(objective, N)
    assert at(curve.positive) == pytest.approx(positive, abs=6e-5)
    assert at(curve.negative) == pytest.approx(negative, abs=6e-5)
    assert at(curve.cumulative) == pytest.approx(cumulative, rel=5e-4, abs=6e-4)
    assert curve.cumulative.argmax().item() / N == peak


@pytest.mark.parametrize("name", PUBLISHED_AS_SUM)
def test_advantages_that_are_published_for_a_sum_are_sixteen_times_as_large(name: str) -> None:
    objective, positive, cumulative, peak = PUBLISHED_AS_SUM[name]
    curve = accuracy_curve(objective, N)
    assert at(curve.positive / N) == pytest.approx(positive, abs=6e-5)
    assert at(curve.cumulative / N) == pytest.approx(cumulative, abs=6e-5)
    assert curve.negative[:-1].abs().max() == 0
    assert curve.cumulative.argmax().item() / N == peak


VECTORS = Path(__file__).parents[1] / "objectives" / "vectors.json"


@pytest.mark.parametrize("beta", [0, 1, 2, 4, 8])
def test_figure_2b_equals_the_definition_in_50_digits(beta: int) -> None:
    pairs = json.loads(VECTORS.read_text(encoding="utf-8"))["by_number_correct"][str(beta)]
    curve = accuracy_curve(RSGRPO(beta=float(beta)), N)
    assert curve.positive[1:N].tolist() == pytest.approx([positive for positive, _ in pairs], abs=1e-13)
    assert curve.negative[1:N].tolist() == pytest.approx([negative for _, negative in pairs], abs=1e-13)


def test_a_group_without_such_a_completion_has_no_advantage_of_its_kind() -> None:
    curve = accuracy_curve(RLOO(), 4)
    assert curve.correct.tolist() == [0, 1, 2, 3, 4]
    assert curve.positive.isnan().tolist() == [True, False, False, False, False]
    assert curve.negative.isnan().tolist() == [False, False, False, False, True]
    assert curve.cumulative[[0, 4]].tolist() == [0, 0]


def test_where_likelihoods_matter_the_policys_accuracy_is_that_of_the_group() -> None:
    """A = -log pi: log(N/c) for a correct completion, log(N/(N-c)) for a wrong one."""
    curve = accuracy_curve(Surprise(), 4)
    assert curve.positive[1:4].tolist() == pytest.approx([math.log(4), math.log(2), math.log(4 / 3)])
    assert curve.negative[1:4].tolist() == pytest.approx([math.log(4 / 3), math.log(2), math.log(4)])


# Rewards


def test_figure_2a_is_one_group_of_evenly_spaced_rewards() -> None:
    """Eq. 8 on rewards 0, 1/15, ..., 1, in plain Python."""
    beta = 4.0
    expected_rewards = [i / 15 for i in range(16)]
    e = [math.exp(beta * r) for r in expected_rewards]
    rewards, advantages = reward_curve(RSGRPO(beta=beta), 16)
    assert rewards.tolist() == pytest.approx(expected_rewards, abs=1e-13)
    assert advantages.tolist() == pytest.approx([(x / (sum(e) / 16) - 1) / beta for x in e])


def test_the_reward_curve_of_rloo_is_a_straight_line() -> None:
    """The mean of the rewards is 1/2: A = N/(N-1) (r - 1/2)."""
    rewards, advantages = reward_curve(RLOO(), 6)
    assert advantages.tolist() == pytest.approx([6 / 5 * (r - 0.5) for r in rewards.tolist()])


def test_likelihoods_of_the_reward_curve_are_equal() -> None:
    assert reward_curve(Surprise(), 6)[1].unique().numel() == 1
