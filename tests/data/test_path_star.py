import random
import re
from collections import Counter

import pytest

from rsgrpo.data.path_star import BRANCHES, Demonstrations, PathStar, problems, splits
from rsgrpo.errors import FieldError
from rsgrpo.rewards.path_star import PathStarReward
from rsgrpo.types import Problem

REWARD = PathStarReward()
TEXT = re.compile(r"(\d+) : ((?:\d+ \d+ ; )*\d+ \d+) => (\d+) =")
DEMONSTRATION = re.compile(r"\\boxed\{ (\d+) (\d+) (\d+) \}")


def read(problem: Problem) -> tuple[int, list[tuple[int, int]], int]:
    """(start, branches, goal) as the text of the problem has them."""
    match = TEXT.fullmatch(problem.text)
    assert match is not None
    branches = [tuple(map(int, branch.split())) for branch in match[2].split(" ; ")]
    return int(match[1]), [(a, b) for a, b in branches], int(match[3])


def key(problem: Problem) -> tuple[object, ...]:
    start, branches, goal = read(problem)
    return start, frozenset(branches), goal


def test_a_problem_is_a_star_whose_goal_ends_one_branch():
    for problem in problems():
        start, branches, goal = read(problem)
        nodes = [start, *(node for branch in branches for node in branch)]
        assert len(branches) == BRANCHES
        assert len(set(nodes)) == len(nodes)
        assert 1 <= start <= 9
        assert all(10 <= first <= 49 and 50 <= last <= 99 for first, last in branches)
        (right,) = [branch for branch in branches if branch[-1] == goal]
        assert problem.answer == f"{start} {right[0]} {right[1]}"
        assert problem.facts["start"] == start
        assert sorted(problem.facts["branches"]) == sorted(branches)


def test_the_last_digit_of_the_goal_is_that_of_the_right_first_node_alone():
    for problem in problems():
        _, branches, goal = read(problem)
        assert all(first % 10 == last % 10 for first, last in branches)
        assert [first for first, _ in branches if first % 10 == goal % 10] == [int(problem.answer.split()[1])]


def test_the_level_is_the_rank_of_the_right_first_node_among_the_largest():
    for problem in problems():
        ranked = sorted((branch[0] for branch in read(problem)[1]), reverse=True)
        assert problem.facts["level"] == ranked.index(int(problem.answer.split()[1]))
        assert [branch[0] for branch in problem.facts["branches"]] == ranked


def test_of_all_walks_of_a_problem_exactly_one_is_right():
    for problem in splits()["validation"]:
        start, branches, _ = read(problem)
        walks = [[start], *([start, *branch[:n]] for branch in branches for n in (1, 2))]
        verdicts = [REWARD.judge(problem, f"\\boxed{{ {' '.join(map(str, walk))} }}") for walk in walks]
        assert [" ".join(map(str, walk)) for walk, verdict in zip(walks, verdicts, strict=True) if verdict.correct] == [
            problem.answer
        ]
        assert all(verdict.correct or verdict.parts == {"wrong_goal": 1.0} for verdict in verdicts)


def test_no_problem_comes_twice_in_whatever_order():
    found = problems()
    assert Counter(p.facts["level"] for p in found) == dict.fromkeys(range(BRANCHES), 2000)
    assert len({key(p) for p in found}) == len({p.id for p in found}) == len(found) == 10_000


def test_splits_have_their_sizes_and_share_no_problem():
    found = splits()
    sizes = {name: len(split) for name, split in found.items()}
    assert sizes == {"test": 256, "train": 512, "validation": 512, "pretrain": 8720}
    assert len({key(p) for split in found.values() for p in split}) == 10_000
    for split in found.values():
        counts = Counter(p.facts["level"] for p in split)
        assert min(counts.values()) > 0.7 * len(split) / BRANCHES


def test_the_place_of_the_right_branch_tells_nothing():
    places = Counter([branch[-1] for branch in branches].index(goal) for _, branches, goal in map(read, problems()))
    assert len(places) == BRANCHES
    assert all(abs(count - 2000) < 4 * 1600**0.5 for count in places.values())


def ranks_drawn(corpus: Demonstrations, level: int) -> Counter[int]:
    """How often a demonstration of a problem of `level` follows the branch of each rank."""
    rng, drawn = random.Random(level), Counter[int]()
    for problem in (p for p in problems() if p.facts["level"] == level):
        match = DEMONSTRATION.fullmatch(corpus.draw(problem, rng))
        assert match is not None
        start, *branch = map(int, match.groups())
        assert start == problem.facts["start"]
        drawn[problem.facts["branches"].index(tuple(branch))] += 1
    return drawn


def test_demonstrations_go_wrong_as_often_as_configured_and_where_they_are_tempted():
    temptation, failure_rates = (1.0, 0.5, 0.25, 0.25, 0.5), (0.2, 0.4, 0.6, 0.8, 0.9)
    corpus = Demonstrations(temptation=temptation, failure_rates=failure_rates)
    for level in range(BRANCHES):
        drawn = ranks_drawn(corpus, level)
        rest = sum(temptation) - temptation[level]
        for rank in range(BRANCHES):
            wrong = failure_rates[level] * temptation[rank] / rest
            rate = 1 - failure_rates[level] if rank == level else wrong
            assert abs(drawn[rank] / 2000 - rate) < 4 * (rate * (1 - rate) / 2000) ** 0.5, (level, rank)


def test_without_failures_every_demonstration_is_right_and_with_nothing_else_none():
    rng = random.Random(0)
    never, always = Demonstrations(failure_rates=(0,) * BRANCHES), Demonstrations(failure_rates=(1,) * BRANCHES)
    for problem in splits()["test"]:
        assert REWARD.judge(problem, never.draw(problem, rng)).correct
        assert REWARD.judge(problem, always.draw(problem, rng)).parts == {"wrong_goal": 1.0}


@pytest.mark.parametrize("levels", [(), (5,), (0, -1)])
def test_levels_that_do_not_exist_are_refused(levels: tuple[int, ...]):
    with pytest.raises(FieldError, match=r"levels.*try levels=\[0,1,2,3,4\]"):
        PathStar(levels=levels)


@pytest.mark.parametrize(
    ("field", "value", "cure"),
    [
        ("max_tokens", 0, "must be at least 1"),
        ("failure_rates", [0.5], r"must list 5 numbers in \[0, 1\]; try failure_rates=\["),
        ("failure_rates", [0, 0, 0, 0, 1.1], r"must list 5 numbers in \[0, 1\]; try failure_rates=\["),
        ("temptation", [1, 0, 0, 0, -1], r"must list 5 numbers in \[0, 1\]; try temptation=\["),
        ("temptation", [1, 0, 0, 0, 0], r"must have two weights above 0; try temptation=\["),
    ],
)
def test_a_value_out_of_range_is_refused(field: str, value: object, cure: str):
    with pytest.raises(FieldError, match=rf"{field}=.* {cure}"):
        Demonstrations(**{field: value})  # type: ignore[arg-type]
