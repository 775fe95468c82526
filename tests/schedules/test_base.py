"""What a schedule does whatever its values: the field it drives, rescaling, and what it refuses before a run."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from rsgrpo.errors import UserError
from rsgrpo.objectives.base import AdvantageContext, Objective
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.entropic import Entropic
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.reinforce import Reinforce
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.rspo import RSPO
from rsgrpo.schedules.adaptive import Adaptive
from rsgrpo.schedules.base import Schedule
from rsgrpo.schedules.constant import Constant
from rsgrpo.schedules.cosine import Cosine
from rsgrpo.schedules.driven import scheduled_field
from rsgrpo.schedules.linear import Linear
from rsgrpo.schedules.switch import Switch
from tests.schedules.cases import PROMPTS, REWARDS, context, risk_sensitive_by_definition, scheduled, values

EQUAL = torch.tensor([[1.0] * 16, [0.0] * 16, [1.0] * 16], dtype=torch.float64)
CHANGING = [Linear(start=6.0, decay=4), Cosine(start=6.0, decay=4), Switch(hold=2), Adaptive(hardest=6.0)]


def kind(value: object) -> str:
    return type(value).__name__


@dataclass(frozen=True, kw_only=True)
class Tilted(Objective):
    """A class of one's own: beta times the centred reward, to see beta in the result."""

    beta: Any = 2.0
    offset: float = 0.0

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return self.beta * (rewards - rewards.mean(dim=1, keepdim=True)) + self.offset


@dataclass(frozen=True, kw_only=True)
class Both(Objective):
    """A class of one's own with a beta and a k."""

    beta: Any = 2.0
    k: Any = 3

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return rewards * self.beta + self.k


class Plain(Objective):
    """A class of one's own that is not a dataclass."""

    def __init__(self) -> None:
        self.beta = 2.0

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Tensor:
        return self.beta * rewards


@dataclass(frozen=True, kw_only=True)
class Returns(Objective):
    """A class of one's own whose result is still wrong, from some beta on."""

    result: Any
    beta: Any = 2.0
    from_beta: float = -100.0

    def advantages(self, rewards: Tensor, context: AdvantageContext) -> Any:
        return self.result(rewards) if torch.as_tensor(self.beta).max() >= self.from_beta else rewards


# --- the field


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        (RSGRPO(), "beta"),
        (Entropic(beta=2.0), "beta"),
        (Entropic(), None),  # solved for each group: no number
        (PKPO(), "k"),
        (MaxPO(), "k"),
        (RSPO(), "k"),
        (Mahdavi(), "k"),
        (Chen(), "k"),
        (Both(), "beta"),
        (GRPO(), None),
    ],
    ids=lambda o: o if isinstance(o, str) else kind(o),
)
def test_the_field_that_is_driven_is_the_first_of_beta_and_k(objective: Objective, name: str | None) -> None:
    assert scheduled_field(objective) == name


def test_a_dataclass_of_ones_own_with_a_beta_is_scheduled_without_more_code() -> None:
    centred = REWARDS - REWARDS.mean(dim=1, keepdim=True)
    schedule, objective = Linear(start=8.0, decay=3), Tilted(beta=2.0, offset=0.5)
    schedule.check(objective, completions=16)
    assert values(schedule, objective, "beta", 4) == [8.0, 6.0, 4.0, 2.0]
    advantages, _ = scheduled(schedule, objective, iteration=2)
    torch.testing.assert_close(advantages, 6 * centred + 0.5, atol=1e-14, rtol=0)  # the other field is kept


def test_it_gets_one_value_for_each_prompt_from_an_adaptive_schedule() -> None:
    centred = REWARDS - REWARDS.mean(dim=1, keepdim=True)
    schedule = Adaptive()
    schedule.observe(PROMPTS, [0.0, 0.5, 1.0])
    advantages, in_force = scheduled(schedule, Tilted())
    expected = torch.tensor([[8.0], [5.0], [2.0]], dtype=torch.float64) * centred
    torch.testing.assert_close(advantages, expected, atol=1e-14, rtol=0)
    assert in_force == {"beta": 5.0, "beta_min": 2.0, "beta_max": 8.0}


