"""A real run of three iterations with every objective, and with every schedule of a beta and of a k."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.processes import ROOT, python
from tests.runs import records

pytestmark = pytest.mark.slow

OBJECTIVES = sorted(file.stem for file in (ROOT / "conf/objective").glob("*.yaml") if file.stem != "custom")
SCHEDULES = sorted(file.stem for file in (ROOT / "conf/schedule").glob("*.yaml") if file.stem != "custom")
ITERATIONS = 3

SETTINGS = (
    "reward=custom",
    "reward._target_=tests.training.parity_reward.WithAnswers",
    f"iterations={ITERATIONS}",
    "batching.prompts_per_iteration=8",
    "batching.completions_per_prompt=8",  # k = 4 of the yamls needs 5
    "batching.prompts_per_update=4",
    "optimizer.lr=1e-3",
    "sampling.max_new_tokens=12",
    "eval.every=3",
    "eval.validation_prompts=1",
    "eval.validation_completions=4",
    "eval.test_completions=4",
    "eval.k=[1,4]",
    "data.levels=[2]",
    "callbacks.checkpoint.every=100",
)


def wants_no_filter(objective: str) -> bool:
    """Whether its yaml, the one it inherits from included, says that dropped groups would have taught."""
    file = ROOT / "conf/objective" / f"{objective}.yaml"
    text = file.read_text()
    defaults = yaml.safe_load(text).get("defaults", [])
    inherited = [d.removesuffix("@objective") for d in defaults if isinstance(d, str) and d != "_self_"]
    return "filter=none" in text.split("_target_")[0] or any(map(wants_no_filter, inherited))


def sweep(folder: Path, policy: Path, *overrides: str) -> None:
    """One process that runs every combination, each in a folder named after its choices."""
    words = ("run.py", "-m", f"hydra.sweep.dir={folder}", f"model.path={policy}")
    named = "hydra.sweep.subdir=${hydra:runtime.choices.schedule}_${hydra:runtime.choices.objective}"
    finished = python(*words, named, *SETTINGS, *overrides, variables={"PYTHONPATH": str(ROOT)})
    assert finished.returncode == 0, finished.stdout[-4000:] + finished.stderr[-4000:]


def check_run(run: Path, policy: Path) -> list[dict[str, Any]]:
    """The run ended, every number in its records is finite and the weights moved; the records of its iterations."""
    assert (run / "done.json").is_file()
    metrics = records(run / "metrics.jsonl")
    for record in metrics:
        assert all(math.isfinite(value) for value in record.values()), record
    iterations = [r for r in metrics if "train/reward_mean" in r]
    assert [r["iteration"] for r in iterations] == list(range(1, ITERATIONS + 1))
    assert {"train/loss", "train/grad_norm", "train/advantage_rms"} <= iterations[-1].keys()
    # Objectives that reward a unique best completion only may find none in an iteration, not in all of them.
    assert any(r["train/advantage_rms"] > 0 for r in iterations)
    assert all((r["train/grad_norm"] > 0) == (r["train/advantage_rms"] > 0) for r in iterations)
    before, after = (load_file(folder / "model.safetensors") for folder in (policy, run / "policy"))
    assert before.keys() == after.keys()
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in after.items())
    return iterations


@pytest.fixture(scope="module")
def objective_runs(random_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where the run of each objective lies; all of them are made here, in two processes."""
    folders = {}
    for choice in ("drop_equal_rewards", "none"):
        chosen = [name for name in OBJECTIVES if wants_no_filter(name) == (choice == "none")]
        folders |= dict.fromkeys(chosen, folder := tmp_path_factory.mktemp(choice) / "sweep")
        sweep(folder, random_policy, f"objective={','.join(chosen)}", f"filter={choice}")
    return lambda name: folders[name] / f"constant_{name}"


def test_the_objectives_that_learn_from_equal_rewards_are_known() -> None:
    unfiltered = {name for name in OBJECTIVES if wants_no_filter(name)}
    assert {"reinforce", "unlikeliness", "w_reinforce", "psr", "nsr", "ngrpo", "darling"} <= unfiltered
    assert unfiltered.isdisjoint({"grpo", "rs_grpo", "rloo", "maxpo", "maxrl"})


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_trains(objective: str, objective_runs: Callable[[str], Path], random_policy: Path) -> None:
    run = objective_runs(objective)
    iterations = check_run(run, random_policy)
    assert yaml.safe_load((run / "config.yaml").read_text())["batching"]["completions_per_prompt"] == 8
    with_k = ("pkpo", "mahdavi", "chen", "rspo", "maxpo")
    defaults = {"rs_grpo": {"train/beta": 2.0}, "boundary_gate": {"train/k": 16.0}}
    defaults |= {name: {"train/k": 4.0} for name in with_k}
    for record in iterations:
        shown = {key: value for key, value in record.items() if key.startswith(("train/beta", "train/k"))}
        assert shown == defaults.get(objective, {})


OBJECTIVE_OF = {"beta": "rs_grpo", "k": "maxpo"}
OWN = {"beta": 2.0, "k": 4.0}
"""Of the two yamls."""

CHANGED = {
    "linear": ("schedule.start=6", "schedule.decay=2"),
    "cosine": ("schedule.start=6", "schedule.decay=2"),
    "switch": ("schedule.hold=1",),
    "adaptive": ("schedule.hardest=6",),
}
"""Settings under which the value moves within three iterations."""

