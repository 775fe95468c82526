"""The plan of every preset with a model of its own, on one card of 24 GB, one of 80 GB, and eight of 80 GB.

    python benchmarks/plan_presets.py [batching.row_tokens=8192 ...]

Nothing is run: what is printed is arithmetic (docs/plan.md). Each row says whether the preset fits by plan, the largest
phase, what the engine's cache holds, and what to turn where it does not fit.
"""

import argparse
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rsgrpo.composition.plan import plan_of
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.planning.settings import GIB
from rsgrpo.rewards.base import close

CONF = Path(__file__).parents[1] / "conf"

PRESETS = (
    ("experiment=gsm8k_1gpu",),
    ("experiment=gsm8k_1gpu", "rollout=hf"),
    ("model=qwen2_5_math_1_5b",),
    ("model=qwen3_4b",),
    ("model=qwen3_4b", "optimizer=adamw"),
    ("experiment=qwen3_4b_lora_24gb",),
    ("model=qwen2_5_7b",),
    ("model=qwen2_5_math_7b",),
    ("model=llama3_1_8b_instruct",),
)

CARDS = ((24, 1), (80, 1), (80, 8))
"""GB of a card, and how many there are."""

LORA = ("model.lora.rank=16",)


def composed(words: tuple[str, ...]) -> DictConfig:
    """The configuration of a command line, as a run gets it."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", ["task=plan", *words], return_hydra_config=True)
    OmegaConf.update(cfg, "hydra.runtime.output_dir", "run")
    HydraConfig.instance().set_config(cfg)
    OmegaConf.set_struct(cfg, False)
    del cfg["hydra"]
    OmegaConf.resolve(cfg)
    return cfg


def row(words: tuple[str, ...], gib: int, gpus: int) -> str:
    """One line of the table, in Markdown."""
    cfg = composed((*words, f"plan.gpu_gib={gib}", f"plan.gpus={gpus}"))
    recipe = build_recipe(cfg)
    plan = plan_of(cfg, recipe)
    close(recipe.reward)
    memory, cure = plan.memory, ""
    if not memory.fits:
        advised = plan.advice()
        cure = " ".join(cure.words for cure in advised.cheapest) or "no setting"
        if advised.gpus is not None and not advised.cheapest:
            cure = f"{advised.gpus} GPUs with trainer=fsdp2"
    peaks = ", ".join(f"{phase.total / GIB:.1f}" for phase in memory.phases.values())
    rows = "" if memory.cache is None else f"{memory.cache.tokens:,}"
    fits = "fits" if memory.fits else "does not fit"
    return f"| `{' '.join(words)}` | {gpus} x {gib} | {peaks} | {rows} | {fits} | {cure} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="further words of each command line, such as optimizer=adamw8bit")
    options = parser.parse_args()
    print("| preset | GPUs x GB | GiB: sample, train, step, sync | tokens in the cache | by plan | fits with |")
    print("|---|---|---|---|---|---|")
    for words in PRESETS:
        for with_lora in ((),) if "optimizer=adamw8bit" in words else ((), LORA):
            for gib, gpus in CARDS:
                print(row((*words, *with_lora, *options.words), gib, gpus), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
