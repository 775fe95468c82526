"""The page, figures and tables of a report, as files."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rsgrpo import run_folder
from rsgrpo.analysis.compare_table import control_in_words
from rsgrpo.analysis.report_figures import draw_figures
from rsgrpo.analysis.report_page import verdicts, write_page
from rsgrpo.analysis.report_settings import settings_that_differ
from rsgrpo.analysis.report_tables import by_placebo, write_tables
from rsgrpo.comparison.paper import BENCHMARKS
from rsgrpo.comparison.report import report
from tests.comparison.folders import GRPO, changed, write_evaluation, write_run
from tests.comparison.reports import compared, write_arms, write_visits

VOID = {"meta", "br", "path", "circle", "text", "i"}


class Page(HTMLParser):
    """What the page refers to, and whether every element that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    folders = write_arms(tmp_path / "runs", 2)
    for folder in folders:
        logged = [{"iteration": i, "eval/test/pass@1": i / 100} for i in (0, 20, 40, 60)]
        run_folder.append(folder / run_folder.METRICS, logged)
        write_visits(folder, {"train/1": 8 if "ours" in folder.name else 0, "train/2": 1})
    return report(compared(folders), 0.95, "python run.py task=report")


def test_every_figure_is_there_twice(content: dict[str, Any], tmp_path: Path):
    drawn = draw_figures(content, tmp_path)
    assert [path.stem for path in drawn] == ["curves", "training", "costs", "transitions", "support"]
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert "<svg" in path.with_suffix(".svg").read_text()


def test_a_grid_of_temperatures_has_its_figures_table_and_sentences(tmp_path: Path):
    for name, sections, at in (("grpo", GRPO, {0.5: 2, 1.0: 3}), ("ours", {}, {0.5: 5, 1.0: 6})):
        run = write_run(tmp_path / name, changed(**sections), {0: [0], 60: [0]})
        for temperature, right in at.items():
            samples = [[("1", i < right) if i < 6 else (None, False) for i in range(8)] for _ in range(6)]
            place = tmp_path / "grid" / f"{name}_{temperature}"
            entropy = temperature * (1 + 0.1 * (name == "ours"))
            write_evaluation(place, samples, policy=str(run / "policy"), temperature=temperature, logprob=-entropy)
    found = compared(sorted((tmp_path / "grid").iterdir()))
    content = report(found, 0.95, "python run.py task=report")
    drawn = draw_figures(content, tmp_path)
    assert [path.stem for path in drawn] == ["curves", "answers", "temperatures", "transitions", "support"]
    text = write_page(content, tmp_path).read_text()
    assert Page(text).open == []
    assert "Is the gain more than a hotter sampler?" in text
    assert "From here on at temperature 1, but" in text
    assert "+.375" in text  # (6 - 3) / 8 at the same temperature
    assert "<h1>grpo and rs_grpo at 2 temperatures</h1>" in text
    assert "outside the grid" in text  # 1.1 nats are above those of the baseline
    assert "<title>rs_grpo, k 1: .750" in text  # at the usual temperature, named without it
    (control,) = content["comparison"]["controls"]
    # All six problems have the same numbers of right samples: no interval, and a reason that stands below.
    assert [control[name]["flag"] for name in ("gain", "over_best")] == ["all problems have the same value"] * 2
    remarks = ["another"]
    said = control_in_words(control, remarks)
    assert said.startswith("pass@4 of rs_grpo at temperature 1, minus grpo: +")
    assert "at the same temperature, unreliable [2]; +" in said
    assert said.endswith("at its best one, 1, unreliable [2]")
    assert remarks == ["another", "all problems have the same value"]
    assert "entropy" not in said
    sentence = f"<li>{control_in_words(control, [])}.</li>"
    assert sentence in text
    assert text.count("[1] unreliable: all problems have the same value") == 2  # below each of the two tables
    assert re.search(r'<span class="soft">\(1\)</span> unreliable \[1\]</td>', text)
    assert "unreliable [1]</td>" in text.partition("<h2>pass@k</h2>")[0]


def test_a_placebo_is_drawn_once_for_each_policy_and_pairs(content: dict[str, Any], tmp_path: Path):
    grouped = by_placebo(content["transitions"])
    named = [(first["first"], [change["second"] for change in changes]) for first, changes in grouped]
    assert named == [("grpo", ["rs_grpo"]), ("base", ["grpo", "rs_grpo"])]
    text = write_page(content, tmp_path).read_text()
    assert (text.count("placebo: base to itself"), text.count("placebo: grpo to itself")) == (1, 1)
    assert text.count('<table class="matrix">') == 2 + 3
    draw_figures(content, tmp_path)
    drawn = (tmp_path / "figures" / "transitions.svg").read_text()
    assert drawn.count(">placebo, % of problems") == 2
    assert [drawn.count(f">{name}, % of") for name in ("grpo to rs_grpo", "base to grpo", "base to rs_grpo")] == [
        1,
        1,
        1,
    ]
    # Of other pairs it is another placebo.
    last = content["transitions"][-1]
    other = [*content["transitions"][:-1], {**last, "placebo": [line[::-1] for line in last["placebo"]]}]
    assert [len(changes) for _, changes in by_placebo(other)] == [1, 1, 1]


