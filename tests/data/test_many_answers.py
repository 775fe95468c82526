import random
import re
from collections import Counter
from itertools import combinations

import pytest

from rsgrpo.data.many_answers import KINDS, PLACES, Demonstrations, ManyAnswers, problems, splits
from rsgrpo.errors import FieldError
from rsgrpo.rewards.many_answers import ManyAnswersReward
from rsgrpo.types import Problem

REWARD = ManyAnswersReward()
TEXT = re.compile(r"((?:\d\d ){10})=> (\d) (\d) :")
DEMONSTRATION = re.compile(r"\\boxed\{ (\d\d) (\d\d) \}")
LEVELS = {8: 0, 6: 1, 4: 2, 3: 2, 2: 3}


def read(problem: Problem) -> tuple[list[int], int, int]:
    """(numbers, digits) as the text of the problem has them."""
    match = TEXT.fullmatch(problem.text)
    assert match is not None
    return [int(number) for number in match[1].split()], int(match[2]), int(match[3])


def pairs(problem: Problem) -> list[set[int]]:
    """The right pairs, by brute force."""
    numbers, a, b = read(problem)
    return [{x, y} for x, y in combinations(numbers, 2) if {x % 10, y % 10} == {a, b}]


def key(problem: Problem) -> tuple[object, ...]:
    numbers, a, b = read(problem)
    return frozenset(numbers), frozenset((a, b))


def test_the_text_of_a_problem_gives_its_answers_and_its_level():
    for problem in problems():
        numbers, a, b = read(problem)
        assert len(set(numbers)) == 10
        assert a != b
        assert (problem.facts["numbers"], problem.facts["digits"]) == (tuple(numbers), (a, b))
        right = pairs(problem)
        assert problem.facts["num_answers"] == len(right)
        assert problem.facts["level"] == LEVELS[len(right)]
        x, y = map(int, problem.answer.split())
        assert {x, y} in right
        assert (x % 10, y % 10) == (a, b)


def test_the_verifier_finds_the_pairs_of_brute_force():
    for problem in splits()["validation"]:
        numbers, right = read(problem)[0], pairs(problem)
        for x, y in combinations(numbers, 2):
            assert REWARD.judge(problem, f"\\boxed{{ {y} {x} }}").correct == ({x, y} in right)


def test_no_problem_comes_twice_in_whatever_order():
    found = problems()
    assert Counter(p.facts["level"] for p in found) == dict.fromkeys(range(len(KINDS)), 2500)
    assert len({key(p) for p in found}) == len({p.id for p in found}) == len(found) == 10_000


def test_splits_have_their_sizes_and_share_no_problem():
    found = splits()
    sizes = {name: len(split) for name, split in found.items()}
    assert sizes == {"test": 256, "train": 512, "validation": 512, "pretrain": 8720}
    assert len({key(p) for split in found.values() for p in split}) == 10_000
    for split in found.values():
        counts = Counter(p.facts["level"] for p in split)
        assert min(counts.values()) > 0.7 * len(split) / len(KINDS)


def test_the_place_of_a_number_tells_nothing():
    places = Counter(i for p in problems() for i, n in enumerate(read(p)[0]) if n % 10 in p.facts["digits"])
    expected = sum(places.values()) / 10
    assert all(abs(places[i] - expected) < 4 * expected**0.5 for i in range(10))


def drawn(corpus: Demonstrations, problem: Problem, rng: random.Random) -> tuple[int, int]:
    match = DEMONSTRATION.fullmatch(corpus.draw(problem, rng))
    assert match is not None
    return int(match[1]), int(match[2])


def near(count: int, total: int, rate: float) -> bool:
    return abs(count / total - rate) < 4 * (rate * (1 - rate) / total) ** 0.5


def test_demonstrations_are_wrong_as_often_as_configured():
    failure_rates, rng = (0.1, 0.3, 0.5, 0.9), random.Random(0)
    corpus = Demonstrations(failure_rates=failure_rates)
    for level, rate in enumerate(failure_rates):
        asked = [p for p in problems() if p.facts["level"] == level]
        wrong = sum(set(drawn(corpus, p, rng)) not in pairs(p) for p in asked)
        assert near(wrong, len(asked), rate)


def test_right_answers_are_drawn_by_their_preference():
    corpus, rng = Demonstrations(failure_rates=(0, 0, 0, 0), preference=0.4), random.Random(0)
    asked = [p for p in problems() if p.facts["level"] == 0]
    counts = Counter()
    for problem in asked:
        numbers, *digits = read(problem)
        sides = [[n for n in numbers if n % 10 == digit] for digit in digits]
        x, y = drawn(corpus, problem, rng)
        counts.update([(len(sides[0]), sides[0].index(x)), (len(sides[1]), sides[1].index(y))])
    for size in (2, 4):
        total = sum(0.4**i for i in range(size))
        for i in range(size):
            assert near(counts[size, i], len(asked), 0.4**i / total)


def test_wrong_answers_are_drawn_by_temptation():
    corpus, rng = Demonstrations(failure_rates=(1, 1, 1, 1), temptation=0.5), random.Random(0)
    problem = splits()["test"][0]
    numbers, right = read(problem)[0], pairs(problem)
    counts = Counter(drawn(corpus, problem, rng) for _ in range(20_000))
    weights = {(numbers[i], numbers[j]): 0.5 ** (i + j) for i, j in PLACES if {numbers[i], numbers[j]} not in right}
    assert counts.keys() <= weights.keys()
    total = sum(weights.values())
    assert all(near(counts[pair], 20_000, weight / total) for pair, weight in weights.items())


@pytest.mark.parametrize("levels", [(), (4,), (0, -1)])
def test_levels_that_do_not_exist_are_refused(levels: tuple[int, ...]):
    with pytest.raises(FieldError, match=r"levels.*try levels=\[0,1,2,3\]"):
        ManyAnswers(levels=levels)


@pytest.mark.parametrize(
    ("field", "value", "cure"),
    [
        ("max_tokens", 0, "must be at least 1"),
        ("preference", 0.0, "must be between 0.01 and 1; try preference=0.5"),
        ("temptation", 1.5, "must be between 0.01 and 1; try temptation=0.3"),
        ("failure_rates", [0.5], r"must list 4 numbers in \[0, 1\]; try failure_rates=\["),
        ("failure_rates", [0, 0, 0, 1.1], r"must list 4 numbers in \[0, 1\]; try failure_rates=\["),
    ],
)
def test_a_value_out_of_range_is_refused(field: str, value: object, cure: str):
    with pytest.raises(FieldError, match=rf"{field}=.* {cure}"):
        Demonstrations(**{field: value})  # type: ignore[arg-type]
