"""docs/decisions/: numbered without a gap, of one shape, short, and all of them in the index."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
NOTES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")


def test_they_are_numbered_one_after_the_other() -> None:
    assert len(NOTES) >= 9
    assert [int(note.name[:4]) for note in NOTES] == list(range(1, len(NOTES) + 1))


@pytest.mark.parametrize("note", NOTES, ids=lambda note: note.stem)
def test_each_has_context_decision_and_consequence(note: Path) -> None:
    text = note.read_text(encoding="utf-8")
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Context", "Decision", "Consequence"]
    assert len(text.splitlines()) <= 20


def test_the_index_names_them_with_their_titles() -> None:
    titles = [note.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ") for note in NOTES]
    listed = re.findall(r"^- \[(.*)\]\((.*)\)$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [(title, note.name) for title, note in zip(titles, NOTES, strict=True)]
    assert [title.partition(".")[0] for title in titles] == [str(int(note.name[:4])) for note in NOTES]
