"""The locked sets hold what pyproject.toml asks for, and agree with each other."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from rsgrpo.doctor import node

ROOT = Path(__file__).parents[2]
ON_A_GPU_NODE = {
    "python_version": ".".join(map(str, node.PYTHON)),
    "python_full_version": ".".join(map(str, (*node.PYTHON, 0))),
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": node.PROCESSOR,
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}


@cache
def pins(name: str) -> dict[str, Version]:
    """What a file pins; every line of it has to be a pin or a comment."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    found: dict[str, Version] = {canonicalize_name(package): Version(version) for package, version in pairs}
    assert len(found) == len(pairs)
    return found


def extras_of_make() -> list[str]:
    """What `make gpu` installs."""
    (extras,) = re.findall(r"^GPU_EXTRAS := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return extras.split(",")


def asked(extras: list[str]) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return [Requirement(line) for line in [*project["dependencies"], *optional]]


def unmet(requirements: list[Requirement], lock: dict[str, Version]) -> list[str]:
    """Those that the lock lacks or has in another version."""
    wanted = [r for r in requirements if r.marker is None or r.marker.evaluate({**ON_A_GPU_NODE, "extra": ""})]
    return [
        str(r)
        for r in wanted
        if (version := lock.get(canonicalize_name(r.name))) is None
        or not r.specifier.contains(version, prereleases=True)
    ]


@pytest.mark.parametrize(
    ("line", "is_met"),
    [
        ("torch>=2.11,<2.14", True),
        ("torch<2.13", False),
        ("no-such-package", False),
        ("no-such-package; sys_platform == 'win32'", True),
    ],
)
def test_what_is_missing_is_found(line: str, is_met: bool) -> None:
    assert (unmet([Requirement(line)], pins("constraints-gpu.txt")) == []) is is_met


def test_the_lock_of_gpu_nodes_has_all_that_make_gpu_installs() -> None:
    assert {"dev", "vllm", "lora", "adamw8bit"} == set(extras_of_make())
    assert unmet(asked(extras_of_make()), pins("constraints-gpu.txt")) == []


def test_the_lock_of_every_machine_has_what_make_train_installs() -> None:
    assert unmet(asked(["dev", "lora", "adamw8bit"]), pins("constraints.txt")) == []


@pytest.mark.parametrize("folder", ["LAUNCHERS", "GYM"])
def test_what_make_installs_beside_the_environment_is_pinned(folder: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (packages,) = re.findall(rf"^{folder} := (.*)$", makefile, re.MULTILINE)
    assert set(map(canonicalize_name, packages.split())) - pins("constraints.txt").keys() == set()


def test_the_lock_has_the_reasoning_gym_whose_verifiers_were_read() -> None:
    assert unmet(asked(["gym"]), pins("constraints.txt")) == []


def test_the_two_locks_agree() -> None:
    everywhere, on_gpus = pins("constraints.txt"), pins("constraints-gpu.txt")
    both = everywhere.keys() & on_gpus.keys()
    assert {"torch", "transformers", "lightning", "numpy"} <= both
    assert {name: (everywhere[name], on_gpus[name]) for name in both if everywhere[name] != on_gpus[name]} == {}


def test_what_vllm_adds_on_a_cpu_can_be_installed_over_the_lock() -> None:
    """pip holds `requirements-vllm-cpu.txt` to the constraints, and refuses it where they differ."""
    everywhere, added = pins("constraints.txt"), pins("requirements-vllm-cpu.txt")
    both = everywhere.keys() & added.keys()
    assert "requests" in both
    assert {name: (everywhere[name], added[name]) for name in both if everywhere[name] != added[name]} == {}


def needed(name: str, seen: set[str]) -> Iterator[Requirement]:
    """All that an installed package asks for, directly or not."""
    if name in seen:
        return
    seen.add(name)
    for line in importlib.metadata.requires(name) or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({**ON_A_GPU_NODE, "extra": ""}):
            yield requirement
            if (below := canonicalize_name(requirement.name)) in installed():
                yield from needed(below, seen)


@cache
def installed() -> set[str]:
    return {canonicalize_name(found.metadata["Name"]) for found in importlib.metadata.distributions()}


def test_the_lock_of_gpu_nodes_is_complete() -> None:
    """What is installed here asks for other packages in turn; vLLM's are not here, so of them it says nothing."""
    seen: set[str] = set()
    here = [r for r in asked(["dev", "lora", "adamw8bit"]) if canonicalize_name(r.name) in installed()]
    all_of_them = [r for requirement in here for r in needed(canonicalize_name(requirement.name), seen)]
    assert len(seen) > 40
    assert unmet(all_of_them, pins("constraints-gpu.txt")) == []


def test_the_lock_is_for_the_machine_that_make_gpu_asks_for() -> None:
    head = (ROOT / "constraints-gpu.txt").read_text(encoding="utf-8").splitlines()[1]
    python, glibc = (".".join(map(str, version)) for version in (node.PYTHON, node.GLIBC))
    assert f"for Python {python} on x86-64 Linux with glibc {glibc} or newer" in head
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"--python-version {python} --python-platform x86_64-manylinux_{glibc.replace('.', '_')} " in makefile
    assert node.PROCESSOR == "x86_64"
    cuda = {"nvidia-cuda-runtime", "nvidia-cuda-nvrtc", "nvidia-nvjitlink", "cuda-bindings", "cuda-toolkit"}
    assert {pins("constraints-gpu.txt")[name].release[:2] for name in cuda} == {(13, 0)}
    assert node.DRIVER == 580  # the first of CUDA 13


def test_the_image_has_the_python_of_the_lock() -> None:
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()
    (base,) = [line for line in lines if line.startswith("FROM ")]
    assert base.startswith(f"FROM docker.io/library/python:{'.'.join(map(str, node.PYTHON))}-")
    assert any("--requirement constraints-gpu.txt" in line for line in lines)
