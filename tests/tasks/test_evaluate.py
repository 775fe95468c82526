"""`python run.py task=evaluate` as a user runs it."""

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rsgrpo import run_folder
from rsgrpo.analysis.summary import evaluation_table
from rsgrpo.measures.pass_at_k import mean_pass_at_k
from rsgrpo.rollouts.vllm.process import missing
from rsgrpo.run_folder import read_chunks
from tests.distributed.test_fsdp2 import TWO_RANKS
from tests.processes import ROOT, python
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
    assert done.stderr.endswith(f"try model.path={six_iterations}\n"), done.stderr
    assert sorted(path.name for path in six_iterations.iterdir()) == before


SMALL = ("task=evaluate", "reward=custom", "reward._target_=tests.tasks.dying_reward.parity", "task.block=40")
MORE = ("data.levels=[2]", "sampling.max_new_tokens=12", "eval.k=[1,4]", "eval.test_completions=8")


def evaluated(folder: Path, policy: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`task=evaluate` of 41 problems in blocks of 40 completions, in its own folder."""
    given = (*SMALL, *MORE, f"model.path={policy}", f"hydra.run.dir={folder}", *words)
    return python("run.py", *given, variables={"PYTHONPATH": str(ROOT), **variables})


def samples(folder: Path) -> Path:
    return folder / run_folder.SAMPLES.format(split="test")


@pytest.fixture(scope="module")
def unbroken(random_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluations") / "unbroken"
    done = evaluated(folder, random_policy)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_sample_is_written_down(unbroken: Path) -> None:
    chunks = list(read_chunks(samples(unbroken)))
    drawn = [(chunk["problem"], chunk["start"], len(chunk["correct"])) for chunk in chunks]
    assert len(drawn) == len(set(drawn)) == 41
    assert {(start, number) for _, start, number in drawn} == {(0, 8)}
    for result in results(unbroken):
        (own,) = [chunk for chunk in chunks if chunk["problem"] == result["problem_id"]]
        assert result["correct"] == sum(own["correct"])
        assert own["correct"] == [int(tokens % 2 == 0) for tokens in own["tokens"]]
        assert all(logprob < 0 for logprob in own["logprobs"])


def test_a_killed_evaluation_goes_on_to_the_file_of_an_unbroken_one(
    unbroken: Path, random_policy: Path, tmp_path: Path
) -> None:
    killed = evaluated(tmp_path / "run", random_policy, DIES_AT_CALL="200", DIES_BY="SIGKILL")
    assert killed.returncode == -signal.SIGKILL
    begun = len(list(read_chunks(samples(tmp_path / "run"))))
    assert 0 < begun < 41
    done = evaluated(tmp_path / "run", random_policy)
    assert done.returncode == 0, done.stderr
    assert f"{8 * begun} of 328 completions are there already" in done.stderr
    assert samples(tmp_path / "run").read_bytes() == samples(unbroken).read_bytes()
    assert results(tmp_path / "run") == results(unbroken)
    again = evaluated(tmp_path / "run", random_policy)
    assert again.returncode == 0, again.stderr
    assert samples(tmp_path / "run").read_bytes() == samples(unbroken).read_bytes()
    assert results(tmp_path / "run") == results(unbroken)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(unbroken: Path, random_policy: Path, tmp_path: Path) -> None:
    stopped = evaluated(tmp_path / "run", random_policy, DIES_AT_CALL="200", DIES_BY="SIGINT")
    assert stopped.returncode == 130, stopped.stderr
    assert "of 328 completions are kept; go on with: " in stopped.stderr
    words = stopped.stderr.split("go on with: ")[1].splitlines()[0]
    assert f"hydra.run.dir={tmp_path / 'run'}" in words
    done = evaluated(tmp_path / "run", random_policy)
    assert done.returncode == 0, done.stderr
    assert samples(tmp_path / "run").read_bytes() == samples(unbroken).read_bytes()


@pytest.mark.slow
def test_more_samples_extend_an_evaluation(unbroken: Path, random_policy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    done = evaluated(folder, random_policy, "eval.test_completions=12", "eval.k=[1,12]")
    assert done.returncode == 0, done.stderr
    assert {result["n"] for result in results(folder)} == {12}
    assert samples(folder).read_bytes().startswith(samples(unbroken).read_bytes())


@pytest.mark.parametrize("word", ["eval.test_completions=4", "eval.completions=4"])
def test_fewer_samples_than_there_are_are_refused(
    unbroken: Path, random_policy: Path, tmp_path: Path, word: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    done = evaluated(folder, random_policy, word)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"{folder} has 8 completions of " in done.stderr
    assert f"and 4 are asked for; ask for as many ({word[:-1]}8), or name another hydra.run.dir" in done.stderr
    for file in (run_folder.CONFIG, run_folder.OVERRIDES, run_folder.TEST):
        assert (folder / file).read_bytes() == (unbroken / file).read_bytes()


def test_k_is_held_to_the_splits_that_are_evaluated(random_policy: Path, tmp_path: Path) -> None:
    words = ("eval.k=[1,4,16]", "eval.validation_completions=16")
    done = evaluated(tmp_path / "run", random_policy, *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert (
        "eval.k=[1, 4, 16]: a problem of the test split gets 8 completions; try eval.k=[1,4], or draw " in done.stderr
    )
    assert done.stderr.endswith("more: eval.test_completions=16\n")
    assert not (tmp_path / "run").exists()


def test_k_of_a_run_without_a_validation_split_is_held_to_the_test_split(random_policy: Path, tmp_path: Path) -> None:
    problem = json.dumps({"problem": "1+1", "answer": "2"}) + "\n"
    for name in ("train", "test"):
        (tmp_path / f"{name}.jsonl").write_text(problem.replace("1+1", {"train": "1+1", "test": "2+0"}[name]))
    data = ("data=local", f"data.path={tmp_path}/train.jsonl", f"data.test_path={tmp_path}/test.jsonl")
    words = (f"model.path={random_policy}", *data, "eval.test_completions=8", f"hydra.run.dir={tmp_path}/run")
    done = call(tmp_path, *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "eval.k=[1, 4, 32]: a problem of the test split gets 8 completions; try eval.k=[1,4], or draw" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval.sampling.temperature=0.7"], "eval.sampling.temperature was 1.0 and is 0.7 now"),
        (["seed=1"], "seed was 0 and is 1 now"),
        (["data.levels=[1]"], "data.levels was [2] and is [1] now"),
        (["reward._target_=tests.training.parity_reward.ParityReward"], "reward._target_ was"),
        (["model.path=null"], "other weights"),
    ],
)
def test_another_evaluation_does_not_go_on_there(
    unbroken: Path, random_policy: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    done = evaluated(folder, random_policy, *words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert samples(folder).read_bytes() == samples(unbroken).read_bytes()


@pytest.mark.slow
def test_several_policies_at_several_temperatures(six_iterations: Path, random_policy: Path, tmp_path: Path) -> None:
    both = f"model.path=[{six_iterations},{random_policy}]"
    engine = "rollout._target_=tests.tasks.counted_engine.CountedEngine"
    counts = tmp_path / "engines.txt"
    words = (both, "eval.temperature=[0.5,1]", engine)
    done = evaluated(tmp_path / "run", random_policy, *words, ENGINES=str(counts))
    assert done.returncode == 0, done.stderr
    assert counts.read_text().split() == ["starts", "ends"] * 2, "one for each policy, whatever the temperatures"
    names = sorted(folder.name for folder in (tmp_path / "run").iterdir())
    assert names == ["random_temperature0.5", "random_temperature1", "six_temperature0.5", "six_temperature1"]
    assert f"iteration 6 of {six_iterations}" in done.stderr
    alone = evaluated(tmp_path / "alone", random_policy, f"model.path={six_iterations}", "eval.temperature=1")
    assert alone.returncode == 0, alone.stderr
    at_1 = samples(tmp_path / "run" / "six_temperature1").read_bytes()
    assert at_1 == samples(tmp_path / "alone").read_bytes(), "an engine that served before draws the same"
    compared = call(tmp_path, "task=compare", "runs=run", "hydra.run.dir=compared")
    assert compared.returncode == 0, compared.stderr
    for arm in ("rs_grpo temperature=0.5", "rs_grpo temperature=1", "random temperature=0.5"):
        assert arm in compared.stdout
