"""What the last lines of a run conclude, from counts of which the change is known."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rsgrpo import run_folder
from rsgrpo.analysis.compare_table import number
from rsgrpo.analysis.verdict import verdict
from rsgrpo.intervals.problems import difference_interval

WORDS = ["objective.beta=4", "eval.k=[1,4]", "seed=7", "ckpt=outputs/RUN", "data.suffix='a b'"]


def a_result(iteration: int, problem: int, correct: int, n: int = 4, **facts: Any) -> dict[str, Any]:
    counts = {"n": n, "correct": correct, "mean_tokens": 9.0, "truncated": 0}
    return {"iteration": iteration, "problem_id": str(problem), "facts": facts, **counts}


def said_of(
    run: Path, results: list[dict[str, Any]], *, program: str | None = None, model: str | None = "folder"
) -> list[str]:
    config = {"model": {"path": model, "pretrain": {"seed": 0}}}
    (run / run_folder.CONFIG).write_text(yaml.safe_dump(config))
    (run / run_folder.OVERRIDES).write_text(yaml.safe_dump(WORDS))
    (run / run_folder.TEST).parent.mkdir()
    run_folder.append(run / run_folder.TEST, results)
    return verdict(run, [1, 2, 4], program)


def of_counts(base: list[int], trained: list[int]) -> list[dict[str, Any]]:
    """Iteration 3 lies in between and is none of the two."""
    between = [a_result(3, i, 0, n=2) for i in range(len(base))]
    first = [a_result(0, i, c) for i, c in enumerate(base)]
    return [*first, *between, *reversed([a_result(6, i, c) for i, c in enumerate(trained)])]


def test_problems_that_nearly_all_gain_are_beyond_noise(tmp_path: Path) -> None:
    base, trained = [0, 1, 0, 1, 2, 0, 1, 0] * 5, [2, 3, 1, 3, 3, 2, 4, 1] * 5
    first, last = said_of(tmp_path, of_counts(base, trained))
    paired = difference_interval([np.array(base) / 4], [np.array(trained) / 4])
    low, high = number(paired.low, "+"), number(paired.high, "+")
    # (19 - 5) / 8 problems / 4 completions
    assert first.startswith(f"pass@1 changed by +.438 [{low}, {high}] on 40 problems: beyond noise")
    assert paired.low > 0
    # pass@4 of four is whether any is right: half of the problems were not solved at all
    assert last.startswith("pass@4 changed by +.500 [")


def test_gains_and_losses_that_cancel_are_not(tmp_path: Path) -> None:
    base, trained = [0, 1, 2, 3, 4, 1, 2, 3] * 5, [1, 0, 3, 2, 3, 2, 1, 4] * 5
    first, last = said_of(tmp_path, of_counts(base, trained))
    assert first.startswith("pass@1 changed by +.000 [-")
    assert "not beyond noise" in first
    assert "not beyond noise" in last


def test_a_loss_is_beyond_noise_too(tmp_path: Path) -> None:
    first, _ = said_of(tmp_path, of_counts([4, 3, 4, 3] * 10, [1, 0, 2, 0] * 10))
    assert re.match(r"pass@1 changed by -\.688 \[-\.\d+, -\.\d+\] on 40 problems: beyond noise", first)


def test_an_interval_that_is_none_says_why(tmp_path: Path) -> None:
    base = [1] * 20
    (first, last) = said_of(tmp_path, of_counts(base, base))
    assert first == "pass@1 changed by +.000 on 20 problems: unreliable, all problems have the same value"
    assert last == "pass@4 changed by +.000 on 20 problems: unreliable, all problems have the same value"


def test_problems_of_the_same_name_in_two_benchmarks_are_two(tmp_path: Path) -> None:
    results = [
        a_result(iteration, i, i % 2 + 2 * (name == "b" and i % 2 and iteration == 6), dataset=name)
        for iteration in (0, 6)
        for name in ("a", "b")
        for i in range(20)
    ]
    first, _ = said_of(tmp_path, results)
    assert first.startswith("pass@1 changed by +.125 [")
    assert "on 40 problems" in first


def test_only_the_k_that_both_have_completions_for(tmp_path: Path) -> None:
    results = [*of_counts([0, 1, 2, 1] * 5, [1, 2, 2, 1] * 5), a_result(6, 99, 1)]
    few = [{**result, "n": 2, "correct": min(2, result["correct"])} for result in results]
    (only,) = said_of(tmp_path, few)
    assert only.startswith("pass@1 changed")
    assert "on 20 problems" in only


def test_the_commands_that_decide_have_the_words_of_the_run_and_other_seeds(tmp_path: Path) -> None:
    *_, sweep, compare = said_of(tmp_path, of_counts([0, 1] * 10, [1, 2] * 10), program="python run.py")
    assert shlex.split(sweep) == [
        *("python", "run.py", "-m", "objective.beta=4", "eval.k=[1,4]", "data.suffix='a b'", "seed=0,1,2")
    ]
    assert shlex.split(compare)[:3] == ["python", "run.py", "task=compare"]
    (tmp_path / "pretrained").mkdir()
    *_, sweep, _ = said_of(
        tmp_path / "pretrained", of_counts([0, 1] * 10, [1, 2] * 10), program="python run.py", model=None
    )
    assert shlex.split(sweep)[-2:] == ["seed=0,1,2", "model.pretrain.seed=${seed}"]


def test_a_run_without_both_evaluations_concludes_nothing(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    assert said_of(tmp_path, [a_result(0, 1, 1)], program="python run.py") == []
    assert said_of(tmp_path / "one", [a_result(6, 1, 1)], program="python run.py") == []


def test_a_run_ends_with_it(six_iterations: Path) -> None:
    lines = (six_iterations / "terminal.txt").read_text().splitlines()
    start = lines.index(f"run folder: {six_iterations}") + 1
    assert [line.split()[0] for line in lines[start : start + 2]] == ["pass@1", "pass@4"]
    assert lines[start + 3].endswith(" seed=0,1,2")
    assert "task=compare" in lines[start + 4]
