"""The published advantages in groups of N = 16 by number correct, to the last printed digit.

Rows as printed: A+, A- and sum |A| for c = 1, 2, 4, 6, 8, 10, 12, 14, 15 correct; then the accuracy at which sum |A|
peaks.
"""

import pytest

from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.best_of_n import BestOfN
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.maxrl import MaxRL
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from tests.objectives.enumeration import by_number_correct

N = 16
CORRECT = (1, 2, 4, 6, 8, 10, 12, 14, 15)
ZERO = "0 0 0 0 0 0 0 0 0"

TABLE: dict[str, tuple[Objective, float, str, str, str, float]] = {
    "mean": (
        GRPO(),
        1,
        ".9375 .875 .75 .625 .5 .375 .25 .125 .0625",
        "-.0625 -.125 -.25 -.375 -.5 -.625 -.75 -.875 -.9375",
        "1.875 3.5 6 7.5 8 7.5 6 3.5 1.875",
        0.5,
    ),
    "RS beta 1": (
        RSGRPO(beta=1.0),
        1,
        "1.4547 1.2377 .9015 .6531 .4621 .3107 .1877 .0858 .0411",
        "-.0970 -.1768 -.3005 -.3919 -.4621 -.5178 -.5631 -.6006 -.6170",
        "2.909 4.951 7.212 7.837 7.394 6.214 4.505 2.402 1.234",
        0.375,
    ),
    "RS beta 2": (
        RSGRPO(beta=2.0),
        1,
        "2.1402 1.5541 .9225 .5879 .3808 .2399 .1379 .0606 .0286",
        "-.1427 -.2220 -.3075 -.3528 -.3808 -.3999 -.4137 -.4241 -.4285",
        "4.281 6.216 7.380 7.055 6.093 4.798 3.309 1.697 .857",
        0.25,
    ),
    "RS beta 4": (
        RSGRPO(beta=4.0),
        1,
        "2.8879 1.5227 .6979 .3969 .2410 .1457 .0813 .0350 .0163",
        "-.1925 -.2175 -.2326 -.2382 -.2410 -.2428 -.2439 -.2448 -.2451",
        "5.776 6.091 5.583 4.763 3.856 2.913 1.952 .979 .490",
        0.125,
    ),
    "RS beta 8": (
        RSGRPO(beta=8.0),
        1,
        "1.8650 .8727 .3745 .2081 .1249 .0750 .0416 .0179 .0083",
        "-.1243 -.1247 -.1248 -.1249 -.1249 -.1249 -.1249 -.1249 -.1250",
        "3.730 3.491 2.996 2.498 1.999 1.499 1.000 .500 .250",
        0.0625,
    ),
    "Mahdavi K 4": (
        Mahdavi(k=4),
        1,
        "3.0899 2.3447 1.2656 .6104 .25 .0791 .0156 .0010 .0001",
        "-.2060 -.3350 -.4219 -.3662 -.25 -.1318 -.0469 -.0068 -.0009",
        "6.180 9.379 10.125 7.324 4 1.582 .375 .027 .002",
        0.1875,
    ),
    "Mahdavi K 4, standard deviation": (
        Mahdavi(k=4, estimator="grpo", eps=1e-6),
        1,
        "12.7649 7.0898 2.9228 1.2607 .5 .1634 .0361 .0030 .0003",
        "-.8510 -1.0128 -.9743 -.7564 -.5 -.2723 -.1083 -.0207 -.0038",
        "25.53 28.36 23.38 15.13 8 3.268 .866 .083 .008",
        0.125,
    ),
    "Chen K 4": (
        Chen(k=4, eps=1e-6),
        1,
        "1.7320 1.1055 .6112 .3612 .2 .0912 .0234 0 0",
        "-.1155 -.1579 -.2037 -.2167 -.2 -.1519 -.0703 0 0",
        "3.464 4.422 4.890 4.334 3.2 1.823 .563 0 0",
        0.25,
    ),
    "s_loo_minus_one K 4, for a sum": (
        PKPO(k=4),
        N,
        ".25 .2 .1209 .0659 .0308 .0110 .0022 0 0",
        ZERO,
        ".25 .4 .4835 .3956 .2462 .1099 .0264 0 0",
        0.25,
    ),
    "best of N, for a sum": (BestOfN(), N, "1 0 0 0 0 0 0 0 0", ZERO, "1 0 0 0 0 0 0 0 0", 0.0625),
    "MaxPO K 4": (
        MaxPO(k=4),
        1,
        "4 2.9333 1.4505 .6154 .2051 .0440 .0029 0 0",
        "-.2667 -.4190 -.4835 -.3692 -.2051 -.0733 -.0088 0 0",
        "8 11.73 11.60 7.385 3.282 .879 .070 0 0",
        0.1875,
    ),
    "MaxRL": (
        MaxRL(),
        1,
        "15 7 3 1.6667 1 .6 .3333 .1429 .0667",
        "-1 -1 -1 -1 -1 -1 -1 -1 -1",
        "30 28 24 20 16 12 8 4 2",
        0.0625,
    ),
}
"""Name -> objective, by how much its advantages are larger than the printed ones, and the rows."""


LAST_DIGIT_IS_OFF = {"RS beta 2", "RS beta 4", "RS beta 8"}
"""One entry each: 4.2805, 1.9515 and -.12495 are printed as 4.281, 1.952 and -.1249."""


def disagreements(name: str, values: list[float], printed: str) -> list[str]:
    """The entries that differ by more than half a unit of their last printed place; at least three places are meant."""
    wrong = []
    units = 0.62 if name in LAST_DIGIT_IS_OFF else 0.5
    for value, text in zip(values, printed.split(), strict=True):
        places = max(len(text.partition(".")[2]), 2 if "." in text and float(text) >= 10 else 3)
        if abs(value - float(text)) > units * 10**-places * (1 + 1e-9):
            wrong.append(f"{value} is not {text}")
    return wrong


@pytest.mark.parametrize("name", TABLE)
def test_advantages_by_number_correct(name):
    objective, factor, right, wrong, total, _ = TABLE[name]
    pairs = [(a / factor, b / factor) for a, b in by_number_correct(objective, N)]
    assert disagreements(name, [pairs[c][0] for c in CORRECT], right) == []
    assert disagreements(name, [pairs[c][1] for c in CORRECT], wrong) == []
    assert disagreements(name, [c * abs(pairs[c][0]) + (N - c) * abs(pairs[c][1]) for c in CORRECT], total) == []


@pytest.mark.parametrize("name", TABLE)
def test_accuracy_of_the_largest_total_advantage(name):
    objective, _, _, _, _, peak = TABLE[name]
    totals = [c * abs(a) + (N - c) * abs(b) for c, (a, b) in enumerate(by_number_correct(objective, N))]
    assert totals.index(max(totals)) / N == peak


@pytest.mark.parametrize(("beta", "mean_size"), [(0.0, 0.50), (2.0, 0.46), (4.0, 0.38), (8.0, 0.23), (16.0, 0.12)])
def test_the_largest_mean_advantage_shrinks_with_beta(beta, mean_size):
    pairs = by_number_correct(RSGRPO(beta=beta), N)
    largest = max((c * abs(a) + (N - c) * abs(b)) / N for c, (a, b) in enumerate(pairs))
    assert largest == pytest.approx(mean_size, abs=0.005)
