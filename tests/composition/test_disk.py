"""What a run says that it will take of its disk, against what it leaves there."""

import re
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from rsgrpo.callbacks.checkpoint import Checkpoint
from rsgrpo.callbacks.export import Export
from rsgrpo.composition import disk
from rsgrpo.composition.disk import DiskUse, check_disk, disk_use
from rsgrpo.errors import UserError
from rsgrpo.models.lora import LoRA
from rsgrpo.models.policy import Policy
from rsgrpo.models.tiny import build_model, build_tokenizer
from tests.fitting.small import recipe

GIB = 2**30
Usage = namedtuple("Usage", "total used free")


def a_policy() -> Policy:
    tokenizer = build_tokenizer()
    return Policy(build_model(tokenizer, hidden_size=32, num_layers=1, seed=0), tokenizer)


def bytes_below(*folders: Path) -> int:
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def test_the_estimate_is_what_lies_on_the_disk_afterwards(six_iterations: Path, random_policy: Path) -> None:
    use = disk_use(Policy.from_pretrained(random_policy), recipe(iterations=6), [Checkpoint(every=1, keep=2)])
    assert (use.checkpoints, use.policies) == (2, 1)
    left = bytes_below(six_iterations / "checkpoints", six_iterations / "policy")
    assert left == pytest.approx(use.kept, rel=0.2)
    said = (six_iterations / "terminal.txt").read_text()
    assert len(re.findall(rf"^disk        {re.escape(str(use))}; .* free$", said, re.MULTILINE)) == 1


def test_a_checkpoint_holds_weights_and_two_moments_of_what_is_trained() -> None:
    policy = a_policy()
    weights = sum(p.numel() for p in policy.parameters())
    assert disk_use(policy, recipe(), []).checkpoint == 3 * 4 * weights
    assert disk_use(policy.to(torch.bfloat16), recipe(), []).policy == 2 * weights


def test_adapters_are_in_checkpoints_and_merged_in_exports() -> None:
    policy = a_policy()
    weights = sum(p.numel() for p in policy.parameters())
    policy.add_adapters(LoRA(rank=2), seed=0)
    adapters = sum(p.numel() for p in policy.parameters()) - weights
    use = disk_use(policy, recipe(), [])
    assert adapters > 0
    assert (use.checkpoint, use.policy) == (4 * weights + 3 * 4 * adapters, 4 * weights)


@pytest.mark.parametrize(
    ("saves", "kept"),
    [
        (Checkpoint(every=4, keep=2), 2),  # at 4, 8, 10
        (Checkpoint(every=4, keep=5), 3),
        (Checkpoint(every=4, keep=2, best="train/reward_mean"), 3),
        (Checkpoint(every=20, keep=2, best="train/reward_mean"), 1),
    ],
)
def test_no_more_checkpoints_are_kept_than_are_saved(saves: Checkpoint, kept: int) -> None:
    use = disk_use(a_policy(), recipe(iterations=10), [Export(every=3), saves])
    assert (use.checkpoints, use.policies) == (kept, 4)
    assert use.replaces == (kept == 2)


def test_the_peak_has_a_checkpoint_that_is_being_written() -> None:
    use = DiskUse(checkpoint=3 * GIB, checkpoints=2, policy=GIB, policies=1)
    assert (use.kept, use.peak, use.least) == (7 * GIB, 10 * GIB, 4 * GIB)
    saved = "2 checkpoints of 3.0 GiB, and one more while it is written"
    assert str(use) == f"at most 10.0 GiB: {saved}; 1 policy of 1.0 GiB"
    first = DiskUse(checkpoint=3 * GIB, checkpoints=2, replaces=False, policy=GIB, policies=1)
    assert (first.peak, str(first)) == (7 * GIB, "at most 7.0 GiB: 2 checkpoints of 3.0 GiB; 1 policy of 1.0 GiB")
    alone = DiskUse(checkpoint=3 * GIB, checkpoints=0, policy=GIB, policies=2)
    assert (alone.peak, alone.least, str(alone)) == (2 * GIB, GIB, "at most 2.0 GiB: 2 policies of 1.0 GiB")


def said_with(free: int, run: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The line of a run that keeps two checkpoints, on a disk with so much room."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10 * free, 9 * free, free))
    return check_disk(disk_use(a_policy(), recipe(iterations=9), [Checkpoint(every=1, keep=2)]), run)


def test_a_run_that_fits_says_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert said_with(5 * GIB, tmp_path, monkeypatch).endswith("; 5.0 GiB free")


def test_a_run_that_may_fill_its_disk_is_warned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use = disk_use(a_policy(), recipe(iterations=9), [Checkpoint(every=1, keep=2)])
    said_with(use.peak, tmp_path, monkeypatch)
    assert capsys.readouterr().err == ""
    said_with(use.peak - 1, tmp_path, monkeypatch)
    said = capsys.readouterr().err
    assert said.count("warning") == 1
    assert all(key in said for key in ("callbacks.checkpoint.keep", "callbacks.export.every", "hydra.run.dir="))


def test_a_run_that_cannot_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = disk_use(a_policy(), recipe(iterations=9), [Checkpoint(every=1, keep=2)])
    said_with(use.least, tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"hydra\.run\.dir=\.\.\., or save none with callbacks\.checkpoint=null"):
        said_with(use.least - 1, tmp_path, monkeypatch)
    with pytest.raises(UserError, match=r"hydra\.run\.dir=\.\.\.$"):
        said_with(use.policy - 1, tmp_path, monkeypatch)


def test_what_a_resumed_run_replaces_counts_as_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use = disk_use(a_policy(), recipe(iterations=9), [Checkpoint(every=1, keep=2)])
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "state").write_bytes(bytes(1024))
    assert said_with(use.least - 1024, tmp_path, monkeypatch).endswith(f"; {disk.size(use.least)} free")
