"""The audit of a whole recipe as a user types it."""

import re
from pathlib import Path

import pytest

from tests.tasks.test_audit import audited, run_py

WORDS = (
    *("objective=rloo", "filter=drop_equal_rewards", "loss.aggregation=token_mean", "batching.prompts_per_iteration=8"),
    *("+term/kl=k3", "schedule.rescale=unit_rms", "task.kl=0.01", "task.completions=4"),
)


def lines_of(printed: str) -> list[str]:
    """The rows of the recipe's tables."""
    return [line.rstrip() for line in printed.splitlines() if re.match(r" (\+ \w+|objective) +[a-z].*\d\.\d", line)]


def test_a_recipe_is_audited_step_by_step(tmp_path: Path) -> None:
    _, content, printed = audited(tmp_path, *WORDS)
    recipe = content["recipe"]
    assert recipe["parts"] == {
        "objective": "rloo",
        "rescale": "unit_rms",
        "filter": "drop_equal_rewards",
        "aggregation": "token_mean",
        "loss": "clip",
        "terms": "kl=k3",
    }
    assert (recipe["completions"], recipe["prompts_per_iteration"], recipe["kl"]) == (4, 8, 0.01)
    stages = recipe["of_rewards"]["stages"]
    assert [row["part"] for row in stages] == list(recipe["parts"])
    for row, line in zip(stages, lines_of(printed)[:6], strict=True):
        assert f"{row['cosine']:.4f}" in line
    assert f"for {stages[-1]['hard']:.4f} of what the objective claims" in printed
    assert recipe["of_rewards"]["terms"][0]["term"] == "kl"
    assert "term kl (loss): " in printed
    assert len(lines_of(printed)) == 12
    assert recipe["of_graded"]["stages"][0]["scale"] == pytest.approx(1)


def test_the_tables_fit_a_narrow_terminal(tmp_path: Path) -> None:
    _, _, printed = audited(tmp_path, *WORDS)
    assert max(map(len, lines_of(printed))) <= 80


@pytest.mark.slow
@pytest.mark.parametrize("word", ["filter=none", "loss=cispo", "batching.prompts_per_iteration=4", "task.kl=0.001"])
def test_any_word_of_a_recipe_asks_for_it(word: str, tmp_path: Path) -> None:
    _, content, _ = audited(tmp_path, "objective=rloo", "task.completions=3", word)
    assert "recipe" in content


def test_an_objective_alone_has_no_recipe(tmp_path: Path) -> None:
    _, content, printed = audited(tmp_path, "objective=rloo", "task.completions=3")
    assert "recipe" not in content
    assert lines_of(printed) == []


def test_graded_rewards_that_an_objective_refuses_are_said_so(tmp_path: Path) -> None:
    _, content, printed = audited(tmp_path, "objective=mahdavi", "filter=none", "task.completions=5")
    assert content["recipe"]["of_graded"] is None
    assert "graded rewards: objective mahdavi is defined for rewards of 0 and 1 only" in printed


def test_an_update_of_several(tmp_path: Path) -> None:
    words = ("objective=grpo", "batching.prompts_per_iteration=8", "batching.prompts_per_update=2")
    _, content, printed = audited(tmp_path, *words, "task.completions=3")
    assert content["recipe"]["prompts_per_update"] == 2
    assert "8 prompts in 4 updates" in printed


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("batching.prompts_per_iteration=5",),
            r"batching\.prompts_per_iteration=5 .* try .*=4, or .*task\.accuracies",
        ),
        (("batching.prompts_per_iteration=100000",), r"more than the 1,048,576 .*try batching\.prompts_per_iteration="),
        (("task.kl=-1",), r"task\.kl=-1 must be between 0 and 1; try task\.kl=0"),
        (("task.kl=0.1", "objective=custom", "objective._target_=nothing.Nothing"), "nothing"),
        (("task.completions=64", "filter=none"), r"task\.completions=64 with 4 answers .*try task\.completions=47"),
        (("batching.completions_per_prompt=8",), r"give task\.completions=8"),
        (("loss=gspo", "loss.aggregation=token_mean"), r"use loss\.aggregation=sequence_mean"),
        (("batching.max_refills=3",), r"use batching\.max_refills=0"),
        (("schedule=linear", "filter=none"), "one value at a time"),
        (("shaping=clip_cov", "filter=none"), "task=audit has whole answers, .*; leave shaping out"),
        (("correction=token_truncate",), "leave correction out"),
        (("schedule.rescale=times_beta",), r"schedule\.rescale=times_beta needs an objective with a beta"),
        (("+term/kl=k1", "objective=mahdavi"), "is defined for rewards of 0 and 1 only"),
    ],
)
def test_a_mistake_is_one_sentence(words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    given = words if any(word.startswith("objective=") for word in words) else ("objective=rloo", *words)
    done = run_py(tmp_path, *given, "task=audit")
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    (error,) = [line for line in said.splitlines() if line.startswith("error:")]
    assert re.search(says, error), error
    assert list(tmp_path.iterdir()) == []
