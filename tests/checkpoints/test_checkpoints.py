"""Saving: whole or not at all, by one process or two, and said in a sentence when the disk is full."""

import json
from pathlib import Path
from typing import Any, cast

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from rsgrpo import checkpoints, run_folder
from rsgrpo.checkpoints import saving
from tests.processes import ROOT, python
from tests.run_folders import flip_a_byte

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's, about a trainer as small as these


class Linear(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.map = torch.nn.Linear(64, 64)

    def training_step(self, rows: torch.Tensor, batch_idx: int) -> torch.Tensor:
        return self.map(rows).square().sum()

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters())


class Save(lightning.Callback):
    """Saves after every step."""

    def __init__(self, run: Path, keep: int) -> None:
        self.run, self.keep = run, keep

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        saving.save(trainer, self.run, trainer.global_step, keep=self.keep)


def trainer_of(run: Path, steps: int, *, keep: int = 9) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu",
        max_steps=steps,
        logger=False,
        callbacks=[Save(run, keep)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=run,
    )


def train(run: Path, steps: int, *, ckpt: Path | None = None, keep: int = 9) -> Linear:
    torch.manual_seed(0)
    same = torch.linspace(-1, 1, 64).expand(8, 64)  # a resumed loader starts over
    module, rows = Linear(), DataLoader(cast(Any, same))
    trainer = trainer_of(run, steps, keep=keep)
    trainer.fit(module, rows, ckpt_path=ckpt, weights_only=False)
    return module


def test_what_was_saved_is_whole_and_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 6)
    train(tmp_path / "run", 3)
    run, checkpoint = checkpoints.find_checkpoint(str(tmp_path / "run"))
    assert (run, checkpoint) == (tmp_path / "run", run_folder.checkpoint(run, 3))
    assert not run_folder.is_sharded(checkpoint)
    resumed = train(run, 6, ckpt=run_folder.state_of(checkpoint))
    assert torch.equal(resumed.map.weight, whole.map.weight)
    assert [checkpoints.damage(path) for path in run_folder.checkpoints(run)] == [None] * 6


def test_the_newest_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    train(tmp_path, 5, keep=2)
    names = sorted(path.name for path in (tmp_path / run_folder.CHECKPOINTS).iterdir())
    assert names == ["iteration_000004", "iteration_000005"]
    assert sorted(path.name for path in run_folder.checkpoint(tmp_path, 5).iterdir()) == ["manifest.json", "state.ckpt"]


def test_a_checkpoint_of_the_same_iteration_is_replaced(tmp_path: Path) -> None:
    train(tmp_path, 2)
    path = run_folder.checkpoint(tmp_path, 2)
    flip_a_byte(run_folder.state_of(path))
    assert checkpoints.damage(path) is not None
    train(tmp_path, 2)
    assert checkpoints.damage(path) is None
    assert len(list((tmp_path / run_folder.CHECKPOINTS).iterdir())) == 2


def test_what_a_kill_left_of_the_same_iteration_is_in_nobodys_way(tmp_path: Path) -> None:
    path = run_folder.checkpoint(tmp_path, 1)
    left = path.with_name(path.name + run_folder.UNFINISHED) / "state.ckpt" / "__0_0.distcp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    train(tmp_path, 1)
    assert checkpoints.files_of(path) == ["state.ckpt"]
    assert list((tmp_path / run_folder.CHECKPOINTS).iterdir()) == [path]


FULL_DISK = """
import resource, signal, sys, tempfile
from pathlib import Path
from tests.checkpoints.test_checkpoints import train, trainer_of
from rsgrpo.checkpoints import saving
from rsgrpo.errors import UserError
import lightning, torch
run, tempfile.tempdir = Path(sys.argv[1]), sys.argv[3]
torch.set_num_threads(1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails like that on a full disk
train(run, 2)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    train(run, 3)
except UserError as error:
    print("said:", error)
"""


SLOW = pytest.mark.slow


