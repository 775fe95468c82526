"""The audit's table from a record written by hand: every number is shown, whole, in its column."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.audit_table import print_audit


def edge(advantage: float) -> dict[str, float]:
    """What every completion of a group gets."""
    return {"mean": advantage, "size": abs(advantage)}


def entry(name: str, **changes: Any) -> dict[str, Any]:
    """What the table reads of an audited objective: an exact one by default."""
    at = {
        "0.05": {"scale": 0.7614, "weight": 1.8414, "noise_many_wrong": 0.954},
        "0.25": {"noise_many_wrong": 0.194, "effective": 4.04, "rms": 0.928},
        "0.5": {"scale": 0.97, "weight": 0.7389},
        "0.95": {"scale": 0.99, "weight": 9.4e-5},
    }
    whole: dict[str, Any] = {
        "name": name,
        "at": at,
        "unbiased": {"binary": True, "continuous": True},
        "binary": {"claimed": [0.1, -0.1], "noise": 0.929},
        "continuous": {"scale": 1.0, "cosine": 0.99867},
        "centred": True,
        "several": {
            "policy": [0.2, 0.08, 0.7],
            "right": 2,
            "credit": [2.0, 3.0, -1.0],
            "flow": [0.8125, 0.1875, -1.0],
            "spread": -0.66,
            "noise": 0.48,
            "noise_among_right": 0.527,
            "noise_among_wrong": 0.299,
        },
        "all_right": edge(0.0),
        "all_wrong": edge(0.0),
    }
    return whole | changes


def printed(folder: Path, *entries: dict[str, Any], refused: dict[str, str] | None = None, width: int = 200) -> str:
    """What is printed of these entries on a terminal of this width."""
    content = {"completions": 16, "audits": list(entries), "refused": refused or {}}
    (folder / run_folder.AUDIT).write_text(json.dumps(content))
    text = io.StringIO()
    print_audit(folder, Console(file=text, width=width))
    return text.getvalue()


SEVERAL = "a prompt with"
"""The title of the second table begins so."""


def row(text: str, name: str) -> list[str]:
    """The words of the lines that begin with an objective's name, without the name: one line of each block."""
    return words_of(text.partition(SEVERAL)[0], name)


def words_of(text: str, name: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.strip().startswith(f"{name} ")]
    return [word for line in lines for word in line.strip().removeprefix(name).split()]


def test_numbers_are_shown_with_three_digits_in_their_order(tmp_path: Path) -> None:
    text = printed(tmp_path, entry("rs_grpo", all_right=edge(4.0), all_wrong=edge(-4 / 15)))
    assert row(text, "rs_grpo") == [
        *("yes", "0.761", "0.970", "1.00", "0.999", "0.929", "0.954", "0.194", "4.04", "0.928"),
        *("1.84", "0.739", "9.4e-05", "yes", "4.00", "-0.267"),
    ]
    several = words_of(text.partition(SEVERAL)[2], "rs_grpo")
    assert several == ["1.50", "0.812", "0.188", "-0.660", "0.480", "0.527", "0.299"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.0, "1.00"),
        (10.734, "10.7"),
        (999.4, "999."),
        (69.83, "69.8"),
        (1e17, "1e+17"),
        (12345.0, "1.2e+04"),
        (0.001, "0.00100"),
        (0.00049, "0.00049"),
        (-1.0, "-1.00"),
        (1e-17, "0"),
        (-0.0, "0"),
    ],
)
def test_a_number_of_any_size_is_short(value: float, shown: str, tmp_path: Path) -> None:
    assert row(printed(tmp_path, entry("one", all_wrong=edge(value))), "one")[-1] == shown


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({}, "yes", id="both"),
        pytest.param({"unbiased": {"binary": True, "continuous": False}}, "0/1 only", id="binary"),
        pytest.param({"unbiased": {"binary": False, "continuous": True}}, "no", id="continuous alone is not enough"),
        pytest.param({"unbiased": {"binary": False, "continuous": False}}, "no", id="neither"),
        pytest.param(
            {"unbiased": {"binary": False, "continuous": False}, "binary": {"claimed": None, "noise": 1.0}},
            "no claim",
            id="no claim",
        ),
    ],
)
def test_what_an_objective_is_unbiased_for(changes: dict[str, Any], word: str, tmp_path: Path) -> None:
    words = row(printed(tmp_path, entry("one", **changes)), "one")
    assert words[: len(word.split())] == word.split()
    assert words[len(word.split())] == "0.761"


