"""A user who asks for an objective that learns from groups of equal rewards is told that the filter drops them."""

from pathlib import Path

import pytest

from tests.runs import SETTINGS, RunPy

ONE_ITERATION = (
    *(word for word in SETTINGS if not word.startswith(("objective.", "eval.test"))),
    "iterations=1",
    "eval.test_completions=1",
    "eval.k=[1]",
)


@pytest.mark.parametrize(
    ("words", "groups"),
    [
        pytest.param(("objective=reinforce",), "all right", id="reinforce"),
        pytest.param(("objective=reinforce", "filter=none"), None, id="without the filter", marks=pytest.mark.slow),
        pytest.param(("objective=rs_grpo",), None, id="rs_grpo", marks=pytest.mark.slow),
        pytest.param(("objective=nsr",), "all wrong", id="nsr", marks=pytest.mark.slow),
        pytest.param(("objective=w_reinforce",), "all right and all wrong", id="w_reinforce", marks=pytest.mark.slow),
    ],
)
def test_the_note_says_which_groups_are_lost(
    words: tuple[str, ...], groups: str | None, run_py: RunPy, tmp_path: Path
) -> None:
    run = run_py(tmp_path / "run", *words, settings=ONE_ITERATION)
    notes = [line for line in (run / "terminal.txt").read_text().splitlines() if line.startswith("note:")]
    if groups is None:
        assert notes == []
    else:
        (note,) = notes
        assert f"groups that are {groups} too" in note
        assert "filter=drop_equal_rewards drops them; filter=none keeps them" in note
