"""Which run a job of a sweep goes on with: the one with its settings, whatever words it was started with."""

import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from rsgrpo import run_folder
from rsgrpo.command_line.begun import BegunRuns, runs_in
from rsgrpo.command_line.same_run import config_hash, flat
from tests.run_folders import flip_a_byte, write_checkpoint

SETTINGS: dict[str, Any] = {
    "seed": 7,
    "iterations": 6,
    "task": {"_target_": "rsgrpo.tasks.train.train"},
    "objective": {"_target_": "rsgrpo.objectives.rs_grpo.RSGRPO", "beta": 2},
    "rollout": {"_target_": "rsgrpo.rollouts.hf.HFEngine"},
    "trainer": {"threads": 1},
    "model": {"path": "a"},
    "logger": {"save_dir": "x"},
    "ckpt": None,
}


def changed(**sections: Any) -> dict[str, Any]:
    return SETTINGS | {name: SETTINGS[name] | new if isinstance(new, dict) else new for name, new in sections.items()}


def begin(run: Path, settings: dict[str, Any] = SETTINGS, *, saved: int | None = None, done: int | None = None) -> Path:
    """A run with these settings."""
    run.mkdir(parents=True)
    cfg = OmegaConf.create(settings)
    OmegaConf.save(cfg, run / run_folder.CONFIG)
    run_folder.write_json(run / run_folder.RUN, {"format": 2, "config_hash": config_hash(cfg)})
    if saved is not None:
        write_checkpoint(run, saved)
    if done is not None:
        run_folder.write_json(run / run_folder.DONE, {"iteration": done})
    return run


def found(runs: list[Path], settings: dict[str, Any] = SETTINGS) -> tuple[Path, int | None, int | None] | None:
    """(run, iterations that are finished, iteration of the checkpoint) of what a job with these settings finds."""
    begun = BegunRuns(runs=runs, say=lambda message: None).find(config_hash(OmegaConf.create(settings)), flat(settings))
    if begun is None:
        return None
    return begun.run, begun.finished, None if begun.checkpoint is None else run_folder.iteration_of(begun.checkpoint)


def test_a_run_with_the_same_hash_is_found(tmp_path: Path) -> None:
    other = begin(tmp_path / "other", changed(seed=8), saved=2)
    half, whole = begin(tmp_path / "half", saved=2), begin(tmp_path / "whole", saved=6, done=6)
    assert found([other]) is None
    assert found([other, half]) == (half, None, 2)
    assert found([half, whole]) == (whole, 6, None), "what is finished needs no other run"


def test_a_run_that_saved_nothing_is_not_gone_on_with(tmp_path: Path) -> None:
    assert found([begin(tmp_path / "run")]) is None


def test_a_run_is_known_by_its_settings_and_not_by_its_words(tmp_path: Path) -> None:
    """It has no `overrides.yaml` at all."""
    run = begin(tmp_path / "run", changed(objective={"beta": 2.0}, logger={"save_dir": "y"}, ckpt="auto"), saved=2)
    assert found([run]) == (run, None, 2)


@pytest.mark.parametrize(
    ("now", "is_same"),
    [
        (changed(iterations=12), True),
        (changed(trainer={"threads": 4}), True),
        (changed(rollout={"_target_": "rsgrpo.rollouts.vllm.VLLMEngine"}), False),
        (changed(model={"path": "b"}), False),
        (changed(task={"_target_": "rsgrpo.tasks.evaluate.evaluate"}), False),
        (changed(objective={"beta": 4}), False),
    ],
)
def test_what_a_resumed_run_may_set_anew_makes_no_other_run(tmp_path: Path, now: dict[str, Any], is_same: bool) -> None:
    run = begin(tmp_path / "run", saved=6, done=6)
    expected = (run, None if now["iterations"] > 6 else 6, 6 if now["iterations"] > 6 else None)
    assert found([run], now) == (expected if is_same else None)


def test_the_very_same_settings_come_before_similar_ones(tmp_path: Path) -> None:
    similar = begin(tmp_path / "similar", changed(iterations=12), saved=12, done=12)
    same = begin(tmp_path / "same", saved=2)
    assert found([similar, same]) == (same, None, 2)


def test_damage_is_told_and_passed_over(tmp_path: Path) -> None:
    damaged, broken = begin(tmp_path / "damaged", saved=2), begin(tmp_path / "broken", saved=4)
    (damaged / run_folder.RUN).write_bytes(b"\xff")
    flip_a_byte(run_folder.state_of(run_folder.checkpoint(broken, 4)))
    right = begin(tmp_path / "right", saved=2)
    said: list[str] = []
    runs = BegunRuns(runs=[damaged, broken, right], say=said.append)
    begun = runs.find(config_hash(OmegaConf.create(SETTINGS)), flat(SETTINGS))
    assert begun is not None
    assert begun.run == right
    assert any("run.json is damaged" in line for line in said)
    assert any("iteration_000004 is damaged" in line for line in said)
    assert runs.runs == [broken, right]


def test_runs_are_looked_for_in_sweeps_too(tmp_path: Path) -> None:
    alone, job = begin(tmp_path / "alone"), begin(tmp_path / "sweep" / "0_job")
    os.makedirs(tmp_path / "nothing" / "here")
    assert set(runs_in(tmp_path)) == {alone, job}