def test_the_other_field_of_an_objective_with_both_is_left_alone() -> None:
    advantages, in_force = scheduled(Linear(start=8.0, decay=3), Both(), iteration=1)
    torch.testing.assert_close(advantages, 8 * REWARDS + 3, atol=1e-14, rtol=0)
    assert in_force == {"beta": 8.0}


# --- rescaling


def test_without_rescaling_advantages_shrink_with_beta() -> None:
    # 1/beta, nearly: e^4 is far above N - 1 = 15 already.
    sizes = [scheduled(Constant(), RSGRPO(beta=beta))[0].square().mean().sqrt().item() for beta in (8.0, 16.0)]
    assert sizes[0] / sizes[1] == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize("beta", [0.5, 4.0, -3.0])
def test_times_beta_multiplies_by_its_size_and_keeps_the_direction(beta: float) -> None:
    advantages, in_force = scheduled(Constant(rescale="times_beta"), RSGRPO(beta=beta))
    expected = abs(beta) * risk_sensitive_by_definition(REWARDS, beta)
    torch.testing.assert_close(advantages, expected, atol=1e-14, rtol=1e-12)
    assert in_force == {"beta": beta}
    # Whatever the sign of beta, what succeeded is to become likelier.
    assert (advantages[REWARDS == 1] > 0).all()
    assert (advantages[REWARDS == 0] < 0).all()


def test_times_beta_takes_the_beta_of_the_iteration() -> None:
    schedule = Linear(start=8.0, decay=3, rescale="times_beta")
    for iteration, beta in ((1, 8.0), (2, 6.0), (3, 4.0), (4, 2.0)):
        expected = beta * risk_sensitive_by_definition(REWARDS, beta)
        torch.testing.assert_close(scheduled(schedule, RSGRPO(), iteration)[0], expected, atol=1e-13, rtol=1e-12)


def test_times_beta_takes_the_beta_of_each_prompt() -> None:
    schedule = Adaptive(hardest=-4.0, rescale="times_beta")  # 2 - 6 (1 - a) = -4, 0.5, 2
    schedule.observe(PROMPTS, [0.0, 0.75, 1.0])
    advantages, _ = scheduled(schedule, RSGRPO())
    for i, beta in enumerate((-4.0, 0.5, 2.0)):
        expected = abs(beta) * risk_sensitive_by_definition(REWARDS[i : i + 1], beta)
        torch.testing.assert_close(advantages[i : i + 1], expected, atol=1e-13, rtol=1e-12)


def unit(objective: Objective, rewards: Tensor = REWARDS, schedule: Any = Constant) -> Tensor:
    """The factor of each advantage under unit_rms, nan where there is none."""
    prompts = [f"p{i}" for i in range(len(rewards))]
    plain, rescaled = (
        scheduled(schedule(rescale=rescale), objective, 1, rewards, prompts)[0] for rescale in ("none", "unit_rms")
    )
    assert rescaled.dtype == rewards.dtype
    return rescaled / plain


