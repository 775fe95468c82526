"""Whole runs: resumed == uninterrupted, observed == unobserved, and the run folder says what happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer

from rsgrpo import run_folder
from rsgrpo.composition.machine import claim_run_folder
from rsgrpo.data.countdown import Countdown
from rsgrpo.errors import UserError
from tests.processes import ROOT, new_process
from tests.runs import SETTINGS, RunPy, records, without_times


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "policy" / "model.safetensors")


def assert_same_weights(a: Path, b: Path) -> None:
    assert weights(a).keys() == weights(b).keys()
    for name, tensor in weights(a).items():
        assert torch.equal(tensor, weights(b)[name]), name


def assert_same_metrics_but_of_the_test_at_the_first_end(run: Path, uninterrupted: Path, end: int) -> None:
    """Where the first run ended it was tested as at an end; the uninterrupted one only took a point of its curve."""
    mine, theirs = (
        [r for r in without_times(records(f / "metrics.jsonl")) if r["iteration"] != end or "train/reward_mean" in r]
        for f in (run, uninterrupted)
    )
    assert mine == theirs


def test_three_and_three_iterations_equal_six(run_py: RunPy, six_iterations: Path, tmp_path: Path) -> None:
    run = run_py(tmp_path / "run", "iterations=3")
    assert records(run / "metrics.jsonl")[-1]["iteration"] == 3
    run_py(run, f"ckpt={run}", "iterations=6", start=new_process)
    assert_same_weights(run, six_iterations)
    assert records(run / "prompts.jsonl") == records(six_iterations / "prompts.jsonl")
    for name in ("rollouts.jsonl", "eval/validation.jsonl"):
        last = [r for r in records(six_iterations / name) if r["iteration"] > 3]
        assert last
        assert [r for r in records(run / name) if r["iteration"] > 3] == last
    assert_same_metrics_but_of_the_test_at_the_first_end(run, six_iterations, 3)


def test_the_test_split_is_sampled_during_training(six_iterations: Path) -> None:
    drawn = {(r["iteration"], r["n"]) for r in records(six_iterations / "eval" / "test.jsonl")}
    assert drawn == {(0, 4), (3, 2), (6, 4)}
    logged = {r["iteration"]: r for r in records(six_iterations / "metrics.jsonl") if "eval/test/pass@1" in r}
    assert sorted(logged) == [0, 3, 6]
    assert {name for name in logged[3] if name.startswith("eval/test/pass")} == {
        *("eval/test/pass@1", "eval/test/pass@1_stderr")
    }  # two completions have no pass@4
    assert "eval/test/pass@4_stderr" in logged[6]


def test_a_run_that_was_killed_before_its_test_makes_up_for_it(
    run_py: RunPy, six_iterations: Path, tmp_path: Path
) -> None:
    run = run_py(tmp_path / "run", "iterations=4", "callbacks.checkpoint.keep=9")
    run_py(run, f"ckpt={run / 'checkpoints' / 'iteration_000003'}", "iterations=6")  # as saved before the test
    for name in ("eval/test.jsonl", "metrics.jsonl"):
        mine, uninterrupted = (without_times(records(folder / name)) for folder in (run, six_iterations))
        assert [r for r in mine if r["iteration"] == 3] == [r for r in uninterrupted if r["iteration"] == 3]


def test_a_run_that_stopped_between_checkpoints_forgets_what_came_after(
    run_py: RunPy, six_iterations: Path, tmp_path: Path
) -> None:
    run = run_py(tmp_path / "run", "iterations=5", "callbacks.checkpoint.keep=9")
    run_py(run, f"ckpt={run / 'checkpoints' / 'iteration_000002'}", "iterations=6")
    assert_same_weights(run, six_iterations)
    assert records(run / "prompts.jsonl") == records(six_iterations / "prompts.jsonl")


def test_removing_every_callback_gives_the_same_weights(run_py: RunPy, six_iterations: Path, tmp_path: Path) -> None:
    settings = [s for s in SETTINGS if not s.startswith("callbacks.")]
    silent = run_py(tmp_path / "silent", "callbacks=none", settings=tuple(settings))
    assert_same_weights(silent, six_iterations)
    assert not (silent / "prompts.jsonl").exists()


def test_another_seed_gives_other_weights(run_py: RunPy, six_iterations: Path, tmp_path: Path) -> None:
    other = run_py(tmp_path / "other", "seed=1")
    assert any(not torch.equal(t, weights(other)[name]) for name, t in weights(six_iterations).items())


def test_every_train_prompt_is_visited_in_turn(six_iterations: Path) -> None:
    visited = records(six_iterations / "prompts.jsonl")
    assert [r["iteration"] for r in visited] == [i for i in range(1, 7) for _ in range(8)]
    assert len({r["prompt"] for r in visited}) == 48  # the train split is larger: nobody twice


def test_sampler_and_trainer_agree_before_every_update(six_iterations: Path) -> None:
    gaps = [r["train/logprob_gap"] for r in records(six_iterations / "metrics.jsonl") if "train/logprob_gap" in r]
    assert len(gaps) == 6
    assert 0 < max(gaps) < 1e-4


def test_iterations_and_optimizer_steps_are_both_counted(six_iterations: Path) -> None:
    last = [r for r in records(six_iterations / "metrics.jsonl") if "train/iteration" in r][-1]
    assert (last["train/iteration"], last["train/optimizer_steps"]) == (6, 12)


def test_the_learning_rate_warms_up_over_optimizer_steps(six_iterations: Path) -> None:
    rates = [r["train/learning_rate"] for r in records(six_iterations / "metrics.jsonl") if "train/learning_rate" in r]
    # Two updates an iteration, warm-up over three: the second update of each iteration runs at 2/3, 1, 1, ...
    assert rates == pytest.approx([1e-3 * 2 / 3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3])


def test_stage_times_sum_to_the_step(six_iterations: Path) -> None:
    for record in records(six_iterations / "metrics.jsonl"):
        if "time/step_s" in record:
            stages = [v for k, v in record.items() if k.endswith("_s") and k != "time/step_s" and "_per_s" not in k]
            assert sum(stages) == pytest.approx(record["time/step_s"], rel=1e-4)


def test_tensorboard_shows_what_the_run_folder_holds(six_iterations: Path) -> None:
    events = EventAccumulator(str(six_iterations / "tensorboard"), size_guidance={"tensors": 0, "scalars": 0})
    events.Reload()
    metrics = records(six_iterations / "metrics.jsonl")
    for tag in ("train/reward_mean", "train/cumulative_solve_rate", "train/entropy", "eval/validation/pass@4"):
        written = {r["iteration"]: r[tag] for r in metrics if tag in r}
        assert written
        assert {e.step: e.value for e in events.Scalars(tag)} == pytest.approx(written), tag
    texts = events.Tensors("train/completions/text_summary")
    assert [t.step for t in texts] == [1, 6]
    assert b"| reward | problem | completion |" in texts[0].tensor_proto.string_val[0]


def test_the_cumulative_solve_rate_never_falls_and_counts_dropped_groups(six_iterations: Path) -> None:
    rates = [
        r["train/cumulative_solve_rate"]
        for r in records(six_iterations / "metrics.jsonl")
        if "train/cumulative_solve_rate" in r
    ]
    assert rates == sorted(rates)
    visited = records(six_iterations / "prompts.jsonl")
    solved = {r["prompt"] for r in visited if r["correct"] > 0}
    assert any(r["dropped"] == "all_correct" for r in visited)
    train_set_size = len(Countdown(levels=[2]).split("train"))
    assert rates[-1] == pytest.approx(len(solved) / train_set_size, rel=1e-6)


def test_the_trained_policy_is_an_ordinary_hugging_face_folder(six_iterations: Path, random_policy: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(six_iterations / "policy")
    tokenizer = AutoTokenizer.from_pretrained(six_iterations / "policy")
    logits = model(**tokenizer("6 12 9 => 36 :", return_tensors="pt")).logits
    assert logits.shape == (1, 6, len(tokenizer))
    before = AutoModelForCausalLM.from_pretrained(random_policy)
    assert not torch.equal(model.lm_head.weight, before.lm_head.weight)


def test_the_terminal_shows_the_line_the_tables_and_the_folder(six_iterations: Path) -> None:
    shown = (six_iterations / "terminal.txt").read_text()
    for expected in ("iteration 6/6  reward", "solved", "entropy", "left", "pass@4", "all steps", str(six_iterations)):
        assert expected in shown
    assert "Warning" not in shown


def test_an_iteration_whose_groups_are_all_dropped_is_reported_and_survived(
    run_py: RunPy, random_policy: Path, tmp_path: Path
) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(f'{{"problem": "What is {i} + 1?", "answer": {i + 1}}}\n' for i in range(8)))
    small = ("iterations=2", "batching.prompts_per_iteration=4", "batching.completions_per_prompt=2")
    run = run_py(tmp_path / "run", "data=local", f"data.path={problems}", settings=small)
    assert [r["dropped"] for r in records(run / "prompts.jsonl")] == ["all_wrong"] * 8
    assert_same_weights(run, _folder_as_run(random_policy, tmp_path))
    assert "every group was dropped" in (run / "terminal.txt").read_text()


def test_a_folder_that_holds_something_is_refused_and_left_as_it_is(random_policy: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("mine\n")
    finished = new_process("run.py", f"hydra.run.dir={tmp_path}", f"model.path={random_policy}")
    assert finished.returncode == 2
    assert "is not empty" in finished.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_only_one_run_can_claim_a_folder(tmp_path: Path) -> None:
    claim_run_folder(tmp_path)
    with pytest.raises(UserError, match="taken by another run"):
        claim_run_folder(tmp_path)


def test_ctrl_c_says_how_to_go_on_and_the_run_goes_on(run_py: RunPy, random_policy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [s for s in SETTINGS if not s.startswith("iterations")]
    command = [sys.executable, "run.py", f"hydra.run.dir={run}", f"model.path={random_policy}", *settings]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [*command, "iterations=100000"],
        cwd=ROOT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=listen_to_ctrl_c,
    )
    while not run_folder.checkpoints(run):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 130
    assert f"python run.py ckpt={run}" in said
    last = run_folder.iteration_of(run_folder.checkpoints(run)[-1])
    run_py(run, f"ckpt={run}", f"iterations={last + 1}")
    visited = [r["iteration"] for r in records(run / "prompts.jsonl")]
    assert visited == [i for i in range(1, last + 2) for _ in range(8)]


def listen_to_ctrl_c() -> None:
    """Tests that run in the background inherit a SIGINT that is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _folder_as_run(policy: Path, tmp_path: Path) -> Path:
    (tmp_path / "untrained").mkdir()
    (tmp_path / "untrained" / "policy").symlink_to(policy)
    return tmp_path / "untrained"
