import pytest

from rsgrpo.data.generated import check_levels, cut
from rsgrpo.errors import FieldError
from rsgrpo.types import Problem

PROBLEMS = [Problem(id=str(i), text="", answer="") for i in range(20)]
SIZES = {"test": 3, "train": 5, "validation": 4}


def test_splits_hold_every_problem_once_and_the_rest_is_for_pretraining():
    found = cut(PROBLEMS, SIZES, seed=0)
    assert {name: len(split) for name, split in found.items()} == {**SIZES, "pretrain": 8}
    assert sorted(int(problem.id) for split in found.values() for problem in split) == list(range(20))


def test_the_seed_alone_decides_which_problem_is_where():
    assert cut(PROBLEMS, SIZES, seed=0) == cut(tuple(PROBLEMS), SIZES, seed=0) != cut(PROBLEMS, SIZES, seed=1)


@pytest.mark.parametrize("levels", [[0], [2, 0], (0, 1, 2)])
def test_some_of_the_levels_are_accepted(levels: object):
    check_levels(levels, 3)


@pytest.mark.parametrize("levels", [[], [3], [0, -1], [0.5], "01", 1, None, ["0"]])
def test_other_levels_are_refused(levels: object):
    with pytest.raises(FieldError, match=r"levels=.* must list levels out of 0, 1, 2; try levels=\[0,1,2\]"):
        check_levels(levels, 3)
