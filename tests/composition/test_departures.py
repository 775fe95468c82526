"""What a run of the paper has otherwise than the paper."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from rsgrpo.command_line.own_names import CONF
from rsgrpo.composition.departures import departures, run_of_the_paper

EXPERIMENTS = sorted(file.stem for file in (CONF / "experiment/paper").glob("*.yaml"))


def departs(*words: str) -> list[str]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [*words, "hydra.runtime.output_dir=run"], return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
        return departures(cfg)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_of_the_paper_departs_in_nothing(name: str) -> None:
    assert departs(f"experiment=paper/{name}") == []


@pytest.mark.parametrize("name", sorted({file.stem for file in (CONF / "model").glob("*.yaml")}))
def test_a_model_that_comes_with_a_run_of_the_paper_departs_in_nothing_and_no_other_is_compared(name: str) -> None:
    assert (run_of_the_paper(name, None) is not None) == (name in EXPERIMENTS)
    assert departs(f"model={name}") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trainer=cpu"], ["trainer=cpu (gpu)"]),
        (["rollout=hf"], ["rollout=hf (vllm)"]),
        (["model.lora.rank=16"], ["model.lora.rank=16 (null)"]),
        (["batching.completions_per_prompt=8"], ["batching.completions_per_prompt=8 (16)"]),
        (["sampling.max_new_tokens=1024"], ["sampling.max_new_tokens=1024 (8192)"]),
        (["iterations=20", "optimizer.lr=1e-5"], ["iterations=20 (200)", "optimizer.lr=1e-05 (1e-06)"]),
        (["optimizer.lr_schedule=linear"], ["optimizer.lr_schedule=linear (constant)"]),
        (["loss.clip_high=0.2", "filter=none"], ["filter=none (drop_equal_rewards)", "loss.clip_high=0.2 (0.28)"]),
        (["data=gsm8k", "data.system=Hi"], ["data=gsm8k (math12k)", "data.system=Hi (null)"]),
        (["data.suffix=''"], ['data.suffix="" (']),
        (["model=qwen3_0_6b"], ["model=qwen3_0_6b (qwen3_4b)"]),
        (["model.path=Qwen/Qwen3-4B"], ["model.path=Qwen/Qwen3-4B (Qwen/Qwen3-4B-Base)"]),
        (["model.chat_template_kwargs={enable_thinking:false}"], ["model.chat_template_kwargs.enable_thinking=false"]),
        (["trainer.precision=32-true"], ["trainer.precision=32-true (bf16-mixed)"]),
    ],
)
def test_what_is_otherwise_is_named_with_the_papers_value(words: list[str], said: list[str]) -> None:
    words = [f"++{word}" if "kwargs" in word else word for word in words]
    found = departs("experiment=paper/qwen3_4b", *words)
    assert len(found) == len(said), found
    assert all(one.startswith(start) for one, start in zip(found, said, strict=True)), found


@pytest.mark.parametrize(
    "words",
    [
        ["objective=grpo", "seed=3", "schedule=cosine", "callbacks=none", "logger=csv", "reward.workers=2"],
        ["batching.row_tokens=8192", "model.chunk_tokens=512", "trainer.activation_checkpointing=true"],
        ["data.path=math12k.parquet", "data.tests.aime24.path=a.jsonl", "model.path=/models/Qwen3-4B-Base"],
    ],
)
def test_what_the_paper_compares_and_what_changes_no_number_is_no_departure(words: list[str]) -> None:
    assert departs("experiment=paper/qwen3_4b", *words) == []


def test_an_experiment_of_ours_is_not_compared_with_the_paper() -> None:
    assert departs("experiment=gsm8k", "trainer=cpu", "model=qwen3_4b") == []


def test_a_model_of_a_folder_of_ones_own_is_not_compared() -> None:
    assert run_of_the_paper("no_such_model", None) is None


def test_many_processes_are_a_departure_only_where_they_are_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert departs("model=qwen3_4b", "trainer=fsdp2") == []
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert departs("model=qwen3_4b", "trainer=fsdp2") == ["trainer=fsdp2 on the CPU (gpu)"]