@pytest.mark.parametrize(
    ("objective", "square"),
    [
        # c of N correct: N - c get -c/N, c get 1 - c/N; the mean square is a (1 - a), a = c/N, of N + 1 groups.
        (GRPO(), sum(c / 16 * (1 - c / 16) for c in range(17)) / 17),
        # Divided by sigma, ddof 0: 1 in all groups but two.
        (GRPO(normalize_std=True, ddof=0), 15 / 17),
        # r itself: a.
        (Reinforce(), 1 / 2),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_rms_divides_by_the_rms_over_groups_of_all_accuracies(
    objective: Objective, square: float, dtype: torch.dtype
) -> None:
    factors = unit(objective, REWARDS.to(dtype))
    factors = factors[factors.isfinite()]
    torch.testing.assert_close(factors.double(), torch.full_like(factors, square**-0.5).double(), atol=0, rtol=1e-6)


OBJECTIVES = [RSGRPO(beta=8.0), RSGRPO(beta=-2.0), MaxPO(k=4), Chen(), Entropic(), PKPO(), GRPO()]


@pytest.mark.parametrize("schedule", [Constant, Adaptive], ids=["constant", "adaptive"])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=kind)
def test_unit_rms_is_one_number_whatever_stands_beside_a_prompt(objective: Objective, schedule: Any) -> None:
    # A hard and an easy prompt, alone and among others: how they compare is the objective's business.
    if schedule is Adaptive and scheduled_field(objective) is None:
        pytest.skip("nothing to adapt")
    factor = unit(objective, REWARDS, schedule).nan_to_num().amax().item()
    assert factor > 0
    for rewards in (REWARDS[:1], REWARDS[1:2], torch.cat([REWARDS[:1], REWARDS[1:2].repeat(31, 1)])):
        factors = unit(objective, rewards, schedule)
        factors = factors[factors.isfinite()]
        torch.testing.assert_close(factors, torch.full_like(factors, factor), atol=0, rtol=1e-12)


def test_unit_rms_makes_advantages_of_all_accuracies_have_an_rms_of_one() -> None:
    groups = torch.ones(17, 16, dtype=torch.float64).tril(-1)
    prompts = [f"p{i}" for i in range(17)]
    for beta in (0.5, 2.0, 8.0, 32.0):
        advantages, _ = scheduled(Constant(rescale="unit_rms"), RSGRPO(beta=beta), 1, groups, prompts)
        assert advantages.square().mean().item() == pytest.approx(1, rel=1e-12)


def test_unit_rms_takes_the_value_of_the_iteration() -> None:
    schedule = Linear(start=8.0, decay=3, rescale="unit_rms")
    for iteration, beta in ((1, 8.0), (2, 6.0), (3, 4.0), (4, 2.0)):
        expected, _ = scheduled(Constant(rescale="unit_rms"), RSGRPO(beta=beta))
        torch.testing.assert_close(scheduled(schedule, RSGRPO(), iteration)[0], expected, atol=0, rtol=1e-12)


def test_unit_rms_of_a_column_is_that_of_each_row() -> None:
    # The runs of a bandit, one a row, are not rescaled by one another.
    column = RSGRPO(beta=torch.tensor([[2.0], [8.0], [2.0]], dtype=torch.float64))
    together, _ = scheduled(Constant(rescale="unit_rms"), column)
    for i, beta in enumerate((2.0, 8.0, 2.0)):
        alone, _ = scheduled(Constant(rescale="unit_rms"), RSGRPO(beta=beta), 1, REWARDS[i : i + 1], PROMPTS[:1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=0, rtol=1e-12)


def test_unit_rms_is_refused_where_nothing_has_a_size() -> None:
    nothing = Returns(result=lambda rewards: rewards * 0)
    with pytest.raises(UserError, match=r"^rescale=unit_rms divides by .*Returns gives none.*rescale=none"):
        Constant(rescale="unit_rms").check(nothing, completions=16)


@pytest.mark.parametrize("rescale", ["none", "times_beta", "unit_rms"])
@pytest.mark.parametrize("schedule", [Constant, Adaptive])
def test_advantages_of_zero_stay_zero(schedule: Any, rescale: Any) -> None:
    advantages, _ = scheduled(schedule(rescale=rescale), RSGRPO(), 1, EQUAL)
    assert advantages.eq(0).all()


@pytest.mark.parametrize(
    ("schedule", "beta"),
    [
        (Constant(rescale="times_beta"), 0.0),
        (Switch(rescale="times_beta"), 4.0),
        (Linear(start=8.0, decay=4, rescale="times_beta"), 0.0),
        (Cosine(start=0.0, decay=4, rescale="times_beta"), 2.0),
        (Adaptive(hardest=0.0, rescale="times_beta"), 2.0),
    ],
    ids=kind,
)
def test_times_beta_is_refused_where_beta_is_zero_at_an_end(schedule: Schedule, beta: float) -> None:
    with pytest.raises(UserError, match=r"^rescale=times_beta .*reaches 0.*use rescale=unit_rms"):
        schedule.check(RSGRPO(beta=beta), completions=16)


@pytest.mark.parametrize("objective", [MaxPO(), GRPO(), Entropic()], ids=kind)
def test_times_beta_is_refused_without_a_beta(objective: Objective) -> None:
    says = r"^rescale=times_beta needs an objective with a beta; use rescale=unit_rms or none"
    with pytest.raises(UserError, match=says):
        Constant(rescale="times_beta").check(objective, completions=16)
    Constant(rescale="unit_rms").check(objective, completions=16)


# --- what is refused before a run


@pytest.mark.parametrize("schedule", CHANGING, ids=kind)
@pytest.mark.parametrize("objective", [GRPO(), Entropic()], ids=kind)
def test_an_objective_without_a_number_to_drive_is_refused(schedule: Schedule, objective: Objective) -> None:
    says = rf"schedule: {kind(objective)} has no number `beta` or `k`.*use schedule=Constant\(\)"
    with pytest.raises(UserError, match=says):
        schedule.check(objective, completions=16)


@pytest.mark.parametrize("schedule", [s for s in CHANGING if not isinstance(s, Switch)], ids=kind)
def test_a_class_that_is_no_dataclass_is_refused(schedule: Schedule) -> None:
    says = (
        r"Plain is not a dataclass, so its beta cannot be replaced; decorate it with @dataclass.*schedule=Constant\(\)"
    )
    with pytest.raises(UserError, match=says):
        schedule.check(Plain(), completions=16)


def test_a_class_that_is_no_dataclass_may_be_constant() -> None:
    objective = Plain()
    Constant().check(objective, completions=16)
    advantages, in_force = scheduled(Constant(), objective)
    assert advantages.equal(2 * REWARDS)
    assert in_force == {"beta": 2.0}


WRONG = [
    pytest.param(lambda rewards: rewards.mean(dim=1), r"returned \[2\]; return .* shape \[2, 16\]", id="another shape"),
    pytest.param(lambda rewards: rewards.tolist(), "returned list; return a tensor", id="no tensor"),
    pytest.param(lambda rewards: None, "returned NoneType; return a tensor", id="nothing"),
    pytest.param(lambda rewards: rewards / 0, "value that is not finite; check its divisions", id="not finite"),
]


@pytest.mark.parametrize(("result", "says"), WRONG)
@pytest.mark.parametrize("schedule", [Constant(), *CHANGING], ids=kind)
def test_a_wrong_result_is_refused_with_the_class_that_gave_it(schedule: Schedule, result: Any, says: str) -> None:
    with pytest.raises(UserError, match=rf"objective: Returns\.advantages .*{says}"):
        schedule.check(Returns(result=result), completions=16)


@pytest.mark.parametrize("schedule", [Linear(start=6.0, decay=4), Adaptive(hardest=6.0)], ids=kind)
def test_both_ends_are_tried(schedule: Schedule) -> None:
    # Wrong from beta = 6 on: only where the schedule starts. With Constant nothing is wrong.
    objective = Returns(result=lambda rewards: rewards / 0, from_beta=6.0)
    Constant().check(objective, completions=16)
    with pytest.raises(UserError, match="not finite"):
        schedule.check(objective, completions=16)


@pytest.mark.parametrize(("result", "says"), [WRONG[0].values, WRONG[3].values], ids=["another shape", "not finite"])
def test_a_result_that_turns_wrong_later_is_refused_too(result: Any, says: str) -> None:
    with pytest.raises(UserError, match=rf"Returns\.advantages .*{says.split(';')[0]}".replace("[2\\]", "[3\\]")):
        scheduled(Linear(start=0.0, decay=2), Returns(result=result, from_beta=1.0), iteration=2)


@pytest.mark.parametrize(
    ("objective", "most"),
    [
        (MaxPO, 15),
        (Chen, 15),
        (PKPO, 16),
        (RSPO, 16),
        (lambda k: PKPO(k=k, estimator="s_loo"), 15),
        (lambda k: Mahdavi(k=k, estimator="unbiased"), 16),
    ],
    ids=["MaxPO", "Chen", "PKPO", "RSPO", "PKPO s_loo", "Mahdavi unbiased"],
)
def test_a_k_that_the_groups_cannot_estimate_is_refused_at_either_end(objective: Any, most: int) -> None:
    says = rf"\bk={most + 1}\b.*N = 16.*try k={most}\b.*larger completions_per_prompt"
    for schedule in (Constant(), Linear(start=2.0, decay=4), Switch(), Adaptive(hardest=2.0)):
        schedule.check(objective(k=most), completions=16)
        with pytest.raises(UserError, match=says):
            schedule.check(objective(k=most + 1), completions=16)
    for start in (Linear, Cosine):
        start(start=float(most), decay=4).check(objective(k=2), completions=16)
        with pytest.raises(UserError, match=says):
            start(start=most + 1.0, decay=4).check(objective(k=2), completions=16)
    with pytest.raises(UserError, match=says):
        Adaptive(hardest=most + 1.0).check(objective(k=2), completions=16)


def test_the_check_uses_the_groups_of_the_run() -> None:
    schedule = Linear(start=32.0, decay=4)
    with pytest.raises(UserError, match=r"=32\b.*N = 16"):
        schedule.check(MaxPO(k=4), completions=16)
    schedule.check(MaxPO(k=4), completions=33)


def test_a_single_completion_is_refused_where_others_are_needed() -> None:
    with pytest.raises(UserError, match=r"objective grpo .*completions_per_prompt=1 .*use at least 2"):
        Constant().check(GRPO(), completions=1)


# --- what is in force, and what a run moves between


def test_where_no_group_is_left_the_value_in_force_is_known_all_the_same() -> None:
    nobody = context(2, [], 16)
    assert Linear(start=8.0, decay=3).in_force(RSGRPO(), nobody).values == {"beta": 6.0}
    assert Constant().in_force(MaxPO(k=3), nobody).values == {"k": 3.0}
    assert Constant().in_force(GRPO(), nobody).values == {}
    assert Adaptive().in_force(RSGRPO(), nobody).values == {}  # a mean over nobody


def test_both_ends_of_a_schedule_are_named() -> None:
    assert [o.k for o in Linear(start=1.0, decay=3).tried(PKPO(k=8))] == [8, 1]  # pyright: ignore[reportAttributeAccessIssue]
    assert [type(o) for o in Switch(hold=2).tried(Chen())] == [Chen, GRPO]
    assert Constant().tried(Chen()) == [Chen()]


@dataclass(frozen=True, kw_only=True)
class Says(Schedule):
    """A schedule of one's own that says anything."""

    now: Any
    ends: Any

    def value(self, name: str, final: Any, context: AdvantageContext) -> Any:
        return self.now

    def extremes(self, name: str, final: Any) -> Any:
        return self.ends


def column(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(
    ("now", "wrong"),
    [(8.5, "8.5"), (1.0, "1"), (column(2.0, 8.0, 9.0), "9"), (column(2.0, float("nan"), 3.0), "nan")],
)
def test_a_value_outside_of_the_extremes_is_refused(now: Any, wrong: str) -> None:
    says = rf"schedule: Says\.value returned {wrong} for beta, and its extremes are 2 and 8;"
    with pytest.raises(UserError, match=says):
        Says(now=now, ends=[8.0, 2.0]).in_force(RSGRPO(beta=2.0), context(1))


@pytest.mark.parametrize("now", [8, 2.0, 8.0 + 1e-12, column(2.0, 8.0, 5.0)])
def test_a_value_between_the_extremes_is_taken(now: Any) -> None:
    assert Says(now=now, ends=[8.0, 2.0]).in_force(RSGRPO(beta=2.0), context(1)).objective.beta is now  # pyright: ignore


@pytest.mark.parametrize("ends", [[], None, "28", [True], 3.0])
def test_extremes_that_are_no_numbers_are_refused(ends: Any) -> None:
    with pytest.raises(UserError, match=r"schedule: Says\.extremes returned .*; return a list of the numbers"):
        Says(now=2.0, ends=ends).check(RSGRPO(beta=2.0), 4)


def test_a_switch_knows_the_mean_reward_of_beta_and_k_only() -> None:
    with pytest.raises(UserError, match=r"Switch .* value of beta and k there and none of tau"):
        Switch(field="normalize_eps").extremes("tau", 1.0)
