"""What a GPU node has to have before anything is installed: driver, glibc, Python, a C compiler and Python's headers.

`make gpu` runs this file by its path, with the Python that is to hold the packages: it needs nothing but the standard
library, and runs on Pythons from 3.8 on, most of them too old for the package.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

DRIVER = 580
"""Oldest NVIDIA driver of CUDA 13, for which the wheels of constraints-gpu.txt are built."""

GLIBC = (2, 31)
"""The newest C library that a wheel of constraints-gpu.txt asks for: that of llguidance, which vLLM needs. All others
are content with 2.28."""

PYTHON = (3, 12)
"""The Python that constraints-gpu.txt is resolved for."""

PROCESSOR = "x86_64"
"""Likewise."""

PATIENCE = 60
"""Seconds that nvidia-smi has; it takes some where the driver has to wake up."""


@dataclass(frozen=True)
class Check:
    """One property of the machine."""

    name: str
    found: str
    """What the machine has, in words."""
    needed: str
    ok: bool
    cure: str
    """What to do about it where it is not ok."""

    def sentence(self) -> str:
        """The problem and its cure on one line."""
        return f"{self.name}: found {self.found}, needed {self.needed}; {self.cure}"


def driver() -> Check:
    """The NVIDIA driver, as nvidia-smi tells it: the oldest, should it name several."""
    found, version = _driver()
    return Check(
        "NVIDIA driver",
        found,
        f"{DRIVER} or newer",
        version >= DRIVER,
        f"install NVIDIA's driver {DRIVER} or newer (on a cluster: ask for such nodes), since the wheels bring CUDA 13",
    )


def _driver() -> tuple[str, int]:
    """In words, and the first part of its version, 0 where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "no nvidia-smi on PATH", 0
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"an nvidia-smi that fails ({type(error).__name__})", 0
    lines = [line.strip() for line in asked.stdout.splitlines() if line.strip()]
    versions = [(int(line.partition(".")[0]), line) for line in lines if line.partition(".")[0].isdigit()]
    if asked.returncode or not versions:
        said = " ".join((asked.stderr or asked.stdout).split())[:100]
        return f"an nvidia-smi that names no driver ({said or 'it says nothing'})", 0
    oldest, words = min(versions)
    return words, oldest


def glibc() -> Check:
    """The C library, which decides which wheels pip may install."""
    library, version = platform.libc_ver()
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    is_glibc = library == "glibc" and len(parts) == 2
    needed = ".".join(map(str, GLIBC))
    return Check(
        "C library",
        f"glibc {version}" if is_glibc else f"{library} {version}".strip() or "another than glibc",
        f"glibc {needed} or newer",
        is_glibc and parts >= GLIBC,
        f"use a newer system (Debian 11, Ubuntu 20.04, RHEL 9 or later) or the container of Containerfile: {needed} is "
        "what vLLM's packages are built for",
    )


def python() -> Check:
    """The Python that runs this, against the one of the lock."""
    needed = ".".join(map(str, PYTHON))
    return Check(
        "Python",
        platform.python_version(),
        f"{needed}, which constraints-gpu.txt is for",
        sys.version_info[:2] == PYTHON,
        f"name one: make gpu PYTHON=python{needed} (after make clean, should there be a .venv of another)",
    )


def processor() -> Check:
    """The kind of processor, against the one of the lock."""
    return Check(
        "processor",
        platform.machine(),
        f"{PROCESSOR}, which constraints-gpu.txt is for",
        platform.machine() == PROCESSOR,
        "use such a machine, or install without the lock: pip install -c constraints.txt -e '.[dev,vllm,lora]'",
    )


def compiler() -> Check:
    """The C compiler that Triton takes for the launchers of its kernels: `CC`, else gcc, else clang."""
    asked = os.environ.get("CC")
    candidates = [asked] if asked else ["gcc", "clang"]
    found = next((path for path in map(shutil.which, candidates) if path is not None), None)
    return Check(
        "C compiler",
        found or (f"CC={asked}, which is no program" if asked else "neither gcc nor clang on PATH"),
        "gcc or clang, for Triton",
        found is not None,
        "unset CC" if asked else "install one (Debian, Ubuntu: apt-get install gcc libc6-dev; RHEL: dnf install gcc)",
    )


def headers() -> Check:
    """`Python.h`, which Triton compiles against: in Python's own folder, or where the compiler is told to look."""
    own = sysconfig.get_paths()["include"]
    told = [part for name in ("CPATH", "C_INCLUDE_PATH") for part in os.environ.get(name, "").split(os.pathsep) if part]
    found = next((path for folder in (own, *told) if (path := Path(folder) / "Python.h").is_file()), None)
    version = "{}.{}".format(*sys.version_info)
    return Check(
        "Python.h",
        "none" if found is None else str(found),
        f"the headers of Python {version}, for Triton",
        found is not None,
        f"install them (Debian, Ubuntu: apt-get install python{version}-dev; RHEL: dnf install python{version}-devel), "
        "or use a Python that has them (uv's and conda's do)",
    )


CHECKS: tuple[Callable[[], Check], ...] = (driver, processor, python, glibc, compiler, headers)


def checks() -> list[Check]:
    """All of them."""
    return [check() for check in CHECKS]


def main(found: Sequence[Check]) -> int:
    """Print a sentence for each that is not ok; the exit status."""
    failed = [check for check in found if not check.ok]
    for check in failed:
        print(f"error: {check.sentence()}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(checks()))
