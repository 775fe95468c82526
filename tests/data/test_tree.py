import random
import re
from collections import Counter
from itertools import pairwise

import pytest

from rsgrpo.data.tree import DEPTHS, WIDTH, Demonstrations, Tree, problems, splits
from rsgrpo.errors import FieldError
from rsgrpo.rewards.tree import TreeReward
from rsgrpo.types import Problem

TEXT = re.compile(r"((?:\d+ \d+ ; )*\d+ \d+) => (\d\d) =")
DEMONSTRATION = re.compile(r"\\boxed\{ ((?:\d+ )+)\}")


def read(problem: Problem) -> tuple[list[tuple[int, int]], int]:
    """(edges, goal) as the text of the problem has them."""
    match = TEXT.fullmatch(problem.text)
    assert match is not None
    edges = [tuple(map(int, edge.split())) for edge in match[1].split(" ; ")]
    return [(parent, child) for parent, child in edges], int(match[2])


def paths_down(edges: list[tuple[int, int]], node: int) -> list[list[int]]:
    """Every path from a node to a leaf."""
    below = [child for parent, child in edges if parent == node]
    return [[node, *rest] for child in below for rest in paths_down(edges, child)] or [[node]]


def drawn(corpus: Demonstrations, problem: Problem, rng: random.Random) -> list[int]:
    match = DEMONSTRATION.fullmatch(corpus.draw(problem, rng))
    assert match is not None
    return list(map(int, match[1].split()))


def test_the_text_of_a_problem_is_a_tree_whose_one_path_to_the_goal_is_its_answer():
    for problem in problems():
        edges, goal = read(problem)
        depth = DEPTHS[problem.facts["level"]]
        assert (problem.facts["edges"], problem.facts["goal"]) == (tuple(sorted(edges)), goal)
        assert Counter(child // 10 for _, child in edges) == dict.fromkeys(range(1, depth + 1), WIDTH)
        assert all(child // 10 == parent // 10 + 1 for parent, child in edges)
        (root,) = {parent for parent, _ in edges} - {child for _, child in edges}
        (path,) = [path for path in paths_down(edges, root) if goal in path]
        assert path == [int(node) for node in reversed(problem.answer.split())]
        assert len(path) == depth + 1


def test_the_largest_label_of_a_layer_is_never_on_the_way():
    for problem in problems():
        edges, goal = read(problem)
        for node in map(int, problem.answer.split()[1:-1]):
            assert node != goal
            assert node < max(child for _, child in edges if child // 10 == node // 10)


def test_the_verifier_accepts_the_answer_and_no_other_climb():
    for problem in splits()["validation"][:100]:
        edges, goal = read(problem)
        by_layer = [sorted({child for _, child in edges if child // 10 == layer}) for layer in range(1, goal // 10)]
        root = int(problem.answer.split()[-1])
        climbs = [[goal]]
        for layer in reversed(by_layer):
            climbs = [[*climb, node] for climb in climbs for node in layer]
        right = [
            climb
            for climb in climbs
            if TreeReward().judge(problem, f"\\boxed{{ {' '.join(map(str, climb))} {root} }}").correct
        ]
        assert [" ".join(map(str, [*climb, root])) for climb in right] == [problem.answer]


def test_splits_have_their_sizes_and_share_no_problem():
    found = splits()
    sizes = {name: len(split) for name, split in found.items()}
    assert sizes == {"test": 256, "train": 512, "validation": 512, "pretrain": 8720}
    every = [p for split in found.values() for p in split]
    assert len({(p.facts["edges"], p.facts["goal"]) for p in every}) == len({p.id for p in every}) == 10_000
    assert Counter(p.facts["level"] for p in every) == dict.fromkeys(range(len(DEPTHS)), 2000)
    for split in found.values():
        counts = Counter(p.facts["level"] for p in split)
        assert min(counts.values()) > 0.7 * len(split) / len(DEPTHS)


def test_each_step_slips_as_often_as_configured_and_to_the_largest_label():
    rates, rng = (0.1, 0.3, 0.5, 0.7, 0.9), random.Random(0)
    corpus, steps, slips = Demonstrations(slip_rates=rates), Counter[int](), Counter[int]()
    for problem in problems():
        edges, goal = read(problem)
        parent_of = {child: parent for parent, child in edges}
        path = drawn(corpus, problem, rng)
        assert path[0] == goal
        assert (path[-2], path[-1]) in parent_of.items(), "the root has no rival"
        for step, (node, taken) in enumerate(pairwise(path[:-1])):
            steps[step] += 1
            if taken != parent_of[node]:
                slips[step] += 1
                assert taken == max(n for n in parent_of if n // 10 == node // 10 - 1 and n != parent_of[node])
    for step, rate in enumerate(rates):
        assert abs(slips[step] / steps[step] - rate) < 4 * (rate * (1 - rate) / steps[step]) ** 0.5


def test_no_demonstration_solves_the_deepest_level():
    rng = random.Random(0)
    deepest = [p for p in problems() if p.facts["level"] == 4]
    judged = [TreeReward().judge(problem, Demonstrations().draw(problem, rng)) for problem in deepest]
    assert not any(score.correct for score in judged)
    assert {reason for score in judged for reason in score.parts} == {"no_such_edge"}


@pytest.mark.parametrize("levels", [(), (5,), (0, -1)])
def test_levels_that_do_not_exist_are_refused(levels: tuple[int, ...]):
    with pytest.raises(FieldError, match=r"levels.*try levels=\[0,1,2,3,4\]"):
        Tree(levels=levels)


@pytest.mark.parametrize(
    ("field", "value", "cure"),
    [
        ("max_tokens", 0, "must be at least 1"),
        ("slip_rates", [0.5], r"must list 5 numbers in \[0, 1\]; try slip_rates=\["),
        ("slip_rates", [0, 0, 0, 0, 1.1], r"must list 5 numbers in \[0, 1\]; try slip_rates=\["),
    ],
)
def test_a_value_out_of_range_is_refused(field: str, value: object, cure: str):
    with pytest.raises(FieldError, match=rf"{field}=.* {cure}"):
        Demonstrations(**{field: value})  # type: ignore[arg-type]
