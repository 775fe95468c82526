"""The reward of Countdown: the boxed expression is calculated, by a parser of its own."""

import re
from dataclasses import dataclass
from fractions import Fraction

from rsgrpo.fields import check_fields
from rsgrpo.rewards.base import TextReward, wrong
from rsgrpo.types import Problem, Score
from rsgrpo.verification.boxes import last_boxed

MAX_TOKENS = 64
"""Longest expression looked at; the longest demonstrated one has 11 tokens."""

WELL_FORMED, RIGHT_NUMBERS, NEAR = 0.1, 0.2, 0.3
"""Partial credit: for other numbers than those given, for those given, and the most that a near value adds."""

_TOKEN = re.compile(r"\s*(?:([0-9]{1,9})|([-+*/()]))")


@dataclass(frozen=True, slots=True, kw_only=True)
class CountdownReward(TextReward):
    """1 when the last box uses exactly the given numbers and evaluates to the target, else 0, or partial credit.

    `parts` tells the failures apart: `no_box`, `malformed`, `wrong_numbers`, `wrong_value`. With `graded`, the last two
    are worth .1 and .2 + .3 / (1 + |value - target|); what is correct is the same.
    """

    graded: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    def judge(self, problem: Problem, text: str) -> Score:
        boxed = last_boxed(text)
        if boxed is None:
            return wrong("no_box")
        try:
            value, numbers = evaluate(boxed)
        except ValueError:
            return wrong("malformed")
        if sorted(numbers) != sorted(problem.facts["numbers"]):
            return wrong("wrong_numbers", WELL_FORMED if self.graded else 0.0)
        if value != int(problem.answer):
            return wrong("wrong_value", partial_credit(value, int(problem.answer)) if self.graded else 0.0)
        return Score(value=1.0, correct=True)


def partial_credit(value: Fraction, target: int) -> float:
    """.2 + .3 / (1 + |value - target|): what a wrong value of the right numbers is worth.

    >>> partial_credit(Fraction(28), 27), partial_credit(Fraction(36), 27)
    (0.35, 0.23)
    """
    return RIGHT_NUMBERS + NEAR * float(1 / (1 + abs(value - target)))


def evaluate(expression: str) -> tuple[Fraction, list[int]]:
    """The exact value of an expression of whole numbers, + - * / and brackets, and the numbers it uses.

    Raises:
        ValueError: for anything else, a division by zero and more than `MAX_TOKENS` tokens included.

    >>> evaluate("( 10 * 4 ) - 5")
    (Fraction(35, 1), [10, 4, 5])
    """
    parser = _Parser(_tokens(expression))
    value = parser.sum()
    if parser.peek() is not None:
        raise ValueError(f"unexpected {parser.peek()!r}")
    return value, parser.numbers


def _tokens(expression: str) -> list[int | str]:
    tokens: list[int | str] = []
    position, text = 0, expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or len(tokens) == MAX_TOKENS:
            raise ValueError(f"not an arithmetic expression at {position}")
        tokens.append(int(match[1]) if match[1] else match[2])
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent: sum = product (+|- product)*, product = atom (*|/ atom)*, atom = number | ( sum )."""

    def __init__(self, tokens: list[int | str]) -> None:
        self.tokens, self.position, self.numbers = tokens, 0, list[int]()

    def peek(self) -> int | str | None:
        return self.tokens[self.position] if self.position < len(self.tokens) else None

    def take(self) -> int | str | None:
        token = self.peek()
        self.position += 1
        return token

    def sum(self) -> Fraction:
        value = self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self) -> Fraction:
        value = self.atom()
        while self.peek() in ("*", "/"):
            if self.take() == "*":
                value *= self.atom()
            elif (divisor := self.atom()) != 0:
                value /= divisor
            else:
                raise ValueError("division by zero")
        return value

    def atom(self) -> Fraction:
        token = self.take()
        if token == "(":
            value = self.sum()
            if self.take() != ")":
                raise ValueError("unclosed bracket")
            return value
        if not isinstance(token, int):
            raise ValueError(f"expected a number, got {token!r}")
        self.numbers.append(token)
        return Fraction(token)
