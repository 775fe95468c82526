"""When checkpoints are saved, and which of them is recorded as the best one."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from rsgrpo import checkpoints, run_folder
from rsgrpo.callbacks.checkpoint import Checkpoint
from rsgrpo.errors import FieldError, UserError, keyed

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Lightning's, about a trainer as small as these
    pytest.mark.usefixtures("as_users_run_it"),
]

NAN = math.nan


class Module(lightning.LightningModule):
    """Counts iterations like the real one, and logs the values that it was given."""

    def __init__(self, train: dict[int, float], validation: dict[int, float], every: int, iterations: int) -> None:
        super().__init__()
        self.map = torch.nn.Linear(1, 1)
        due = lambda split, iteration, iterations: iteration % every == 0  # noqa: E731
        self.recipe = SimpleNamespace(evaluation=SimpleNamespace(every=every, is_due=due), iterations=iterations)
        self.iterations, self.iteration = iterations, 0
        self.train_values, self.validation_values = train, validation
        self.metrics: dict[str, float] = {}

    def write_metrics(self) -> None:
        pass

    def training_step(self, rows: torch.Tensor, batch_idx: int) -> dict[str, Any]:
        self.iteration += 1
        self.metrics = {}
        trained = self.iteration in self.train_values
        report = SimpleNamespace(
            iteration=self.iteration, is_last=self.iteration == self.iterations, updates=(1,) if trained else ()
        )
        return {"loss": self.map(rows).sum(), "report": report}

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.iteration >= self.iterations:
            self.trainer.should_stop = True

    def validation_step(self, rows: torch.Tensor, batch_idx: int) -> None:
        pass

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["iteration"] = self.iteration

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.iteration = checkpoint["iteration"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Metrics(lightning.Callback):
    """Logs as the callbacks do that stand before the checkpoint."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (value := pl_module.train_values.get(pl_module.iteration)) is not None:
            pl_module.metrics["train/reward_mean"] = value

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.metrics["eval/validation/pass@1"] = pl_module.validation_values.get(pl_module.iteration, 0.0)


def fit(
    run: Path,
    callback: Checkpoint,
    *,
    iterations: int = 6,
    every: int = 2,
    train: dict[int, float] | None = None,
    validation: dict[int, float] | None = None,
    resume: bool = False,
    validates: bool = True,
    evaluate_first: bool = False,
) -> None:
    """Train for some iterations, validating after each `every`."""
    train = dict.fromkeys(range(1, 99), 0.5) if train is None else train
    module = Module(train, validation or {}, every, iterations)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        val_check_interval=every,
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if validates else 0,
        num_sanity_val_steps=0,
        logger=False,
        callbacks=[Metrics(), callback],
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run,
    )
    loader, validation_loader = DataLoader(cast(Any, torch.ones(20, 1))), DataLoader(cast(Any, torch.ones(1, 1)))
    if evaluate_first:
        trainer.validate(module, loader, verbose=False)
    ckpt = run_folder.state_of(checkpoints.find_checkpoint(str(run))[1]) if resume else None
    trainer.fit(module, loader, validation_loader, ckpt_path=ckpt, weights_only=False)


def saved(run: Path) -> list[int]:
    return [run_folder.iteration_of(path) for path in run_folder.checkpoints(run)]


def best_of(run: Path) -> tuple[int, float] | None:
    found = run_folder.best(run)
    return None if found is None else (found["iteration"], round(found["value"], 6))


def test_checkpoints_are_saved_on_schedule_and_at_the_end(tmp_path: Path) -> None:
    fit(tmp_path, Checkpoint(every=3, keep=9), iterations=7)
    assert saved(tmp_path) == [3, 6, 7]
    assert run_folder.best(tmp_path) is None


@pytest.mark.parametrize(
    ("mode", "validation", "best"),
    [
        ("max", {2: 0.1, 4: 0.9, 6: 0.3, 8: 0.5}, (4, 0.9)),
        ("min", {2: 0.6, 4: 0.9, 6: 0.3, 8: 0.5}, (6, 0.3)),
        ("max", {2: 0.4, 4: 0.4, 6: 0.4, 8: 0.4}, (2, 0.4)),  # of equals the first
        ("max", {2: NAN, 4: 0.2, 6: NAN, 8: 0.1}, (4, 0.2)),
    ],
)
def test_the_best_checkpoint_of_validation_is_kept(
    tmp_path: Path, mode: str, validation: dict[int, float], best: tuple[int, float]
) -> None:
    callback = Checkpoint(every=100, keep=1, best="eval/validation/pass@1", best_mode=mode)
    fit(tmp_path, callback, iterations=8, validation=validation)
    assert best_of(tmp_path) == best
    assert saved(tmp_path) == [best[0], 8]
    assert checkpoints.damage(checkpoints.find_checkpoint(str(tmp_path / "checkpoints" / "best"))[1]) is None


def test_a_metric_of_training_is_compared_where_a_checkpoint_is_written(tmp_path: Path) -> None:
    values = {1: 0.9, 2: 0.1, 3: 0.8, 4: 0.3, 5: 0.7, 6: 0.2}
    fit(tmp_path, Checkpoint(every=2, keep=1, best="train/reward_mean"), train=values)
    assert best_of(tmp_path) == (4, 0.3)
    assert saved(tmp_path) == [4, 6]


