"""`trainer=`: what Lightning gets, what the layers get, and the command of another rank."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig

from rsgrpo.composition import trainer
from rsgrpo.composition.settings import trainer_settings
from rsgrpo.composition.trainer import build_sharding
from rsgrpo.errors import UserError

CONF = Path(__file__).parents[2] / "conf"


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=list(overrides))


@pytest.mark.parametrize(
    ("overrides", "dtype"),
    [
        (["trainer=fsdp2", "trainer.precision=bf16-mixed"], torch.bfloat16),
        (["trainer=fsdp2", "trainer.precision=32-true"], None),
        (["trainer=fsdp2", "trainer.accelerator=cpu"], None),  # auto
        (["trainer=fsdp2", "trainer.accelerator=gpu"], torch.bfloat16),
        (["trainer=gpu"], None),  # autocast does it there
    ],
)
def test_gathered_weights_have_the_type_of_the_precision(overrides: list[str], dtype: torch.dtype | None) -> None:
    assert build_sharding(composed(*overrides)).compute_dtype == dtype


@pytest.mark.parametrize("name", ["cpu", "gpu", "fsdp2"])
def test_every_trainer_can_checkpoint_activations_and_compile(name: str) -> None:
    sharding = build_sharding(composed(f"trainer={name}", "trainer.activation_checkpointing=true"))
    assert (sharding.activation_checkpointing, sharding.compile) == (True, False)
    assert build_sharding(composed(f"trainer={name}", "trainer.compile=true")).compile


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["trainer=cpu"], False),
        (["trainer=gpu"], True),
        (["trainer=gpu", "trainer.activation_checkpointing=false"], False),
        (["trainer=fsdp2", "trainer.accelerator=gpu"], True),
        (["trainer=fsdp2", "trainer.accelerator=cpu"], False),
    ],
)
def test_activations_are_checkpointed_where_memory_is_a_gpus(overrides: list[str], expected: bool) -> None:
    assert build_sharding(composed(*overrides)).activation_checkpointing == expected


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trainer.cpu_offload=true"], r"trainer\.cpu_offload=true is FSDP2's; try trainer=fsdp2"),
        (["trainer.weights=bfloat16"], r"trainer\.weights=bfloat16: AdamW loses .* optimizer=adamw8bit"),
    ],
)
def test_ways_to_save_memory_that_do_not_go_with_the_rest_are_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        trainer.check_savings(composed(*overrides))
    trainer.check_savings(composed("trainer=fsdp2", "trainer.cpu_offload=true"))
    trainer.check_savings(composed("trainer.weights=bfloat16", "optimizer=adamw8bit"))


@pytest.mark.usefixtures("as_users_run_it")
def test_an_option_that_is_no_switch_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"^trainer\.compile=perhaps must be true or false; try trainer\.compile=false$"
    ):
        trainer_settings(composed("trainer.compile=perhaps"))


@pytest.mark.usefixtures("as_users_run_it")
def test_the_precision_that_needs_a_loss_scale_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"^trainer\.precision=16-mixed is unknown; choose one of auto, 32-true, bf16-mixed"
    ):
        trainer_settings(composed("trainer=fsdp2", "trainer.precision=16-mixed"))


@pytest.mark.parametrize(
    ("name", "meant"), [("accumulate_grad_batches", "batching.row_tokens"), ("max_epochs", "iterations")]
)
def test_what_lightning_could_not_obey_is_refused_with_what_stands_for_it(name: str, meant: str) -> None:
    with pytest.raises(UserError, match=rf"^trainer\.{name}: .*; did you mean {meant}\?$"):
        trainer_settings(composed(f"+trainer.{name}=2"))


def command(monkeypatch: pytest.MonkeyPatch, mode: Any, arguments: list[str], task: list[str]) -> list[str]:
    class Job: ...

    job: Any = Job
    job.mode = mode

    class Config:
        @staticmethod
        def get() -> Any:
            return job

    monkeypatch.setattr(trainer, "HydraConfig", Config)
    monkeypatch.setattr(trainer, "words_of_job", lambda: task)
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
    return trainer._command(Path("/runs/a b=1"))[2:]


def test_another_rank_of_a_run_gets_its_words_and_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["seed=3", "--config-dir", "mine", "+objective.tau=1"]
    found = command(monkeypatch, trainer.RunMode.RUN, words, ["seed=3", "+objective.tau=1"])
    assert found == [*words, 'hydra.run.dir="/runs/a b=1"']


def test_another_rank_of_a_job_of_a_sweep_gets_the_words_of_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["-m", "seed=3,4", "hydra.sweep.dir=x", "--config-dir", "mine", "-cn=other"]
    found = command(monkeypatch, trainer.RunMode.MULTIRUN, words, ["seed=4"])
    assert found == ["--config-dir", "mine", "-cn=other", "seed=4", 'hydra.run.dir="/runs/a b=1"']


class Logs(CSVLogger):
    """A logger that only knows its folder."""


def test_a_logger_has_a_place_before_the_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trainer._check_place(Logs(run), run)
    trainer._check_place(Logs(tmp_path / "a" / "b"), run)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(
            UserError, match=rf"^logger\.save_dir={place} cannot be made \(Not a directory\); leave it out"
        ):
            trainer._check_place(Logs(place), run)
