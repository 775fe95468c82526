"""The table of a comparison, read back as a user sees it."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.compare_table import number, print_comparison
from rsgrpo.comparison.compare import compare
from rsgrpo.comparison.measures import measure
from rsgrpo.comparison.record import record
from rsgrpo.comparison.runs import read_run
from tests.comparison.folders import GRPO, changed, write_run


def shown(tmp_path: Path, folders: list[Path], *names: str, width: int = 80) -> str:
    found = compare([read_run(folder) for folder in folders], [measure(name) for name in names])
    run_folder.write_json(tmp_path / run_folder.COMPARE, record(found, 0.95))
    console = Console(width=width, record=True, file=io.StringIO())
    print_comparison(tmp_path, console)
    return console.export_text()


def runs(tmp_path: Path, seeds: int, worse: Any, better: Any) -> list[Path]:
    return [
        write_run(tmp_path / f"{name}{seed}", changed(seed=seed, **sections), {0: [0] * 20, 60: solved(seed)})
        for name, sections, solved in (("a", GRPO, worse), ("b", {}, better))
        for seed in range(seeds)
    ]


def test_a_decided_difference_and_its_interval_stand_in_one_line(tmp_path: Path):
    text = shown(
        tmp_path,
        runs(tmp_path, 5, lambda s: [s % 3] * 10 + [2] * 10, lambda s: [4 + s % 2] * 10 + [5] * 10),
        "pass@1",
        "pass@4",
    )
    lines = [line.split() for line in text.splitlines()]
    assert ["pass@1"] in lines
    (ours, _) = [line for line in lines if line[:1] == ["rs_grpo"]]
    assert ours[3].startswith("+.")
    assert ours[5] == "higher"
    assert "5 runs of each arm" in text
    assert max(len(line) for line in text.splitlines() if "rs_grpo" in line) <= 80


def test_what_is_undecided_says_what_would_have_been_shown(tmp_path: Path):
    text = shown(tmp_path, runs(tmp_path, 3, lambda s: [2] * 15 + [s] * 5, lambda s: [2] * 15 + [3 - s] * 5), "pass@1")
    assert "undecided" in text
    assert "pass@1, where undecided: with 3 pairs, a true difference of ." in text


def test_single_runs_are_said_to_be_of_these_policies(tmp_path: Path):
    text = shown(tmp_path, runs(tmp_path, 1, lambda s: [2] * 20, lambda s: [3] * 20), "pass@1", "train/entropy")
    assert "over problems" in text
    assert "seed=0,1,2" in text
    assert "unreliable [1]" in text
    assert "[1] unreliable: all problems have the same value" in text


def test_a_mean_that_rests_on_too_little_is_marked_too(tmp_path: Path):
    text = shown(tmp_path, runs(tmp_path, 1, lambda s: [2] * 20, lambda s: [3] * 10 + [4] * 10), "pass@1")
    (grpo,) = [line.split() for line in text.splitlines() if line.strip().startswith("grpo")]
    assert grpo[-1] == "[1]"
    (ours,) = [line for line in text.splitlines() if line.strip().startswith("rs_grpo")]
    assert "[1]" not in ours


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, ".000"), (-0.1234, "-.123"), (0.9996, "1.000"), (10.52, "10.52"), (12_345.6, "12,346")]
)
def test_numbers(value: float, text: str):
    assert number(value) == text
