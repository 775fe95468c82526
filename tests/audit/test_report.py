"""What the audit says of each objective, against what its paper or its derivation says.

Expected marks, edges and biases come from the formulas: the reason stands beside each.
"""

import json
import math
from typing import Any

import pytest
from torch import Tensor

from rsgrpo.audit.report import audit, by_accuracy, by_reward
from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.best_of_n import BestOfN
from rsgrpo.objectives.boundary_gate import BoundaryGate
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.darling import Darling
from rsgrpo.objectives.entropic import Entropic
from rsgrpo.objectives.focal import Focal
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.maxrl import MaxRL
from rsgrpo.objectives.ngrpo import NGRPO
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.qae import QAE
from rsgrpo.objectives.reinforce import Reinforce
from rsgrpo.objectives.rloo import RLOO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.rspo import RSPO
from rsgrpo.objectives.ucpo import UCPO
from rsgrpo.objectives.uniqueness import Uniqueness
from rsgrpo.objectives.unlikeliness import Unlikeliness
from rsgrpo.objectives.w_reinforce import WReinforce

N = 16

# name -> (objective, unbiased for 0 and 1, for continuous rewards, centred, dense, has negatives).
PROPERTIES: dict[str, tuple[Objective, bool, bool, bool, bool, bool]] = {
    # A = r; the baseline of the others keeps it unbiased, that of the whole group shrinks it by (N-1)/N.
    "reinforce": (Reinforce(), True, True, False, True, False),
    "rloo": (RLOO(), True, True, True, True, True),
    "grpo": (GRPO(), False, False, True, True, True),
    "grpo std": (GRPO(normalize_std=True), False, False, True, True, True),
    "focal": (Focal(), False, False, True, True, True),
    "unlikeliness": (Unlikeliness(), False, False, True, True, True),
    # Eq. 8 is biased and centred. loo has the direction only; vimco is exact for the utility of whole groups.
    "rs_grpo": (RSGRPO(), False, False, True, True, True),
    "rs_grpo beta=8": (RSGRPO(beta=8.0), False, False, True, True, True),
    "rs_grpo loo": (RSGRPO(estimator="loo"), False, False, False, True, True),
    "entropic": (Entropic(), False, False, False, True, True),
    "entropic beta=2": (Entropic(beta=2.0), False, False, False, True, True),
    # Exactly one best completion is needed: nothing from c = 2 on.
    "best_of_n": (BestOfN(), True, True, False, False, False),
    # s: every subset maximum counts, sum_i A_i = N k pass@k. s_loo_minus_one: nothing once N - c < k - 1.
    "pkpo s": (PKPO(estimator="s"), True, True, False, True, False),
    "pkpo s_loo_minus_one": (PKPO(), True, True, False, False, False),
    "rspo": (RSPO(), True, True, False, False, False),
    # Centred, and 0 when c > N - k.
    "maxpo": (MaxPO(), True, True, True, False, True),
    "chen": (Chen(), False, False, True, False, True),
    "chen without sigma": (Chen(normalize_std=False), False, False, True, False, True),
    # (1 - c/N)^(k-1) is 1/4096 of its largest at c = 15. Rewards of 0 and 1 only.
    "mahdavi": (Mahdavi(), False, False, True, False, True),
    "mahdavi grpo": (Mahdavi(estimator="grpo"), False, False, True, False, True),
    "mahdavi unbiased": (Mahdavi(estimator="unbiased"), True, False, False, False, False),
    # Exact for rewards of 0 and 1, where the mean is the accuracy; sum |A| goes from 30 to 2.
    "maxrl": (MaxRL(), True, False, True, True, True),
    # Constant baselines, defined for rewards of 0 and 1.
    "psr": (WReinforce(positive=1.0, negative=0.0), True, False, False, True, False),
    "nsr": (WReinforce(positive=0.0, negative=1.0), True, False, False, True, True),
    "w_reinforce": (WReinforce(), True, False, False, True, True),
    # An imagined success moves the mean of every group; a quantile is no mean of it.
    "ngrpo": (NGRPO(), False, False, False, True, True),
    "qae": (QAE(), False, False, False, True, True),
    # The gate closes on what is solved often. Rewards of 0 and 1 only.
    "boundary_gate": (BoundaryGate(), False, False, True, False, True),
    # Weights whose mean over the right ones is 1 leave the sum as it is, where all right ones have one reward.
    "uniqueness": (Uniqueness(), False, False, False, True, True),
    "darling": (Darling(), False, False, True, True, True),
    "ucpo": (UCPO(), False, False, False, True, True),
}

