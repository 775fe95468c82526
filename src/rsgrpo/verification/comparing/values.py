r"""The value of an expression: exact for rational numbers, else to many digits; letters get values of their own.

Two expressions with letters are equal when their values are at several points. Bounded: what would take too many steps
or too many digits is left undecided.
"""

import random
from fractions import Fraction
from functools import lru_cache
from typing import Any

from mpmath import mp, mpf

from rsgrpo.verification.comparing.operations import (
    EXACT,
    NUMERIC,
    Undecided,
    Undefined,
    checked,
    number,
    of_matrices,
    plus,
    remainder_of_power,
    times,
    unknown,
)
from rsgrpo.verification.reading.tree import Big, Call, Const, Matrix, Node, Num, Quantity, Seq, Sym

MOST_STEPS = 40_000
"""Operations for one value."""
POINTS = 4
MORE_POINTS = 9
"""With those at which any two of the small letters have other signs at one point or more."""


@lru_cache(maxsize=4096)
def at_point(name: str, point: int) -> Fraction:
    """The value of a letter at a point: between 1 and 3, between 0 and 1, negative, and of either sign.

    Behind these its sign follows from the letter.
    """
    rng = random.Random(f"{name} at {point}")
    if point >= POINTS:
        sign = -1 if ord(name[-1]) >> (point - POINTS) & 1 else 1
        return sign * Fraction(round(rng.uniform(0.3, 2.9) * 1009), 1009)
    low, high = ((1.1, 2.9), (0.1, 0.9), (-2.9, -0.3), (-4.0, 6.0))[point]
    return Fraction(round(rng.uniform(low, high) * 1009), 1009)


class Values:
    """Values at one point, with `base` as the base of a logarithm that names none (0: e)."""

    def __init__(self, point: int, base: int = 0) -> None:
        self.point, self.base, self.steps = point, base, 0
        self.named = 0
        self.bound: dict[str, Any] = {}

    def of(self, node: Node) -> Any:
        """The value: a Fraction, a number of mpmath, or a list of rows.

        Raises:
            Undecided: for what is not calculated here.
            Undefined: for what has no value.
        """
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Undecided("steps")
        match node:
            case Num(value):
                return value
            case Const(name):
                return self.bound[name] if name in self.bound else self.constant(name)
            case Sym(name):
                self.named += 1
                return self.bound[name] if name in self.bound else at_point(name, self.point)
            case Quantity(value, "%"):
                return times(self.of(value), Fraction(1, 100))
            case Quantity(value, "degree"):
                return times(self.of(value), mp.pi / 180)
            case Matrix(rows):
                return [[self.of(entry) for entry in row] for row in rows]
            case Big():
                return self.big(node)
            case Call(name, args):
                return self.call(name, args)
        raise Undecided(type(node).__name__)

    def constant(self, name: str) -> Any:
        return {"pi": +mp.pi, "e": +mp.e, "i": mp.mpc(0, 1), "inf": mp.inf}[name]

    def call(self, name: str, args: tuple[Node, ...]) -> Any:
        if name == "mod" and isinstance(args[0], Call) and args[0].name == "pow":
            found = remainder_of_power(*(self.of(arg) for arg in (*args[0].args, args[1])))
            if found is not None:
                return found
        named = self.named
        values = [self.of(arg) for arg in _spread(args)]
        if name in ("Re", "Im", "arg") and self.named > named:
            return unknown(name, values)  # the points of letters are real
        if any(isinstance(value, list) for value in values):
            return of_matrices(name, values)
        if name == "log" and len(values) == 1:
            values = [*values, Fraction(self.base)] if self.base else values
        operation = EXACT.get(name)
        try:
            if operation is not None:
                return operation(*values)
            if name in NUMERIC:
                return checked(NUMERIC[name](*map(number, values)))
        except (ZeroDivisionError, ValueError) as error:
            raise Undefined(name) from error
        except (OverflowError, TypeError) as error:
            raise Undecided(name) from error
        return unknown(name, values)

    def big(self, node: Big) -> Any:
        low, high = self.of(node.low), self.of(node.high)
        if node.kind == "int":
            return self.integral(node, number(low), number(high))
        if mp.isinf(number(low)) or mp.isinf(number(high)):
            raise Undecided("series")
        if not all(isinstance(end, Fraction) and end.denominator == 1 for end in (low, high)):
            return self.formal(node, low, high)
        if high - low > 3000:
            raise Undecided("sum")
        total: Any = Fraction(0 if node.kind == "sum" else 1)
        before = self.bound.get(node.var)
        for value in range(int(low), int(high) + 1):
            self.bound[node.var] = Fraction(value)
            total = (plus if node.kind == "sum" else times)(total, self.of(node.body))
        self.unbind(node.var, before)
        return total

    def formal(self, node: Big, low: Any, high: Any) -> Any:
        """A value for a sum between letters: the same for the same ends and terms, whatever its index is called."""
        before, terms = self.bound.get(node.var), []
        for value in (Fraction(7, 5), Fraction(31, 9)):
            self.bound[node.var] = value
            terms.append(self.of(node.body))
        self.unbind(node.var, before)
        return unknown(node.kind, [low, high, *terms])

    def integral(self, node: Big, low: Any, high: Any) -> Any:
        before = self.bound.get(node.var)

        def integrand(x: Any) -> Any:
            self.bound[node.var] = x
            return number(self.of(node.body))

        try:
            with mp.workdps(20):
                value, error = mp.quad(integrand, [low, high], error=True, maxdegree=6)
        except (ZeroDivisionError, ValueError, TypeError) as failure:
            raise Undecided("integral") from failure
        self.unbind(node.var, before)
        if not error < mpf("1e-13"):
            raise Undecided("integral")
        return value

    def unbind(self, name: str, before: Any) -> None:
        if before is None:
            self.bound.pop(name, None)
        else:
            self.bound[name] = before


def _spread(args: tuple[Node, ...]) -> list[Node]:
    """Arguments, those in a set or list one by one."""
    return [
        item for arg in args for item in (arg.items if isinstance(arg, Seq) and arg.opening in ("", "{") else (arg,))
    ]
