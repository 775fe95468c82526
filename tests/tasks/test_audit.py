"""`python run.py task=audit` as a user runs it, in a folder of the user's; a class of one's own, trained as well."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from rsgrpo import run_folder
from tests.processes import ROOT, python
from tests.runs import SETTINGS, records

OWN = """\
from dataclasses import dataclass

from rsgrpo.objectives.base import Objective


@dataclass(frozen=True, kw_only=True)
class Centred(Objective):
    tau: float = 1.0

    def advantages(self, rewards, context):
        return (rewards - rewards.mean(dim=1, keepdim=True)) / self.tau
"""
"""A whole file of the user's. Its weight is (N-1)/N / tau at every accuracy."""

NAMED = ("objective=custom", "objective._target_=my_objective.Centred", "+objective.tau=0.5")
CHOICES = sorted(file.stem for file in (ROOT / "conf" / "objective").glob("*.yaml") if file.stem != "custom")


def run_py(folder: Path, *words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python run.py` in `folder`, with `path` on PYTHONPATH."""
    variables = {"COLUMNS": "200", "PYTHONPATH": "" if path is None else str(path)}
    return python(str(ROOT / "run.py"), *words, cwd=folder, variables=variables)


def audited(folder: Path, *words: str, path: Path | None = None) -> tuple[Path, dict[str, Any], str]:
    """(run folder, audit.json, what was printed) of an audit that works and leaves one run folder in `folder`."""
    done = run_py(folder, *words, "task=audit", path=path)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (folder / "outputs").iterdir()
    return run, json.loads((run / run_folder.AUDIT).read_text()), done.stdout


def files_of(run: Path) -> set[str]:
    return {file.relative_to(run).as_posix() for file in run.rglob("*") if file.is_file()}


def figures(*names: str) -> set[str]:
    return {f"{run_folder.FIGURES}/{name}.{suffix}" for name in names for suffix in ("png", "svg")}


def rows_of(printed: str) -> dict[str, str]:
    """The lines of the table by their first words: an objective's name and its settings."""
    rows = re.findall(r"^ (\S+(?: \w+=\S+)*)  +((?:yes|no|0/1 only|no claim) .*)$", printed, re.MULTILINE)
    return dict(rows)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder outside the repository with a class of the user's, and a yaml for it."""
    folder = tmp_path / "own"
    (folder / "conf" / "objective").mkdir(parents=True)
    (folder / "my_objective.py").write_text(OWN)
    (folder / "conf" / "objective" / "centred.yaml").write_text("_target_: my_objective.Centred\ntau: 0.5\n")
    return folder


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """An empty folder to run in."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


# One objective


def test_one_objective_is_audited_in_a_folder_of_its_name(here: Path) -> None:
    run, content, printed = audited(here, "objective=rs_grpo", "objective.beta=8")
    assert run.name.endswith("_audit_rs_grpo_beta8")
    (entry,) = content["audits"]
    assert (entry["name"], entry["settings"]["beta"], content["refused"]) == ("rs_grpo", 8, {})
    assert entry["at"]["0.05"]["scale"] == pytest.approx(0.538, abs=1e-3)
    assert list(rows_of(printed)) == ["rs_grpo"]
    assert "0.538" in rows_of(printed)["rs_grpo"]
    assert files_of(run) == figures("advantages", "weight", "flow") | {run_folder.AUDIT, run_folder.CONFIG}
    assert OmegaConf.load(run / run_folder.CONFIG).objective.beta == 8
    # Only the run folder is new, and it says where it is.
    assert [path.name for path in here.iterdir()] == ["outputs"]
    assert f"run folder: {run}" in printed


def test_a_class_of_ones_own_needs_no_more_than_its_file(own: Path, here: Path) -> None:
    assert len(OWN.splitlines()) <= 12
    run, content, printed = audited(here, *NAMED, path=own)
    (entry,) = content["audits"]
    assert (entry["name"], entry["settings"]) == ("Centred", {"tau": 0.5})
    # A = 2 (r - mean): 2 x 15/16 at every accuracy, and no claim to hold it against.
    assert [at["weight"] for at in entry["at"].values()] == pytest.approx([1.875] * 4)
    assert rows_of(printed)["Centred"].startswith("no claim")
    assert files_of(run) >= figures("advantages", "weight")


def test_a_yaml_of_ones_own_is_a_choice_like_any_other(own: Path, here: Path) -> None:
    _, content, printed = audited(
        here, "--config-dir", str(own / "conf"), "objective=centred", "objective.tau=0.25", path=own
    )
    (entry,) = content["audits"]
    assert (entry["name"], entry["settings"]) == ("centred", {"tau": 0.25})
    assert entry["at"]["0.5"]["weight"] == pytest.approx(15 / 16 / 0.25)
    assert list(rows_of(printed)) == ["centred"]


# All objectives


@pytest.mark.slow
def test_every_objective_is_audited(here: Path) -> None:
    run, content, printed = audited(here)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_audit", run.name)
    settings = OmegaConf.load(ROOT / "conf" / "task" / "audit.yaml").settings
    names = [entry["name"] for entry in content["audits"]]
    assert sorted(names) == sorted([*CHOICES, *settings])
    assert content["refused"] == {}
    assert list(rows_of(printed)) == names
    assert [curve["beta"] for curve in content["figure_2"]] == [0, 1, 2, 4, 8]
    drawn = figures("figure_2", "figure_8", "table_1", "weights", "flow", "mass")
    assert files_of(run) == drawn | {run_folder.AUDIT, run_folder.CONFIG}
    assert [path.name for path in here.iterdir()] == ["outputs"]
    assert OmegaConf.load(run / run_folder.CONFIG).task.completions == 16


@pytest.mark.slow
def test_small_groups_and_a_yaml_of_ones_own_among_all(own: Path, here: Path) -> None:
    """At N = 4 and k = 4 leaving one out is impossible: said, and the rest goes on."""
    words = ("--config-dir", str(own / "conf"), "task.completions=4", 'task.settings=["pkpo estimator=s_loo"]')
    run, content, printed = audited(here, *words, path=own)
    assert "_audit_task.completions4_" in run.name
    names = [entry["name"] for entry in content["audits"]]
    assert set(content["refused"]) == {"chen", "maxpo", "pkpo estimator=s_loo"}
    assert sorted(names) == sorted({*CHOICES, "centred"} - set(content["refused"]))
    assert list(rows_of(printed)) == names
    for name in content["refused"]:
        (line,) = [line for line in printed.splitlines() if line.startswith(f"not audited: {name}: ")]
        assert "k=4 is too large" in line
    centred = next(entry for entry in content["audits"] if entry["name"] == "centred")
    assert centred["at"]["0.5"]["weight"] == pytest.approx(3 / 4 / 0.5)
    assert files_of(run) >= figures("figure_2", "figure_8", "table_1", "weights")


# Mistakes


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(
            ("objective=maxpo", "objective.k=16"),
            (r"objective\.k=16 is too large for maxpo", r"N = 16", r"try objective\.k=15"),
            id="k too large for the groups",
        ),
        pytest.param(
            ("objective=maxpo", "objective.k=16"),
            (r"larger task\.completions",),
            id="the size of groups by its key here",
        ),
        pytest.param(("task.completions=1",), (r"task\.completions=1", "try task.completions=16"), id="no group"),
        pytest.param(("task.completions=abc",), (r"task\.completions=abc", "whole number"), id="no number"),
        pytest.param(
            ("task.betas=[abc]", "task.completions=3", "task.settings=[]"),
            (r"task\.betas=", "list of numbers"),
            id="no beta",
        ),
        pytest.param(("objective=custom",), (r"objective\._target_ is not set",), id="no class named"),
        pytest.param(
            ('task.settings=["grpo betta=3"]',), (r"task\.settings: betta=3 is not a setting of grpo",), id="typo"
        ),
        pytest.param(("task.rivals=[grpo2]",), (r"task\.rivals: grpo2 is not an objective",), id="unknown rival"),
        pytest.param(('task.settings=["grpo2 beta=1"]',), (r"task\.settings: grpo2", "grpo"), id="unknown objective"),
        pytest.param(("objective.betta=1",), (r"objective\.betta", r"objective\.beta\b"), id="unknown key"),
        pytest.param(
            ("objective=custom", "objective._target_=nowhere.Nothing"),
            (r"objective\._target_=nowhere\.Nothing", "PYTHONPATH"),
            id="class that is not there",
        ),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(
    words: tuple[str, ...], says: tuple[str, ...], here: Path
) -> None:
    done = run_py(here, *words, "task=audit")
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said
    (error,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert [pattern for pattern in says if not re.search(pattern, error)] == []
    assert list(here.iterdir()) == []


# Training with a class of one's own


@pytest.mark.slow
@pytest.mark.parametrize("by_yaml", [False, True], ids=["named", "by its yaml"])
def test_a_class_of_ones_own_trains(by_yaml: bool, own: Path, here: Path, random_policy: Path) -> None:
    settings = [word for word in SETTINGS if not word.startswith("objective.")]
    mine = ("--config-dir", str(own / "conf"), "objective=centred") if by_yaml else NAMED
    (own / "tests").symlink_to(ROOT / "tests")  # the reward of these settings lies there
    done = run_py(here, *mine, *settings, f"model.path={random_policy}", "iterations=2", path=own)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = (here / "outputs").iterdir()
    trained = [record for record in records(run / run_folder.METRICS) if "train/reward_mean" in record]
    assert [record["iteration"] for record in trained] == [1, 2]
    assert OmegaConf.load(run / run_folder.CONFIG).objective == {"_target_": "my_objective.Centred", "tau": 0.5}
    assert (run / run_folder.POLICY / "config.json").is_file()


def test_a_kl_term_is_audited_beside_the_objective(tmp_path: Path) -> None:
    _, content, printed = audited(tmp_path, "objective=grpo", "+term/kl=k3", "task.completions=4")
    assert {(row["estimator"], row["place"]) for row in content["kl"]["estimators"]} == {
        (estimator, place) for estimator in ("k1", "k2", "k3") for place in ("loss", "reward")
    }
    lines = {tuple(line.split()[:2]): line.split()[2:] for line in printed.splitlines() if line.startswith(" k")}
    assert lines["k1", "loss"][:2] == ["1.00", "0"]
    assert lines["k2", "loss"][1:3] == ["1.00", "1.00"]
    assert lines["k1", "reward"][1:3] == ["1.00", "1.00"]
