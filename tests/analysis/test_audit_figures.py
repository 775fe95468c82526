"""The figures of an audit: the files can be opened and are not blank, and lines hold the numbers of audit.json."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from rsgrpo import run_folder
from rsgrpo.analysis import audit_figures
from rsgrpo.analysis.audit_figures import draw_all, draw_one
from rsgrpo.analysis.figures import save
from rsgrpo.audit import report
from rsgrpo.objectives.base import Objective
from rsgrpo.objectives.best_of_n import BestOfN
from rsgrpo.objectives.chen import Chen
from rsgrpo.objectives.mahdavi import Mahdavi
from rsgrpo.objectives.maxpo import MaxPO
from rsgrpo.objectives.pkpo import PKPO
from rsgrpo.objectives.rloo import RLOO
from rsgrpo.objectives.rs_grpo import RSGRPO
from rsgrpo.objectives.rspo import RSPO

N = 6
RIVALS = ("rs_grpo", "mahdavi", "chen", "best_of_n", "pkpo")
OBJECTIVES: dict[str, Objective] = {
    "best_of_n": BestOfN(),
    "chen": Chen(k=2),
    "mahdavi": Mahdavi(k=2),
    "maxpo": MaxPO(k=2),
    "pkpo": PKPO(k=2),
    "pkpo estimator=s": PKPO(k=2, estimator="s"),
    "rloo": RLOO(),
    "rs_grpo": RSGRPO(beta=2.0),
    "rs_grpo beta=8": RSGRPO(beta=8.0),
    "rspo": RSPO(k=2),
}
PASS_AT_2 = ["maxpo", "pkpo", "rspo", "pkpo estimator=s"]
"""All have w = 2 (1 - p); the defaults first."""


def content_of(names: list[str]) -> dict[str, Any]:
    """The content of an audit.json."""
    betas = [
        {
            "beta": b,
            "by_reward": report.by_reward(RSGRPO(beta=b), N),
            "by_accuracy": report.by_accuracy(RSGRPO(beta=b), N),
        }
        for b in (0.0, 2.0, 8.0)
    ]
    audits = [{"name": name, **report.audit(OBJECTIVES[name], N)} for name in names]
    return {"completions": N, "audits": audits, "refused": {}, "figure_2": betas}


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    return content_of(list(OBJECTIVES))


@pytest.fixture(scope="module")
def drawn(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but a run folder in it, all figures drawn."""
    above = tmp_path_factory.mktemp("figures")
    (above / "run").mkdir()
    (above / "run" / run_folder.AUDIT).write_text(json.dumps(content))
    files = draw_all(above / "run", rivals=RIVALS)
    assert [file.name for file in files] == [f"{name}.png" for name in ALL]
    return above / "run"


