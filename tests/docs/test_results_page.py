"""The committed results of the bench, and the page that shows them."""

from pathlib import Path

import pytest

from rsgrpo import bench
from rsgrpo.analysis.bench_markdown import markdown
from rsgrpo.bench.cells import Arm, BenchSettings
from rsgrpo.bench.leaderboard import leaderboard
from rsgrpo.bench.queue import Queue
from rsgrpo.bench.records import Records
from tests.processes import ROOT
from tests.tasks.test_audit import run_py

RESULTS = ROOT / "docs" / "results"


FIRST = {"countdown", "path_star"}


@pytest.mark.parametrize(
    ("ground", "tasks"),
    [("", FIRST), ("matched", FIRST), ("", {"many_answers"}), ("", {"tree"}), ("", {"program"})],
    ids=["first", "matched", "many answers", "tree", "program"],
)
def test_every_table_of_the_page_follows_from_the_records(ground: str, tasks: set[str]) -> None:
    records = [record for record in Records(RESULTS / ground).all() if record.task in tasks]
    arms = sorted({record.arm for record in records})
    settings = BenchSettings(
        arms=arms,
        tasks=sorted({record.task for record in records}),
        pairs=[[0, 0]],
        tuning=[[2, 10]],
        rates=sorted({record.rate for record in records}),
    )
    queue = Queue(
        settings=settings,
        arms=[Arm(name=arm, words=[]) for arm in arms],
        records={record.cell.name: record for record in records},
    )
    made = markdown(leaderboard(queue.reported(), baseline="grpo", k=32), queue.rates())
    page = (RESULTS / "README.md").read_text(encoding="utf-8")

    tables = [block for block in made.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3 * len(tasks) + (len(tasks) > 1)
    for table in tables:
        assert table in page


def test_the_records_travel_with_the_package() -> None:
    linked = Path(bench.__file__).parents[1] / "results"

    assert linked.resolve() == RESULTS.resolve()
    for ground in ("", "matched"):
        assert Records(linked / ground).all() == Records(RESULTS / ground).all() != []


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["standard", "matched"])
def test_the_tables_are_made_anew_without_a_run(tmp_path: Path, choice: str) -> None:
    done = run_py(tmp_path, "task=bench", f"bench={choice}", "bench.arms=[]")

    assert done.returncode == 0, done.stderr
    assert "countdown: 255 test problems, 64 completions each" in done.stdout
    assert "run 1/" not in done.stderr
    made = (tmp_path / "outputs" / "bench" / "leaderboard.md").read_text(encoding="utf-8")
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    assert all(table in page for table in made.split("\n\n") if table.startswith("| arm | rank"))
