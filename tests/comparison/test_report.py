"""The numbers of a report against values by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from rsgrpo import run_folder
from rsgrpo.comparison.changes import support_changes, transition_matrices
from rsgrpo.comparison.curves import pass_at_k_curves
from rsgrpo.comparison.paper import BENCHMARKS, beside_the_paper, paper_rows
from rsgrpo.comparison.problems import MOST_LISTED, only_solved, only_solved_in_training
from rsgrpo.comparison.report import report
from rsgrpo.comparison.training import MOST_POINTS, against_cost, evaluated_curves, over_training
from rsgrpo.measures.pass_at_k import pass_at_k
from tests.comparison.folders import GRPO, changed, write_run
from tests.comparison.reports import BASE, BETTER, compared, write_arms, write_visits


def test_curves_are_means_of_pass_at_k_with_intervals_over_seeds(tmp_path: Path):
    (panel,) = pass_at_k_curves(compared(write_arms(tmp_path, 3)))
    base, grpo, ours = panel.lines
    assert [line.arm for line in panel.lines] == ["base", "grpo", "rs_grpo"]
    assert (list(ours.x), panel.log2) == ([1, 2, 4, 8], True)
    by_seed = [np.mean([pass_at_k(8, c - s * (i == 5), 2) for i, c in enumerate(BETTER)]) for s in range(3)]
    low, high = stats.t.interval(0.95, 2, np.mean(by_seed), stats.sem(by_seed))
    assert ours.y[1] == pytest.approx(np.mean(by_seed))
    assert (ours.low[1], ours.high[1]) == (pytest.approx(low), pytest.approx(min(1, high)))
    assert (ours.over, len(ours.traces)) == ("3 runs", 3)
    # All seeds start from one base: its interval is over problems.
    assert base.y[0] == pytest.approx(np.mean(BASE) / 8)
    assert (base.over, len(base.traces)) == ("10 problems", 0)
    assert grpo.over == "3 runs"


def test_curves_of_several_benchmarks_begin_with_their_mean_and_go_as_far_as_each_has_samples(tmp_path: Path):
    datasets = ["small"] * 2 + ["large"] * 8
    folders = [
        write_run(tmp_path / name, changed(**sections), {0: BASE, 60: BETTER}, datasets=datasets)
        for name, sections in (("a", GRPO), ("b", {}))
    ]
    for folder in folders:
        rows = run_folder.read(folder / run_folder.TEST)
        small = [
            row | {"n": 4, "correct": min(4, row["correct"])} for row in rows if row["facts"]["dataset"] == "small"
        ]
        large = [row for row in rows if row["facts"]["dataset"] == "large"]
        (folder / run_folder.TEST).unlink()
        run_folder.append(folder / run_folder.TEST, [*small, *large])
    mean, small, large = pass_at_k_curves(compared(folders))
    assert [panel.title for panel in (mean, small, large)] == ["mean of 2 benchmarks", "small", "large"]
    assert (list(mean.lines[0].x), list(large.lines[0].x)) == ([1, 2, 4], [1, 2, 4, 8])
    assert mean.lines[2].y[0] == pytest.approx((1 + 7 / 8) / 2)


def test_transitions_move_problems_between_bins_beside_their_placebo(tmp_path: Path):
    matrices = transition_matrices(compared(write_arms(tmp_path)))
    assert [(one.first, one.second) for one in matrices] == [("grpo", "rs_grpo"), ("base", "grpo"), ("base", "rs_grpo")]
    (first, *_) = matrices
    assert (first.m, first.pairs) == (4, 1)
    assert first.matrix[0, 4] == pytest.approx(0.5)
    assert first.matrix[4, 4] == pytest.approx(0.4)
    assert first.matrix[4, 0] == pytest.approx(0.1)
    assert (first.placebo[0, 0], first.placebo[4, 4]) == (pytest.approx(0.5), pytest.approx(0.5))


def test_evaluations_during_training_may_have_fewer_samples_than_those_that_are_compared(tmp_path: Path):
    folders = write_arms(tmp_path)
    for folder in folders:
        rows = run_folder.read(folder / run_folder.TEST)
        few = [row | {"iteration": 30, "n": 2, "correct": 1} for row in rows if row["iteration"] == 0]
        run_folder.append(folder / run_folder.TEST, few)
    (panel,) = pass_at_k_curves(compared(folders))
    assert list(panel.lines[0].x) == [1, 2, 4, 8]


def test_support_is_counted_at_half_of_the_samples_beside_its_placebo(tmp_path: Path):
    first = support_changes(compared(write_arms(tmp_path)))[0]
    assert (first.first, first.second, first.k, first.problems) == ("grpo", "rs_grpo", 4, 10)
    assert first.counts == pytest.approx({"kept": 4, "gained": 5, "lost": 1, "neither": 0})
    srr, ndr = 4 / 5, 5 / 9
    assert first.ratios == pytest.approx({"srr": srr, "ndr": ndr, "nscr": 0.4, "sds": 2 * srr * ndr / (srr + ndr)})
    assert first.placebo_counts == pytest.approx({"kept": 5, "gained": 0, "lost": 0, "neither": 5})
    assert first.excess["ndr"].estimate == pytest.approx(ndr)
    assert first.excess["ndr"].flag == "a single run says nothing of other seeds"


def test_the_excess_of_several_seeds_has_students_t(tmp_path: Path):
    change = next(c for c in support_changes(compared(write_arms(tmp_path, 3))) if c.second == "rs_grpo")
    assert change.pairs == 3
    assert change.excess["srr"].units == 3


def test_problems_that_one_arm_alone_solves_are_counted_and_listed(tmp_path: Path):
    (found,) = only_solved(compared(write_arms(tmp_path, 2)))
    assert (found.first, found.second, found.pairs, found.problems) == ("grpo", "rs_grpo", 2, 10)
    assert (found.only_first, found.only_second) == (1, 5)
    (lost,) = found.listed_first
    assert (lost.problem, lost.correct, lost.n, lost.n_other) == ("problem 9", 16, 16, 16)


def test_a_list_is_cut_and_its_count_is_not(tmp_path: Path):
    (found,) = only_solved(compared(write_arms(tmp_path, worse=[0] * 30, better=[1] * 10 + [2] * 20)))
    assert (found.only_second, len(found.listed_second)) == (30, MOST_LISTED)
    assert {one.correct for one in found.listed_second} == {2}


def test_training_problems_come_with_a_right_completion(tmp_path: Path):
    folders = write_arms(tmp_path)
    write_visits(folders[0], {"both": 3, "first": 2, "neither": 0, "unseen by the other": 8})
    write_visits(folders[1], {"both": 1, "first": 0, "neither": 0})
    write_visits(folders[1], {"neither": 8}, iteration=61)  # after what is compared
    (found,) = only_solved_in_training(compared(folders))
    assert (found.problems, found.only_first, found.only_second) == (3, 1, 0)
    assert found.listed_first[0].completion == "<b>first</b> is \\boxed{1}"


def test_over_training_and_against_its_cost(tmp_path: Path):
    folders = write_arms(tmp_path, 2)
    for shift, folder in enumerate(folders):
        logged = [{"iteration": i, "eval/test/pass@1": 0.1 * shift + i / 100} for i in (0, 20, 40, 60)]
        run_folder.append(folder / run_folder.METRICS, logged)
    found = compared(folders)
    assert evaluated_curves(found) == [("test", 1)]
    panels = {panel.title: panel for panel in over_training(found)}
    assert set(panels) == {"training reward", "entropy (nats)", "test pass@1"}
    ours = panels["test pass@1"].lines[1]
    assert list(ours.y) == pytest.approx([0.25, 0.45, 0.65, 0.85])
    assert (ours.arm, len(ours.traces)) == ("rs_grpo", 2)
    notes: list[str] = []
    iterations, tokens, seconds = against_cost(found, notes)
    assert list(tokens.lines[0].x) == [0, 20 * 4 * 8 * 10, 40 * 4 * 8 * 10, 60 * 4 * 8 * 10]
    assert list(seconds.lines[0].x) == [0, 40, 80, 120]
    assert list(iterations.lines[0].y) == pytest.approx([0.05, 0.25, 0.45, 0.65])
    assert notes == []


def test_a_test_split_of_several_benchmarks_has_the_mean_of_theirs(tmp_path: Path):
    folders = write_arms(tmp_path)
    for folder in folders:
        logged = [
            {"iteration": i, "eval/test/pass@1": 0.9, "eval/test/a/pass@1": 0.2, "eval/test/b/pass@1": 0.4}
            for i in (0, 30, 60)
        ]
        run_folder.append(folder / run_folder.METRICS, logged)
    panel = over_training(compared(folders))[-1]
    assert list(panel.lines[0].y) == pytest.approx([0.3] * 3)


def test_long_runs_are_averaged_in_bins(tmp_path: Path):
    folders = [write_run(tmp_path / name, changed(**s), {1200: BETTER}) for name, s in (("a", GRPO), ("b", {}))]
    panel = over_training(compared(folders))[0]
    line = panel.lines[0]
    assert len(line.x) == MOST_POINTS
    assert (line.x[0], line.x[-1]) == (pytest.approx(5.5), pytest.approx(1195.5))


def test_the_averages_of_the_papers_table_are_over_six_benchmarks():
    rows = paper_rows()
    assert len(rows) == 28
    for row in rows:
        for i, printed in enumerate(row.average):
            values = [row.values[name][i] for name in BENCHMARKS]
            assert printed is not None
            assert abs(sum(v for v in values if v is not None) / 6 - printed) < 0.05 + 1e-9, row
    five = [abs(sum(row.values[name][1] or 0 for name in BENCHMARKS[:5]) / 5 - (row.average[1] or 0)) for row in rows]
    assert min(five) > 1  # nobody can take them for averages over five


def test_own_runs_stand_beside_the_paper_when_the_benchmarks_are_its(tmp_path: Path):
    datasets = [name for name in BENCHMARKS for _ in range(2)]
    counts = [c for i in range(6) for c in (i, i)]
    folders = [
        write_run(tmp_path / name, changed(**s), {0: counts, 60: counts}, datasets=datasets)
        for name, s in (("a", GRPO), ("b", {}))
    ]
    rows = beside_the_paper(compared(folders))
    own = [row for row in rows if row.own]
    assert [row.method for row in own] == ["base", "grpo", "rs_grpo"]
    assert own[2].values["math500"] == [pytest.approx(62.5), None]  # 8 samples have no pass@32
    assert own[2].average == [pytest.approx(100 * 15 / 6 / 8), None]
    assert len(rows) == len(own) + 28
    assert beside_the_paper(compared(write_arms(tmp_path / "other"))) == []


def test_a_report_is_plain_and_says_what_it_lacks(tmp_path: Path):
    content = report(compared(write_arms(tmp_path)), 0.95, "python run.py task=report")
    json.dumps(content, allow_nan=False)
    assert any("eval.test_every" in line for line in content["missing"])
    assert any("task=evaluate" in line for line in content["missing"])
    assert [run["folder"] for run in content["runs"]] == [str(tmp_path / "grpo0"), str(tmp_path / "ours0")]
