"""What a GPU node has to have, on machines that have it and on others, played by files and variables."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from rsgrpo.doctor import node

ROOT = Path(__file__).parents[2]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)
    return folder


def program(folder: Path, name: str, says: str = "", status: int = 0) -> Path:
    """A program that prints `says` to both streams."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\necho '{says}' >&2\nexit {status}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("version", ["580.65.06", "580.159.04", "600.1"])
def test_a_driver_of_cuda_13_is_fine(programs: Path, version: str) -> None:
    program(programs, "nvidia-smi", version)
    check = node.driver()
    assert check.ok
    assert check.found == version


def test_an_older_driver_is_not(programs: Path) -> None:
    program(programs, "nvidia-smi", "575.57.08\n575.57.08")
    check = node.driver()
    assert not check.ok
    assert check.sentence().startswith("NVIDIA driver: found 575.57.08, needed 580 or newer; install")


@pytest.mark.parametrize(
    ("says", "status", "found"),
    [
        ("Failed to initialize NVML: Driver/library version mismatch", 18, "version mismatch"),
        ("", 0, "it says nothing"),
        ("[N/A]", 0, "[N/A]"),
        ("580.65.06", 9, "names no driver"),
    ],
)
def test_an_nvidia_smi_without_an_answer(programs: Path, says: str, status: int, found: str) -> None:
    program(programs, "nvidia-smi", says, status)
    check = node.driver()
    assert not check.ok
    assert found in check.found


def test_an_nvidia_smi_that_cannot_be_started_or_is_not_there(programs: Path) -> None:
    assert not node.driver().ok
    path = program(programs, "nvidia-smi")
    path.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    check = node.driver()
    assert not check.ok
    assert "FileNotFoundError" in check.found


@pytest.mark.parametrize(
    ("library", "ok"),
    [
        (("glibc", "2.31"), True),
        (("glibc", "2.39"), True),
        (("glibc", "3.0"), True),
        (("glibc", "2.28"), False),
        (("glibc", "2.4"), False),
        (("musl", "1.2.5"), False),
        (("", ""), False),
    ],
)
def test_the_c_library(monkeypatch: pytest.MonkeyPatch, library: tuple[str, str], ok: bool) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: library)
    check = node.glibc()
    assert check.ok is ok
    assert library[1] in check.found


@pytest.mark.parametrize(("version", "ok"), [((3, 12, 3), True), ((3, 11, 9), False), ((3, 13, 0), False)])
def test_the_python_is_that_of_the_lock(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int], ok: bool
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    assert node.python().ok is ok


@pytest.mark.parametrize(("kind", "ok"), [("x86_64", True), ("aarch64", False)])
def test_the_processor_is_that_of_the_lock(monkeypatch: pytest.MonkeyPatch, kind: str, ok: bool) -> None:
    monkeypatch.setattr(platform, "machine", lambda: kind)
    assert node.processor().ok is ok


def test_the_compiler_is_the_one_that_triton_takes(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(programs, "cc")  # which it does not look for
    assert not node.compiler().ok
    clang = program(programs, "clang")
    assert node.compiler().found == str(clang)
    gcc = program(programs, "gcc")
    assert node.compiler().found == str(gcc)
    monkeypatch.setenv("CC", "tcc")
    check = node.compiler()
    assert not check.ok
    assert "CC=tcc" in check.found
    assert program(programs, "tcc").name == "tcc"
    assert node.compiler().ok


def test_the_headers_are_pythons_own_or_told_to_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path / "own")})
    monkeypatch.delenv("C_INCLUDE_PATH", raising=False)
    monkeypatch.setenv("CPATH", f":{tmp_path / 'empty'}:{tmp_path / 'told'}")
    assert not node.headers().ok
    for name in ("told", "own"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Python.h").touch()
        check = node.headers()
        assert check.ok
        assert check.found == str(tmp_path / name / "Python.h")


def test_each_problem_is_one_sentence_with_its_cure(capsys: pytest.CaptureFixture[str]) -> None:
    good = node.Check("a", "1", "1", True, "")
    bad = [node.Check("b", "1", "2", False, "do this"), node.Check("c", "none", "one", False, "do that")]
    assert node.main([good]) == 0
    assert capsys.readouterr().err == ""
    assert node.main([good, *bad]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: b: found 1, needed 2; do this",
        "error: c: found none, needed one; do that",
    ]


def test_this_file_needs_nothing_but_the_standard_library() -> None:
    """`-S` and `-I`: no site-packages, no package beside it."""
    file = ROOT / "src" / "rsgrpo" / "doctor" / "node.py"
    code = f"import runpy; print(len(runpy.run_path({str(file)!r})['checks']()))"
    said = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(said) == len(node.CHECKS)


@pytest.mark.parametrize("target", ["gpu", "gpu-smoke"])
def test_make_ends_before_it_installs_anything(tmp_path: Path, target: str) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    folder = tmp_path / "programs"
    folder.mkdir()
    program(folder, "nvidia-smi", "535.230.02")
    environment = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    command = [make, target, f"VENV={tmp_path / 'venv'}", f"PYTHON={sys.executable}"]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2
    assert "error: NVIDIA driver: found 535.230.02, needed 580 or newer; install" in ended.stderr
    assert "installing" not in ended.stdout
    assert list(tmp_path.iterdir()) == [folder]
