"""Whatever the logger: after a resume it shows every record of the run folder once, in the same run."""

import os
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rsgrpo import checkpoints, run_folder
from rsgrpo.errors import FieldError
from rsgrpo.loggers.csv import CSV
from rsgrpo.loggers.event_files import COMPLETIONS, texts
from rsgrpo.loggers.followers import follow_records, show
from rsgrpo.loggers.metrics_file import MetricsFile
from rsgrpo.loggers.tensorboard import TensorBoard
from rsgrpo.loggers.wandb import Wandb
from rsgrpo.metrics.rollouts import Rollouts
from tests.checkpoints.same_folder import events, table
from tests.processes import ROOT, python
from tests.runs import SETTINGS


def metrics(iteration: int) -> dict[str, float]:
    """What an iteration logs; a part of the reward is first seen at the third."""
    part = {"train/reward/late": 0.5} if iteration > 2 else {}
    return {"train/reward_mean": iteration / 7, "train/iteration": iteration, **part}


def sample(iteration: int) -> dict[str, Any]:
    return {"iteration": iteration, "reward": 1.0, "problem": "1 + 1", "completion": f"answer of {iteration}"}


def log(run: Path, logger: Any, iterations: range) -> None:
    """A process that trains, and validates at every second iteration."""
    for iteration in iterations:
        run_folder.append(run / run_folder.ROLLOUTS, [sample(iteration)])
        if isinstance(logger, TensorBoard):
            logger.experiment.add_text(COMPLETIONS, texts([sample(iteration)])[0][1][COMPLETIONS], iteration)
        show([MetricsFile(run), logger], metrics(iteration), iteration)
        if iteration % 2 == 0:
            show([MetricsFile(run), logger], {"eval/validation/pass@1": iteration / 10}, iteration)
    logger.finalize("success")


def resume(run: Path, make: Any, done: int, last: int) -> None:
    checkpoints.rewind(run, done)
    logger = make(run)
    follow_records(run, [MetricsFile(run), logger])
    log(run, logger, range(done + 1, last + 1))


def tensorboard(run: Path) -> TensorBoard:
    return TensorBoard(run)


def table_of(run: Path) -> CSV:
    return CSV(run)


def wandb(run: Path) -> Wandb:
    return Wandb(run, name=None)


def whole(folder: Path, make: Any, last: int) -> Path:
    folder.mkdir(exist_ok=True)
    run_folder.write_json(folder / run_folder.RUN, {"id": uuid.uuid4().hex})
    log(folder, make(folder), range(1, last + 1))
    return folder


def test_after_a_resume_tensorboard_shows_every_scalar_and_text_once(tmp_path: Path) -> None:
    reference = whole(tmp_path / "reference", tensorboard, 6)
    run = whole(tmp_path / "run", tensorboard, 5)
    for _ in range(2):
        resume(run, tensorboard, done=2, last=6)
    assert events(run / "tensorboard") == events(reference / "tensorboard")
    shown = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    assert [event.step for event in shown.Scalars("train/reward_mean")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in shown.Tensors(f"{COMPLETIONS}/text_summary")] == [1, 2, 3, 4, 5, 6]
    assert (run / "tensorboard" / "hparams.yaml").read_text() == "{}\n"


def test_a_scalar_that_stays_keeps_the_time_when_it_was_written(tmp_path: Path) -> None:
    def times(step: int) -> list[float]:
        shown = EventAccumulator(str(run / "tensorboard")).Reload()
        return [event.wall_time for event in shown.Scalars("train/reward_mean") if event.step == step]

    run = whole(tmp_path, tensorboard, 3)
    before = times(2)
    resume(run, tensorboard, done=2, last=3)
    assert times(2) == before


def test_what_a_callback_drew_by_itself_stays_up_to_the_checkpoint(tmp_path: Path) -> None:
    logger = tensorboard(tmp_path)
    for step in (1, 2, 3):
        logger.experiment.add_scalar("mine/own", step, step)
    log(tmp_path, logger, range(1, 4))
    resume(tmp_path, tensorboard, done=2, last=3)
    assert [step for step, tag, _ in events(tmp_path / "tensorboard") if tag == "mine/own"] == [1, 2]


@pytest.mark.parametrize("kept", [0, 100, 0.3, 0.6, 0.97])
def test_what_a_kill_kept_from_the_event_file_comes_from_the_records(tmp_path: Path, kept: float) -> None:
    reference = whole(tmp_path / "reference", tensorboard, 4)
    run = whole(tmp_path / "run", tensorboard, 4)
    (file,) = (run / "tensorboard").glob("*tfevents*")
    size = file.stat().st_size
    os.truncate(file, int(kept if kept > 1 else kept * size))
    follow_records(run, [tensorboard(run)])
    assert events(run / "tensorboard") == events(reference / "tensorboard")


