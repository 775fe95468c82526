"""What a plan reads of a configuration, and the refusal of a run that its GPU cannot hold."""

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from rsgrpo.composition.plan import decide_memory, offloads, plan_of
from rsgrpo.composition.plan_settings import settings_of, work_of
from rsgrpo.composition.recipe import build_recipe
from rsgrpo.errors import UserError
from rsgrpo.planning.architecture import architecture_of
from rsgrpo.planning.settings import Settings

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> Any:
    def of(*words: str) -> DictConfig:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", list(words), return_hydra_config=True)
        OmegaConf.update(cfg, "hydra.runtime.output_dir", "run")
        monkeypatch.setattr(HydraConfig.instance(), "cfg", cfg.copy())
        OmegaConf.set_struct(cfg, False)
        del cfg["hydra"]
        return cfg

    return of


def on_a_gpu(monkeypatch: pytest.MonkeyPatch, gib: float, taken: float = 0.0) -> None:
    """As if there were one, of which others have taken a part."""
    for module in ("plan", "plan_settings"):
        monkeypatch.setattr(f"rsgrpo.composition.{module}.gpu_here", lambda cfg: (gib, taken))


def read(cfg: DictConfig) -> Settings:
    return settings_of(cfg, build_recipe(cfg), architecture_of(str(cfg.model.path)))


def test_a_shaping_takes_a_forward_pass_of_its_own(composed: Any) -> None:
    def takes(*words: str) -> bool:
        cfg = composed(*words)
        return work_of(cfg, build_recipe(cfg))[0].old_logprobs

    assert not takes()
    assert takes("shaping=entropy_advantage")
    assert takes("batching.epochs=2")


def test_the_keys_of_a_run_are_read(composed: Any) -> None:
    s = read(composed("task=plan", "model=qwen3_4b", "plan.gpu_gib=80", "plan.gpus=8"))
    assert (s.gpu_gib, s.gpus, s.sharded, s.on_gpu, s.half_compute) == (80, 8, True, True, True)
    assert (s.row_tokens, s.chunk_tokens, s.prompt_tokens, s.new_tokens) == (16_384, 2048, 1024, 8192)
    assert (s.completions, s.per_group, s.mean_tokens) == (8192, 16, 2048)
    assert (s.engine, s.max_rows, s.max_tokens, s.gpu_memory_share) == ("vllm", 512, 9216, 0.6)
    assert not s.reference
    changed = composed(
        *("task=plan", "model=qwen3_4b", "plan.gpus=1", "term/kl=k3", "term/entropy=bonus", "rollout=hf"),
        *("rollout.max_rows=32", "batching.row_tokens=9216", "trainer.activation_checkpointing=true"),
        *("model.chunk_tokens=64", "plan.completion_tokens=10"),
    )
    s = read(changed)
    assert (s.sharded, s.reference, s.entropy_gradient, s.engine) == (False, True, True, "hf")
    assert (s.max_rows, s.row_tokens, s.checkpointing, s.chunk_tokens, s.mean_tokens) == (32, 9216, True, 64, 10)


def test_with_lora_the_reference_is_no_second_copy(composed: Any) -> None:
    s = read(composed("task=plan", "model=qwen3_0_6b", "model.lora.rank=8", "term/kl=k3"))
    assert s.lora is not None
    assert (s.lora.rank, s.reference) == (8, False)


def test_fsdp2_without_a_gpu_is_planned_for_gpus_unless_it_is_for_the_cpu(composed: Any) -> None:
    words = ("task=plan", "model=qwen3_0_6b", "trainer=fsdp2", "trainer.devices=4", "trainer.num_nodes=2")
    assert (read(composed(*words)).on_gpu, read(composed(*words)).gpus) == (True, 8)
    assert not read(composed(*words, "trainer.accelerator=cpu")).on_gpu


def test_the_time_of_evaluations_counts_what_the_run_draws(composed: Any) -> None:
    cfg = composed("task=plan", "model=qwen3_0_6b", "iterations=20", "plan.decode_tokens_per_s=1000")
    plan = plan_of(cfg, build_recipe(cfg))
    drawn = 3 * 128 * 32 + 2 * 1319 * 64  # validations at 0, 10 and 20; GSM8K's test set before and after
    assert plan.time.evaluation_hours == pytest.approx(drawn * 256 / 1000 / 3600)
    assert plan.untold == ()


@pytest.mark.slow
def test_a_run_that_its_gpu_cannot_hold_is_refused_before_weights_are_read(
    composed: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_a_gpu(monkeypatch, 24.0)
    words = ("model=qwen3_0_6b", "rollout=vllm", "trainer.activation_checkpointing=true")
    cfg = composed(*words)
    decide_memory(cfg, build_recipe(cfg))
    said = " ".join(capsys.readouterr().err.split())
    assert "GiB of each GPU, by plan: sample" in said
    assert "of the longest completions side by side" in said
    on_a_gpu(monkeypatch, 24.0, taken=12.0)
    refused = r"^by its plan the run does not fit: \w+ needs .* of each GPU .* 11\.6 can be used; .*check_memory=false"
    with pytest.raises(UserError, match=refused):
        decide_memory(cfg, build_recipe(cfg))
    cfg.trainer.check_memory = False
    decide_memory(cfg, build_recipe(cfg))


def test_the_optimiser_state_leaves_the_gpu_where_the_plan_needs_it(
    composed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("model=qwen2_5_math_1_5b", "rollout.kv_cache_gib=30")
    for gib, decided in ((80.0, False), (52.0, True)):
        on_a_gpu(monkeypatch, gib)
        cfg = composed(*words)
        settings = decide_memory(cfg, build_recipe(cfg))
        assert offloads(cfg, settings) is decided
        cfg.trainer.offload_optimizer = not decided
        assert offloads(cfg, settings) is not decided
    assert offloads(composed("trainer=cpu"), None) is False


def test_the_ways_to_save_memory_are_read(composed: Any) -> None:
    words = ("task=plan", "model=qwen3_0_6b", "plan.gpu_gib=24")
    s = read(composed(*words, "rollout=vllm"))
    assert (s.checkpointing, s.weights, s.offload_optimizer, s.cpu_offload) == (True, "float32", None, False)
    assert (s.optimizer, s.fused, s.graphs, s.sleep) == ("adamw", True, True, None)
    s = read(composed(*words, "optimizer=adamw8bit", "trainer.weights=bfloat16", "trainer.offload_optimizer=true"))
    assert (s.optimizer, s.weights, s.offload_optimizer) == ("adamw8bit", "bfloat16", True)
    s = read(
        composed(*words, "rollout=vllm", "rollout.sleep=false", "rollout.enforce_eager=true", "optimizer.fused=false")
    )
    assert (s.sleep, s.graphs, s.fused) == (False, False, False)
    assert read(composed("task=plan", "model=qwen3_0_6b", "rollout=vllm", "trainer=cpu")).sleep is False
    s = read(composed(*words, "model.lora.rank=8"))
    assert s.lora is not None
    assert s.lora.base_dtype == "bfloat16"
    s = read(composed(*words, "trainer=fsdp2", "trainer.cpu_offload=true"))
    assert (s.sharded, s.cpu_offload) == (True, True)


def test_without_a_gpu_nothing_is_said(composed: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cfg = composed("trainer=cpu")
    decide_memory(cfg, build_recipe(cfg))
    assert capsys.readouterr() == ("", "")
