"""Runs that share base and seed sample the base once."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from rsgrpo import run_folder
from rsgrpo.composition.known_base import file_of_base, read_base, write_base
from tests.runs import RunPy, records, without_times

SMALL = (
    *("iterations=2", "batching.prompts_per_iteration=4", "batching.completions_per_prompt=4", "data.levels=[2]"),
    *("batching.prompts_per_update=4", "sampling.max_new_tokens=12", "eval.test_every=null", "eval.k=[1,4]"),
    *("eval.validation_prompts=4", "eval.validation_completions=4", "eval.test_completions=4"),
)

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "objective": {"_target_": "rsgrpo.objectives.grpo.GRPO"},
    "model": {"path": "base", "cache_dir": "/cache"},
    "data": {"_target_": "rsgrpo.data.countdown.Countdown", "levels": [2]},
    "reward": {"_target_": "rsgrpo.rewards.countdown.CountdownReward"},
    "rollout": {"_target_": "rsgrpo.rollouts.hf.HFEngine"},
    "trainer": {"threads": 1},
    "callbacks": {"evaluation": {"_target_": "rsgrpo.callbacks.evaluation.PassAtK"}},
    "eval": {"cache_dir": "/kept", "every": 10, "test_completions": 4, "sampling": {"temperature": 1.0}},
}


def named(tmp_path: Path, changes: dict[str, Any] | None = None, **described: Any) -> Path | None:
    cfg = OmegaConf.create(SETTINGS)
    for key, value in (changes or {}).items():
        OmegaConf.update(cfg, key, value, force_add=True)
    splits = {name: {"problems": 2, "blake2b": "ab"} for name in ("train", "validation", "test")}
    run_folder.write_json(tmp_path / run_folder.RUN, {"base": "cd", "data": splits, **described})
    assert isinstance(cfg, DictConfig)
    return file_of_base(tmp_path, cfg)


@pytest.mark.parametrize(
    "changes",
    [
        {"objective._target_": "rsgrpo.objectives.rs_grpo.RSGRPO"},
        {"objective._target_": "my.Objective"},
        {"model.path": "elsewhere"},
        {"eval.every": 5},
    ],
)
def test_what_changes_no_sample_of_the_base_shares_it(tmp_path: Path, changes: dict[str, Any]):
    assert named(tmp_path, changes) == named(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"eval.sampling.temperature": 0.6},
        {"eval.test_completions": 8},
        {"rollout._target_": "rsgrpo.rollouts.vllm.VLLMEngine"},
        {"reward.penalty": 0.5},
        {"trainer.threads": 2},
        {"data.levels": [1]},
    ],
)
def test_what_may_change_a_sample_does_not(tmp_path: Path, changes: dict[str, Any]):
    assert named(tmp_path, changes) not in (None, named(tmp_path))


def test_other_weights_and_other_problems_do_not(tmp_path: Path):
    files = {named(tmp_path), named(tmp_path, base="ef")}
    splits = {name: {"problems": 2, "blake2b": name} for name in ("train", "validation", "test")}
    assert len(files | {named(tmp_path, data=splits)}) == 3


@pytest.mark.parametrize("key", ["reward._target_", "data._target_", "rollout._target_", "callbacks.own._target_"])
def test_code_of_ones_own_may_see_samples_so_they_are_drawn(tmp_path: Path, key: str):
    assert named(tmp_path, {key: "my_code.Part"}) is None
    assert named(tmp_path, {"eval.cache_dir": None}) is None


RECORD: dict[str, Any] = {
    "problem_id": "a", "n": 4, "correct": 1, "mean_tokens": 3.1, "truncated": 0, "facts": {}, "parts": {}
}  # fmt: skip


def kept(tmp_path: Path) -> Path:
    run_folder.append(tmp_path / run_folder.TEST, [{"iteration": 0, **RECORD}, {"iteration": 2, **RECORD}])
    file = tmp_path / "kept" / "x.json"
    write_base(file, tmp_path, ["test"])
    return file


def test_results_are_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert read_base(tmp_path / "kept" / "x.json", ["test"]) is None
    found = read_base(kept(tmp_path), ["test"])
    assert found is not None
    assert [(result.problem_id, result.correct, result.mean_tokens) for result in found["test"]] == [("a", 1, 3.1)]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "content",
    [
        '{"test": [{"no": "result"}]}',
        '{"test": [3]}',
        '{"test": 3}',
        '{"validation": []}',
        "[]",
        '{"test": [{"problem_id"',
        "",
    ],
)
def test_a_damaged_file_is_told_and_stands_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
):
    """No exception: this is rank 0 alone, and the others would wait for it."""
    file = kept(tmp_path)
    file.write_text(content)
    assert read_base(file, ["test"]) is None
    assert capsys.readouterr().err == f"{file} is damaged or cannot be read; the base is measured anew\n"


def test_a_place_that_takes_nothing_is_told_and_ends_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "kept").write_text("a file, where the folder would be")
    file = kept(tmp_path)
    assert not file.exists()
    said = capsys.readouterr().err
    assert said.startswith(f"test: base policy, not kept for other runs: {file} cannot be written (")
    assert said.count("\n") == 1
    (tmp_path / "kept").unlink()
    file.mkdir(parents=True)
    write_base(file, tmp_path, ["test"])
    assert f"{file} cannot be written ([Errno" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["timeout", "error", "math/timeout"])
def test_results_without_all_verdicts_are_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str):
    file = tmp_path / "kept" / "x.json"
    lost = {"iteration": 0, **RECORD, "parts": {"wrong": 1.0, part: 2.0}}
    run_folder.append(tmp_path / run_folder.TEST, [lost, {"iteration": 0, **RECORD, "parts": {"wrong": 3.0}}])
    write_base(file, tmp_path, ["test"])
    assert not file.exists()
    said = "test: base policy, not kept for other runs: completions without a verdict (2 {})\n"
    assert capsys.readouterr().err == said.format(part.rpartition("/")[2])


def test_verdicts_lost_after_the_base_do_not_matter(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    later = {"iteration": 2, **RECORD, "parts": {"timeout": 1.0}}
    counted = {"iteration": 0, **RECORD, "parts": {"wrong": 3.0, "timeout": 0.0}}
    run_folder.append(tmp_path / run_folder.TEST, [counted, later])
    file = tmp_path / "kept" / "x.json"
    write_base(file, tmp_path, ["test"])
    assert file.exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "trainer", [(), pytest.param(("trainer=fsdp2", "trainer.devices=2"), marks=pytest.mark.slow)], ids=["one", "two"]
)
def test_the_second_run_of_a_base_and_seed_takes_the_results_of_the_first(
    run_py: RunPy, tmp_path: Path, trainer: tuple[str, ...]
) -> None:
    shared = (f"eval.cache_dir={tmp_path / 'kept'}", *trainer)
    first = run_py(tmp_path / "first", *shared, "objective=grpo", settings=SMALL)
    second = run_py(tmp_path / "second", *shared, "objective=rs_grpo", settings=SMALL)
    assert "test: base policy, " in (first / "terminal.txt").read_text()
    assert "test: base policy, as another run has measured it" in (second / "terminal.txt").read_text()
    (file,) = (tmp_path / "kept").iterdir()
    good = file.read_bytes()
    file.write_bytes(good[:-9])
    third = run_py(tmp_path / "third", *shared, "objective=rs_grpo", settings=SMALL)
    assert (third / "terminal.txt").read_text().count("is damaged or cannot be read; the base is measured anew") == 1
    assert file.read_bytes() == good
    for name in ("eval/validation.jsonl", "eval/test.jsonl", "metrics.jsonl"):
        own, theirs = (
            [r for r in without_times(records(run / name)) if r["iteration"] == 0] for run in (first, second)
        )
        assert own == theirs != []
