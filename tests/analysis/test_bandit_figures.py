"""The figures of a bandit from a record written by hand: they open, are not blank, and hold the numbers."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from rsgrpo import run_folder
from rsgrpo.analysis import bandit_figures
from rsgrpo.analysis.bandit_figures import FRAMES, draw_bandit
from rsgrpo.analysis.figures import save
from tests.analysis.bandit_records import ESCAPED, TRAPPED, a_run, content


def drawn(above: Path, record: dict[str, Any]) -> list[Path]:
    """Draw in a folder with nothing but a run folder in it; nothing but figures is new afterwards."""
    run = above / "run"
    run.mkdir()
    (run / run_folder.BANDIT).write_text(json.dumps(record))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bandit_figures, "FRAMES", 4)  # the film has a test of its own
        files = draw_bandit(run)
    assert [path.name for path in above.iterdir()] == ["run"]
    assert {path.name for path in run.iterdir()} == {run_folder.BANDIT, run_folder.FIGURES}
    assert {file.parent for file in files} == {run / run_folder.FIGURES}
    expected = {f.name for f in files} | {f.with_suffix(".svg").name for f in files if f.suffix == ".png"}
    assert {path.name for path in (run / run_folder.FIGURES).iterdir()} == expected
    return files


def check_image(file: Path) -> str:
    """A PNG with something on it, and an SVG that is XML; returns the text of the SVG."""
    pixels = imread(file)
    assert min(pixels.shape[:2]) > 200
    assert (pixels[..., :3] < 0.9).any(axis=-1).mean() > 0.005
    return " ".join(ElementTree.parse(file.with_suffix(".svg")).getroot().itertext())


@pytest.fixture(scope="module")
def two_values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {file.stem: file for file in drawn(tmp_path_factory.mktemp("bandit"), content())}


def test_two_values_have_every_figure(two_values: dict[str, Path]) -> None:
    assert list(two_values) == ["figure_1", "figure_3", "entropy", "escape", "policy"]


def test_figure_1(two_values: dict[str, Path]) -> None:
    text = check_image(two_values["figure_1"])
    # The moments are at 5%, 15% and all of three: the first one twice, then the last.
    assert "after 0 pulls" in text
    assert "after 28,400 pulls" in text
    assert "β = 0" in text
    assert "β = 8" in text


def test_figure_3_and_entropy(two_values: dict[str, Path]) -> None:
    for name in ("figure_3", "entropy"):
        text = check_image(two_values[name])
        assert "β = 0" in text
        assert "β = 8" in text
    assert "3 seeds" in check_image(two_values["figure_3"])


def test_the_curves_are_those_of_the_record() -> None:
    (axes,) = bandit_figures._entropy(content()).axes
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    np.testing.assert_array_equal(lines["β = 8"].get_xdata(), [0, 14_000, 28_400])
    np.testing.assert_array_equal(lines["β = 8"].get_ydata(), [1.6, 1.1, 0.6])
    reward = {str(line.get_label()): line for line in bandit_figures._figure_3(content()).axes[1].get_lines()}
    np.testing.assert_array_equal(reward["β = 8"].get_ydata(), [0.35 + 0.05, 0.5, 0.6])


def test_escape(two_values: dict[str, Path]) -> None:
    assert "never" in check_image(two_values["escape"])
    share, times = bandit_figures._escape(content()).axes
    heights = [bar.get_height() for bar in share.patches]  # pyright: ignore[reportAttributeAccessIssue]
    assert heights == pytest.approx([0, 2 / 3])
    assert [text.get_text() for text in times.texts] == ["never"]
    assert any(np.array_equal(line.get_ydata(), [12_345]) for line in times.get_lines())


def test_the_animation(tmp_path: Path) -> None:
    # 250 moments, over which the policy goes from arm 4 to arm 2.
    record = content(("rs_grpo", [ESCAPED | {"policies": [[0, 0, i / 249, 0, 1 - i / 249, 0] for i in range(250)]}]))
    record["played"][0]["pulls"] = list(range(0, 30_000, 120))
    (tmp_path / run_folder.FIGURES).mkdir()
    file = bandit_figures._animation(record, tmp_path)
    assert file == tmp_path / run_folder.FIGURES / "policy.gif"
    with Image.open(file) as film:
        assert film.format == "GIF"
        assert getattr(film, "n_frames", 1) == FRAMES
        film.seek(0)
        first = np.asarray(film.convert("L")).astype(int)
        film.seek(FRAMES - 1)
        last = np.asarray(film.convert("L")).astype(int)
    assert (first < 200).mean() > 0.005
    assert (abs(first - last) > 50).any()


def test_a_single_value_has_no_figure_of_escapes(tmp_path: Path) -> None:
    record = content(("grpo", [a_run(None, [0.6], [[10], [None], [None]])]), seeds=1)
    files = drawn(tmp_path, record)
    assert [file.name for file in files] == ["figure_1.png", "figure_3.png", "entropy.png", "policy.gif"]
    text = check_image(files[1])
    assert "grpo" in text
    assert "β =" not in text
    assert "seeds" not in text


def test_several_objectives_share_one_figure(tmp_path: Path) -> None:
    files = drawn(tmp_path, content(("rs_grpo beta=8", [ESCAPED]), ("grpo", [TRAPPED])))
    assert [file.name for file in files] == ["objectives.png"]
    text = check_image(files[0])
    assert "rs_grpo beta=8: 2/3" in text
    assert "grpo: 0/3" in text


def test_the_animation_shows_a_few_of_many_values() -> None:
    runs = [a_run(float(beta), [0.6], [[10], [None], [None]]) for beta in (0, 1, 2, 4, 8, 16, 32)]
    assert [run["value"] for run in bandit_figures._spread(runs, 4)] == [0, 2, 8, 32]
    assert bandit_figures._spread(runs[:3], 4) == runs[:3]


def test_a_figure_is_made_again_the_same(tmp_path: Path, two_values: dict[str, Path]) -> None:
    again = save(bandit_figures._entropy(content()), tmp_path, "entropy").with_suffix(".svg")
    assert again.read_bytes() == two_values["entropy"].with_suffix(".svg").read_bytes()


@pytest.mark.slow
def test_all_figures_are_made_again_the_same(tmp_path: Path, two_values: dict[str, Path]) -> None:
    for file in drawn(tmp_path, content()):
        if file.suffix == ".png":
            svg = file.with_suffix(".svg")
            assert svg.read_bytes() == two_values[file.stem].with_suffix(".svg").read_bytes()
