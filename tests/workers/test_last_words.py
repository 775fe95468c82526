from pathlib import Path

import pytest

from rsgrpo.workers.last_words import NOTHING, TAIL, last_words, tail


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("", NOTHING),
        ("\n  \n", NOTHING),
        ("reading\nwriting\n", "writing"),
        ("error: one\nerror: two\nbye\n", "error: two"),
        ("  error: indented\n", "error: indented"),
        ("Traceback (most recent call last):\nValueError: no\n", "ValueError: no"),
    ],
)
def test_an_error_counts_before_what_was_said_after_it(output: str, said: str) -> None:
    assert last_words(output) == said


def test_the_end_of_a_long_output_is_read(tmp_path: Path) -> None:
    file = tmp_path / "output.txt"
    assert tail(file) == ""
    file.write_bytes(b"error: long ago\n" + b"x" * TAIL + b"\nthe \xff end\n")
    assert last_words(tail(file)) == "the � end"
