"""What a run folder says of the code that ran, from git checkouts made here."""

import os
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from rsgrpo.run_folder import provenance
from rsgrpo.run_folder.provenance import DIFF_BYTES, source


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "core.hooksPath=/dev/null")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return subprocess.run(
        ["git", *who, *words], cwd=folder, env=clean, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a checkout with one commit."""
    package = tmp_path / "checkout" / "src" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("a = 1\n")
    git(tmp_path / "checkout", "init", "--quiet")
    git(tmp_path / "checkout", "add", ".")
    git(tmp_path / "checkout", "commit", "--quiet", "--message", "first")
    return package


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_a_clean_checkout_is_its_commit(package: Path, run: Path) -> None:
    (run / "source.diff").write_text("of an earlier process")
    assert source(run, package) == {"commit": git(package, "rev-parse", "HEAD"), "dirty": False}
    assert list(run.iterdir()) == []


def test_the_diff_brings_the_commit_to_the_code_that_ran(package: Path, run: Path, tmp_path: Path) -> None:
    """Files that git does not know are in it, and those that it is told to ignore are not."""
    (package / "__init__.py").write_text("a = 2\n")
    (package / "new file.py").write_text("b = 3\n")
    (package / "staged.py").write_text("c = 4\n")
    git(package, "add", "staged.py")
    (package / "notes.txt").write_text("a large file of data, perhaps\n")
    before = git(package, "status", "--porcelain")
    said = source(run, package)
    commit = git(package, "rev-parse", "HEAD")
    assert said == {"commit": commit, "dirty": True}
    assert git(package, "status", "--porcelain") == before
    git(tmp_path, "clone", "--quiet", "checkout", "again")
    git(tmp_path / "again", "checkout", "--quiet", commit)
    git(tmp_path / "again", "apply", str(run / "source.diff"))
    made = {file.name: file.read_text() for file in (tmp_path / "again/src/package").iterdir()}
    assert made == {"__init__.py": "a = 2\n", "new file.py": "b = 3\n", "staged.py": "c = 4\n"}


def test_a_long_diff_is_cut_and_says_so(package: Path, run: Path) -> None:
    (package / "long.py").write_text("# a line\n" * (DIFF_BYTES // 8))
    said = source(run, package)
    assert said is not None
    assert (said["dirty"], said["cut"]) == (True, True)
    diff = (run / "source.diff").read_bytes()
    assert DIFF_BYTES - 100 < len(diff) <= DIFF_BYTES
    assert diff.splitlines()[-2:] == [b"+# a line", diff.splitlines()[-1]]
    assert b"cut here" in diff.splitlines()[-1]


def test_a_package_that_is_installed_in_the_checkout_of_something_else_has_no_commit(package: Path, run: Path) -> None:
    installed = package.parents[1] / ".venv" / "lib" / "rsgrpo"
    installed.mkdir(parents=True)
    (installed / "__init__.py").touch()
    assert source(run, installed) is None


def test_a_package_outside_any_checkout_has_no_commit(run: Path, tmp_path: Path) -> None:
    assert source(run, tmp_path / "lib" / "rsgrpo") is None


def test_what_git_refuses_to_say_is_told(package: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package.parents[1] / ".git" / "HEAD").write_text("nothing\n")
    said = source(run, package)
    assert said is not None
    assert "repository" in said["problem"]
    monkeypatch.setenv("PATH", "/nowhere")
    assert source(run, package) == {"problem": "git is not installed"}


def test_variables_of_a_git_hook_do_not_lead_elsewhere(
    package: Path, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert source(run, package) == {"commit": git(package, "rev-parse", "HEAD"), "dirty": False}


def test_a_process_says_its_command_its_packages_and_its_machine(run: Path) -> None:
    said = provenance.provenance(run)
    assert shlex.split(said["command"]) == sys.orig_argv
    assert said["directory"] == os.getcwd()
    assert said["versions"]["hydra-core"] == version("hydra-core")
    assert said["machine"]["threads"] == torch.get_num_threads()
    assert said["machine"]["cpus"] == len(os.sched_getaffinity(0))
    assert said["machine"]["processor"]


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package"))
    assert provenance.versions() == {"torch": version("torch")}
