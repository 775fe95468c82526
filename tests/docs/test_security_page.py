"""docs/security.md: every test that it names exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("|") and not re.match(r"\|( from |-)", line)]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


@pytest.mark.parametrize("row", ROWS)
def test_each_line_names_a_test_that_exists(row: str) -> None:
    named = TEST.findall(row.rpartition(" | ")[2])
    assert named
    for file, test in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert test in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


def test_the_page_speaks_of_all_that_a_run_reads() -> None:
    read = {row.split("|")[1].strip() for row in ROWS} - {""}
    assert {"a run folder", "a model folder", "a data file", "a model's text"} <= read
