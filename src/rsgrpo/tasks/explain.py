"""`python run.py task=explain`: where each value of a run comes from."""

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from rsgrpo.command_line.arguments import groups_chosen, line_of_job, words_of_job
from rsgrpo.command_line.keys import unknown_key
from rsgrpo.command_line.same_run import is_at
from rsgrpo.composition.compose import build_as
from rsgrpo.composition.origins import Origin, origins
from rsgrpo.composition.settings import ExplainSettings
from rsgrpo.errors import UserError

WIDEST = 48
"""Characters of the column of values; a longer value pushes its source to the right."""


def explain(cfg: DictConfig) -> None:
    """Print key, value and source of the run that the other words of the command line would start.

    Raises:
        UserError: when that run has no such key as `task.key`.
    """
    key = build_as(cfg, "task", ExplainSettings).key
    words = [word for word in words_of_job() if not is_at(word.lstrip("+~").split("=")[0], "task")]
    every = origins(words, HydraConfig.get().job.config_name or "config")
    found = [origin for origin in every if key is None or is_at(origin.key, key)]
    if not found:
        line = line_of_job()
        raise UserError(f"task.key={unknown_key(str(key), line.conf, groups_chosen(line)) or key}")
    print("\n".join(_aligned(found)))


def _aligned(found: list[Origin]) -> list[str]:
    keys, values = (max(len(origin[column]) for origin in found) for column in (0, 1))
    values = min(values, WIDEST)
    return [f"{key:<{keys}}  {value:<{values}}  {source}" for key, value, source in found]
