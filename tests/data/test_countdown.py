import math
import random
import re
from collections import Counter
from functools import cache

import pytest

from rsgrpo.data.countdown import SETS_OF_FOUR, Countdown, Demonstrations, calculate, problems, splits
from rsgrpo.errors import FieldError
from rsgrpo.rewards.countdown import CountdownReward, evaluate
from rsgrpo.types import Problem
from rsgrpo.verification.boxes import last_boxed

REWARD = CountdownReward()
FAILURE_RATES = (0.3, 0.8, 0.9)
STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


def reachable(numbers: tuple[int, ...], level: int) -> set[tuple[int, int]]:
    """(value, level) of everything the rules of the puzzle reach from `numbers`, by merging any two of them."""
    if len(numbers) == 1:
        return {(numbers[0], level)}
    found = set()
    for i in range(len(numbers)):
        for j in range(len(numbers)):
            if i == j:
                continue
            a, b = numbers[i], numbers[j]
            rest = tuple(n for k, n in enumerate(numbers) if k not in (i, j))
            moves = [(a + b, 0), (a - b, 0)]
            if a != 1 and b != 1:
                moves.append((a * b, 1))
            if b > 1 and a % b == 0:
                moves.append((a // b, 2))
            for value, needs in moves:
                if 0 <= value <= 150:
                    found |= reachable((*rest, value), max(level, needs))
    return found


def key(problem: Problem) -> tuple[tuple[int, ...], str]:
    return tuple(sorted(problem.facts["numbers"])), problem.answer


def test_there_are_3490_problems_and_each_is_one_of_a_kind():
    found = problems()
    assert len(found) == 3490
    assert Counter(p.facts["level"] for p in found) == {0: 1060, 1: 1732, 2: 698}
    assert len({key(p) for p in found}) == len({p.id for p in found}) == len({p.text for p in found}) == 3490


def test_problems_and_levels_are_exactly_those_that_brute_force_finds():
    expected = {}
    for a in range(1, 13):
        for b in range(a, 13):
            for c in range(b, 13):
                for value, level in reachable((a, b, c), 0):
                    if 1 <= value <= 60 and value not in (a, b, c):
                        where = ((a, b, c), str(value))
                        expected[where] = min(level, expected.get(where, 2))
    assert {key(p): p.facts["level"] for p in problems()} == expected


def test_the_text_of_a_problem_gives_its_numbers_and_its_target():
    for problem in problems():
        match = re.fullmatch(r"(\d+) (\d+) (\d+) => (\d+) :", problem.text)
        assert match is not None
        *numbers, target = map(int, match.groups())
        assert sorted(numbers) == sorted(problem.facts["numbers"])
        assert str(target) == problem.answer


def test_problems_of_four_numbers_and_their_levels_are_those_that_brute_force_finds():
    found = problems(4)
    sets = sorted({p.facts["numbers"] for p in found})
    assert len(sets) == SETS_OF_FOUR
    for numbers in sets[::50]:
        expected: dict[str, int] = {}
        for value, level in reachable(numbers, 0):
            if 1 <= value <= 60 and value not in numbers:
                expected[str(value)] = min(level, expected.get(str(value), 2))
        assert {p.answer: p.facts["level"] for p in found if p.facts["numbers"] == numbers} == expected


def test_splits_of_four_numbers_share_no_number_set_with_its_target():
    found = splits(4)
    everything = [p for split in found.values() for p in split]
    assert {name: len(found[name]) for name in ("test", "train", "validation")} == {
        "test": 256,
        "train": 512,
        "validation": 512,
    }
    assert len({key(p) for p in everything}) == len({p.id for p in everything}) == len(everything) == len(problems(4))
    assert Demonstrations(numbers=4).problems() == found["pretrain"]
    assert Countdown(numbers=4).split("test") == list(found["test"])


def test_the_text_of_a_problem_of_four_gives_its_numbers_and_its_target():
    for problem in splits(4)["validation"]:
        match = re.fullmatch(r"(\d+) (\d+) (\d+) (\d+) => (\d+) :", problem.text)
        assert match is not None
        *numbers, target = map(int, match.groups())
        assert sorted(numbers) == sorted(problem.facts["numbers"])
        assert str(target) == problem.answer


def test_splits_have_their_sizes_and_share_no_number_set_with_its_target():
    found = splits()
    assert {name: len(split) for name, split in found.items()} == {
        "test": 255,
        "train": 510,
        "validation": 512,
        "pretrain": 2213,
    }
    assert len({key(p) for split in found.values() for p in split}) == 3490


def test_a_source_keeps_the_wanted_levels_of_every_split():
    for name in ("train", "validation", "test"):
        everything = Countdown().split(name)
        assert everything == list(splits()[name])
        for level in (0, 1, 2):
            assert Countdown(levels=[level]).split(name) == [p for p in everything if p.facts["level"] == level]


@pytest.mark.parametrize(
    ("move", "result"),
    [
        ((12, "/", 4), 3),
        ((12, "/", 5), None),  # not whole
        ((5, "/", 0), None),
        ((0, "/", 5), 0),
        ((5, "/", 1), None),  # changes nothing
        ((1, "*", 5), None),
        ((5, "*", 1), None),
        ((3, "-", 4), None),  # below 0
        ((4, "-", 4), 0),
        ((75, "+", 75), 150),
        ((75, "+", 76), None),  # above 150
        ((12, "*", 12), 144),
        ((13, "*", 12), None),
    ],
)
def test_a_move_is_allowed_or_not(move: tuple[int, str, int], result: int | None):
    assert calculate(*move) == result


def check_demonstration(problem: Problem, text: str) -> bool:
    """Check that `text` is a true calculation on the problem's numbers; returns whether it reaches the target."""
    *steps, box = text.split(" ; ")
    left = Counter(problem.facts["numbers"])
    for written in steps:
        step = STEP.fullmatch(written)
        assert step is not None, text
        a, operator, b, result = int(step[1]), step[2], int(step[3]), int(step[4])
        assert Counter((a, b)) <= left, "a step works on what is left"
        left += Counter({result: 1})
        left -= Counter((a, b))
        if operator == "/":
            assert b * result == a, text
        else:
            assert {"+": a + b, "-": a - b, "*": a * b}[operator] == result, text
    assert left.total() == 1, "everything was used"
    boxed = last_boxed(box)
    assert boxed is not None
    value, numbers = evaluate(boxed)
    assert left == {value: 1}
    assert sorted(numbers) == sorted(problem.facts["numbers"])
    return value == int(problem.answer)


@cache
def demonstrations() -> list[tuple[Problem, str]]:
    """One demonstration of every problem."""
    rng = random.Random(3)
    corpus = Demonstrations(operator_weights=(0.5, 0.3, 0.15, 0.05), failure_rates=FAILURE_RATES)
    return [(problem, corpus.draw(problem, rng)) for problem in problems()]


def test_every_demonstration_is_a_true_calculation_and_the_reward_agrees_whether_it_solves():
    for problem, text in demonstrations():
        solved = check_demonstration(problem, text)
        score = REWARD.judge(problem, text)
        assert score.correct == solved
        assert score.value == float(solved)
        if not solved:
            assert score.parts == {"wrong_value": 1.0}


def test_every_demonstration_of_four_numbers_is_a_true_calculation_in_three_steps():
    corpus, rng = Demonstrations(numbers=4, failure_rates=(0.5, 0.5, 0.5)), random.Random(3)
    solved = []
    for problem in splits(4)["pretrain"][::40]:
        text = corpus.draw(problem, rng)
        assert text.count(" ; ") == 3
        solved.append(check_demonstration(problem, text))
        assert REWARD.judge(problem, text).correct == solved[-1]
    assert abs(sum(solved) / len(solved) - 0.5) < 4 * (0.25 / len(solved)) ** 0.5


def test_the_share_of_failed_demonstrations_is_the_configured_one():
    failed: dict[int, list[bool]] = {0: [], 1: [], 2: []}
    for problem, text in demonstrations():
        failed[problem.facts["level"]].append(not REWARD.judge(problem, text).correct)
    for rate, outcomes in zip(FAILURE_RATES, failed.values(), strict=True):
        spread = math.sqrt(rate * (1 - rate) / len(outcomes))
        assert abs(sum(outcomes) / len(outcomes) - rate) < 4 * spread


def test_failure_rates_of_none_and_all_are_exact():
    never, always = Demonstrations(failure_rates=(0, 0, 0)), Demonstrations(failure_rates=(1, 1, 1))
    rng = random.Random(5)
    for problem in splits()["validation"]:
        assert REWARD.judge(problem, never.draw(problem, rng)).correct
        assert not REWARD.judge(problem, always.draw(problem, rng)).correct


def test_demonstrations_favour_operators_in_the_order_of_their_weights():
    used = Counter(step[2] for _, text in demonstrations() for step in STEP.finditer(text))
    assert used["+"] > used["-"] > used["*"] > used["/"] > 0


def test_demonstrations_depend_on_the_generator_alone():
    def draw(seed: int) -> list[str]:
        rng = random.Random(seed)
        return [Demonstrations().draw(problem, rng) for problem in splits()["pretrain"][:200]]

    random.seed(1)
    first = draw(0)
    random.seed(2)
    assert draw(0) == first
    assert draw(1) != first


@pytest.mark.parametrize("levels", [(), (3,), (0, -1), (0, 1, 2, 3)])
def test_levels_that_do_not_exist_are_refused(levels: tuple[int, ...]):
    with pytest.raises(FieldError, match=r"levels.*try levels=\[0,1,2\]"):
        Countdown(levels=levels)


@pytest.mark.parametrize(
    "weights", [(), (0.5, 0.5), (0.5, 0.3, 0.3, -0.1), (0.5, 0.3, 0.2, 1.1), (0.5, 0.5, 0.5, math.nan)]
)
def test_operator_weights_out_of_range_are_refused(weights: tuple[float, ...]):
    with pytest.raises(FieldError, match=r"operator_weights.*4 numbers"):
        Demonstrations(operator_weights=weights)


@pytest.mark.parametrize("rates", [(), (0.5, 0.5), (0.5, 0.5, 1.5), (-0.1, 0.5, 0.5), (0.5, 0.5, math.nan)])
def test_failure_rates_out_of_range_are_refused(rates: tuple[float, ...]):
    with pytest.raises(FieldError, match=r"failure_rates.*3 numbers"):
        Demonstrations(failure_rates=rates)