LOGGED = {
    "constant": {"beta": [2.0, 2.0, 2.0], "k": [4.0, 4.0, 4.0]},
    "linear": {"beta": [6.0, 4.0, 2.0], "k": [6.0, 5.0, 4.0]},
    "cosine": {"beta": [6.0, 4.0, 2.0], "k": [6.0, 5.0, 4.0]},  # half-way it meets the straight line
    "switch": {"beta": [2.0, 0.0, 0.0], "k": [4.0, 1.0, 1.0]},
}


def expected_betas(curve: str, accuracies: list[float]) -> list[float]:
    """What each prompt's beta is between 2 and 6, or its k between 4 and 6 before rounding, for the curves by hand."""
    return {
        "linear": [2 + 4 * (1 - a) for a in accuracies],
        "power": [2 + 4 * (1 - a) ** 2 for a in accuracies],
        "peak": [min(6.0, max(2.0, 2 * math.log((1 - a) / a) if a > 0 else 6.0)) if a < 1 else 2.0 for a in accuracies],
    }[curve]


@pytest.fixture(scope="module")
def schedule_runs(random_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Where the runs of a schedule with both objectives, or of a curve with one, lie: made when first asked for."""
    made: dict[tuple[str, ...], Path] = {}

    def run(schedule: str, objective: str, *overrides: str) -> Path:
        objectives = objective if overrides else ",".join(OBJECTIVE_OF.values())
        key = (schedule, objectives, *overrides)
        if key not in made:
            made[key] = tmp_path_factory.mktemp(schedule) / "sweep"
            settings = (*CHANGED.get(schedule, ()), *overrides)
            sweep(made[key], random_policy, f"schedule={schedule}", f"objective={objectives}", *settings)
        return made[key] / f"{schedule}_{objective}"

    return run


@pytest.mark.parametrize("field", OBJECTIVE_OF)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_trains(
    schedule: str, field: str, schedule_runs: Callable[..., Path], random_policy: Path
) -> None:
    run = schedule_runs(schedule, OBJECTIVE_OF[field])
    iterations = check_run(run, random_policy)
    if schedule in LOGGED:
        assert [r[f"train/{field}"] for r in iterations] == LOGGED[schedule][field]
        assert not any(f"train/{field}_min" in r for r in iterations)
        return
    # Nobody is visited twice here, so that everybody has the prior of 1/2: beta = 2 + 4/2, k = 4 + 2/2.
    assert [r[f"train/{field}"] for r in iterations] == [{"beta": 4.0, "k": 5.0}[field]] * ITERATIONS


@pytest.mark.parametrize("curve", ["linear", "power", "peak"])
def test_every_curve_trains(curve: str, schedule_runs: Callable[..., Path], random_policy: Path) -> None:
    # source=group: each prompt's own accuracy now, so that prompts differ in the first iteration already.
    overrides = (f"schedule.curve={curve}", "schedule.gamma=2", "schedule.source=group")
    run = schedule_runs("adaptive", "rs_grpo", *overrides)
    visits = records(run / "prompts.jsonl")
    for record in check_run(run, random_policy):
        kept = [v for v in visits if v["iteration"] == record["iteration"] and v["dropped"] is None]
        expected = expected_betas(curve, [v["correct"] / v["n"] for v in kept])
        check_range(record, "beta", expected)
        assert min(expected) < max(expected)


def test_the_kl_curve_trains(schedule_runs: Callable[..., Path], random_policy: Path) -> None:
    run = schedule_runs("adaptive", "rs_grpo", "schedule.curve=kl", "schedule.kl=0.5", "schedule.source=group")
    visits = records(run / "prompts.jsonl")
    for record in check_run(run, random_policy):
        kept = [v for v in visits if v["iteration"] == record["iteration"] and v["dropped"] is None]
        check_range(record, "beta", [beta_of_half_a_nat(v["correct"] / v["n"]) for v in kept])


@pytest.mark.parametrize("curve", ["linear", "power"])
def test_every_curve_of_k_trains(curve: str, schedule_runs: Callable[..., Path], random_policy: Path) -> None:
    run = schedule_runs("adaptive", "maxpo", f"schedule.curve={curve}", "schedule.gamma=2", "schedule.source=group")
    visits = records(run / "prompts.jsonl")
    for record in check_run(run, random_policy):
        kept = [v for v in visits if v["iteration"] == record["iteration"] and v["dropped"] is None]
        exponent = {"linear": 1, "power": 2}[curve]
        check_range(record, "k", [float(round(4 + 2 * (1 - v["correct"] / v["n"]) ** exponent)) for v in kept])


def check_range(record: dict[str, Any], field: str, expected: list[float]) -> None:
    assert record[f"train/{field}"] == pytest.approx(sum(expected) / len(expected), rel=1e-6)
    assert record[f"train/{field}_min"] == pytest.approx(min(expected), rel=1e-6)
    assert record[f"train/{field}_max"] == pytest.approx(max(expected), rel=1e-6)


def beta_of_half_a_nat(accuracy: float) -> float:
    """By bisection: the beta between 2 and 6 that tilts a group of this accuracy by half a nat; 6 if that takes more.

    2, the objective's own, where half a nat is out of any beta's reach: a group tilts by log(1/accuracy) at most.
    """

    def kl(beta: float) -> float:
        q = accuracy * math.exp(beta) / (accuracy * math.exp(beta) + 1 - accuracy)
        return q * math.log(q / accuracy) + (1 - q) * math.log((1 - q) / (1 - accuracy))

    low, high = 2.0, 6.0
    if -0.95 * math.log(accuracy) < 0.5:
        return low
    if kl(high) <= 0.5 or kl(low) >= 0.5:
        return high if kl(high) <= 0.5 else low
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if kl(middle) < 0.5 else (low, middle)
    return low
