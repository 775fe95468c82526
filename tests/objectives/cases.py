"""The objectives under test as a run builds them: every yaml of `conf/objective/`, and settings that are no default."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor

from rsgrpo.objectives.base import AdvantageContext, Objective

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(file.stem for file in (CONF / "objective").glob("*.yaml") if file.stem != "custom")

VARIANTS = {
    "grpo std": ("grpo", "normalize_std=true"),
    "rs_grpo beta -2": ("rs_grpo", "beta=-2"),
    "rs_grpo beta 0": ("rs_grpo", "beta=0"),
    "rs_grpo loo": ("rs_grpo", "estimator=loo"),
    "rs_grpo loo beta -2": ("rs_grpo", "estimator=loo", "beta=-2"),
    "rs_grpo loo beta 0": ("rs_grpo", "estimator=loo", "beta=0"),
    "rs_grpo vimco": ("rs_grpo", "estimator=vimco"),
    "rs_grpo vimco beta -2": ("rs_grpo", "estimator=vimco", "beta=-2"),
    "rs_grpo vimco beta 0": ("rs_grpo", "estimator=vimco", "beta=0"),
    "rs_grpo jackknife": ("rs_grpo", "estimator=jackknife"),
    "rs_grpo jackknife beta -2": ("rs_grpo", "estimator=jackknife", "beta=-2"),
    "rs_grpo jackknife beta 0": ("rs_grpo", "estimator=jackknife", "beta=0"),
    "pkpo s": ("pkpo", "estimator=s"),
    "pkpo s_loo": ("pkpo", "estimator=s_loo"),
    "mahdavi grpo": ("mahdavi", "estimator=grpo"),
    "mahdavi unbiased": ("mahdavi", "estimator=unbiased"),
    "chen centred": ("chen", "normalize_std=false"),
    "rspo pass_at_k": ("rspo", "metric=pass_at_k"),
    "entropic beta 2": ("entropic", "beta=2"),
    "uniqueness centred": ("uniqueness", "normalize_std=false"),
}
"""Case -> yaml and settings."""

CASES = [*NAMES, *VARIANTS]


def composed(case: str) -> Objective:
    """The objective of a case as Hydra builds it for a run."""
    return _of_cases()[case]


@cache
def _of_cases() -> dict[str, Objective]:
    return dict(zip(CASES, built([VARIANTS.get(case, (case,)) for case in CASES]), strict=True))


def built(wanted: Sequence[Sequence[str]]) -> list[Objective]:
    """The objectives of yamls, each with its settings; composing lets a yaml inherit from another.

    All are composed at once, each in a place of its own, as Hydra takes as long for one. One that sets another part of
    a run too (dr_grpo) has its place and is composed alone.
    """
    placed = {
        i for i, (name, *_) in enumerate(wanted) if "@package _global_" in (CONF / f"objective/{name}.yaml").read_text()
    }
    words = []
    for i, (name, *settings) in enumerate(wanted):
        if i not in placed:
            words += [f"+objective@of_{i}={name}", *(f"of_{i}.{setting}" for setting in settings)]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(overrides=words)
        nodes = {i: config[f"of_{i}"] for i in range(len(wanted)) if i not in placed}
        for i in placed:
            name, *settings = wanted[i]
            given = [f"+objective={name}", *(f"objective.{setting}" for setting in settings)]
            nodes[i] = compose(overrides=given).objective
    return [instantiate(nodes[i], _convert_="all") for i in range(len(wanted))]


def context_of(rewards: Tensor) -> AdvantageContext:
    """Distinct log-probs, so that an objective that ranks by them has no ties to break; two answers that differ from
    completion to completion, whatever their rewards."""
    p, n = rewards.shape
    logprobs = -(torch.arange(1.0, p * n + 1, dtype=rewards.dtype).reshape(p, n) * 0.37 % 1) - 0.1
    return AdvantageContext(
        iteration=1,
        prompt_ids=[f"prompt/{i}" for i in range(p)],
        sampler_logprobs=logprobs,
        answers=[[f"{place % 3 == 0}" for place in range(n)] for _ in range(p)],
    )


def advantages_of(objective: Objective, rewards: list[float] | list[list[float]] | Tensor) -> Tensor:
    """Advantages in float64 of one group, or of several."""
    groups = torch.as_tensor(rewards, dtype=torch.float64)
    together = groups if groups.dim() == 2 else groups[None]
    return objective.advantages(together, context_of(together)).reshape(groups.shape)


def binary_group(correct: int, n: int) -> Tensor:
    """One group of n completions, the correct ones first."""
    return (torch.arange(n, dtype=torch.float64) < correct).double()[None]
