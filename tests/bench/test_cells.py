"""Which runs a bench consists of."""

from typing import Any

import pytest
import yaml

from rsgrpo.bench.cells import Arm, BenchSettings, reported_cells, tuning_cells
from rsgrpo.errors import FieldError
from tests.processes import ROOT

USUAL: dict[str, Any] = dict(
    arms=["grpo", "rs_grpo_4"],
    tasks=["countdown", "path_star"],
    pairs=[[0, 0], [1, 1]],
    tuning=[[2, 10]],
    rates=[7e-5, 2e-4, 6e-4],
)

MINE = Arm(name="mine", words=["objective=custom", "objective._target_=my.Mine"])


def test_runs_at_equal_step_size_differ_from_the_others_in_that_alone() -> None:
    conf = ROOT / "conf" / "bench"
    usual, matched = (yaml.safe_load((conf / file).read_text())["words"] for file in ("base/runs.yaml", "matched.yaml"))

    assert matched == [*usual, "schedule.rescale=unit_rms"]


def test_every_arm_has_a_tuning_run_for_each_task_and_rate() -> None:
    cells = tuning_cells(BenchSettings(**USUAL), [MINE])

    assert [(cell.task, cell.rate) for cell in cells] == [
        (task, rate) for task in ("countdown", "path_star") for rate in (7e-5, 2e-4, 6e-4)
    ]
    assert {(cell.base, cell.seed, cell.tunes) for cell in cells} == {(2, 10, True)}


def test_every_pair_is_reported_with_the_rate_that_was_chosen() -> None:
    cells = reported_cells(BenchSettings(**USUAL), MINE, "countdown", 2e-4)

    assert [(cell.base, cell.seed, cell.rate, cell.tunes) for cell in cells] == [
        (0, 0, 2e-4, False),
        (1, 1, 2e-4, False),
    ]


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"pairs": []}, "pairs", "must list"),
        ({"pairs": [[0]]}, "pairs", "must list"),
        ({"pairs": [[0, -1]]}, "pairs", "must list"),
        ({"pairs": [[0, 0], [0, 0]]}, "pairs", "twice"),
        ({"tuning": [[1, 1]]}, "tuning", "shares"),
        ({"ground": "../elsewhere"}, "ground", "lower-case letters, digits and underscores.*try ground=mine"),
        ({"rates": []}, "rates", "learning rates"),
        ({"rates": [0.0]}, "rates", "learning rates"),
        ({"k": 12}, "k", "power of two"),
        ({"jobs": 0}, "jobs", "between 1 and"),
    ],
)
def test_settings_that_cannot_be_are_refused(given: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(FieldError, match=said) as refused:
        BenchSettings(**(USUAL | given))

    assert refused.value.name == field
