"""The bandit's table from a record written by hand."""

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.bandit_table import escaped, print_bandit
from tests.analysis.bandit_records import ESCAPED, TRAPPED, a_run, content


def printed(folder: Path, record: dict[str, Any], width: int = 200) -> list[str]:
    """The lines of the table of this record."""
    (folder / run_folder.BANDIT).write_text(json.dumps(record))
    out = io.StringIO()
    print_bandit(folder, Console(file=out, width=width))
    return [line.strip() for line in out.getvalue().splitlines()]


def test_one_row_per_value(tmp_path: Path) -> None:
    lines = printed(tmp_path, content())
    rows = [line.split() for line in lines if line.startswith("rs_grpo")]
    # Medians of three; of the two that reached .7 (6,000), and of the one that reached .9.
    assert rows == [
        ["rs_grpo", "0", "0/3", "1,100", "never", "never", "0.5900", "0.200"],
        ["rs_grpo", "8", "2/3", "3,000", "6,000", "12,345", "0.9000", "0.200"],
    ]
    assert lines[0] == "bandit: 6 arms, 30,000 pulls, 3 seeds"
    assert "escaped: moving average over 1,600 pulls ends at 0.9 or above" in lines
    assert [path.name for path in tmp_path.iterdir()] == [run_folder.BANDIT]


def test_objectives_without_a_value_and_those_refused(tmp_path: Path) -> None:
    record = content(
        ("grpo", [a_run(None, [0.6], [[10], [None], [None]])]),
        ("maxpo", [a_run(None, [0.95], [[0], [20], [30]])]),
        refused={"mahdavi": "is defined for rewards of 0 and 1 only"},
    )
    lines = printed(tmp_path, record)
    assert [line.split() for line in lines if line.startswith(("grpo", "maxpo"))] == [
        ["grpo", "0/1", "10", "never", "never", "0.6000", "0.100"],
        ["maxpo", "4", "1/1", "0", "20", "30", "0.9500", "0.100"],
    ]
    assert "not played: mahdavi: is defined for rewards of 0 and 1 only" in lines


def test_a_value_that_moves_is_called_scheduled(tmp_path: Path) -> None:
    record = content(("rs_grpo", [a_run(None, [0.6], [[10], [None], [None]])]))
    assert "scheduled" in next(line for line in printed(tmp_path, record) if line.startswith("rs_grpo"))


def test_escaping_is_what_the_record_says_it_is() -> None:
    assert escaped(ESCAPED, content()) == [0.9971, 0.9]
    assert escaped(ESCAPED, content(escaped_above=0.95)) == [0.9971]
    assert escaped(TRAPPED, content()) == []


def test_a_narrow_terminal_cuts_no_number_off(tmp_path: Path) -> None:
    """What has no room goes on below, in the same order."""
    wide, narrow = (printed(tmp_path, content(), width=width) for width in (200, 30))
    row = next(line for line in wide if "12,345" in line).split()
    assert row[-2:] == ["0.9000", "0.200"]
    words = iter(word for line in narrow for word in line.split())
    assert all(word in words for word in row)


def test_reading(tmp_path: Path) -> None:
    (tmp_path / run_folder.BANDIT).write_text(json.dumps(content()))
    assert run_folder.read_json(tmp_path / run_folder.BANDIT) == content()
