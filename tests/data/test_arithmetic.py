import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsgrpo.data.arithmetic import Arithmetic, Demonstrations, num_columns, problems, splits, worked
from rsgrpo.errors import FieldError
from rsgrpo.rewards.arithmetic import ArithmeticReward
from rsgrpo.types import Problem

REWARD = ArithmeticReward()
TEXT = re.compile(r"(\d(?: \d)*) ([+*]) (\d(?: \d)*) =")


def read(problem: Problem) -> tuple[int, str, int]:
    """(left, operator, right) as the text of the problem has them."""
    match = TEXT.fullmatch(problem.text)
    assert match is not None
    left, right = (int(match[i].replace(" ", "")) for i in (1, 3))
    return left, match[2], right


def key(problem: Problem) -> tuple[object, ...]:
    left, operator, right = read(problem)
    return operator, *sorted((left, right))


def test_the_text_of_a_problem_gives_its_answer_and_its_level():
    kinds = {("+", 2, 2): 0, ("+", 3, 3): 1, ("*", 2, 1): 2, ("*", 2, 2): 3}
    for problem in problems():
        left, operator, right = read(problem)
        assert str(left + right if operator == "+" else left * right) == problem.answer
        assert problem.facts["level"] == kinds[operator, len(str(left)), len(str(right))]


def test_no_problem_comes_twice_in_whatever_order():
    found = problems()
    assert Counter(p.facts["level"] for p in found) == {0: 2000, 1: 2000, 2: 720, 3: 2000}
    assert len({key(p) for p in found}) == len({p.id for p in found}) == len({p.text for p in found}) == len(found)


def test_the_smaller_number_comes_first_as_often_as_last():
    pairs = [(left, right) for left, _, right in map(read, problems()) if len(str(left)) == len(str(right))]
    first = sum(left < right for left, right in pairs)
    last = sum(left > right for left, right in pairs)
    assert abs(first - last) < 4 * (first + last) ** 0.5


def test_splits_have_their_sizes_and_share_no_problem():
    found = splits()
    sizes = {name: len(split) for name, split in found.items()}
    assert sizes == {"test": 256, "train": 512, "validation": 512, "pretrain": 5440}
    assert len({key(p) for split in found.values() for p in split}) == 6720
    assert all({p.facts["level"] for p in split} == {0, 1, 2, 3} for split in found.values())


def test_a_source_keeps_the_wanted_levels_of_every_split():
    for name in ("train", "validation", "test"):
        everything = Arithmetic().split(name)
        assert everything == list(splits()[name])
        for level in range(4):
            assert Arithmetic(levels=[level]).split(name) == [p for p in everything if p.facts["level"] == level]


@given(st.integers(0, 99_999), st.sampled_from("+*"), st.integers(0, 99_999), st.lists(st.integers(-1, 1), max_size=4))
def test_a_calculation_is_true_in_every_column_but_for_its_slips(
    left: int, operator: str, right: int, slips: list[int]
):
    *columns, box = worked(left, operator, right, slips).split(" ; ")
    assert len(columns) == num_columns(left, operator, right)
    value, carry, slipped = 0, 0, False
    for i, (column, slip) in enumerate(zip(columns, slips + [0] * len(columns), strict=False)):
        terms, total = column.split(" = ")
        *digits, last = terms.split(" + ") if i else [*terms.split(" + "), "0"]
        assert int(last.replace(" ", "")) == carry, column
        products = [[int(digit) for digit in term.split(" * ")] for term in digits]
        assert all(len(factors) == (1 if operator == "+" else 2) for factors in products), column
        summed = sum(factors[0] * factors[-1] if operator == "*" else factors[0] for factors in products) + carry
        slipped |= summed + slip not in (summed, -1)
        summed = max(0, summed + slip)
        assert int(total.replace(" ", "")) == summed, column
        value += summed % 10 * 10**i
        carry = summed // 10
    value += carry * 10 ** len(columns)
    assert REWARD.judge(Problem(id="p", text="", answer=str(value)), box).correct
    assert (value == (left + right if operator == "+" else left * right)) == (not slipped)


def test_without_slips_every_demonstration_is_right():
    never, rng = Demonstrations(slip_rate=0.0), random.Random(0)
    for problem in problems():
        assert never.draw(problem, rng) == worked(*read(problem))
        assert REWARD.judge(problem, never.draw(problem, rng)).correct


def test_the_share_of_right_demonstrations_is_that_of_calculations_without_slips():
    corpus, rng = Demonstrations(slip_rate=0.3), random.Random(0)
    for level, columns in enumerate((2, 3, 2, 3)):
        # A total of 0 cannot slip down: such problems are left out.
        asked = [p for p in problems() if p.facts["level"] == level and "0" not in worked(*read(p))]
        right = [REWARD.judge(problem, corpus.draw(problem, rng)).correct for problem in asked]
        rate = (1 - 0.3) ** columns
        assert abs(sum(right) / len(right) - rate) < 4 * (rate * (1 - rate) / len(right)) ** 0.5


def test_demonstrations_depend_on_the_generator_alone():
    def draw(seed: int) -> list[str]:
        rng = random.Random(seed)
        return [Demonstrations().draw(problem, rng) for problem in splits()["pretrain"][:200]]

    random.seed(1)
    first = draw(0)
    random.seed(2)
    assert draw(0) == first
    assert draw(1) != first


def test_demonstrations_are_of_the_pretraining_split():
    assert tuple(Demonstrations().problems()) == splits()["pretrain"]


@pytest.mark.parametrize("levels", [(), (4,), (0, -1), (0, 1, 2, 3, 4)])
def test_levels_that_do_not_exist_are_refused(levels: tuple[int, ...]):
    with pytest.raises(FieldError, match=r"levels.*try levels=\[0,1,2,3\]"):
        Arithmetic(levels=levels)


@pytest.mark.parametrize(("field", "value"), [("max_tokens", 0), ("slip_rate", -0.1), ("slip_rate", 1.1)])
def test_a_value_out_of_range_is_refused(field: str, value: float):
    with pytest.raises(FieldError, match=f"{field}={value} must be"):
        Demonstrations(**{field: value})  # type: ignore[arg-type]
