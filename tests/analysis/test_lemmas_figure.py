"""Table and figure of the lemmas from a record written by hand."""

import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from matplotlib.image import imread
from rich.console import Console

from rsgrpo import run_folder
from rsgrpo.analysis.lemmas import draw_lemmas, print_lemmas


def check(optimal: int, rate: float, **changes: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "bandits": 3,
        "optimal_arms": optimal,
        "learning_rate": rate,
        "lowered_when_misled": 3,
        "lowered_at_random": 1,
        "raised_above_sufficient": 3,
        "shrinks_in_the_end": 2,
        "sufficient": [10.0, 30.0, 20.0],
        "threshold_of_gain": [0.0, 4.0, 6.0],
        "threshold_of_decline": [1.0, 9.0, 2.5],
        "relative_beta": [0.01, 1.0, 100.0],
        "gains": [[-0.1, 0.2, 0.01], [0.3, 0.2, 0.1]],
    }
    return whole | changes


def run_of(above: Path, *checks: dict[str, Any]) -> Path:
    run = above / "run"
    run.mkdir()
    (run / run_folder.LEMMAS).write_text(json.dumps({"arms": 7, "checks": list(checks)}))
    return run


def test_the_table(tmp_path: Path) -> None:
    run = run_of(tmp_path, check(1, 0.01), check(3, 100.0, threshold_of_gain=[0.0] * 3, lowered_at_random=0))
    out = io.StringIO()
    print_lemmas(run, Console(file=out, width=200))
    rows = [line.split() for line in out.getvalue().splitlines() if "/3" in line]
    # Of the betas needed only those above 0 count: the median of 4 and 6.
    assert rows == [
        ["1", "0.01", "3/3", "1/3", "3/3", "5", "(2)", "20", "2/3", "2.5"],
        ["3", "100", "3/3", "0/3", "3/3", "0", "20", "2/3", "2.5"],
    ]
    assert "with 7 arms" in out.getvalue()


def test_the_figure_shows_the_first_rate_of_each_kind(tmp_path: Path) -> None:
    run = run_of(tmp_path, check(1, 0.01), check(1, 100.0), check(3, 0.1), check(3, 10.0))
    file = draw_lemmas(run)
    assert file == run / run_folder.FIGURES / "lemmas.png"
    assert {path.name for path in file.parent.iterdir()} == {"lemmas.png", "lemmas.svg"}
    assert {path.name for path in run.iterdir()} == {run_folder.LEMMAS, run_folder.FIGURES}
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    pixels = imread(file)
    assert (pixels[..., :3] < 0.9).any(axis=-1).mean() > 0.005
    text = " ".join(ElementTree.parse(file.with_suffix(".svg")).getroot().itertext())
    assert "1 best arm, learning rate 0.01" in text
    assert "3 best arms, learning rate 0.1" in text
    assert "learning rate 100" not in text
