"""Whole runs that train adapters: the base stays, plain weights leave, and every engine and trainer does the same."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rsgrpo import run_folder
from rsgrpo.models.lora import plain_name
from rsgrpo.rollouts.vllm.process import missing
from tests.distributed.test_fsdp2 import TWO_RANKS, assert_nearly_same_weights, assert_same_run
from tests.runs import RunPy, records
from tests.training.test_run import assert_same_weights, weights

LORA = ("model.lora.rank=16",)


@pytest.fixture(scope="module")
def with_adapters(run_py: RunPy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six iterations with adapters."""
    return run_py(tmp_path_factory.mktemp("runs") / "adapters", *LORA)


def logprob_gaps(run: Path) -> list[float]:
    return [r["train/logprob_gap"] for r in records(run / "metrics.jsonl") if "train/logprob_gap" in r]


def test_the_policy_of_a_run_is_an_ordinary_one_whose_linear_layers_moved(
    with_adapters: Path, random_policy: Path
) -> None:
    base, trained = load_file(random_policy / "model.safetensors"), weights(with_adapters)
    assert base.keys() == trained.keys()
    moved = {name for name in base if not torch.equal(base[name], trained[name])}
    assert moved == {name for name in base if name.endswith("_proj.weight")}
    model = AutoModelForCausalLM.from_pretrained(with_adapters / "policy")
    assert all(torch.equal(tensor, trained[name]) for name, tensor in model.named_parameters())
    assert AutoTokenizer.from_pretrained(with_adapters / "policy")("6 12").input_ids


def test_sampler_and_trainer_agree_with_adapters(with_adapters: Path) -> None:
    gaps = logprob_gaps(with_adapters)
    assert len(gaps) == 6
    assert max(gaps) < 1e-5


def test_the_base_of_a_checkpoint_is_the_one_that_was_loaded(with_adapters: Path, random_policy: Path) -> None:
    """To the bit after twelve updates, and the optimiser knows of nothing but adapters."""
    newest = run_folder.checkpoints(with_adapters)[-1]
    state = torch.load(run_folder.state_of(newest), weights_only=False)
    base = load_file(random_policy / "model.safetensors")
    saved = {name.removeprefix("policy.model."): tensor for name, tensor in state["state_dict"].items()}
    frozen = {str(plain_name(name)): tensor for name, tensor in saved.items() if plain_name(name)}
    assert all(torch.equal(frozen[name], tensor) for name, tensor in base.items())
    trained = [name for name in saved if plain_name(name) is None]
    assert len(trained) == len(state["optimizer_states"][0]["state"]) == 2 * 2 * 7


@pytest.mark.slow
def test_three_and_three_iterations_equal_six_with_adapters(run_py: RunPy, with_adapters: Path, tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", *LORA, "iterations=3")
    run_py(run, f"ckpt={run}", "iterations=6")
    assert_same_weights(run, with_adapters)
    assert records(run / "prompts.jsonl") == records(with_adapters / "prompts.jsonl")


@pytest.mark.slow
def test_one_rank_of_fsdp2_trains_the_same_adapters(run_py: RunPy, with_adapters: Path, tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", *LORA, "trainer=fsdp2", "trainer.devices=1")
    assert_same_run(run, with_adapters)


@pytest.fixture(scope="module")
def on_two_ranks(run_py: RunPy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_py(tmp_path_factory.mktemp("runs") / "two", *LORA, *TWO_RANKS)


@pytest.mark.slow
def test_two_ranks_train_the_same_adapters_as_one(with_adapters: Path, on_two_ranks: Path) -> None:
    assert_same_run(on_two_ranks, with_adapters)


@pytest.mark.slow
def test_three_and_three_iterations_equal_six_with_adapters_on_two_ranks(
    run_py: RunPy, on_two_ranks: Path, tmp_path: Path
) -> None:
    run = run_py(tmp_path / "run", *LORA, *TWO_RANKS, "iterations=3")
    run_py(run, f"ckpt={run}", "iterations=6")
    assert_same_weights(run, on_two_ranks)


@pytest.mark.slow
def test_adapters_go_on_with_another_number_of_ranks(run_py: RunPy, with_adapters: Path, tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", *LORA, "iterations=2")
    run_py(run, f"ckpt={run}", "iterations=4", *TWO_RANKS)
    run_py(run, f"ckpt={run}", "iterations=6", "trainer.devices=1")
    assert records(run / "prompts.jsonl") == records(with_adapters / "prompts.jsonl")
    assert_nearly_same_weights(run, with_adapters)


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
@pytest.mark.parametrize("adapter", ["false", "true"], ids=["merged", "adapter"])
@pytest.mark.parametrize(
    "trainer",
    [(), TWO_RANKS, (*TWO_RANKS, "rollout.tensor_parallel_size=2")],
    ids=["one process", "two ranks", "two ranks with one engine"],
)
def test_vllm_samples_from_the_adapters_of_every_iteration(
    run_py: RunPy, random_policy: Path, tmp_path: Path, trainer: tuple[str, ...], adapter: str
) -> None:
    """Its log-probs are compared at every sync; a difference ends the run."""
    vllm = ("rollout=vllm", "rollout.kv_cache_gib=0.125", f"rollout.adapter={adapter}")
    run = run_py(tmp_path / "run", *LORA, *vllm, *trainer)
    gaps = logprob_gaps(run)
    assert len(gaps) == 6
    assert max(gaps) < 1e-4
    base = load_file(random_policy / "model.safetensors")
    assert base.keys() == weights(run).keys()
    assert not torch.equal(base["model.layers.0.mlp.up_proj.weight"], weights(run)["model.layers.0.mlp.up_proj.weight"])
