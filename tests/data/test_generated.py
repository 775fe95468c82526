import random
from collections.abc import Callable
from types import ModuleType

import pytest

from rsgrpo.data import many_answers, path_star, program, tree
from rsgrpo.data.generated import LevelledSource, check_levels, cut
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


def test_a_level_that_is_named_twice_is_refused():
    with pytest.raises(FieldError, match=r"levels=\[2, 0, 2\] names a level twice; try levels=\[0,2\]"):
        check_levels([2, 0, 2], 3)


@pytest.mark.parametrize("levels", [[0], [2, 0], (0, 1, 2)])
def test_some_of_the_levels_are_accepted(levels: object):
    check_levels(levels, 3)


@pytest.mark.parametrize("levels", [[], [3], [0, -1], [0.5], "01", 1, None, ["0"]])
def test_other_levels_are_refused(levels: object):
    with pytest.raises(FieldError, match=r"levels=.* must list levels out of 0, 1, 2; try levels=\[0,1,2\]"):
        check_levels(levels, 3)


TASKS: dict[Callable[..., LevelledSource], ModuleType] = {
    many_answers.ManyAnswers: many_answers,
    path_star.PathStar: path_star,
    program.Program: program,
    tree.Tree: tree,
}


@pytest.mark.parametrize("source", TASKS)
def test_a_source_keeps_the_wanted_levels_of_every_split(source: Callable[..., LevelledSource]):
    for name in ("train", "validation", "test"):
        everything = source().split(name)
        assert everything == list(TASKS[source].splits()[name])
        for level in range(source().num_levels):
            assert source(levels=[level]).split(name) == [p for p in everything if p.facts["level"] == level]


@pytest.mark.parametrize("task", TASKS.values())
def test_demonstrations_depend_on_the_generator_alone(task: ModuleType):
    def draw(seed: int) -> list[str]:
        rng = random.Random(seed)
        return [task.Demonstrations().draw(problem, rng) for problem in task.splits()["pretrain"][:200]]

    random.seed(1)
    first = draw(0)
    random.seed(2)
    assert draw(0) == first
    assert draw(1) != first


@pytest.mark.parametrize("task", TASKS.values())
def test_demonstrations_are_of_the_pretraining_split(task: ModuleType):
    assert tuple(task.Demonstrations().problems()) == task.splits()["pretrain"]
