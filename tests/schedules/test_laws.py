"""Laws of every schedule that has a yaml in `conf/schedule/`: a new yaml is tested here without another line."""

import io
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from torch import Tensor

from rsgrpo.composition.build import build
from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.grpo import GRPO
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.schedules.base import Schedule
from tests.schedules.cases import NAMES, PROMPTS, REWARDS, WritesDown, configuration, scheduled, with_value

OBJECTIVES = {"beta": RSGRPO(beta=2.0), "k": MaxPO(k=4)}
OWN = {"beta": 2.0, "k": 4.0}
CASES = [(name, field) for name in NAMES for field in OBJECTIVES]
ITERATIONS = 6
"""Of the composed run; schedules over the whole run end with its last iteration."""

ENDS = {"switch": {"beta": 0.0, "k": 1.0}}
"""Where a schedule ends, if not at the objective's own value."""


def composed(name: str) -> Schedule:
    schedule = build(configuration(name), "schedule")
    assert isinstance(schedule, Schedule)
    return schedule


def per_prompt(schedule: Schedule, objective: Objective, iteration: int) -> Tensor:
    """The value in force for each prompt, each run alone."""
    found = []
    for i, prompt in enumerate(PROMPTS):
        _, in_force = scheduled(schedule, objective, iteration, REWARDS[i : i + 1], [prompt])
        found.append(in_force["k" if isinstance(objective, MaxPO) else "beta"])
    return torch.tensor(found)


def test_the_schedules_of_the_paper_are_here() -> None:
    assert {"constant", "linear", "cosine", "switch", "adaptive"} <= set(NAMES)


@pytest.mark.parametrize(("name", "field"), CASES)
def test_every_value_lies_between_the_extremes_that_were_checked(name: str, field: str) -> None:
    schedule, objective = composed(name), OBJECTIVES[field]
    schedule.check(objective, completions=16)
    ends = schedule.extremes(field, OWN[field])
    for iteration in range(1, 3 * ITERATIONS):
        now = per_prompt(schedule, objective, iteration)
        assert ((now >= min(ends)) & (now <= max(ends))).all(), (iteration, now, ends)
        schedule.observe(PROMPTS, [0.0, iteration % 3 / 2, 1.0])


@pytest.mark.parametrize(("name", "field"), CASES)
def test_it_ends_at_the_objectives_own_value_once_all_is_solved(name: str, field: str) -> None:
    schedule = composed(name)
    schedule.observe(PROMPTS, [1.0, 1.0, 1.0])
    # A hold of the yaml may be longer than six iterations.
    late = ITERATIONS + (int(getattr(schedule, "hold", 0)) if name == "switch" else 0)
    expected = ENDS.get(name, OWN)[field]
    for iteration in (late, late + 1, 100 * late):
        assert per_prompt(schedule, OBJECTIVES[field], iteration).tolist() == [expected] * 3


@pytest.mark.parametrize(("name", "field"), CASES)
def test_advantages_are_those_of_the_objective_with_the_value_in_force(name: str, field: str) -> None:
    # Each group alone, so that one number says what was in force.
    schedule, objective = composed(name), OBJECTIVES[field]
    schedule.observe(PROMPTS, [0.0625, 0.5, 0.9375])
    for iteration in (1, 3, ITERATIONS, 40):
        now = per_prompt(schedule, objective, iteration)
        for i, prompt in enumerate(PROMPTS):
            rewards = REWARDS[i : i + 1]
            got, _ = scheduled(schedule, objective, iteration, rewards, [prompt])
            number = int(now[i]) if field == "k" else now[i].item()
            ended = name == "switch" and number == ENDS["switch"][field]
            of_the_value = GRPO() if ended else with_value(objective, **{field: number})
            expected, _ = scheduled(composed("constant"), of_the_value, 1, rewards, [prompt])
            torch.testing.assert_close(got, expected, atol=1e-7, rtol=1e-6)  # values are reported as float32 here


