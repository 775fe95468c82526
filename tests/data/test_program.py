import random
import re
from collections import Counter
from itertools import permutations

import pytest

from rsgrpo.data.program import SHAPES, SPARE, Demonstrations, Program, problems, splits
from rsgrpo.errors import FieldError
from rsgrpo.rewards.program import ProgramReward
from rsgrpo.types import Problem
from rsgrpo.verification.rewriting import Rule, Word, passed, program_in

TEXT = re.compile(r"(\d+) => (\d+) ; (\d+) => (\d+) ; (\d+) => (\d+) :")
DEMONSTRATION = re.compile(r"\\boxed\{ (.*) \}")
RIGHT = ProgramReward()


def read(problem: Problem) -> list[tuple[int, int]]:
    """What shall become of the three letters, as the text of the problem has them."""
    match = TEXT.fullmatch(problem.text)
    assert match is not None
    numbers = list(map(int, match.groups()))
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def replaced(word: Word, program: list[Rule]) -> Word:
    """`rewrite` by a text in which every letter stands between spaces of its own."""
    text = "".join(f" {letter} " for letter in word)
    for left, right in program:
        text = text.replace("".join(f" {letter} " for letter in left), "".join(f" {letter} " for letter in right))
    return tuple(map(int, text.split()))


def rules_of(asked: list[tuple[int, int]]) -> list[Rule]:
    return [((letter,), (becomes,)) for letter, becomes in asked]


def right_orders(asked: list[tuple[int, int]]) -> int:
    """In how many orders the rules do what is asked of each letter."""
    return sum(all(replaced((a,), list(order)) == (b,) for a, b in asked) for order in permutations(rules_of(asked)))


def program_of(text: str) -> list[Rule]:
    match = DEMONSTRATION.fullmatch(text)
    assert match is not None
    program = program_in(match[1])
    assert program is not None
    return program


def test_the_tests_of_a_problem_are_the_letters_of_its_text_and_words_of_them():
    for problem in problems():
        asked, tests = read(problem), problem.facts["tests"]
        letters = {letter for pair in asked for letter in pair}
        assert problem.facts["wanted"] == tuple(asked)
        assert tests[:3] == tuple(((letter,), (becomes,)) for letter, becomes in asked)
        assert len(tests) == 8
        for word, result in tests:
            assert set(word) <= letters
            assert result == tuple(dict(asked).get(letter, letter) for letter in word)
        assert SPARE not in letters


def test_the_level_says_in_how_many_orders_the_rules_are_right():
    orders = {level: Counter[int]() for level in range(len(SHAPES))}
    for problem in problems():
        asked = read(problem)
        orders[problem.facts["level"]][right_orders(asked)] += 1
        assert len({letter for letter, _ in asked}) == len({becomes for _, becomes in asked}) == 3
    assert orders == {0: {6: 2000}, 1: {3: 2000}, 2: {1: 2000}, 3: {0: 2000}, 4: {0: 2000}}


def test_the_answer_passes_all_tests_and_takes_a_fourth_rule_where_no_order_is_right():
    for problem in problems():
        program = program_in(problem.answer)
        assert program is not None
        assert len(program) == 3 + (problem.facts["level"] > 2)
        assert all(replaced(word, program) == result for word, result in problem.facts["tests"])
        assert RIGHT.judge(problem, f"\\boxed{{{problem.answer}}}").correct


def test_splits_have_their_sizes_and_no_two_problems_ask_for_the_same():
    found = splits()
    sizes = {name: len(split) for name, split in found.items()}
    assert sizes == {"test": 256, "train": 512, "validation": 512, "pretrain": 8720}
    every = [p for split in found.values() for p in split]
    assert len({frozenset(read(p)) for p in every}) == len({p.id for p in every}) == 10_000
    for split in found.values():
        counts = Counter(p.facts["level"] for p in split)
        assert min(counts.values()) > 0.7 * len(split) / len(SHAPES)


def test_demonstrations_are_wrong_as_often_as_configured():
    failure_rates, rng = (0.1, 0.3, 0.5, 0.7, 0.9), random.Random(0)
    corpus = Demonstrations(failure_rates=failure_rates)
    for level, rate in enumerate(failure_rates):
        asked = [p for p in problems() if p.facts["level"] == level]
        wrong = sum(not RIGHT.judge(p, corpus.draw(p, rng)).correct for p in asked)
        assert abs(wrong / len(asked) - rate) < 4 * (rate * (1 - rate) / len(asked)) ** 0.5


def test_a_wrong_demonstration_has_the_rules_of_the_prompt_in_random_order():
    corpus, rng, orders = Demonstrations(failure_rates=(1, 1, 1, 1, 1)), random.Random(0), Counter[tuple[int, ...]]()
    for problem in (p for split in splits().values() for p in split):
        program, asked = program_of(corpus.draw(problem, rng)), read(problem)
        assert passed(program, problem.facts["tests"]) < 8
        assert set(program) <= set(rules_of(asked))
        if problem.facts["level"] > 2:
            orders[tuple(rules_of(asked).index(rule) for rule in program)] += 1
        else:
            assert len(program) == len(set(program))
            assert len(program) == 3 or right_orders(asked), "it stops early only where an order is right"
    assert len(orders) == 6
    assert min(orders.values()) > 0.9 * sum(orders.values()) / 6


def test_no_demonstration_solves_the_last_level():
    rng = random.Random(0)
    last = [p for p in problems() if p.facts["level"] == 4]
    assert not any(RIGHT.judge(p, Demonstrations().draw(p, rng)).correct for p in last)


@pytest.mark.parametrize("levels", [(), (5,), (0, -1)])
def test_levels_that_do_not_exist_are_refused(levels: tuple[int, ...]):
    with pytest.raises(FieldError, match=r"levels.*try levels=\[0,1,2,3,4\]"):
        Program(levels=levels)


@pytest.mark.parametrize(
    ("field", "value", "cure"),
    [
        ("max_tokens", 0, "must be at least 1"),
        ("failure_rates", [0.5], r"must list 5 numbers in \[0, 1\]; try failure_rates=\["),
        ("failure_rates", [0, 0, 0, 0, 1.1], r"must list 5 numbers in \[0, 1\]; try failure_rates=\["),
    ],
)
def test_a_value_out_of_range_is_refused(field: str, value: object, cure: str):
    with pytest.raises(FieldError, match=rf"{field}=.* {cure}"):
        Demonstrations(**{field: value})  # type: ignore[arg-type]
