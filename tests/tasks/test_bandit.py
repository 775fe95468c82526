"""`python run.py task=bandit` and `task=lemmas` as a user runs them, with few pulls, in a folder of the user's."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from rsgrpo import run_folder
from tests.tasks.test_audit import figures, files_of, run_py

FEW = ("bandit.pulls=4000", "bandit.window=1600")
TWO = (*FEW, "bandit.stream.seeds=2")
BASIC = figures("figure_1", "figure_3", "entropy") | {
    f"{run_folder.FIGURES}/policy.gif",
    run_folder.BANDIT,
    run_folder.CONFIG,
}


def played(folder: Path, *words: str, task: str = "bandit") -> tuple[Path, dict[str, Any], str]:
    """(run folder, its record, what was printed) of a run that works and leaves one run folder in `folder`."""
    done = run_py(folder, f"task={task}", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in folder.iterdir()] == ["outputs"]
    (run,) = (folder / "outputs").iterdir()
    assert f"run folder: {run}" in done.stdout
    return run, json.loads((run / f"{task}.json").read_text()), done.stdout


def refused(folder: Path, *words: str, task: str = "bandit") -> str:
    """The one line that a run with a mistake ends in; it leaves nothing."""
    done = run_py(folder, f"task={task}", *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert list(folder.rglob("*.json")) == []
    (line,) = done.stderr.strip().splitlines()
    return line


def values_of(content: dict[str, Any]) -> dict[str, list[float | None]]:
    return {entry["name"]: [run["value"] for run in entry["runs"]] for entry in content["played"]}


def test_the_default_plays_rs_grpo_at_several_values(tmp_path: Path) -> None:
    run, content, printed = played(tmp_path, *TWO)
    assert values_of(content) == {"rs_grpo": [0, 2, 4, 8]}
    assert (content["pulls"], content["window"], content["seeds"], content["refused"]) == (4000, 1600, 2, {})
    (entry,) = content["played"]
    for one in entry["runs"]:
        assert len(one["final_reward"]) == len(one["final_entropy"]) == 2
        assert one["final_reward"][0] != one["final_reward"][1]
        assert list(one["crossings"]) == ["0.5", "0.7", "0.9"]
        assert len(one["reward"]) == 3
        assert {len(curve) for curve in (*one["reward"], *one["entropy"], one["policies"])} == {len(entry["pulls"])}
        low, median, high = one["reward"]
        assert all(a <= b <= c for a, b, c in zip(low, median, high, strict=True))
        assert all(sum(policy) == pytest.approx(1, abs=1e-4) for policy in one["policies"])
    # The larger beta is, the more spread the policy stays.
    entropies = [sum(one["final_entropy"]) for one in entry["runs"]]
    assert entropies == sorted(entropies)
    assert len([line for line in printed.splitlines() if line.startswith(" rs_grpo ")]) == 4
    assert files_of(run) == BASIC | figures("escape")
    assert OmegaConf.load(run / run_folder.CONFIG).bandit.pulls == 4000


def test_a_beta_of_ones_own_is_played_alone(tmp_path: Path) -> None:
    run, content, _ = played(tmp_path, *TWO, "objective=rs_grpo", "objective.beta=64")
    assert values_of(content) == {"rs_grpo": [None]}
    assert OmegaConf.load(run / run_folder.CONFIG).objective.beta == 64
    assert files_of(run) == BASIC


def test_two_arms_go_where_the_flow_goes(tmp_path: Path) -> None:
    run, content, _ = played(tmp_path, "bandit=two_arms", "bandit.stream.seeds=20", "bandit.values=[0,8]")
    (entry,) = content["played"]
    for one in entry["runs"]:
        assert one["flow"] == sorted(one["flow"]), "it only rises"
        assert max(abs(a - b) for a, b in zip(one["reward"][1], one["flow"], strict=True)) < 0.12
    early, late = (run["flow"] for run in entry["runs"])
    assert early[-1] > late[-1], "a small beta ends higher"
    assert files_of(run) == BASIC | figures("escape", "flow")


def test_a_k_is_followed_like_a_beta(tmp_path: Path) -> None:
    few = ("bandit.stream.seeds=20", "bandit.values=[2,8]")
    _, content, _ = played(tmp_path, "bandit=two_arms", "objective=maxpo", *few)
    for one in content["played"][0]["runs"]:
        assert max(abs(a - b) for a, b in zip(one["reward"][1], one["flow"], strict=True)) < 0.12


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("bandit.optimizer._target_=torch.optim.Adam",), id="adam", marks=pytest.mark.slow),
        pytest.param(("+bandit.optimizer.momentum=0.9",), id="momentum", marks=pytest.mark.slow),
        pytest.param(("bandit.landscape.noise=0.1",), id="noise"),
        pytest.param(("bandit.gradient=exact",), id="exact", marks=pytest.mark.slow),
        pytest.param(
            ("schedule=linear", "schedule.start=4", "bandit.values=null"), id="schedule", marks=pytest.mark.slow
        ),
    ],
)
def test_where_the_flow_says_nothing_there_is_none(words: tuple[str, ...], tmp_path: Path) -> None:
    short = ("bandit=two_arms", "bandit.stream.seeds=2", "bandit.values=[2]", "bandit.pulls=1600", *words)
    _, content, _ = played(tmp_path, *short)
    assert "flow" not in content["played"][0]["runs"][0]


def test_every_objective_or_why_not(tmp_path: Path) -> None:
    run, content, printed = played(tmp_path, *TWO, "bandit=objectives")
    assert set(content["refused"]) == {"mahdavi", "nsr", "psr", "w_reinforce", "boundary_gate"}
    for name, reason in content["refused"].items():
        assert "0 and 1" in reason
        assert f"not played: {name}: {reason}" in printed
    values = values_of(content)
    assert {"grpo", "rs_grpo", "rs_grpo beta=8", "rs_grpo beta=8 estimator=vimco", "pkpo estimator=s_loo"} <= set(
        values
    )
    assert all(value == [None] for value in values.values())
    assert files_of(run) == figures("objectives") | {run_folder.BANDIT, run_folder.CONFIG}


def test_the_lemmas(tmp_path: Path) -> None:
    run, content, printed = played(tmp_path, "task.bandits=50", "task.points=60", task="lemmas")
    assert [(check["optimal_arms"], check["learning_rate"]) for check in content["checks"]] == [
        (optimal, rate) for optimal in (1, 3) for rate in (0.01, 0.1, 1, 100)
    ]
    for check in content["checks"]:
        assert check["lowered_when_misled"] == check["raised_above_sufficient"] == check["shrinks_in_the_end"] == 50
        assert 0 < check["lowered_at_random"] < 50
    assert printed.count("50/50") == 3 * 8
    assert files_of(run) == figures("lemmas") | {run_folder.LEMMAS, run_folder.CONFIG}


def test_mistakes_name_their_key(tmp_path: Path) -> None:
    line = refused(tmp_path, *TWO, "objective=pkpo", "objective.k=20")
    assert "objective.k=20 is too large" in line
    assert "try objective.k=16" in line
    line = refused(tmp_path, "bandit.pulls=4000", "bandit.window=5000")
    assert "bandit.window=5000 must be a multiple of batch=16, at most pulls; try bandit.window=4000" in line


@pytest.mark.slow
def test_other_mistakes_name_their_key(tmp_path: Path) -> None:
    line = refused(tmp_path, *TWO, "objective=grpo", "bandit.values=[1,2]")
    assert "GRPO has no beta and no k; use bandit.values=null" in line
    line = refused(tmp_path, "task.arms=4", task="lemmas")
    assert "task.arms=4 leaves fewer than two other arms" in line
    line = refused(tmp_path, *TWO, "bandit.landscape.peaks=[[1,2,3]]")
    assert "bandit.landscape.peaks=[[1, 2, 3]] must be pairs of position and height" in line


@pytest.mark.slow
def test_an_objective_without_beta(tmp_path: Path) -> None:
    run, content, _ = played(tmp_path, *TWO, "objective=grpo")
    assert values_of(content) == {"grpo": [None]}
    assert files_of(run) == BASIC


@pytest.mark.slow
def test_the_official_stream(tmp_path: Path) -> None:
    _, content, _ = played(tmp_path, *FEW, "bandit=official")
    assert content["seeds"] == 1
    assert values_of(content) == {"rs_grpo": [0, 2, 4, 8, 16, 32, 64]}


@pytest.mark.slow
def test_a_schedule_changes_what_is_played_and_by_default_lasts_all_250_updates(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("constant", "linear", "default")]
    for folder in folders:
        folder.mkdir()
    words = (*TWO, "objective.beta=0")
    _, constant, _ = played(folders[0], *words)
    _, linear, _ = played(folders[1], *words, "schedule=linear", "schedule.start=32", "schedule.decay=249")
    _, default, _ = played(folders[2], *words, "schedule=linear", "schedule.start=32")
    assert default == linear
    (still,), (moving,) = (content["played"][0]["runs"] for content in (constant, linear))
    # With a large beta at first, the policy has collapsed less.
    assert min(moving["final_entropy"]) > max(still["final_entropy"])


@pytest.mark.slow
def test_the_exact_gradient(tmp_path: Path) -> None:
    words = ("bandit.pulls=1600", "bandit.window=160", "bandit.gradient=exact", "bandit.stream.seeds=1")
    _, content, _ = played(tmp_path, *words)
    policies = content["played"][0]["runs"][0]["policies"]
    reward = content["landscape"]["reward"]
    expected = [sum(p * r for p, r in zip(policy, reward, strict=True)) for policy in policies]
    assert expected[0] == pytest.approx(0.3745, abs=1e-4)
    # To the six decimals that are kept.
    assert all(b > a - 1e-5 for a, b in itertools.pairwise(expected))
    assert expected[-1] > expected[0] + 0.005