ONLY_BINARY = ("boundary_gate", "mahdavi", "mahdavi grpo", "mahdavi unbiased", "psr", "nsr", "w_reinforce")

# name -> (advantage of an all-correct group, of an all-wrong one); all others give both groups 0.
EDGES = {
    "ngrpo": (0, -1 / math.sqrt(N + 1)),
    "reinforce": (1, 0),
    "psr": (1, 0),
    "nsr": (0, -1),
    "w_reinforce": (0.1, -1),
    "pkpo s": (4, 0),  # N s = k times the maximum
}


class RightAtOneAccuracy(Objective):
    """Claims E[r]^2 / 0.7, whose weight is p / 0.35, with advantages whose weight is 1."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return rewards

    def claim(self, policy: Tensor, rewards: Tensor, completions: int) -> Tensor:
        return (policy @ rewards) ** 2 / 0.7


class Silent(Objective):
    """Says nothing of what it maximises."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return 2 * rewards - 1


@pytest.fixture(scope="module")
def audits() -> dict[str, dict[str, Any]]:
    """The audit of each objective in groups of 16."""
    return {name: audit(objective, N) for name, (objective, *_) in PROPERTIES.items()}


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_properties_of_each_objective(name: str, audits: dict[str, dict[str, Any]]) -> None:
    entry = audits[name]
    found = (
        entry["unbiased"]["binary"],
        entry["unbiased"]["continuous"],
        entry["centred"],
        entry["dense"],
        entry["has_negatives"],
    )
    assert found == PROPERTIES[name][1:]


@pytest.mark.parametrize("name", PROPERTIES)
def test_groups_of_equal_rewards(name: str, audits: dict[str, dict[str, Any]]) -> None:
    entry, (right, wrong) = audits[name], EDGES.get(name, (0, 0))
    assert entry["all_right"]["mean"] == pytest.approx(right, abs=1e-12)
    assert entry["all_wrong"]["mean"] == pytest.approx(wrong, abs=1e-12)


@pytest.mark.parametrize("name", PROPERTIES)
def test_continuous_rewards_are_refused_by_those_that_need_0_and_1(
    name: str, audits: dict[str, dict[str, Any]]
) -> None:
    refused = name in ONLY_BINARY
    assert (audits[name]["continuous"] is None) == refused
    assert (audits[name]["by_reward"] is None) == refused


@pytest.mark.parametrize("name", PROPERTIES)
def test_an_audit_is_json(name: str, audits: dict[str, dict[str, Any]]) -> None:
    """Without nan and infinity, which are no JSON; read back, it is the same."""
    assert json.loads(json.dumps(audits[name], allow_nan=False)) == audits[name]


@pytest.mark.parametrize("name", PROPERTIES)
def test_unbiased_means_scale_1_and_cosine_1(name: str, audits: dict[str, dict[str, Any]]) -> None:
    _, binary, continuous, *_ = PROPERTIES[name]
    entry = audits[name]
    for exact, bias in ((binary, entry["binary"]), (continuous, entry["continuous"])):
        if bias is not None:
            met = abs(bias["scale"] - 1) < 1e-6 and bias["cosine"] > 1 - 1e-6
            assert met == exact
    if binary:  # at p = .95 the weight of best_of_n, 16 x .05^15, is below what rounding leaves
        assert [entry["at"][p]["scale"] for p in ("0.05", "0.25", "0.5")] == pytest.approx([1] * 3, rel=1e-6)


@pytest.mark.parametrize("name", PROPERTIES)
def test_rewards_of_0_and_1_give_every_objective_the_right_direction(
    name: str, audits: dict[str, dict[str, Any]]
) -> None:
    """Two levels of reward make any function of it affine, so that only the scale can be wrong; some look at more
    than the reward."""
    if name not in ("unlikeliness", "uniqueness", "darling", "ucpo"):
        assert audits[name]["binary"]["cosine"] == pytest.approx(1, abs=1e-12)


def test_unbiased_means_at_every_accuracy() -> None:
    """The small policy draws a reward of 1 with probability .3 + .05: this one is exact there, and nowhere else."""
    entry = audit(RightAtOneAccuracy(), N)
    assert entry["binary"]["relative_error"] < 1e-12
    assert entry["at"]["0.5"]["scale"] == pytest.approx(0.7)
    assert not entry["unbiased"]["binary"]