def test_a_single_panel_says_the_split_once(content: dict[str, Any], tmp_path: Path):
    draw_figures(content, tmp_path)
    assert (tmp_path / "figures" / "curves.svg").read_text().count("test split") == 1
    assert 'aria-label="pass@k"' in write_page(content, tmp_path).read_text()


def test_settings_of_a_base_are_no_difference_and_the_narrower_table_is_shown():
    base = {"arm": "base", "settings": {"model.path": "base"}}
    arms = [
        {"arm": f"ours lr={lr}", "settings": {"model.path": None, "data.levels": [1, 2], "lr": lr, "warmup": warmup}}
        for lr, warmup in ((1, None), (2, 3))
    ]
    table = settings_that_differ([base, *arms])
    assert table == (
        False,
        ["model.path", "lr", "warmup"],
        [("base", ["base", "", ""]), ("ours lr=1", ["null", "1", "null"]), ("ours lr=2", ["null", "2", "3"])],
    )
    many = [
        {**arm, "settings": {**arm["settings"], **dict.fromkeys(map(str, range(30)), i)}} for i, arm in enumerate(arms)
    ]
    wide = settings_that_differ(many)
    assert wide is not None
    assert (wide.keys_are_rows, wide.header, wide.rows[0]) == (True, ["ours lr=1", "ours lr=2"], ("lr", ["1", "2"]))
    assert settings_that_differ([base]) is None


def test_what_is_decided_of_no_arm_is_said_shortly():
    def row(measure: str, arm: str, decided: bool = False) -> dict[str, Any]:
        interval = {"estimate": 0.5, "low": 0.4, "high": 0.6}
        return {"measure": measure, "arm": arm, "difference": None if arm == "grpo" else interval, "decided": decided}

    both = [row(measure, arm) for measure in ("pass@1", "pass@4") for arm in ("grpo", "a", "b", "c", "d")]
    assert verdicts(both, "grpo") == ["Not decided, against grpo: pass@1 and pass@4 of all others."]
    some = [*both[:-1], row("pass@4", "d", decided=True)]
    assert verdicts(some, "grpo") == [
        "d has a higher pass@4 than grpo: +.500 [+.400, +.600].",
        "Not decided, against grpo: pass@1 of all others; pass@4 of a, b, c.",
    ]
    assert verdicts(both[:3], "grpo") == ["Not decided, against grpo: pass@1 of a, b."]


def test_the_page_needs_nothing_else_and_is_whole(content: dict[str, Any], tmp_path: Path):
    text = write_page(content, tmp_path).read_text()
    page = Page(text)
    assert page.open == []
    assert not {"link", "img", "iframe", "object"} & set(page.tags)
    assert re.findall(r"https?://|@import|url\(", text) == []
    assert page.references == []
    assert "prefers-color-scheme: dark" in text
    assert page.tags.count("svg") == 1 + 3 + 3  # curves; reward, entropy, pass@1; pass@1 by three costs
    # A value to point at, and a completion that is no markup.
    assert "<title>rs_grpo, k 8: .900" in text
    assert "&lt;b&gt;train/1&lt;/b&gt; is \\boxed{1}" in text


def test_the_page_links_the_files_beside_it(content: dict[str, Any], tmp_path: Path):
    draw_figures(content | {"training": [], "costs": [], "transitions": [], "support": []}, tmp_path)
    write_tables(content, tmp_path)
    page = Page(write_page(content, tmp_path).read_text())
    assert page.references == ["figures/curves.png", "tables/comparison.tex", "tables/support.tex"]
    assert all((tmp_path / name).is_file() for name in page.references)


def test_tables_are_latex_with_rules_of_booktabs(content: dict[str, Any], tmp_path: Path):
    comparison, support = (path.read_text() for path in write_tables(content, tmp_path))
    for table in (comparison, support):
        assert [table.count(rule) for rule in ("\\toprule", "\\bottomrule", "\\end{tabular}")] == [1, 1, 1]
        rows = [line for line in table.splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
        columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", table)
        assert columns is not None
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns[1])}
    assert "rs\\_grpo & 2 &" in comparison
    assert "grpo to rs\\_grpo & 4 & 4.0 & 5.0 & 1.0 &" in support


def test_the_papers_table_is_shown_for_its_benchmarks(tmp_path: Path):
    datasets = [name for name in BENCHMARKS for _ in range(2)]
    folders = [
        write_run(tmp_path / name, changed(**s), {0: [2] * 12, 60: [3, 4] * 6}, n=32, datasets=datasets)
        for name, s in (("a", GRPO), ("b", {}))
    ]
    content = report(compared(folders), 0.95, "")
    text = write_page(content, tmp_path).read_text()
    assert "16.6 / 36.4" in text
    assert "HMMT Feb25" in text
    (table,) = [path for path in write_tables(content, tmp_path) if path.name == "paper.tex"]
    assert "RS-GRPO & 16.7 / 45.1 &" in table.read_text()
    assert "rs\\_grpo & 10.9 / 100.0 &" in table.read_text()


def test_one_run_is_reported_against_its_base(tmp_path: Path):
    content = report(compared(write_arms(tmp_path)[:1]), 0.95, "")
    draw_figures(content, tmp_path)
    text = write_page(content, tmp_path).read_text()
    assert "minus base" in text
    assert "Problems that only one solves" in text
