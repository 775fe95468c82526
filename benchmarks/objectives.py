"""What the advantages of one iteration cost, for every objective: milliseconds on one thread, median of repeats.

    python benchmarks/objectives.py

8,192 rewards in groups of 16, the paper's iteration of 512 prompts, in float32: of 0 and 1, and continuous ones where
the objective takes them. Every yaml of `conf/objective/` with its defaults, and the settings of `conf/task/audit.yaml`.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table
from torch import Tensor

from rsgrpo.errors import UserError
from rsgrpo.objectives.base import AdvantageContext, Objective

CONF = Path(__file__).parents[1] / "conf"
PROMPTS, COMPLETIONS = 512, 16


def objectives() -> dict[str, Objective]:
    """Name and settings -> objective, as a run builds it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = [str(words).split() for words in compose("config", ["task=audit"]).task.settings]
        defaults = sorted(file.stem for file in (CONF / "objective").glob("*.yaml") if file.stem != "custom")
        built = {}
        for name, *words in sorted([*([name] for name in defaults), *settings]):
            config = compose("config", [f"objective={name}", *(f"objective.{word}" for word in words)])
            built[" ".join((name, *words))] = instantiate(config.objective, _convert_="all")
    return built


def milliseconds(objective: Objective, rewards: Tensor, repeats: int) -> float | None:
    """Median time of one call after a few to warm up; None for rewards that the objective refuses."""
    context = AdvantageContext(
        iteration=1, prompt_ids=[str(i) for i in range(len(rewards))], sampler_logprobs=-torch.rand_like(rewards)
    )
    seconds = []
    try:
        for _ in range(repeats + 3):
            began = time.perf_counter()
            objective.advantages(rewards, context)
            seconds.append(time.perf_counter() - began)
    except UserError:
        return None
    return 1e3 * statistics.median(seconds[3:])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=50)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    torch.manual_seed(0)
    continuous = torch.rand(PROMPTS, COMPLETIONS)
    binary = (continuous < torch.rand(PROMPTS, 1)).float()  # prompts of every accuracy
    title = f"advantages of {PROMPTS * COMPLETIONS:,} rewards, one thread, median of {repeats}"
    table = Table("objective", title=title, title_justify="left")
    for kind in ("0 and 1, ms", "continuous, ms"):
        table.add_column(kind, justify="right")
    for name, objective in objectives().items():
        times = [milliseconds(objective, rewards, repeats) for rewards in (binary, continuous)]
        table.add_row(name, *("refused" if ms is None else f"{ms:.2f}" for ms in times))
    Console().print(table)


if __name__ == "__main__":
    main()