@pytest.mark.parametrize("room", [pytest.param(0, marks=SLOW), 1000, pytest.param(40_000, marks=SLOW)])
def test_a_full_disk_is_said_in_a_sentence_and_leaves_nothing_half_written(tmp_path: Path, room: int) -> None:
    """A write of one process fails, after some kilobytes: 50 are needed."""
    run, temporary = tmp_path / "run", tmp_path / "tmp"
    temporary.mkdir()
    (run / "checkpoints").mkdir(parents=True)
    (run / run_folder.RUN).write_text("{}")
    path = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    done = python("-c", FULL_DISK, str(run), str(room), str(temporary), variables=path)
    said = [line for line in done.stdout.splitlines() if line.startswith("said: ")]
    assert said, done.stdout + done.stderr
    # The fresh training fails at its first save, which would have replaced the first checkpoint of the one before.
    assert said[0].startswith(f"said: {run_folder.checkpoint(run, 1)} cannot be written (File too large; ")
    assert said[0].endswith(f" MiB are free there); free some space and go on with ckpt={run}")
    assert [checkpoints.damage(path) for path in run_folder.checkpoints(run)] == [None, None]
    assert len(list((run / run_folder.CHECKPOINTS).iterdir())) == 2
    assert [file for file in temporary.rglob("*") if file.is_file()] == []


def two_processes(run: Path, what: str) -> tuple[int, str]:
    """Exit code and output of two processes that save what they share."""
    run.mkdir()
    (run / run_folder.RUN).write_text("{}")
    done = python("tests/checkpoints/sharded_saves.py", str(run), what, variables={"PYTHONPATH": str(ROOT)})
    return done.returncode, done.stdout + done.stderr


def told(run: Path) -> list[dict[str, Any]]:
    return [json.loads((run / f"rank_{rank}.json").read_text()) for rank in (0, 1)]


def test_two_processes_save_one_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, output = two_processes(run, "nothing")
    assert code == 0, output
    assert [said["said"] for said in told(run)] == [None, None]
    assert [run_folder.iteration_of(path) for path in run_folder.checkpoints(run)] == [2, 3]
    newest = run_folder.checkpoints(run)[-1]
    assert run_folder.is_sharded(newest)
    assert checkpoints.damage(newest) is None
    manifest = run_folder.read_json(newest / run_folder.MANIFEST)
    assert (manifest["iteration"], manifest["ranks"]) == (3, 2)
    shards = ["state.ckpt/__0_0.distcp", "state.ckpt/__1_0.distcp"]
    assert sorted(manifest["files"]) == ["state.ckpt/.metadata", *shards, "state.ckpt/meta.pt"]
    flip_a_byte(newest / shards[1])
    assert checkpoints.damage(newest) == f"{shards[1]} has another content than was written"


@pytest.mark.parametrize("what", [pytest.param("shard", marks=SLOW), "metadata"])
def test_when_one_of_two_processes_cannot_write_both_are_told_and_neither_waits(tmp_path: Path, what: str) -> None:
    run = tmp_path / "run"
    code, output = two_processes(run, what)
    assert code == 0, output
    first, second = told(run)
    assert first == second
    assert first["said"].startswith(f"{run_folder.checkpoint(run, 2)} cannot be written (the disk did not take all")
    assert first["said"].endswith(f"go on with ckpt={run}")
    assert first["found"] == ["iteration_000001"]
    # With room again, the next save works.
    assert [run_folder.iteration_of(path) for path in run_folder.checkpoints(run)] == [1, 3]
    assert [checkpoints.damage(path) for path in run_folder.checkpoints(run)] == [None, None]


@SLOW
def test_a_bug_on_one_of_two_processes_ends_both_with_its_traceback(tmp_path: Path) -> None:
    run = tmp_path / "run"
    code, output = two_processes(run, "bug")
    assert code != 0
    assert "ZeroDivisionError: a bug of rank 1" in output
    assert [run_folder.iteration_of(path) for path in run_folder.checkpoints(run)] == [1]
