"""From the shell to a task and back: a user's mistake is one sentence and exit code 2, a bug is a traceback."""

import difflib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rsgrpo.tasks.machine import check_machine
from rsgrpo.types import UserError

USER_ERROR = 2
"""Exit code for a mistake in what was asked for."""

LONGEST_NAME = 100
"""Characters of a run folder's name that come from the command line."""


def run_name(objective: str, overrides: str) -> str:
    """The name of a run folder: its objective and what was set on the command line, `;` between the overrides.

    >>> run_name("rs_grpo", "objective.beta=4;data.path=/tmp/a b.jsonl;seed=1")
    'rs_grpo_beta=4_path=-tmp-a-b.jsonl_seed=1'
    """
    settings = [override.rsplit("=", 1) for override in overrides.split(";") if override]
    words = [objective, *(f"{key.split('.')[-1]}={value}" for key, value in settings)]
    return re.sub(r"[^\w.=+-]+", "-", "_".join(words))[:LONGEST_NAME]


OmegaConf.register_new_resolver("run_name", run_name, replace=True)


def run_task(cfg: DictConfig) -> None:
    """Call the function that `task=` names; a run that wrote nothing leaves no folder behind.

    Raises:
        SystemExit: with `USER_ERROR`, after saying what the mistake was. Hydra would add a line of its own to any
            other exception.
    """
    fresh = _empty(Path(HydraConfig.get().runtime.output_dir))
    try:
        check_machine(cfg)  # before the imports of a task, which take seconds
        get_method(cfg.task._target_)(cfg)
    except UserError as error:
        if _wants_traceback():
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(USER_ERROR) from None
    finally:
        if fresh is not None and _empty(fresh):
            fresh.rmdir()


def start(main: Callable[[], None], conf: Path) -> int:
    """Run a Hydra main function with the settings of a resumed run put in; returns the exit code."""
    from rsgrpo.tasks.resume import with_settings_of_run

    try:
        sys.argv[1:] = with_settings_of_run(sys.argv[1:])
        main()
    except (UserError, HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        if _wants_traceback():
            raise
        print(f"error: {explain(error, conf)}", file=sys.stderr)
        return USER_ERROR
    return 0


def _wants_traceback() -> bool:
    return bool(os.environ.get("RSGRPO_TRACEBACK"))


def explain(error: Exception, conf: Path) -> str:
    """One clear sentence: the key and the cure."""
    text = str(error)
    if isinstance(error, UserError):
        return text
    unknown = re.search(r"(?:Could not override|Key) '([\w.@/]+)'", text)
    if "Could not override" in text and unknown:
        return _unknown_key(unknown[1], conf)
    choice = re.search(r"Could not find '([\w/]+)'", text) or re.search(r"In '[\w/]+': Could not load '([\w/]+)'", text)
    if choice and "/" in choice[1]:
        group, name = choice[1].rsplit("/", 1)
        known = sorted(p.relative_to(conf / group).with_suffix("").as_posix() for p in (conf / group).rglob("*.yaml"))
        return f"{group}={name}: no such choice{_nearest(name, known)}; {group} is one of {', '.join(known)}"
    group = re.search(r"Could not override '([\w/@.]+)'. No match in the defaults list", text)
    if group:
        return _unknown_key(group[1], conf)
    return " ".join(text.split())


def _unknown_key(key: str, conf: Path) -> str:
    """A key that does not exist, with the one that was probably meant."""
    keys = set(re.findall(r"^\s*(\w+):", "\n".join(p.read_text() for p in conf.rglob("*.yaml")), re.MULTILINE))
    *parents, leaf = key.split(".")
    near = difflib.get_close_matches(leaf, sorted(keys), n=1)
    meant = f"; did you mean {'.'.join([*parents, near[0]])}?" if near and near[0] != leaf else ""
    return f"{key}: no such key{meant} (a key that your own class takes is added with +{key}=...)"


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {near[0]}?" if near else ""


def _empty(folder: Path) -> Path | None:
    """The folder, when it exists and holds nothing."""
    return folder if folder.is_dir() and not any(folder.iterdir()) else None