def test_an_iteration_that_lacks_the_metric_does_not_inherit_the_one_before(tmp_path: Path) -> None:
    """Iteration 3 has the highest value, 4 none at all: it is saved, and not the best."""
    values = {1: 0.1, 2: 0.2, 3: 0.9, 5: 0.1, 6: 0.1}
    fit(tmp_path, Checkpoint(every=2, keep=1, best="train/reward_mean"), train=values)
    assert best_of(tmp_path) == (2, 0.2)
    assert saved(tmp_path) == [2, 6]


def test_the_best_value_survives_a_resume(tmp_path: Path) -> None:
    def callback() -> Checkpoint:
        return Checkpoint(every=100, keep=1, best="eval/validation/pass@1")

    validation = {2: 0.9, 4: 0.1, 6: 0.5, 8: 0.6}
    fit(tmp_path, callback(), iterations=4, validation=validation)
    checkpoints.rewind(tmp_path, 4)
    fit(tmp_path, callback(), iterations=8, validation=validation, resume=True)
    assert best_of(tmp_path) == (2, 0.9)
    assert saved(tmp_path) == [2, 8]


def test_a_rewind_past_the_best_one_forgets_it(tmp_path: Path) -> None:
    def callback() -> Checkpoint:
        return Checkpoint(every=1, keep=9, best="eval/validation/pass@1")

    fit(tmp_path, callback(), iterations=4, validation={2: 0.2, 4: 0.9})
    checkpoints.rewind(tmp_path, 2)
    fit(tmp_path, callback(), iterations=6, validation={4: 0.3, 6: 0.1}, resume=True)
    assert best_of(tmp_path) == (4, 0.3)


def test_another_metric_is_not_compared_with_the_one_before(tmp_path: Path) -> None:
    fit(tmp_path, Checkpoint(every=2, keep=1, best="train/reward_mean"), iterations=2)
    fit(tmp_path, Checkpoint(every=2, keep=1, best="eval/validation/pass@1"), iterations=4, resume=True)
    found = run_folder.best(tmp_path)
    assert found == {"iteration": 4, "metric": "eval/validation/pass@1", "value": 0.0}


def test_a_metric_that_nothing_logs_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"callbacks\.checkpoint\.best=train/reward_maen: .* such as train/reward_mean$"
    ):
        fit(tmp_path, Checkpoint(every=2, keep=1, best="train/reward_maen"))
    assert saved(tmp_path) == []  # said after the first iteration, not at the first checkpoint


def test_a_metric_that_nothing_logs_is_refused_where_nothing_was_trained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"callbacks\.checkpoint\.best=foo: no such metric was logged"):
        fit(tmp_path, Checkpoint(every=2, keep=1, best="foo"), train={})
    assert saved(tmp_path) == [6]


def test_a_metric_of_updates_is_lacking_where_nothing_was_trained(tmp_path: Path) -> None:
    fit(tmp_path, Checkpoint(every=2, keep=1, best="train/loss"), train={})
    assert best_of(tmp_path) is None


def test_a_metric_that_no_validation_logs_is_refused_before_training(tmp_path: Path) -> None:
    """Evaluating the base tells."""
    with pytest.raises(UserError, match=r"best=eval/validation/pass@9: .* such as eval/validation/pass@1$"):
        fit(tmp_path, Checkpoint(every=2, keep=1, best="eval/validation/pass@9"), evaluate_first=True)
    assert saved(tmp_path) == []


def test_the_evaluation_of_the_base_marks_nothing(tmp_path: Path) -> None:
    callback = Checkpoint(every=2, keep=9, best="eval/validation/pass@1")
    fit(tmp_path, callback, validation={0: 0.99, 2: 0.1, 4: 0.2, 6: 0.1}, evaluate_first=True)
    assert best_of(tmp_path) == (4, 0.2)


def test_a_run_that_validates_on_nothing_has_no_best_of_validation(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"best=eval/validation/pass@1 .* set eval\.validation_prompts"):
        fit(tmp_path, Checkpoint(every=2, keep=1, best="eval/validation/pass@1"), validates=False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"best_mode": "highest"}, "callbacks.checkpoint.best_mode=highest must be one of max, min; try callbacks."),
        ({"every": 0}, "callbacks.checkpoint.every=0 must be a whole number of at least 1"),
        ({"keep": 0}, "callbacks.checkpoint.keep=0 must be a whole number of at least 1"),
        (
            {"best": "eval/test/pass@1"},
            "callbacks.checkpoint.best=eval/test/pass@1 would choose",
        ),
        ({"best": 3}, "callbacks.checkpoint.best=3 must be the name of a metric"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_key(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(FieldError) as caught:
        Checkpoint(**cast(Any, {"every": 1, "keep": 1} | settings))
    assert keyed(caught.value, "callbacks.checkpoint").startswith(said)


def test_a_mark_that_a_kill_prevented_is_made_when_the_run_is_resumed(tmp_path: Path) -> None:
    values = {1: 0.1, 2: 0.1, 3: 0.1, 4: 0.9, 5: 0.2, 6: 0.2}
    fit(tmp_path, Checkpoint(every=2, keep=1, best="train/reward_mean"), train=values, iterations=4)
    run_folder.append(
        tmp_path / run_folder.METRICS, [{"iteration": i, "train/reward_mean": values[i]} for i in (1, 2, 3, 4)]
    )
    (tmp_path / run_folder.CHECKPOINTS / run_folder.BEST).unlink()
    fit(tmp_path, Checkpoint(every=2, keep=1, best="train/reward_mean"), train=values, iterations=6, resume=True)
    assert best_of(tmp_path) == (4, 0.9)
    assert saved(tmp_path) == [4, 6]