@pytest.mark.parametrize(
    ("objective", "dense"),
    [
        pytest.param(Chen(k=2), False, id="chen gives nothing to c = 15 alone"),
        pytest.param(PKPO(k=2), True, id="pkpo gives something to c = 15 still"),
    ],
)
def test_dense_means_every_group_that_is_neither_all_right_nor_all_wrong(objective: Objective, dense: bool) -> None:
    assert audit(objective, N)["dense"] == dense


def test_vimco_is_exact_for_the_utility_of_whole_groups() -> None:
    entry = audit(RSGRPO(estimator="vimco"), N)
    assert entry["unbiased"] == {"binary": True, "continuous": True}
    assert (entry["centred"], entry["dense"], entry["has_negatives"]) == (False, True, True)
    assert (entry["all_right"]["mean"], entry["all_wrong"]["mean"]) == pytest.approx((0, 0), abs=1e-12)


# How biased


@pytest.mark.parametrize("rewards", ["binary", "continuous"])
def test_the_mean_baseline_keeps_15_of_16_parts(rewards: str, audits: dict[str, dict[str, Any]]) -> None:
    bias = audits["grpo"][rewards]
    assert (bias["scale"], bias["cosine"]) == pytest.approx((15 / 16, 1), rel=1e-12)
    assert bias["relative_error"] == pytest.approx(1 / 16)


@pytest.mark.parametrize("rewards", ["binary", "continuous"])
def test_chen_without_sigma_keeps_n_minus_k_of_n_parts_of_a_kth(
    rewards: str, audits: dict[str, dict[str, Any]]
) -> None:
    """k A is (1 - k/N) of the gradient: 3/16 for k = 4."""
    bias = audits["chen without sigma"][rewards]
    assert (bias["scale"], bias["cosine"]) == pytest.approx((3 / 16, 1), rel=1e-9)


@pytest.mark.parametrize("name", ["rs_grpo loo", "entropic beta=2"])
def test_leave_one_out_has_the_exact_direction_and_too_large_a_scale(
    name: str, audits: dict[str, dict[str, Any]]
) -> None:
    bias = audits[name]["continuous"]
    assert bias["cosine"] == pytest.approx(1, abs=1e-12)
    assert bias["scale"] > 1.01


@pytest.mark.parametrize(("beta", "at_05", "at_25", "at_5"), [(2.0, 0.761, 0.921, 0.970), (8.0, 0.538, 0.986, 1.00)])
def test_the_share_of_the_true_weight_that_eq_8_keeps(beta: float, at_05: float, at_25: float, at_5: float) -> None:
    at = audit(RSGRPO(beta=beta), N)["at"]
    assert [at[p]["scale"] for p in ("0.05", "0.25", "0.5")] == pytest.approx([at_05, at_25, at_5], abs=1.5e-3)


@pytest.mark.parametrize(
    ("objective", "scale", "cosine"),
    [
        pytest.param(RSGRPO(beta=1.0), 0.711, 0.9973, id="beta 1"),
        pytest.param(RSGRPO(beta=2.0), 0.658, 0.9843, id="beta 2"),
        pytest.param(RSGRPO(beta=4.0), 0.536, 0.9054, id="beta 4"),
        pytest.param(RSGRPO(beta=8.0), 0.348, 0.6711, id="beta 8"),
        pytest.param(RSGRPO(beta=-2.0), 0.789, 0.9971, id="beta -2"),
        pytest.param(GRPO(normalize_std=True), 2.53, 0.980, id="grpo std"),
    ],
)
def test_the_direction_for_continuous_rewards_in_groups_of_four(
    objective: Objective, scale: float, cosine: float
) -> None:
    bias = audit(objective, 4)["continuous"]
    assert bias["scale"] == pytest.approx(scale, abs=6e-4 if scale < 1 else 6e-3)
    assert bias["cosine"] == pytest.approx(cosine, abs=6e-5 if scale < 1 else 6e-4)