def test_after_a_resume_there_is_one_table_with_every_row_and_column(tmp_path: Path) -> None:
    reference = whole(tmp_path / "reference", table_of, 6)
    run = whole(tmp_path / "run", table_of, 5)
    resume(run, table_of, done=2, last=6)
    assert table(run / "csv" / "metrics.csv") == table(reference / "csv" / "metrics.csv")
    assert [row["step"] for row in table(run / "csv" / "metrics.csv") if row["train/reward_mean"]] == list("123456")
    assert "train/reward/late" in table(run / "csv" / "metrics.csv")[0]


@pytest.mark.parametrize(("first", "then"), [(tensorboard, table_of), (table_of, tensorboard)])
def test_a_resume_with_another_logger_leaves_two_whole_logs(tmp_path: Path, first: Any, then: Any) -> None:
    """The new one has all iterations, the old one none that were forgotten."""
    run = whole(tmp_path / "run", first, 5)
    resume(run, then, done=2, last=4)
    until = {first: 2, then: 4}
    rows = table(run / "csv" / "metrics.csv")
    assert rows == table(whole(tmp_path / "table", table_of, until[table_of]) / "csv" / "metrics.csv")
    drawn = whole(tmp_path / "drawn", tensorboard, until[tensorboard])
    assert events(run / "tensorboard") == events(drawn / "tensorboard")


def test_a_value_that_is_not_finite_is_the_same_before_and_after(tmp_path: Path) -> None:
    show([MetricsFile(tmp_path), tensorboard(tmp_path)], {"train/loss": float("inf")}, 1)
    before = events(tmp_path / "tensorboard")
    follow_records(tmp_path, [tensorboard(tmp_path)])
    assert events(tmp_path / "tensorboard") == before


def test_a_part_of_the_reward_that_was_seen_before_a_checkpoint_is_logged_after_it() -> None:
    before, after = Rollouts(), Rollouts()
    before.parts = {"no_box", "timeout"}
    after.load_state_dict(before.state_dict())
    assert after.parts == {"no_box", "timeout"}


class Service:
    """Stands for the W&B service and its client: runs by id, whose rows outlive the process that sent them."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, dict[str, Any]]] = {}
        self.run: Any = None

    def init(self, **settings: Any) -> Any:
        assert self.run is None, "another run is still going on"
        rows = self.rows.setdefault(settings["id"], {})
        self.run = ServiceRun(settings["id"], rows)
        return self.run

    def finish(self) -> None:
        self.run = None


class ServiceRun:
    def __init__(self, name: str, rows: dict[int, dict[str, Any]]) -> None:
        self.id, self.rows, self.offline = name, rows, False
        self.starting_step = self.step = max(rows, default=-1) + 1

    def log(self, values: Mapping[str, Any], step: int, commit: bool = False) -> None:
        assert step >= self.step, "W&B would drop this row with a warning"
        self.rows.setdefault(step, {}).update(values)
        self.step = step + commit


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """Lightning's logger needs the package, so its part that opens a run is played by the service too."""
    service = Service()
    monkeypatch.setitem(sys.modules, "wandb", service)  # type: ignore[arg-type]

    def begin(self: Any, **settings: Any) -> None:
        self._experiment, self._id, self._wandb_init = None, None, {"id": None}

    def experiment(self: Any) -> Any:
        self._experiment = self._experiment or service.init(**self._wandb_init)
        return self._experiment

    monkeypatch.setattr(WandbLogger, "__init__", begin)
    monkeypatch.setattr(WandbLogger, "experiment", property(experiment))
    monkeypatch.setattr(WandbLogger, "finalize", lambda self, status: None)
    return service


def wandb_rows(service: Service, run: Path) -> list[dict[str, Any]]:
    rows = service.rows[str(run_folder.run_id(run))]
    return [rows[step] for step in sorted(rows)]


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_a_resumed_run_goes_on_in_its_wandb_run_and_sends_what_was_lost(
    service: Service, tmp_path: Path, lost: int
) -> None:
    whole(tmp_path / "run", wandb, 5)
    for step in sorted(next(iter(service.rows.values())))[-lost:] if lost else ():
        del next(iter(service.rows.values()))[step]  # a kill kept the service from these rows
    service.finish()
    resume(tmp_path / "run", wandb, done=4, last=6)
    assert len(service.rows) == 1
    service.finish()
    whole(tmp_path / "reference", wandb, 6)
    assert wandb_rows(service, tmp_path / "run") == wandb_rows(service, tmp_path / "reference")