@pytest.fixture(scope="module")
def drawn_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for a single objective that refuses continuous rewards."""
    run = tmp_path_factory.mktemp("alone") / "run"
    run.mkdir()
    (run / run_folder.AUDIT).write_text(json.dumps(content_of(["mahdavi"])))
    assert [file.name for file in draw_one(run)] == ["advantages.png", "weight.png"]
    return run


def data(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """(x, y) of every plotted line; that of y = 0, which spans the axes, is no data."""
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]  # pyright: ignore[reportArgumentType]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]  # pyright: ignore[reportArgumentType]


def labels(axes: Axes) -> list[str]:
    return [str(line.get_label()) for line in axes.get_lines() if not str(line.get_label()).startswith("_")]


def texts(svg: Path) -> str:
    """All text of a picture, one word after the other."""
    pieces = (piece.strip() for piece in ElementTree.parse(svg).getroot().itertext())
    return " ".join(piece for piece in pieces if piece)


# Files


ALL = ("figure_2", "figure_8", "table_1", "weights", "mass")
ALONE = ("advantages", "weight")


@pytest.mark.parametrize(("fixture", "names"), [("drawn", ALL), ("drawn_alone", ALONE)])
def test_each_figure_is_a_png_and_an_svg_and_nothing_else_is_written(
    fixture: str, names: tuple[str, ...], request: pytest.FixtureRequest
) -> None:
    run: Path = request.getfixturevalue(fixture)
    files = {file.relative_to(run.parent).as_posix() for file in run.parent.rglob("*") if file.is_file()}
    figures = {f"run/{run_folder.FIGURES}/{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    assert files == figures | {f"run/{run_folder.AUDIT}"}


@pytest.mark.parametrize(
    ("fixture", "name"), [*(("drawn", name) for name in ALL), *(("drawn_alone", name) for name in ALONE)]
)
def test_a_png_can_be_opened_and_is_not_blank(fixture: str, name: str, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue(fixture)
    image = imread(run / run_folder.FIGURES / f"{name}.png")[..., :3]
    height, width, _ = image.shape
    assert min(height, width) > 200
    dark = (image.min(axis=2) < 0.5).mean()
    assert 0.001 < dark < 0.5, "neither blank nor black"
    # Ink in every quarter: no panel is empty.
    for rows in (slice(0, height // 2), slice(height // 2, height)):
        for columns in (slice(0, width // 2), slice(width // 2, width)):
            assert image[rows, columns].std() > 0.01


@pytest.mark.parametrize(
    ("fixture", "name", "words"),
    [
        ("drawn", "figure_2", ["N = 6", "β = 0", "β = 2", "β = 8", "positive", "negative", "cumulative", "reward"]),
        ("drawn", "figure_8", ["rs_grpo, beta = 2", "mahdavi, k = 2", "chen, k = 2", "best_of_n (A/N)", "pkpo, k = 2"]),
        ("drawn", "table_1", [*OBJECTIVES, "dense", "centred", "unbiased", "✓", "✗"]),
        ("drawn", "weights", [*OBJECTIVES, "N = 6", "accuracy p of the prompt"]),
        ("drawn", "mass", [*OBJECTIVES, "N = 6", "right answer of mass 0.02", "one right answer against another"]),
        ("drawn_alone", "advantages", ["mahdavi, k = 2", "refuses continuous rewards", "positive", "N = 6"]),
        ("drawn_alone", "weight", ["mahdavi, k = 2", "expected", "claimed", "one group's estimate"]),
    ],
)
def test_an_svg_is_xml_whose_text_can_be_searched(
    fixture: str, name: str, words: list[str], request: pytest.FixtureRequest
) -> None:
    text = texts(request.getfixturevalue(fixture) / run_folder.FIGURES / f"{name}.svg")
    assert [word for word in words if word not in text] == []


def test_the_same_audit_is_the_same_svg(drawn: Path, content: dict[str, Any], tmp_path: Path) -> None:
    again = save(audit_figures._weights(content["audits"], N), tmp_path, "weights").with_suffix(".svg")
    assert again.read_bytes() == (drawn / run_folder.FIGURES / "weights.svg").read_bytes()


@pytest.mark.slow
def test_so_are_all_its_figures(drawn: Path, content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / run_folder.AUDIT).write_text(json.dumps(content))
    draw_all(tmp_path, rivals=RIVALS)
    for name in ALL:
        again = (tmp_path / run_folder.FIGURES / f"{name}.svg").read_bytes()
        assert again == (drawn / run_folder.FIGURES / f"{name}.svg").read_bytes()


# Lines


def inner(entry: dict[str, Any], panel: str, scale: float = 1.0) -> tuple[list[float], list[float]]:
    """Accuracies and advantages of the groups that are neither all right nor all wrong."""
    values = entry["by_accuracy"][panel]
    return [c / N for c in range(1, N)], [scale * values[c] for c in range(1, N)]


def same(found: tuple[list[float], list[float]], expected: tuple[list[float], list[float]]) -> bool:
    return found[0] == pytest.approx(expected[0]) and found[1] == pytest.approx(expected[1])


def test_figure_2_holds_rewards_and_accuracies_for_each_beta(content: dict[str, Any]) -> None:
    figure: Figure = audit_figures._figure_2(content["figure_2"], N)
    by_reward, *by_accuracy = figure.axes
    assert labels(by_reward) == ["β = 0", "β = 2", "β = 8"]
    for i, curve in enumerate(content["figure_2"]):
        assert same(data(by_reward)[i], (curve["by_reward"]["reward"], curve["by_reward"]["advantage"]))
        for axes, panel in zip(by_accuracy, ("positive", "negative", "cumulative"), strict=True):
            assert same(data(axes)[i], inner(curve, panel))


def test_figure_8_holds_the_rivals_as_published_and_relative_to_their_peak(content: dict[str, Any]) -> None:
    """The formulas of best_of_n and pkpo are published for a sum over completions: 1/N of the advantage."""
    by_name = {entry["name"]: entry for entry in content["audits"]}
    rivals = [by_name[name] for name in RIVALS]
    figure: Figure = audit_figures._figure_8(rivals, N)
    published, relative = figure.axes[:3], figure.axes[3:]
    for i, entry in enumerate(rivals):
        factor = 1 / N if entry["name"] in ("best_of_n", "pkpo") else 1.0
        peak = max(entry["by_accuracy"]["cumulative"])
        for column, panel in enumerate(("positive", "negative", "cumulative")):
            assert same(data(published[column])[i], inner(entry, panel, factor))
            assert same(data(relative[column])[i], inner(entry, panel, 1 / peak))
    assert all(max(y) == pytest.approx(1) for _, y in data(relative[2]))


def test_objectives_with_equal_weights_share_one_line(content: dict[str, Any]) -> None:
    figure: Figure = audit_figures._weights(content["audits"], N)
    weights, shares = figure.axes
    names = [label.replace(",\n", ", ").split(", ") for label in labels(weights)]
    assert PASS_AT_2 in names
    assert sorted(name for group in names for name in group) == sorted(OBJECTIVES)
    assert len(names) == len(OBJECTIVES) - len(PASS_AT_2) + 1
    by_name = {entry["name"]: entry["weight"] for entry in content["audits"]}
    for group, line, share in zip(names, data(weights), data(shares), strict=True):
        mean = sum(line[1]) / len(line[1])
        for name in group:
            assert same(line, (by_name[name]["accuracy"], by_name[name]["weight"]))
        assert same(share, (line[0], [y / mean for y in line[1]]))


def test_no_two_lines_of_the_weights_look_the_same(content: dict[str, Any]) -> None:
    lines = audit_figures._weights(content["audits"], N).axes[0].get_lines()
    looks = [
        (str(line.get_color()), line.get_linestyle()) for line in lines if not str(line.get_label()).startswith("_")
    ]
    assert len(set(looks)) == len(looks) == len(OBJECTIVES) - len(PASS_AT_2) + 1


def test_table_1_marks_what_holds_of_each_objective(content: dict[str, Any]) -> None:
    """Rows are read off the picture: the rivals of the paper first, in their order."""
    figure: Figure = audit_figures._table_1(content["audits"], RIVALS)
    marks: dict[float, dict[float, str]] = {}
    rows: dict[float, str] = {}
    for text in figure.axes[0].texts:
        x, y = text.get_position()
        if text.get_text() in "✓✗-":
            marks.setdefault(y, {})[x] = text.get_text()
        elif y >= 0:
            rows[y] = text.get_text().split(",")[0]
    assert [rows[y] for y in sorted(rows)][:5] == list(RIVALS)
    assert sorted(rows.values()) == sorted(OBJECTIVES)
    titles = {x: t.get_text() for t in figure.axes[0].texts for x, y in [t.get_position()] if y < 0}
    columns = [titles[x].replace("\n", " ") for x in sorted(titles)]
    found = {rows[y]: "".join(line[x] for x in sorted(line)) for y, line in marks.items()}
    assert columns[:3] == ["rewards 0 and 1", "continuous rewards", "dense advantage"]
    # The first three columns are the paper's, but for chen's continuous form; k = 2 here.
    assert {name: found[name][:3] for name in RIVALS} == {
        "rs_grpo": "✓✓✓",
        "mahdavi": "✓✗✓",  # sum |A| = 4 c (N-c)^2 / N^2 is 0.56 at c = 5 and at most 3.6
        "chen": "✓✓✗",
        "best_of_n": "✓✓✗",
        "pkpo": "✓✓✓",  # at k = 2 one wrong completion is enough
    }
    # negatives, centred, unbiased for 0 and 1, for continuous rewards
    assert {name: found[name][3:] for name in ("maxpo", "rloo", "rs_grpo", "pkpo")} == {
        "maxpo": "✓✓✓✓",
        "rloo": "✓✓✓✓",
        "rs_grpo": "✓✓✗✗",
        "pkpo": "✗✗✓✓",
    }


def test_the_figures_of_one_objective_hold_its_numbers() -> None:
    entry = content_of(["chen"])["audits"][0]
    by_reward, *by_accuracy = audit_figures._advantages(entry, N).axes
    assert same(data(by_reward)[0], (entry["by_reward"]["reward"], entry["by_reward"]["advantage"]))
    for axes, panel in zip(by_accuracy, ("positive", "negative", "cumulative"), strict=True):
        assert same(data(axes)[0], inner(entry, panel))
    weight = entry["weight"]
    expected, claimed = data(audit_figures._one_weight(entry, N).axes[0])
    assert same(expected, (weight["accuracy"], weight["weight"]))
    assert same(claimed, (weight["accuracy"], weight["claimed"]))


def test_a_claim_is_drawn_only_where_there_is_one() -> None:
    entry = content_of(["rloo"])["audits"][0]
    entry["weight"] |= {"claimed": None}
    assert len(data(audit_figures._one_weight(entry, N).axes[0])) == 1
