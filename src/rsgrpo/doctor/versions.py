"""The packages that a run depends on most, against the lock."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, requires, version

import torch
from packaging.requirements import Requirement

from rsgrpo.doctor.table import Result

SHOWN = ("torch", "transformers", "lightning", "vllm", "peft")


def versions() -> Result:
    """What is installed, and which of the package's own requirements it does not meet."""
    found = ", ".join(f"{name} {version_of(name) or 'missing'}" for name in SHOWN)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    if version_of("rsgrpo") is None:
        return Result(f"{found}; {device}", "rsgrpo installed", False, "pip install -e . in its folder, or make train")
    unmet = unmet_requirements(requires("rsgrpo") or [])
    cure = f"pip install {' '.join(repr(str(requirement)) for requirement in unmet)}" if unmet else ""
    words = f"{found}; {device}" + (f"; not met: {', '.join(map(str, unmet))}" if unmet else "")
    return Result(words, "the package's requirements", not unmet, cure)


def unmet_requirements(wanted: Sequence[str]) -> list[Requirement]:
    """Those without an extra that are missing, or installed in a version that they exclude."""
    required = [Requirement(words) for words in wanted if "extra ==" not in words]
    return [
        r for r in required if (has := version_of(r.name)) is None or not r.specifier.contains(has, prereleases=True)
    ]


def version_of(package: str) -> str | None:
    """Installed version; vLLM's CPU build is a package of its own."""
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