def test_refused_continuous_rewards_are_said_in_their_column(tmp_path: Path) -> None:
    words = row(printed(tmp_path, entry("mahdavi", continuous=None, centred=False)), "mahdavi")
    noise = ["0.929", "0.954", "0.194", "4.04", "0.928"]
    assert words == ["yes", "0.761", "0.970", "refused", *noise, "1.84", "0.739", "9.4e-05", "no", "0", "0"]


def test_a_number_that_does_not_exist_is_left_blank(tmp_path: Path) -> None:
    nothing = {"scale": None, "noise_many_wrong": None, "effective": None, "rms": None, "weight": 2.0}
    words = row(
        printed(
            tmp_path,
            entry(
                "silent",
                at=dict.fromkeys(("0.05", "0.25", "0.5", "0.95"), nothing),
                continuous={"scale": None, "cosine": None},
                binary={"claimed": [0.1, -0.1], "noise": None},
            ),
        ),
        "silent",
    )
    assert words == ["yes", "2.00", "2.00", "2.00", "yes", "0", "0"]


def test_objectives_that_were_refused_are_listed_with_their_reason(tmp_path: Path) -> None:
    text = printed(tmp_path, entry("rloo"), refused={"chen": "k=4 is too large", "maxpo": "k=4 is larger still"})
    lines = text.splitlines()
    assert lines[-2:] == ["not audited: chen: k=4 is too large", "not audited: maxpo: k=4 is larger still"]


def test_the_title_names_the_size_of_the_groups(tmp_path: Path) -> None:
    assert "groups of N = 16" in printed(tmp_path, entry("rloo")).splitlines()[0]


@pytest.mark.parametrize("width", [20, 60, 80])
def test_a_narrow_terminal_cuts_nothing_off(width: int, tmp_path: Path) -> None:
    entries = [
        entry("rs_grpo estimator=vimco", all_wrong=edge(-0.2667)),
        entry("pkpo estimator=s_loo", all_right=edge(1e300)),
    ]
    reason = "k=4 is too large for chen in groups of N = 4 completions, where k is at most N - 1; try k=3"
    narrow = printed(tmp_path, *entries, refused={"chen": reason}, width=width)
    wide = printed(tmp_path, *entries, refused={"chen": reason}, width=400)
    assert "…" not in narrow
    for name in ("rs_grpo estimator=vimco", "pkpo estimator=s_loo"):
        assert row(narrow, name) == row(wide, name) != []
    # No line is longer than the terminal, where it has room for the names and a column.
    lines = [line for line in narrow.splitlines() if "not audited" not in line]
    assert width < 60 or max(map(len, lines)) <= width
    assert narrow.splitlines()[-1] == f"not audited: chen: {reason}"


def test_the_audit_is_read_from_the_run_folder_alone(tmp_path: Path) -> None:
    content = {"completions": 4, "audits": [entry("rloo")], "refused": {"chen": "β is no number"}}
    (tmp_path / run_folder.AUDIT).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    assert run_folder.read_json(tmp_path / run_folder.AUDIT) == content


def test_advantages_that_differ_within_a_group_show_their_size(tmp_path: Path) -> None:
    assert row(printed(tmp_path, entry("one", all_right={"mean": 0.0, "size": 0.846})), "one")[-2] == "±0.846"
