"""A value for each prompt, by its difficulty."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rsgrpo.composition.build import build
from rsgrpo.errors import FieldError, UserError
from rsgrpo.objectives.entropic import beta_of_kl
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.schedules.adaptive import Adaptive
from rsgrpo.schedules.base import Schedule
from tests.schedules.cases import PROMPTS, REWARDS, configuration, context, risk_sensitive_by_definition, scheduled

RS_GRPO = RSGRPO(beta=2.0)
TWENTY = torch.tensor([[1.0] + [0.0] * 19], dtype=torch.float64)


def beta_at(accuracy: float, *, final: float = 2.0, **settings: Any) -> float:
    """The beta of a prompt that was visited once, with this accuracy."""
    schedule = Adaptive(**settings)
    schedule.observe(["it"], [accuracy])
    return beta_of(schedule, "it", final=final)


def beta_of(schedule: Schedule, prompt: str, *, final: float = 2.0) -> float:
    got = schedule.value("beta", final, replace(context(prompts=[prompt], completions=20), correct=TWENTY > 0))
    assert isinstance(got, torch.Tensor)
    return got.item()


def total_advantage(accuracy: float, beta: float) -> float:
    """Sum of |A| of RS-GRPO over a group with this share of successes, for N = 1, as N grows without bound.

    The sum of a centred advantage over the successes is that over the failures: a (e^beta / m - 1)/beta and m the mean
    of exp(beta r).
    """
    mean = accuracy * math.exp(beta) + 1 - accuracy
    return 2 * abs(accuracy * (math.exp(beta) / mean - 1) / beta)


def kl_from_uniform(accuracy: float, beta: float) -> float:
    """KL(softmax(beta r) || uniform) of a group with this share of successes: two outcomes are enough."""
    tilted = accuracy * math.exp(beta) / (accuracy * math.exp(beta) + 1 - accuracy)
    return tilted * math.log(tilted / accuracy) + (1 - tilted) * math.log((1 - tilted) / (1 - accuracy))


# --- curves


def test_linear_goes_from_hardest_to_the_objectives_own_value() -> None:
    # 2 + 6 (1 - a)
    got = [beta_at(a) for a in (0.0, 0.25, 0.5, 0.875, 1.0)]
    assert got == pytest.approx([8.0, 6.5, 5.0, 2.75, 2.0], abs=1e-12)


def test_power_bends_it() -> None:
    # 2 + 6 (1 - a)^gamma: 6 * 0.75^2 = 3.375, 6 * 0.5^2 = 1.5; 6 * sqrt(0.25) = 3; gamma = 0 is hardest everywhere.
    square = [beta_at(a, curve="power", gamma=2.0) for a in (0.0, 0.25, 0.5, 1.0)]
    assert square == pytest.approx([8.0, 5.375, 3.5, 2.0], abs=1e-12)
    assert beta_at(0.75, curve="power", gamma=0.5) == pytest.approx(5.0, abs=1e-12)
    assert [beta_at(a, curve="power", gamma=0.0) for a in (0.0, 0.6, 1.0)] == [8.0] * 3


def test_gamma_is_of_power_only() -> None:
    assert beta_at(0.25, curve="linear", gamma=2.0) == pytest.approx(6.5, abs=1e-12)
    assert beta_at(0.25, curve="power", gamma=1.0) == pytest.approx(6.5, abs=1e-12)


def test_hardest_may_lie_below_the_objectives_own_value() -> None:
    # 2 - 6 (1 - a): risk aversion for what is never solved.
    assert [beta_at(a, hardest=-4.0) for a in (0.0, 0.5, 1.0)] == pytest.approx([-4.0, -1.0, 2.0], abs=1e-12)


@pytest.mark.parametrize("accuracy", [0.01, 0.05, 0.1, 0.25, 0.4, 0.7, 0.95])
def test_peak_is_the_beta_under_which_this_accuracy_has_the_largest_advantages(accuracy: float) -> None:
    # The beta that the schedule picks, then every accuracy c/N under that beta: the largest sum must be at this one.
    beta = beta_at(accuracy, curve="peak", hardest=50.0, final=-50.0)
    n = 10_000
    totals = [total_advantage(c / n, beta) for c in range(1, n)]
    assert abs((totals.index(max(totals)) + 1) / n - accuracy) <= 1 / n
    assert beta == pytest.approx(2 * math.log((1 - accuracy) / accuracy), abs=1e-12)


def test_that_sum_is_the_one_of_rs_grpo() -> None:
    # The closed form above against the objective itself, c of 1000 correct.
    n, beta = 1000, 3.0
    for correct in (50, 182, 500):
        rewards = (torch.arange(n) < correct).double()[None]
        advantages, _ = scheduled(Adaptive(hardest=beta), RSGRPO(beta=beta), 1, rewards, ["it"])
        assert advantages.abs().sum().item() / n == pytest.approx(total_advantage(correct / n, beta), rel=1e-9)


def test_peak_is_clipped_to_the_interval() -> None:
    # 2 log(1/9) = -4.4 lies below 2, 2 log(99) = 9.2 above 8; 2 log(9) = 4.394449 between.
    got = [beta_at(a, curve="peak") for a in (0.0, 0.01, 0.1, 0.9, 1.0)]
    assert got == pytest.approx([8.0, 8.0, 4.394449, 2.0, 2.0], abs=1e-6)


@pytest.mark.parametrize("kl", [0.1, math.log(2), 1.5])
@pytest.mark.parametrize("accuracy", [0.01, 0.05, 0.1, 0.2])
def test_kl_is_the_beta_that_moves_such_a_group_that_far(accuracy: float, kl: float) -> None:
    beta = beta_at(accuracy, curve="kl", kl=kl, hardest=50.0, final=0.001)
    assert kl_from_uniform(accuracy, beta) == pytest.approx(kl, rel=1e-9)


@pytest.mark.parametrize("correct", [1, 3, 7])
def test_kl_is_what_a_real_group_of_that_accuracy_would_solve_for(correct: int) -> None:
    rewards = (torch.arange(20) < correct).double()[None]
    solved = beta_of_kl(rewards, math.log(2), beta_max=1e6).item()
    beta = beta_at(correct / 20, curve="kl", kl=math.log(2), hardest=50.0, final=0.001)
    assert beta == pytest.approx(solved, rel=1e-9)


def test_kl_is_clipped_to_the_interval() -> None:
    # log 2 is out of reach from a = 1/2 on, where the objective's own value is taken. At 1/4 beta is 2.5532, the
    # example of `beta_of_kl`. At 1e-6 more than 8 would be needed: beta = 8 gives a share q = 0.003, a KL of 0.02 only.
    assert kl_from_uniform(1e-6, 8.0) < 0.03
    got = [beta_at(a, curve="kl", kl=math.log(2)) for a in (0.0, 1e-6, 0.25, 0.5, 0.9, 1.0)]
    assert got == pytest.approx([8.0, 8.0, 2.5532, 2.0, 2.0, 2.0], abs=1e-4)
    # .693147 is below log 2 by 2e-7: that is out of reach too.
    assert beta_at(0.5, curve="kl") == 2.0
    # Below the objective's own value: 3 > 2.55.
    assert beta_at(0.25, curve="kl", kl=math.log(2), final=3.0) == 3.0


@pytest.mark.parametrize("curve", ["peak", "kl"])
def test_curves_made_for_beta_are_refused_for_k(curve: Any) -> None:
    says = rf"^curve={curve} is defined for beta; use curve=linear or power for k"
    with pytest.raises(UserError, match=says):
        Adaptive(curve=curve).check(MaxPO(k=4), completions=16)
    Adaptive(curve=curve).check(RS_GRPO, completions=16)


# --- each prompt has its own


@pytest.mark.parametrize("curve", ["linear", "power", "peak", "kl"])
def test_each_prompt_gets_the_advantages_of_its_own_beta(curve: Any) -> None:
    schedule = Adaptive(curve=curve, gamma=2.0, kl=0.3)
    schedule.observe(PROMPTS, [0.05, 0.2, 0.7])
    betas = [beta_of(schedule, prompt) for prompt in PROMPTS]
    assert len(set(betas)) == 3
    advantages, in_force = scheduled(schedule, RS_GRPO)
    for i, beta in enumerate(betas):
        expected = risk_sensitive_by_definition(REWARDS[i : i + 1], beta)
        torch.testing.assert_close(advantages[i : i + 1], expected, atol=1e-14, rtol=1e-12)
    expected = {"beta": sum(betas) / 3, "beta_min": min(betas), "beta_max": max(betas)}
    assert in_force == pytest.approx(expected, abs=1e-12)


def test_each_prompt_gets_a_rounded_k_of_its_own() -> None:
    # From 1 to 8: 1 + 7 (1 - a) = 8, 4.5 and 1.7; 4.5 lies between two and goes to the even one.
    schedule, objective = Adaptive(hardest=8.0), PKPO(k=1)
    schedule.observe(PROMPTS, [0.0, 0.5, 0.9])
    advantages, in_force = scheduled(schedule, objective)
    assert in_force == pytest.approx({"k": (8 + 4 + 2) / 3, "k_min": 2.0, "k_max": 8.0}, abs=1e-12)
    for i, k in enumerate((8, 4, 2)):
        alone = PKPO(k=k).advantages(REWARDS[i : i + 1], context(prompts=PROMPTS[i : i + 1]))
        torch.testing.assert_close(advantages[i : i + 1], alone, atol=1e-15, rtol=1e-13)


def test_a_k_below_one_becomes_one() -> None:
    schedule = Adaptive(hardest=-6.0)
    schedule.observe(PROMPTS, [0.0, 0.5, 1.0])
    _, in_force = scheduled(schedule, PKPO(k=4))
    assert (in_force["k_min"], in_force["k_max"]) == (1.0, 4.0)


# --- where the accuracy comes from


def test_a_prompt_that_was_never_visited_has_the_prior() -> None:
    assert beta_of(Adaptive(), "new") == 5.0
    assert beta_of(Adaptive(prior=0.0), "new") == 8.0
    assert beta_of(Adaptive(prior=1.0), "new") == 2.0


def test_the_first_visit_sets_the_accuracy_and_later_ones_move_it() -> None:
    # decay 0.75: 0.2; 0.75 * 0.2 + 0.25 * 1 = 0.4; 0.75 * 0.4 + 0.25 * 0 = 0.3. beta = 2 + 6 (1 - a).
    schedule, seen = Adaptive(decay=0.75, prior=0.9), []
    for accuracy in (0.2, 1.0, 0.0):
        schedule.observe(["it", "other"], [accuracy, 0.5])
        seen.append(beta_of(schedule, "it"))
    assert seen == pytest.approx([6.8, 5.6, 6.2], abs=1e-12)
    assert beta_of(schedule, "other") == pytest.approx(5.0, abs=1e-12)


@pytest.mark.parametrize(("decay", "accuracy"), [(0.0, 0.75), (1.0, 0.25)])
def test_without_decay_the_last_visit_counts_and_with_all_of_it_the_first(decay: float, accuracy: float) -> None:
    schedule = Adaptive(decay=decay)
    for now in (0.25, 0.5, 0.75):
        schedule.observe(["it"], [now])
    assert beta_of(schedule, "it") == 2 + 6 * (1 - accuracy)


def test_a_prompt_that_an_iteration_holds_twice_counts_twice() -> None:
    # 0, then 0.5 * 0 + 0.5 * 1 = 0.5, not 1.
    schedule = Adaptive()
    schedule.observe(["it", "it"], [0.0, 1.0])
    assert beta_of(schedule, "it") == 5.0


@pytest.mark.parametrize("source", ["ema", "group"])
def test_only_source_group_looks_at_the_completions_that_it_weighs(source: Any) -> None:
    schedule = Adaptive(source=source)
    schedule.observe(PROMPTS, [0.25, 0.25, 0.25])
    easier = REWARDS.flip(0)  # other rewards, so other accuracies, for the same prompts
    one, other = (scheduled(schedule, RS_GRPO, 1, rewards)[1] for rewards in (REWARDS, easier))
    alone = [scheduled(schedule, RS_GRPO, 1, r[:1], ["a"])[1]["beta"] for r in (REWARDS, easier)]
    if source == "ema":
        assert alone == [6.5, 6.5]
    else:  # 1 and 15 of 16 correct
        assert alone == pytest.approx([2 + 6 * 15 / 16, 2 + 6 / 16], abs=1e-12)
    assert one == pytest.approx(other, abs=1e-12)


def test_computing_advantages_is_no_visit() -> None:
    schedule = Adaptive()
    before = scheduled(schedule, RS_GRPO)
    after = scheduled(schedule, RS_GRPO)
    assert before[0].equal(after[0])
    assert schedule.state_dict() == {"accuracy": {}}


def test_source_group_remembers_nothing() -> None:
    schedule = Adaptive(source="group")
    schedule.observe(PROMPTS, [0.0, 0.0, 0.0])
    assert schedule.state_dict() == {"accuracy": {}}


def run_with(folder: Path, *visits: Mapping[str, object]) -> str:
    """A run folder with these records."""
    folder.mkdir()
    (folder / "prompts.jsonl").write_text("".join(json.dumps(visit) + "\n" for visit in visits))
    return str(folder)


def visit(iteration: int, prompt: str, n: int, correct: int) -> dict[str, object]:
    dropped = "all_wrong" if correct == 0 else None
    return {"iteration": iteration, "prompt": prompt, "n": n, "correct": correct, "dropped": dropped}


def test_offline_takes_the_first_visit_of_each_prompt_in_another_run(tmp_path: Path) -> None:
    run = run_with(
        tmp_path / "run", visit(1, "a", 16, 4), visit(1, "b", 8, 0), visit(2, "a", 16, 16), visit(3, "b", 8, 4)
    )
    schedule = Adaptive(source="offline", run=run)
    # a: 4/16, b: 0/8, and c was never visited there: the prior.
    assert [beta_of(schedule, prompt) for prompt in PROMPTS] == [6.5, 8.0, 5.0]


def test_offline_learns_nothing_on_the_way(tmp_path: Path) -> None:
    schedule = Adaptive(source="offline", run=run_with(tmp_path / "run", visit(1, "a", 16, 4)))
    schedule.observe(["a", "c"], [1.0, 1.0])
    assert [beta_of(schedule, prompt) for prompt in PROMPTS] == [6.5, 5.0, 5.0]


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", visit(1, "a", 16, 4))
    with (Path(run) / "prompts.jsonl").open("a") as file:
        file.write('{"iteration": 2, "prompt": "b", "n": 16, "corr')
    assert Adaptive(source="offline", run=run).state_dict() == {"accuracy": {"a": 0.25}}


@pytest.mark.parametrize("kind", ["none", "missing", "empty"])
def test_offline_without_records_is_refused_with_the_key_and_the_cure(tmp_path: Path, kind: str) -> None:
    empty = run_with(tmp_path / "empty")
    run = {"none": None, "missing": str(tmp_path / "missing"), "empty": empty}[kind]
    why = "is needed by source=offline" if kind == "none" else r"has no prompts\.jsonl"
    with pytest.raises(FieldError, match=rf"run=\S+ {why}; name a run folder .*run=outputs/RUN"):
        Adaptive(source="offline", run=run)
    overrides = ["schedule.source=offline", f"schedule.run={'null' if run is None else run}"]
    with pytest.raises(UserError, match=rf"^schedule\.run=\S+ {why}; .*schedule\.run=outputs/RUN"):
        build(configuration("adaptive", *overrides), "schedule")


# --- what it refuses


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"gamma": -1.0}, "gamma=-1.0 must be at least 0; try gamma=1.0"),
        ({"kl": 0.0}, "kl=0.0 must be at least 1e-12; try kl=0.693147"),
        ({"decay": 1.5}, "decay=1.5 must be between 0 and 1; try decay=0.5"),
        ({"decay": -0.5}, "decay=-0.5 must be between 0 and 1; try decay=0.5"),
        ({"prior": 2.0}, "prior=2.0 must be between 0 and 1; try prior=0.5"),
        ({"hardest": math.inf}, "hardest=inf must be a finite number; try hardest=8.0"),
    ],
)
def test_a_value_outside_its_range_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(FieldError) as error:
        Adaptive(**settings)
    assert str(error.value) == says


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"curve": "nosuch"}, "curve=nosuch is unknown; choose one of linear, power, peak, kl"),
        ({"source": "nosuch"}, "source=nosuch is unknown; choose one of ema, group, offline"),
    ],
)
def test_an_unknown_choice_is_refused(settings: Any, says: str) -> None:
    with pytest.raises(FieldError, match=says):
        Adaptive(**settings)
