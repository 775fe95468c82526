"""A leaderboard on the terminal, as a page, as values and as Markdown says the same."""

import io
import json
import re
from pathlib import Path

from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.bench_markdown import markdown
from rsgrpo.analysis.bench_page import CONTENT, content_of, write_page
from rsgrpo.analysis.bench_table import print_leaderboard
from rsgrpo.bench.leaderboard import leaderboard
from tests.bench.records import runs_of

RATES = {("countdown", arm): {7e-5: 0.3, 2e-4: 0.4} for arm in ("grpo", "twin", "better")}
RANKS = {"better": "1", "grpo": "2-3", "twin": "2-3", "base": ""}


def test_ranks_are_the_same_wherever_they_are_shown(tmp_path: Path) -> None:
    found = leaderboard(
        [*runs_of("grpo"), *runs_of("twin", seed=1), *runs_of("better", better=6)], baseline="grpo", k=8
    )

    page = write_page(found, RATES, [], tmp_path).read_text(encoding="utf-8")
    cells = re.findall(r'<tr><td>(\w+)(?: \*)?</td><td class="r">([0-9-]*)</td><td class="r">4</td>', page)
    assert dict(cells) == RANKS

    rows = re.findall(r"^\| (\w+)(?: \*)? \| ([0-9-]*) \| 4 \|", markdown(found, RATES), re.MULTILINE)
    assert dict(rows) == RANKS

    terminal = io.StringIO()
    print_leaderboard(found, RATES, Console(file=terminal, width=250))
    for arm, rank in RANKS.items():
        assert re.search(rf"^ *{arm}(?: \*)? +{rank} +4 ", terminal.getvalue(), re.MULTILINE), arm

    run_folder.write_json(tmp_path / CONTENT, content_of(found))
    standings = json.loads((tmp_path / CONTENT).read_text(encoding="utf-8"))["boards"][0]["standings"]
    assert {one["arm"]: one["rank"] for one in standings} == RANKS
    ranks = {one["arm"]: one["ranks"] for one in standings}
    assert ranks == {"better": [1, 1], "grpo": [2, 3], "twin": [2, 3], "base": None}
