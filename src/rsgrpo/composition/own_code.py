"""Copies of the user's own code: the files of the classes and functions that a configuration names."""

import inspect
import shutil
import sysconfig
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.command_line.trust import OURS, targets
from rsgrpo.composition.build import located

INSTALLED = tuple(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))
"""Where packages lie, which `versions` of `run.json` names."""


def keep_own_code(run: Path, cfg: DictConfig) -> dict[str, str]:
    """Copy the files to `own_code/` of the run folder, in place of what is there, under the names of their modules.

    Returns:
        The file of each name that the configuration has, relative to the run folder.

    Raises:
        UserError: when the disk refuses.
    """
    folder = run / run_folder.OWN_CODE
    resolved = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    files = {target: file for _, target in targets(resolved) if (file := _file_of(target)) is not None}
    try:
        if folder.exists():
            shutil.rmtree(folder)
        for place, file in files.values():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / place)
    except OSError as error:
        raise run_folder.disk_error(folder, error) from error
    return {target: f"{run_folder.OWN_CODE}/{place}" for target, (place, _) in sorted(files.items())}


def _file_of(target: str) -> tuple[str, Path] | None:
    """(place below `own_code/`, source file) of a class or function; None where it is not the user's own."""
    found = located(target)
    module = inspect.getmodule(found)
    source = getattr(module, "__file__", None)
    if module is None or source is None or not source.endswith(".py") or module.__name__.partition(".")[0] == OURS:
        return None
    file = Path(source).resolve()
    if any(file.is_relative_to(place) for place in INSTALLED):
        return None
    inside = module.__name__.replace(".", "/")
    return f"{inside}/__init__.py" if file.name == "__init__.py" else f"{inside}.py", file
