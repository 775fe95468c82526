"""`python run.py task=evaluate` as a user runs it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rsgrpo import run_folder
from rsgrpo.analysis.summary import evaluation_table
from rsgrpo.measures.pass_at_k import mean_pass_at_k
from rsgrpo.rollouts.vllm.process import missing
from tests.distributed.test_fsdp2 import TWO_RANKS
from tests.runs import RunPy, records
from tests.tasks.test_audit import run_py as call


def results(run: Path, file: str = run_folder.TEST, iteration: int = 0) -> list[dict[str, Any]]:
    """Counts by problem after `iteration`."""
    return [{**r, "iteration": None} for r in records(run / file) if r["iteration"] == iteration]


def test_an_exported_policy_scores_what_its_run_ended_with(run_py: RunPy, six_iterations: Path, tmp_path: Path) -> None:
    """The same random numbers for the same seed; the validation split is asked for too."""
    given = ("task=evaluate", "task.splits=[validation,test]", f"model.path={six_iterations / run_folder.POLICY}")
    run = run_py(tmp_path / "run", *given)
    found = results(run)
    assert found == results(six_iterations, iteration=6)
    assert results(run, run_folder.VALIDATION) == results(six_iterations, run_folder.VALIDATION, iteration=6)
    expected = mean_pass_at_k([(r["n"], r["correct"]) for r in found], [1, 4])
    logged: dict[str, float] = {}
    for record in records(run / run_folder.METRICS):
        logged |= record
    assert {k: logged[f"eval/test/pass@{k}"] for k in (1, 4)} == {k: expected[f"pass@{k}"] for k in (1, 4)}
    printed = (run / "terminal.txt").read_text()
    assert f"{expected['pass@1']:.3f}" in printed.split("test split")[-1]
    assert not (run / run_folder.POLICY).exists(), "nothing was trained"


@pytest.mark.slow
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_vllm_evaluates_and_two_ranks_share_the_work(run_py: RunPy, tmp_path: Path) -> None:
    vllm = ("task=evaluate", "rollout=vllm", "rollout.kv_cache_gib=0.125")
    one = run_py(tmp_path / "one", *vllm)
    two = run_py(tmp_path / "two", *vllm, *TWO_RANKS)
    assert len(results(one)) == 41
    assert results(two) == results(one)


def test_the_table_has_a_line_for_each_dataset() -> None:
    rows = [
        {"n": 4, "correct": c, "mean_tokens": 10.0 * c, "truncated": 2, "facts": {"dataset": d}}
        for c, d in [(4, "easy"), (2, "easy"), (0, "hard")]
    ]
    table = evaluation_table("test", rows, [1, 4])
    cells = list(zip(*(column.cells for column in table.columns), strict=True))
    assert cells == [
        ("all", "3", "4", "0.500", "0.667", "20", "50.0%"),
        ("easy", "2", "4", "0.750", "1.000", "30", "50.0%"),
        ("hard", "1", "4", "0.000", "0.000", "0", "50.0%"),
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["task.splits=[train]"],
            r"task.splits=\['train'\] must list some of validation, test; try task.splits=\[test\]",
        ),
        (["task.splits=[]"], r"task.splits=\[\] must list some of validation, test"),
        (["callbacks=none"], "callbacks.evaluation is off"),
        (["data=local", "data.path={train}"], "task.splits: the test split is empty; name another, or set data"),
    ],
)
def test_what_would_evaluate_nothing_is_refused(
    random_policy: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    train = tmp_path / "train.jsonl"
    train.write_text(json.dumps({"problem": "1+1", "answer": "2"}) + "\n")
    words = [word.format(train=train) for word in words]
    done = call(tmp_path, "task=evaluate", f"model.path={random_policy}", f"hydra.run.dir={tmp_path}/run", *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert re.search(says, done.stderr), done.stderr


def test_a_checkpoint_is_refused_with_the_folder_to_name(six_iterations: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in six_iterations.iterdir())
    own = "reward._target_=tests.training.parity_reward.ParityReward"  # of the run's settings, which are read first
    done = call(tmp_path, "task=evaluate", f"ckpt={six_iterations}", own)
    assert done.returncode == 2
    assert done.stderr.endswith(f"try model.path={six_iterations}/policy\n"), done.stderr
    assert sorted(path.name for path in six_iterations.iterdir()) == before
