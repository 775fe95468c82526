"""A real run of five iterations with every loss, term, shaping, correction and order, and resumed runs of what a
checkpoint has to keep, or draws at random."""

import math
from pathlib import Path

import pytest
import yaml

from tests.processes import ROOT
from tests.runs import SETTINGS, RunPy, records
from tests.training.test_run import assert_same_weights, without_times

pytestmark = pytest.mark.slow

FIVE = ("iterations=5", "eval.every=5", "eval.test_every=null", "callbacks.checkpoint.every=100")


def choices(group: str) -> list[str]:
    """Every choice of a group but a class of one's own."""
    return sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml") if file.stem != "custom")


OPTIONS = {
    **{f"loss={name}": ("batching.prompts_per_update=8",) for name in choices("loss")},
    **{f"term/{kind}={name}": () for kind in ("kl", "entropy") for name in choices(f"term/{kind}")},
    **{f"correction={name}": () for name in choices("correction")},
    **{f"shaping={name}": ("filter=none",) for name in choices("shaping")},
    **{f"order={name}": () for name in choices("order")},
    **{f"loss.aggregation={name}": () for name in ("sequence_mean", "sequence_sum", "constant_sum")},
    "objective=dr_grpo": (),
    "loss.dual_clip=3": (),
    "batching.max_refills=3": (),
    "sampling.top_p=0.9": ("correction=token_truncate",),
    "model.lora.rank=4": ("term/kl=k3", "term/entropy=bonus"),
}
LOGGED = {
    "term/kl=k2": "train/kl",
    "term/kl=k3": "train/kl",
    "term/kl=k1": "train/reward/kl_penalty",
    "term/entropy=target": "train/entropy_coefficient",
    "correction=token_mask": "train/correction_weight",
    "shaping=entropy_advantage": "train/entropy_advantage",
    "shaping=clip_cov": "train/covariance_in_band",
    "shaping=kl_cov": "train/covariance",
    "shaping=rl_zvp": "train/shaped_fraction",
    "loss.dual_clip=3": "train/dual_clip_fraction",
    "model.lora.rank=4": "train/kl",
}


def test_the_options_are_found() -> None:
    assert {"loss=gspo", "term/kl=k3", "term/entropy=target", "correction=token_mask", "order=posterior"} <= set(
        OPTIONS
    )
    assert OPTIONS.keys() >= LOGGED.keys()


@pytest.mark.parametrize("option", OPTIONS)
def test_five_iterations(option: str, run_py: RunPy, tmp_path: Path) -> None:
    settings = SETTINGS
    if option.startswith("objective="):
        settings = tuple(word for word in SETTINGS if not word.startswith("objective."))
    run = run_py(tmp_path / "run", option, *OPTIONS[option], *FIVE, settings=settings)
    metrics = [record for record in records(run / "metrics.jsonl") if "train/reward_mean" in record]
    assert len(metrics) == 5
    assert all(math.isfinite(value) for record in metrics for value in record.values())
    assert any(record.get("train/grad_norm", 0) > 0 for record in metrics)
    if option in LOGGED:
        assert any(LOGGED[option] in record for record in metrics)
    assert yaml.safe_load((run / "config.yaml").read_text())["iterations"] == 5


REMEMBER = {
    "a coefficient": ("term/entropy=target", "term.entropy.target=3"),
    "an order": ("order=posterior",),
    "refills": ("batching.max_refills=2",),
    "a reference": ("term/kl=k3", "term.kl.coefficient=0.1"),
    "random numbers": ("shaping=clip_cov", "shaping.share=0.1", "shaping.low=-1"),
    "a penalty": ("term/kl=k1", "term.kl.coefficient=0.1"),
    "all of them": ("term/entropy=target", "order=posterior", "batching.max_refills=2", "term/kl=k3"),
}


@pytest.mark.parametrize("words", REMEMBER.values(), ids=list(REMEMBER))
def test_two_and_two_iterations_are_four(words: tuple[str, ...], run_py: RunPy, tmp_path: Path) -> None:
    plain = ("eval.every=100", "eval.test_every=null", *words)
    whole = run_py(tmp_path / "whole", "iterations=4", *plain)
    run = run_py(tmp_path / "run", "iterations=2", *plain)
    run_py(run, f"ckpt={run}", "iterations=4")
    assert_same_weights(run, whole)
    assert records(run / "prompts.jsonl") == records(whole / "prompts.jsonl")
    mine, theirs = (
        [record for record in without_times(records(folder / "metrics.jsonl")) if "train/reward_mean" in record]
        for folder in (run, whole)
    )
    assert mine == theirs
