"""What a bench concludes from its records."""

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest

from rsgrpo.bench.leaderboard import leaderboard
from rsgrpo.bench.records import Record
from rsgrpo.bench.scores import auc, normalised, scores
from rsgrpo.bench.standings import BASE, Board, Standing
from rsgrpo.intervals.seeds import paired_interval
from rsgrpo.measures.pass_at_k import pass_at_k
from rsgrpo.measures.support import placebo, support
from tests.bench.records import record, runs_of


def standing(board: Board, arm: str) -> Standing:
    return next(one for one in board.standings if one.arm == arm)


def test_the_area_is_the_mean_over_problems_of_the_trapezoidal_rule_in_log_k() -> None:
    by_problem = [[pass_at_k(8, c, k) for k in (1, 2, 4)] for c in (8, 0, 2, 1)]

    assert auc(record(), 4) == pytest.approx(np.mean([(a / 2 + b + c / 2) / 2 for a, b, c in by_problem]))


def test_kept_and_gained_are_beyond_what_the_base_gives_against_itself() -> None:
    one = record()
    n, before, after = np.full(4, 8), np.array(one.before), np.array(one.after)
    columns = {column.name: column for column in scores(4)}
    found, chance = support((n, before), (n, after), 4), placebo(n, before, 4)

    assert columns["kept@4"].of(one) == pytest.approx(found.srr - chance.srr)
    assert columns["gained@4"].of(one) == pytest.approx(found.ndr - chance.ndr)


def test_where_every_problem_has_one_right_answer_distinct_is_pass_at_k_interval_and_all() -> None:
    def of_one_answer(runs: Iterable[Record]) -> list[Record]:
        many = next(column for column in scores(8) if column.name == "pass@8")
        return [replace(one, distinct=(many.of_base(one) if many.of_base else 0.0, many.of(one))) for one in runs]

    runs = of_one_answer([*runs_of("grpo"), *runs_of("mine", better=1)])
    for own in leaderboard(runs, baseline="grpo", k=8).boards[0].standings:
        distinct, many = own.entries["distinct@8"], own.entries["pass@8"]
        assert replace(distinct.mean, high=min(1.0, distinct.mean.high)) == many.mean, "a share is clipped, a count not"
        assert distinct.difference == many.difference


def test_a_difference_is_paired_by_base_and_seed() -> None:
    grpo, mine = list(runs_of("grpo")), list(runs_of("mine", better=2))
    board = leaderboard([*grpo, *mine], baseline="grpo", k=8).boards[0]
    theirs, ours = ({one.pair: auc(one, 8) for one in runs} for runs in (grpo, mine))
    entry = standing(board, "mine").entries["auc@8"]

    assert entry.difference is not None
    assert entry.difference.estimate == pytest.approx(paired_interval(theirs, ours).estimate)
    assert entry.difference.units == 4
    assert entry.decided()
    assert standing(board, "grpo").entries["auc@8"].difference is None


def test_arms_that_tie_share_their_ranks_and_a_better_one_is_ahead_of_them() -> None:
    runs = [*runs_of("grpo"), *runs_of("twin", seed=1), *runs_of("better", better=6)]
    board = leaderboard(runs, baseline="grpo", k=8).boards[0]

    arms = ("better", "grpo", "twin")
    assert [standing(board, arm).ranks for arm in arms] == [(1, 1), (2, 3), (2, 3)]
    assert [standing(board, arm).rank for arm in arms] == ["1", "2-3", "2-3"]
    assert standing(board, "better").on_front
    assert not standing(board, "grpo").on_front
    assert (standing(board, BASE).ranks, standing(board, BASE).rank) == (None, "")


def test_a_placebo_arm_is_decided_about_as_often_as_the_level_says() -> None:
    decided = 0
    for seed in range(20):
        runs = [*runs_of("grpo", seed=2 * seed), *runs_of("twin", seed=2 * seed + 1)]
        decided += standing(leaderboard(runs, baseline="grpo", k=8).boards[0], "twin").entries["auc@8"].decided()

    assert decided <= 5  # of 20 at 5 %: P(more) < .1 %


def test_the_base_stands_beside_the_arms_with_what_was_measured_before_training() -> None:
    runs = list(runs_of("grpo", better=3))
    base = standing(leaderboard(runs, baseline="grpo", k=8).boards[0], BASE)

    assert base.entries["pass@1"].mean.estimate == pytest.approx(np.mean([np.mean(r.before) / 16 for r in runs]))
    assert "solved" not in base.entries


def test_runs_from_other_weights_are_marked_and_compared_with_nothing() -> None:
    runs = [*runs_of("grpo"), *runs_of("mine", better=6, weights="others")]
    mine = standing(leaderboard(runs, baseline="grpo", k=8).boards[0], "mine")

    assert mine.marks == ["other bases or problems"]
    assert mine.entries["auc@8"].difference is None


def test_another_version_and_another_processor_are_named() -> None:
    runs = [*runs_of("grpo"), *runs_of("mine", version="2", processor="b")]

    assert standing(leaderboard(runs, baseline="grpo", k=8).boards[0], "mine").marks == ["version 2", "processor b"]


def test_an_arm_with_some_of_the_pairs_says_with_how_many() -> None:
    theirs, mine = list(runs_of("grpo")), list(runs_of("mine"))
    board = leaderboard([*theirs, *mine[:-1]], baseline="grpo", k=8).boards[0]

    assert standing(board, "mine").marks == [f"{len(theirs) - 1} of {len(theirs)} pairs"]


def test_over_tasks_each_run_is_measured_by_what_its_own_base_leaves() -> None:
    tasks = ("countdown", "path_star")
    runs = [one for task in tasks for arm in ("grpo", "mine") for one in runs_of(arm, 3 * (arm == "mine"), task=task)]
    found = leaderboard(runs, baseline="grpo", k=8)
    values = [normalised(auc(one, 8), auc(record(n=16, after=one.before), 8)) for one in runs if one.arm == "mine"]

    assert [one.arm for one in found.overall] == ["mine", "grpo"]
    assert found.overall[0].iqm["auc@8"] == pytest.approx(np.mean(sorted(values)[2:-2]))
    above = found.overall[0].profile[found.thresholds.index(0.2)]
    assert above == np.mean([value > 0.2 for value in values])


def test_tuning_runs_are_in_no_table() -> None:
    runs = [*runs_of("grpo"), record("tuned", split="validation", before=())]

    assert {one.arm for one in leaderboard(runs, baseline="grpo", k=4).boards[0].standings} == {"grpo", BASE}


def test_a_single_run_has_no_interval_and_says_nothing_of_others() -> None:
    board = leaderboard([record(), record("mine", after=(8, 8, 8, 8))], baseline="grpo", k=4).boards[0]
    entry = standing(board, "mine").entries["auc@4"]

    assert math.isnan(entry.mean.low)
    assert not entry.decided()
    assert standing(board, "grpo").ranks == (1, 2)


def test_an_arm_that_is_measured_at_another_temperature_comes_with_its_own_base() -> None:
    hot = list(runs_of("grpo_hot", temperature=1.2))
    board = leaderboard([*runs_of("grpo"), *hot], baseline="grpo", k=8).boards[0]
    base = standing(board, "base at 1.2")

    assert base.entries["pass@1"].mean.estimate == pytest.approx(np.mean([np.mean(r.before) / 16 for r in hot]))
    assert base.is_base
    assert base.runs == 4
    assert standing(board, BASE).runs == 4
