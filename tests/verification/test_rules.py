"""Each rule's table of examples, which is also the one in docs/rewards.md."""

from pathlib import Path

import pytest

from rsgrpo.verification.equality import compare
from rsgrpo.verification.examples import Example
from rsgrpo.verification.rules import RULES, table

PAGE = Path(__file__).parents[2] / "docs" / "rewards.md"
EXAMPLES = [
    pytest.param(example, id=f"{title}: {example.gold} and {example.answer}")
    for title, module in RULES.items()
    for example in module.EXAMPLES
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_comes_out_as_its_table_says(example: Example):
    assert (compare(example.gold, example.answer, 2) == "right") is example.equal


def test_the_page_shows_the_tables_as_they_are():
    """`python -c "from rsgrpo.verification.rules import table; print(table())"` prints them."""
    assert table() in PAGE.read_text(encoding="utf-8")
