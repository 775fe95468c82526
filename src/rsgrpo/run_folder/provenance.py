"""What a process that writes a run folder is: its command line, code, packages and machine."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from rsgrpo.run_folder.files import replace
from rsgrpo.run_folder.names import SOURCE_DIFF

PACKAGES = (
    *("rsgrpo", "torch", "lightning", "transformers", "numpy", "scipy", "vllm", "peft", "datasets", "math-verify"),
    *("hydra-core", "reasoning-gym"),
)
"""Those whose versions may change what a run does."""

PACKAGE = Path(__file__).resolve().parents[1]
"""The code that runs."""

DIFF_BYTES = 2**20
"""Of `source.diff`, at most."""

GIT_DEADLINE_S = 20

UNTRACKED = ("*.py", "*.yaml")
"""Files that `source.diff` holds although git does not know them: a new objective, for example."""


def provenance(run: Path) -> dict[str, Any]:
    """Facts of this process for `run.json`; where the code differs from its commit, `source.diff` in `run` says how.

    Raises:
        UserError: when the disk refuses.
    """
    commit = source(run)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.orig_argv),
        "directory": str(Path.cwd()),
        "python": platform.python_version(),
        "versions": versions(),
        **({} if commit is None else {"git": commit}),
        "machine": machine(),
    }


def versions() -> dict[str, str]:
    """The version of each of `PACKAGES` that is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an extra that this machine does without
    return found


def machine() -> dict[str, Any]:
    """Names of the processor and of the GPUs, the CPUs that this process may use, and the threads it computes with."""
    cards = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
    return {
        "processor": _processor(),
        "gpus": [torch.cuda.get_device_name(card) for card in cards],
        "cpus": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()  # not every architecture names it


def source(run: Path, package: Path = PACKAGE) -> dict[str, Any] | None:
    """`commit`, whether the code is `dirty`, and of the difference whether it was `cut`; None outside a git checkout.

    The difference is written to `source.diff`, with files that git does not know. What git refuses to say is under
    `problem`. A package that is installed into the checkout of something else is in no checkout.

    Raises:
        UserError: when the disk refuses.
    """
    (run / SOURCE_DIFF).unlink(missing_ok=True)
    top = next((folder for folder in package.parents if (folder / ".git").exists()), None)
    if top is None:
        return None
    try:
        if not _git(top, "ls-files", "--", str(package / "__init__.py")).strip():
            return None
        commit = _git(top, "rev-parse", "HEAD").decode().strip()
        diff, is_cut = _difference(top)
    except FileNotFoundError:
        return {"problem": "git is not installed"}
    except subprocess.TimeoutExpired:
        return {"problem": f"git did not answer within {GIT_DEADLINE_S} s"}
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        return {"problem": said[0] if said else f"git ended with {error.returncode}"}
    if diff:
        replace(run / SOURCE_DIFF, diff)
    return {"commit": commit, "dirty": bool(diff), **({"cut": True} if is_cut else {})}


def _difference(top: Path) -> tuple[bytes, bool]:
    """The diff against the last commit, at most `DIFF_BYTES` of it in whole lines, and whether that is not all."""
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"  # a copy: the user's own stays as it is
        shutil.copyfile(top / os.fsdecode(_git(top, "rev-parse", "--git-path", "index").strip()), index)
        new = _git(top, "ls-files", "-z", "--others", "--exclude-standard", "--", *UNTRACKED)
        if new:
            words = ("add", "--intent-to-add", "--pathspec-from-file=-", "--pathspec-file-nul")
            _git(top, *words, index=index, given=new)
        diff = _git(top, "diff", "HEAD", "--no-color", "--no-ext-diff", "--no-textconv", "--binary", index=index)
    if len(diff) <= DIFF_BYTES:
        return diff, False
    end = f"# cut here: the whole has {len(diff):,} bytes\n".encode()
    return diff[: diff.rfind(b"\n", 0, DIFF_BYTES - len(end)) + 1] + end, True


def _git(top: Path, *words: str, index: Path | None = None, given: bytes | None = None) -> bytes:
    """What git prints.

    Raises:
        CalledProcessError: when it refuses.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook sets them
    environment = inherited | {"GIT_OPTIONAL_LOCKS": "0", **({} if index is None else {"GIT_INDEX_FILE": str(index)})}
    command = ["git", "--literal-pathspecs", *words] if given is not None else ["git", *words]
    finished = subprocess.run(
        command, cwd=top, env=environment, input=given, capture_output=True, timeout=GIT_DEADLINE_S, check=True
    )
    return finished.stdout