@pytest.mark.parametrize(
    ("objective", "mean", "noise"),
    [
        pytest.param(RSGRPO(), 0.0876, 0.081 / 0.0876, id="rs_grpo"),
        pytest.param(MaxPO(), 0.1629, 0.151 / 0.1629, id="maxpo"),
        pytest.param(PKPO(estimator="s"), 0.1629, 0.181 / 0.1629, id="pkpo s"),
    ],
)
def test_the_noise_at_5_percent(objective: Objective, mean: float, noise: float) -> None:
    at = audit(objective, N)["at"]["0.05"]
    assert at["weight"] * 0.05 * 0.95 == pytest.approx(mean, abs=6e-5)
    assert at["noise"] == pytest.approx(noise, rel=8e-3)
    assert at["noise"] == pytest.approx(at["std"] / at["weight"])


# The paper's Table 1


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("best_of_n", (True, True, False)),
        ("pkpo s_loo_minus_one", (True, True, False)),
        ("mahdavi", (True, False, False)),
        ("chen", (True, False, False)),
        ("rs_grpo", (True, True, True)),
    ],
)
def test_the_marks_of_table_1(name: str, published: tuple[bool, ...], audits: dict[str, dict[str, Any]]) -> None:
    """Binary rewards, continuous rewards, dense advantages. Chen's formula is published for rewards of 0 and 1; the
    same words hold for any reward, so that its second mark differs here."""
    entry = audits[name]
    marks = (entry["binary"]["mean"] is not None, entry["continuous"] is not None, entry["dense"])
    assert marks == ((True, True, False) if name == "chen" else published)


# The record


def test_settings_and_curves_are_in_the_record(audits: dict[str, dict[str, Any]]) -> None:
    entry = audits["rs_grpo beta=8"]
    assert entry["settings"] == {"beta": 8.0, "estimator": "plugin"}
    assert entry["completions"] == N
    weight = entry["weight"]
    assert weight["accuracy"] == pytest.approx([(i + 0.5) / 100 for i in range(100)])
    assert {len(weight[name]) for name in ("weight", "claimed", "std")} == {100}
    # (e^8 - 1) / (8 (1 + p (e^8 - 1))) at p = .505
    assert weight["claimed"][50] == pytest.approx((math.exp(8) - 1) / (8 * (1 + 0.505 * (math.exp(8) - 1))))
    assert entry["by_accuracy"] == by_accuracy(RSGRPO(beta=8.0), N)
    assert entry["by_reward"] == by_reward(RSGRPO(beta=8.0), N)


def test_what_does_not_exist_is_none() -> None:
    curve = by_accuracy(RLOO(), 4)
    assert (curve["positive"][0], curve["negative"][4]) == (None, None)
    assert None not in curve["positive"][1:] + curve["negative"][:4] + curve["cumulative"]


def test_an_objective_that_claims_nothing_is_never_unbiased() -> None:
    entry = audit(Silent(), N)
    assert entry["binary"]["claimed"] is None
    assert entry["weight"]["claimed"] is None
    assert (entry["binary"]["scale"], entry["binary"]["cosine"]) == (None, None)
    assert entry["at"]["0.5"]["scale"] is None
    assert entry["unbiased"] == {"binary": False, "continuous": False}
    assert entry["settings"] == {}
    # A = 1 or -1, so w = 2 at every accuracy.
    assert [at["weight"] for at in entry["at"].values()] == pytest.approx([2] * 4)
    assert (entry["all_right"]["mean"], entry["all_wrong"]["mean"]) == pytest.approx((1, -1), abs=1e-12)


@pytest.mark.parametrize("objective", [MaxPO(k=16), BestOfN()], ids=["k too large", "groups of one"])
def test_groups_of_a_size_that_an_objective_refuses_are_refused(objective: Objective) -> None:
    with pytest.raises((UserError, FieldError)):
        audit(objective, 16 if isinstance(objective, MaxPO) else 1)


def test_a_group_whose_completions_get_different_advantages_is_not_called_zero() -> None:
    """Unlikeliness centres the discounted rewards of an all-right group: the mean is 0, the advantages are not."""
    entry = audit(Unlikeliness(), 16)
    assert entry["all_right"]["mean"] == pytest.approx(0, abs=1e-12)
    assert entry["all_right"]["size"] > 0.5
    assert entry["all_wrong"]["size"] == 0


class NotANumber(Objective):
    """A user's class that divides by a standard deviation of 0."""

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return (rewards - rewards.mean(dim=1, keepdim=True)) / (rewards - rewards).sum(dim=1, keepdim=True)


def test_advantages_that_are_no_numbers_are_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"NotANumber.*not finite"):
        audit(NotANumber(), 4)