def test_the_jobs_of_a_sweep_are_wandb_runs_of_their_own(service: Service, tmp_path: Path) -> None:
    for job in ("0", "1"):
        whole(tmp_path / job, wandb, 3)  # nobody finishes the first one in between
    assert len(service.rows) == 2
    assert wandb_rows(service, tmp_path / "0") == wandb_rows(service, tmp_path / "1")


def test_what_a_callback_sends_to_wandb_by_itself_moves_no_row(service: Service, tmp_path: Path) -> None:
    whole(tmp_path, wandb, 0)
    logger = wandb(tmp_path)
    for iteration in range(1, 4):
        for _ in range(5):
            logger.log_metrics({"mine": 1.0}, step=iteration * 1000)
        log(tmp_path, logger, range(iteration, iteration + 1))
    shown = [row for row in wandb_rows(service, tmp_path) if "train/reward_mean" in row]
    assert [row["trainer/global_step"] for row in shown] == [1, 2, 3]


@pytest.mark.slow
def test_offline_wandb_holds_every_row_once_in_one_folder(tmp_path: Path) -> None:
    """The real package, read back; every process of the run is one of its own."""
    pytest.importorskip("wandb", reason="needs pip install wandb")
    from tests.loggers.wandb_file import history

    program = (
        "import sys; from pathlib import Path; from rsgrpo.loggers.wandb import Wandb; "
        "from tests.loggers import test_loggers as t; from functools import partial; "
        "make = partial(Wandb, name='a', offline=True); run = Path(sys.argv[1]); "
        "t.whole(run, make, 5) if sys.argv[2] == 'begin' else t.resume(run, make, 4, 6)"
    )
    for what in ("begin", "resume"):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "WANDB_SILENT": "true"}
        subprocess.run([sys.executable, "-c", program, str(tmp_path), what], check=True, env=environment, timeout=600)
    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert file.name == f"run-{run_folder.run_id(tmp_path)}.wandb"
    rows = [row for row in history(file) if "trainer/global_step" in row]
    assert [row["train/reward_mean"] for row in rows if "train/reward_mean" in row] == [i / 7 for i in range(1, 7)]
    assert [row["trainer/global_step"] for row in rows if "eval/validation/pass@1" in row] == [2, 4, 6]


FULL_DISK = """
import builtins, errno, io, os, runpy, sys
word, allowed, original = sys.argv[1], int(sys.argv[2]), builtins.open

def full(file, mode="r", *rest, **options):
    global allowed
    if not isinstance(file, int) and word in os.fsdecode(file) and set(mode) & set("wax+"):
        allowed -= 1
        if allowed < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file)
    return original(file, mode, *rest, **options)

builtins.open = io.open = full
sys.argv = ["run.py", *sys.argv[3:]]
runpy.run_path("run.py", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "allowed", "logger"), [("tfevents", 0, "tensorboard"), ("tfevents", 9, "tensorboard"), ("csv", 1, "csv")]
)
def test_a_disk_that_is_full_when_a_log_is_opened_is_a_sentence(
    random_policy: Path, tmp_path: Path, word: str, allowed: int, logger: str
) -> None:
    run = tmp_path / "run"
    words = [f"hydra.run.dir={run}", f"model.path={random_policy}", *SETTINGS, f"logger={logger}"]
    finished = python("-c", FULL_DISK, word, str(allowed), *words, variables={"PYTHONPATH": str(ROOT)})
    assert finished.returncode == 2, finished.stderr
    assert "cannot be written (No space left on device" in finished.stderr.splitlines()[-1]
    assert "Traceback" not in finished.stderr
    assert all("iteration" in record for record in run_folder.read(run / run_folder.METRICS))


@pytest.mark.parametrize(
    ("kind", "settings", "says"),
    [
        (TensorBoard, {"foo": 1}, "got an unexpected keyword argument 'foo'"),  # Lightning would pass it on, later
        (TensorBoard, {"log_dir": "x"}, "got an unexpected keyword argument 'log_dir'"),
        (TensorBoard, {"max_queue": 0}, "max_queue=0 must be a whole number of at least 1"),
        (TensorBoard, {"flush_secs": -1}, "flush_secs=-1 must be a whole number of at least 1"),
        (CSV, {"foo": 1}, "got an unexpected keyword argument 'foo'"),
        (CSV, {"flush_logs_every_n_steps": 0}, "flush_logs_every_n_steps=0 must be a whole number of at least 1"),
    ],
)
def test_settings_of_a_logger_are_checked_before_its_first_record(
    tmp_path: Path, kind: Any, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises((TypeError, FieldError), match=says):
        kind(tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []
