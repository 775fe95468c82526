"""The wheel holds the whole package, and brings the command `rsgrpo`, which needs no repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rsgrpo import run_folder

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "src" / "rsgrpo"
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE", "src", "conf", "callbacks", "docs/results")
SMOKE = ("experiment=smoke", "iterations=1")
TWO_RANKS = ("trainer=fsdp2", "trainer.devices=2")


@pytest.mark.parametrize("name", ["conf", "callbacks", "docs/results"])
def test_a_folder_at_the_top_is_linked_into_the_package(name: str) -> None:
    link = LIBRARY / Path(name).name
    assert link.is_symlink()
    assert link.resolve() == (ROOT / name).resolve()


def pip(*words: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    finished = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, where no file of an older build can get into it."""
    copy = tmp_path_factory.mktemp("copy")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            leave = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=leave)
        else:
            shutil.copy(ROOT / name, copy / name)
    pip("wheel", ".", "--no-deps", "--no-index", "--no-build-isolation", "-w", "dist", cwd=copy)
    (built,) = (copy / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the wheel installed in it."""
    folder = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--no-index", "--target", str(folder), str(wheel), cwd=folder)
    return folder


def started(site: Path, here: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the folder `here`, with the installed package before that of the repository."""
    environment = os.environ | {"PYTHONPATH": str(site), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, timeout=300)


def rsgrpo(site: Path, here: Path, *words: str) -> str:
    """What `rsgrpo` prints, started in the folder `here`."""
    finished = started(site, here, str(site / "bin" / "rsgrpo"), *words)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def files_of_the_package() -> set[str]:
    """Of the committed results, the records alone: the page and its pictures are for the reader of the repository."""
    walk = os.walk(LIBRARY, followlinks=True)
    found = (Path(folder) / name for folder, _, names in walk for name in names)
    results = LIBRARY / "results"
    return {
        file.relative_to(LIBRARY.parent).as_posix()
        for file in found
        if "__pycache__" not in file.parts and (results not in file.parents or file.suffix in (".json", ".jsonl"))
    }


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == files_of_the_package()
    assert names >= {
        "rsgrpo/py.typed",
        "rsgrpo/conf/config.yaml",
        "rsgrpo/conf/experiment/paper/qwen3_4b.yaml",
        "rsgrpo/callbacks/checkpoint.py",
        "rsgrpo/bases/countdown-0/model.safetensors",
        "rsgrpo/results/countdown.jsonl",
    }


@pytest.mark.slow
def test_the_installed_package_is_the_one_that_is_run(site: Path, tmp_path: Path) -> None:
    said = started(site, tmp_path, sys.executable, "-c", "import rsgrpo; print(rsgrpo.__file__)").stdout
    assert Path(said.strip()) == site / "rsgrpo" / "__init__.py"
    assert f"file://{site}/rsgrpo/conf" in rsgrpo(site, tmp_path, "--info", "searchpath")


@pytest.mark.slow
def test_a_run_and_its_resumption_in_a_folder_of_the_users(site: Path, tmp_path: Path) -> None:
    rsgrpo(site, tmp_path, *SMOKE)
    (run,) = (tmp_path / "outputs").iterdir()
    rsgrpo(site, tmp_path, f"ckpt=outputs/{run.name}", "iterations=2")
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]
    assert list((tmp_path / "outputs").iterdir()) == [run]
    assert run_folder.iteration_of(run_folder.checkpoints(run)[-1]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("module", [False, True], ids=["rsgrpo", "python -m rsgrpo"])
def test_a_second_rank_is_started_as_the_first_was(site: Path, tmp_path: Path, module: bool) -> None:
    program = [sys.executable, "-m", "rsgrpo"] if module else [str(site / "bin" / "rsgrpo")]
    finished = started(site, tmp_path, *program, *SMOKE, *TWO_RANKS, f"hydra.run.dir={tmp_path}/run")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert run_folder.iteration_of(run_folder.checkpoints(tmp_path / "run")[-1]) == 1


@pytest.mark.slow
def test_help_a_sweep_and_a_mistake(site: Path, tmp_path: Path) -> None:
    assert "objective: best_of_n, boundary_gate, chen" in rsgrpo(site, tmp_path, "--help")
    said = rsgrpo(site, tmp_path, "-m", "task=explain", "task.key=seed", "seed=3,4")
    assert [line.split()[:2] for line in said.splitlines()] == [["seed", "3"], ["seed", "4"]]
    refused = started(site, tmp_path, str(site / "bin" / "rsgrpo"), "objective.betta=4")
    assert refused.returncode == 2
    assert "objective.betta" in refused.stderr
    assert list(tmp_path.iterdir()) == []
