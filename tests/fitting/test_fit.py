"""The library without Hydra: docs/library.md does what it says, and trains as the command line does."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import lightning
import pytest
from hydra import compose, initialize_config_dir

import rsgrpo
from rsgrpo.composition.asking import build_source
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.errors import UserError
from rsgrpo.models.policy import Policy
from rsgrpo.run_folder import checkpoints
from rsgrpo.types import StepReport
from tests.runs import ROOT, SETTINGS, RunPy, records

PAGE = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")


def python(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = "1"  # threads of so small a model, on cores that others use, only wait
    return subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True)


def test_the_program_of_the_page_runs_in_a_folder_of_the_users_and_goes_on(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n# my_run\.py\n(.*?)```", PAGE, re.DOTALL)
    (goes_on,) = re.findall(r"```python\n(from dataclasses .*?)```", PAGE, re.DOTALL)
    so_far = "import os; print(os.listdir())"
    done = python(f"{program}\n{so_far}\n{goes_on}", tmp_path)
    assert done.returncode == 0, done.stderr
    rewards, solved, kept = done.stdout.splitlines()
    assert len(rewards.split(",")) == 3
    assert re.fullmatch(r"\{'pass@1': 0\.\d+, 'pass@4': 0\.\d+, 'pass@32': [01]\.\d+\}", solved)
    assert kept == "[]", "nothing is kept that was not asked for"
    assert [record["iteration"] for record in records(tmp_path / "fitted/metrics.jsonl")] == [1, 2, 3, 4, 5, 6]
    assert [path.name for path in checkpoints(tmp_path / "fitted")] == ["iteration_000003", "iteration_000006"]


@pytest.mark.slow
def test_the_other_parts_of_the_page_train(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n# my_run\.py\n(.*?)```", PAGE, re.DOTALL)
    (parts,) = re.findall(r"```python\n# other parts\n(.*?)```", PAGE, re.DOTALL)
    goes_on = "print(sorted(rsgrpo.fit(policy, replace(recipe, iterations=1), problems.split('train'))[0]))"
    done = python(f"{program}\n{parts}\n{goes_on}", tmp_path)
    assert done.returncode == 0, done.stderr
    logged = set(ast.literal_eval(done.stdout.splitlines()[-1]))
    assert {"train/kl", "train/correction_weight", "train/entropy_advantage"} <= logged


def test_objectives_load_no_trainer_and_no_configuration(tmp_path: Path) -> None:
    heavy = ("lightning", "transformers", "hydra", "omegaconf", "datasets", "rich")
    program = (
        "import pkgutil, sys, importlib, rsgrpo.objectives as o\n"
        "names = [m.name for m in pkgutil.iter_modules(o.__path__)]\n"
        "[importlib.import_module(f'rsgrpo.objectives.{name}') for name in names]\n"
        f"print(len(names), sorted(set({heavy}) & set(sys.modules)))"
    )
    done = python(program, tmp_path)
    count, loaded = done.stdout.split(maxsplit=1)
    assert int(count) >= 17
    assert loaded.strip() == "[]"


def longest(report: StepReport) -> dict[str, float]:
    return {"longest": max(max(outcome.lengths) for outcome in report.outcomes)}


@pytest.mark.filterwarnings("ignore")  # Lightning's, of so short a run
def test_a_run_from_python_is_the_run_of_the_command_line(run_py: RunPy, random_policy: Path, tmp_path: Path) -> None:
    small = ("iterations=2", "eval.every=100", "data.levels=[2]")
    settings = [*(s for s in SETTINGS if s.split("=")[0] not in {w.split("=")[0] for w in small}), *small]
    typed = [r for r in records(run_py(tmp_path / "typed", *small) / "metrics.jsonl") if "train/loss" in r]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", [*settings, f"model.path={random_policy}"])
    recipe, policy = build_recipe(cfg), Policy.from_pretrained(random_policy)
    folder = tmp_path / "fitted"
    fitted = rsgrpo.fit(
        policy,
        recipe,
        build_source(cfg).split("train"),
        metrics={"longest": longest},
        folder=folder,
        accelerator="cpu",
    )
    timeless = [name for name in typed[0] if not name.startswith("time/") and name != "iteration"]
    assert len(timeless) > 15
    for ours, theirs in zip(fitted, typed, strict=True):
        # Gaps between trainer and sampler are differences of equal numbers: nothing but their rounding.
        assert {name: ours[name] for name in timeless} == pytest.approx(
            {name: theirs[name] for name in timeless}, rel=1e-4, abs=1e-6
        )
        assert ours["train/longest"] >= ours["train/completion_tokens_mean"]
    assert [record["iteration"] for record in records(folder / "metrics.jsonl")] == [1, 2]


class Stops(lightning.Callback):
    """Sees the results of a validation."""

    def __init__(self) -> None:
        self.splits: list[str] = []

    def on_evaluated(self, split: str, iteration: int, place: int, scored: object) -> None:
        self.splits.append(f"{split} {iteration} {place}")


@pytest.mark.filterwarnings("ignore")
def test_a_callback_sees_the_completions_of_a_validation(random_policy: Path) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", [*SETTINGS, f"model.path={random_policy}", "iterations=2"])
    source, seen = build_source(cfg), Stops()
    problems = source.split("validation")[:3]
    rsgrpo.fit(
        Policy.from_pretrained(random_policy),
        build_recipe(cfg),
        source.split("train"),
        validation=problems,
        callbacks=[seen],
        accelerator="cpu",
    )
    assert sorted(seen.splits) == ["validation 2 0", "validation 2 1", "validation 2 2"]


def test_a_mistake_from_python_is_one_sentence(random_policy: Path, tmp_path: Path) -> None:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("config", [*SETTINGS, f"model.path={random_policy}"])
    recipe, policy = build_recipe(cfg), Policy.from_pretrained(random_policy)
    problems = build_source(cfg).split("train")[:2]
    with pytest.raises(UserError, match="train holds no problem"):
        rsgrpo.fit(policy, recipe, [])
    (tmp_path / "metrics.jsonl").touch()
    with pytest.raises(UserError, match="holds another run; name a new folder, or go on with it: resume="):
        rsgrpo.fit(policy, recipe, problems, folder=tmp_path)
    with pytest.raises(UserError, match=r"k=\[1, 4, 32\], completions=4: .* got 2 problems"):
        rsgrpo.evaluate(policy, recipe.reward, problems, recipe.sampling, completions=4)
