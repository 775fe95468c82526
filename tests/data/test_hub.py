"""The loader of the hub, on folders laid out as the hub's datasets are; the hub itself is unreachable here."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, constants

from rsgrpo.data.hub import HubTable
from rsgrpo.data.rows import value_at
from rsgrpo.errors import UserError
from tests.data.tables import DAPO, DEEPMATH, INTEGERS, MATHARENA, as_on_the_hub, dapo_row, deepmath_row, spoil_columns


def table(hub: str, *columns: str, **more: Any) -> HubTable:
    settings: dict[str, Any] = {"config": None, "split": "train", "revision": "main", "rows": None} | more
    return HubTable(hub=hub, columns=columns or ("problem", "answer"), **settings)


def test_a_table_is_streamed_once_and_then_read_from_the_cache(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    hub = as_on_the_hub(tmp_path / "repo", [dapo_row(i) for i in range(250)], DAPO)
    wanted = table(hub, "prompt", "reward_model")
    rows = wanted.read(tmp_path / "cache", "")
    assert "fetching" in capfd.readouterr().err
    assert [value_at(row, "reward_model.ground_truth", "") for row in rows] == [str(i + 1) for i in range(250)]
    assert value_at(rows[7], "prompt.0.role", "") == "user"
    assert set(rows[0].values) == {"prompt", "reward_model"}
    assert rows[6].origin == f"{hub} train row 7"
    assert wanted.read(tmp_path / "cache", "") == rows
    assert "fetching" not in capfd.readouterr().err
    assert [file.suffix for file in sorted((tmp_path / "cache").iterdir())] == [".json", ".parquet", ".lock"]


def test_the_note_says_what_the_table_is(tmp_path: Path):
    hub = as_on_the_hub(tmp_path / "repo", [dapo_row(i) for i in range(9)], DAPO)
    table(hub, "prompt", rows=4).read(tmp_path, "")
    (note,) = tmp_path.glob("*.json")
    assert json.loads(note.read_text()) == {
        "hub": hub,
        "config": None,
        "split": "train",
        "revision": "main",
        "columns": ["prompt"],
        "rows": 4,
        "commit": None,  # a folder has none
    }
    assert table(hub, "prompt", rows=4).commit(tmp_path, "") is None


@pytest.mark.parametrize("rows", [1, 99, 100, 101, 250, 1000])
def test_the_first_rows_come_alone_wherever_row_groups_end(tmp_path: Path, rows: int):
    hub = as_on_the_hub(tmp_path / "repo", [deepmath_row(i) for i in range(250)], DEEPMATH)
    found = table(hub, "final_answer", rows=rows).read(tmp_path, "")
    assert [row.values["final_answer"] for row in found] == [str(i + 1) for i in range(min(rows, 250))]


def test_heavy_columns_are_never_read(tmp_path: Path):
    hub = as_on_the_hub(tmp_path / "repo", [deepmath_row(i) for i in range(250)], DEEPMATH)
    solutions = {f"r1_solution_{i}" for i in (1, 2, 3)}
    spoil_columns(next(Path(hub).rglob("*.parquet")), solutions)
    rows = table(hub, "question", "final_answer").read(tmp_path, "")
    assert [row.values["final_answer"] for row in rows] == [str(i + 1) for i in range(250)]
    with pytest.raises(UserError):  # the proof: they cannot be read
        table(hub, "question", "r1_solution_2").read(tmp_path, "")


def test_integers_stay_integers(tmp_path: Path):
    big = 2**62 + 1
    hub = as_on_the_hub(tmp_path / "repo", [{"problem": "x", "answer": big}], INTEGERS)
    assert table(hub).read(tmp_path, "")[0].values == {"problem": "x", "answer": big}
    row = {"problem_idx": 3, "problem": "x", "answer": "4", "problem_type": ["Algebra"]}
    hub = as_on_the_hub(tmp_path / "arena", [row], MATHARENA)
    assert table(hub, "problem", "problem_idx").read(tmp_path, "")[0].values == {"problem": "x", "problem_idx": 3}


def test_a_dataset_of_json_lines_is_read_as_well(tmp_path: Path):
    folder = tmp_path / "repo"
    folder.mkdir()
    lines = [{"problem": f"{i}?", "answer": f"00{i}", "unique_id": f"test/{i}.json"} for i in range(3)]
    (folder / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = table(str(folder), split="test").read(tmp_path / "cache", "")
    assert [row.values for row in rows] == [{"problem": f"{i}?", "answer": f"00{i}"} for i in range(3)]


def test_a_changed_folder_is_read_anew(tmp_path: Path):
    hub = as_on_the_hub(tmp_path / "repo", [deepmath_row(1)], DEEPMATH)
    assert len(table(hub, "question").read(tmp_path, "")) == 1
    as_on_the_hub(tmp_path / "repo", [deepmath_row(1), deepmath_row(2)], DEEPMATH)
    assert len(table(hub, "question").read(tmp_path, "")) == 2


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, str | None]]:
    """A hub of one dataset, `owner/name`, whose branch main is at commit c0ffee; what was asked of it."""
    folder = as_on_the_hub(tmp_path / "served", [deepmath_row(i) for i in range(3)], DEEPMATH)
    asked: list[tuple[str, str | None]] = []

    class Info:
        sha = "c0ffee"

    def info(self: HfApi, repo: str, *, revision: str, timeout: float) -> Info:
        asked.append((repo, revision))
        return Info()

    stream = HubTable._stream_to

    def served(self: HubTable, file: Path, commit: str | None) -> None:
        asked.append((self.hub, commit))
        stream(table(folder, *self.columns), file, None)

    monkeypatch.setattr(HfApi, "dataset_info", info)
    monkeypatch.setattr(HubTable, "_stream_to", served)
    return asked


def test_a_revision_is_resolved_to_the_commit_that_is_fetched_and_recorded(
    fetched: list[tuple[str, str | None]], tmp_path: Path
):
    wanted = table("owner/name", "question", revision="v1")
    assert len(wanted.read(tmp_path / "cache", "")) == 3
    assert fetched == [("owner/name", "v1"), ("owner/name", "c0ffee")]
    (note,) = (tmp_path / "cache").glob("*.json")
    assert json.loads(note.read_text())["commit"] == "c0ffee"
    assert wanted.commit(tmp_path / "cache", "") == "c0ffee"
    assert wanted.read(tmp_path / "cache", "")[2].origin == "owner/name train row 3"
    assert len(fetched) == 2, "the cache needs no network"


def test_of_several_processes_at_once_one_fetches(fetched: list[tuple[str, str | None]], tmp_path: Path):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: len(table("owner/name", "question").read(tmp_path / "c", "")), range(8)))
    assert found == [3] * 8
    assert fetched == [("owner/name", "main"), ("owner/name", "c0ffee")]


@pytest.mark.parametrize("change", [{"rows": 2}, {"revision": "v2"}, {"split": "test"}, {"config": "all"}])
def test_another_table_is_another_file(
    fetched: list[tuple[str, str | None]], tmp_path: Path, change: dict[str, object]
):
    first = table("owner/name", "question").cached(tmp_path / "cache", "")
    assert table("owner/name", "question", **change).cached(tmp_path / "cache", "") != first


def test_an_unreachable_hub_is_named_with_the_cure_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # discard: refuses at once
    with pytest.raises(UserError) as caught:
        table("hiyouga/math12k").read(tmp_path, "")
    assert str(caught.value).startswith("hub=hiyouga/math12k cannot be read ([Errno 111] Connection refused)")
    assert "give a local copy with path=..., a file with the columns problem, answer" in str(caught.value)
    assert [file.suffix for file in tmp_path.iterdir()] == [".lock"]


def test_a_hub_that_is_switched_off_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"^tests\.aime24\.hub=a/b cannot be read.* tests\.aime24\.path="):
        table("a/b").read(tmp_path, "tests.aime24.")


def test_a_stream_that_breaks_off_leaves_nothing_in_the_cache(tmp_path: Path):
    hub = as_on_the_hub(tmp_path / "repo", [deepmath_row(i) for i in range(250)], DEEPMATH)
    file = next(Path(hub).rglob("*.parquet"))
    whole = file.read_bytes()
    spoil_columns(file, {"question"})
    with pytest.raises(UserError, match=r"cannot be read"):
        table(hub, "question").read(tmp_path / "cache", "")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]
    file.write_bytes(whole)
    assert len(table(hub, "question").read(tmp_path / "cache", "")) == 250


@pytest.mark.parametrize(("wanted", "change"), [("question", {"split": "test"}), ("problem", {})])
def test_what_the_dataset_does_not_have_is_refused(tmp_path: Path, wanted: str, change: dict[str, str]):
    hub = as_on_the_hub(tmp_path / "repo", [deepmath_row(1)], DEEPMATH)
    with pytest.raises(UserError, match=r"^hub=.*cannot be read"):
        table(hub, wanted, **change).read(tmp_path / "cache", "")


def test_a_cache_that_cannot_be_written_is_named_by_its_key(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^cache_dir=.*file/data cannot be written .*; name another"):
        table("owner/name").read(tmp_path / "file" / "data", "")