@pytest.mark.parametrize(("name", "field"), CASES)
def test_a_batch_of_prompts_is_each_prompt_alone(name: str, field: str) -> None:
    schedule, objective = composed(name), OBJECTIVES[field]
    schedule.observe(PROMPTS, [0.0, 0.5, 1.0])
    for iteration in (1, 4, 25):
        together, _ = scheduled(schedule, objective, iteration)
        for i, prompt in enumerate(PROMPTS):
            alone, _ = scheduled(schedule, objective, iteration, REWARDS[i : i + 1], [prompt])
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-15, rtol=1e-12)


@pytest.mark.parametrize(("name", "field"), CASES)
def test_the_objective_itself_stays_as_it_was(name: str, field: str) -> None:
    schedule, objective = composed(name), OBJECTIVES[field]
    before = with_value(objective)
    rewards = REWARDS.clone()
    schedule.check(objective, completions=16)
    for iteration in (1, 3, 50):
        scheduled(schedule, objective, iteration, rewards)
        schedule.observe(PROMPTS, [0.0, 0.5, 1.0])
    assert objective == before
    assert rewards.equal(REWARDS)


@pytest.mark.parametrize("name", [name for name, field in CASES if field == "k"])
def test_k_is_always_a_whole_number_of_at_least_one(name: str) -> None:
    schedule, objective = composed(name), WritesDown(k=3)
    for iteration in range(1, 3 * ITERATIONS):
        scheduled(schedule, objective, iteration)
        schedule.observe(PROMPTS, [0.0, 0.4, 1.0])
    assert len(objective.seen) == 3 * ITERATIONS - 1
    for k in objective.seen:
        assert k.dtype == torch.int64 if isinstance(k, Tensor) else type(k) is int
        assert torch.as_tensor(k).min() >= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_schedule_goes_on_where_its_state_was_saved(name: str) -> None:
    first, file = composed(name), io.BytesIO()
    first.observe(PROMPTS, [0.0, 0.25, 1.0])
    first.observe(PROMPTS[:1], [0.75])
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = composed(name)
    second.observe(PROMPTS, [0.9, 0.9, 0.9])  # is forgotten
    second.load_state_dict(torch.load(file))
    assert second.state_dict() == first.state_dict()
    for schedule in (first, second):
        schedule.observe(PROMPTS, [0.5, 0.5, 0.5])
    for iteration in (4, 7):
        one, two = (scheduled(schedule, RSGRPO(beta=2.0), iteration) for schedule in (first, second))
        assert one[0].equal(two[0])
        assert one[1] == two[1]


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_is_a_snapshot(name: str) -> None:
    schedule = composed(name)
    schedule.observe(PROMPTS, [0.0, 0.25, 1.0])
    saved = schedule.state_dict()
    before = repr(saved)
    schedule.observe(PROMPTS, [1.0, 1.0, 0.0])
    assert repr(saved) == before


@pytest.mark.parametrize("name", NAMES)
def test_the_class_by_itself_is_the_schedule_of_its_yaml(name: str) -> None:
    node = configuration(name).schedule
    cls: Any = get_class(node._target_)
    required = {"iterations": ITERATIONS} if name in ("linear", "cosine") else {}
    assert cls(**required) == composed(name)


@pytest.mark.parametrize("rescale", ["none", "unit_rms"])
@pytest.mark.parametrize(("name", "field"), CASES)
def test_no_prompts_give_no_advantages(name: str, rescale: str, field: str) -> None:
    schedule: Any = build(configuration(name, f"schedule.rescale={rescale}"), "schedule")
    advantages, _ = scheduled(schedule, OBJECTIVES[field], 2, torch.zeros(0, 16), [])
    assert advantages.shape == (0, 16)


@pytest.mark.parametrize(("name", "field"), CASES)
def test_float32_rewards_give_float32_advantages(name: str, field: str) -> None:
    single, _ = scheduled(composed(name), OBJECTIVES[field], 3, REWARDS.float())
    double, _ = scheduled(composed(name), OBJECTIVES[field], 3)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, atol=1e-6, rtol=1e-5)
