"""Operations on exact numbers, numbers of mpmath, and matrices; those that would take too long are left undecided."""

import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from mpmath import mp, mpf

MOST_BITS = 40_000
"""Of an exact number; longer ones are not calculated."""


class Undecided(ArithmeticError):
    """Not calculated here: too large, too long, or not known how."""


class Undefined(ArithmeticError):
    """Without a value, such as 1/0."""


def number(value: Any) -> Any:
    """The value as a number of mpmath."""
    if isinstance(value, list):
        raise Undecided("matrix")
    return mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def checked(value: Any) -> Any:
    """The value, if it is one."""
    if mp.isnan(value):
        raise Undefined("nan")
    return value


def small(value: Any) -> Any:
    """An exact number that is short enough to go on with; a rounded one else."""
    if isinstance(value, Fraction) and max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
        raise Undecided("digits")
    return value


def plus(a: Any, b: Any) -> Any:
    """a + b."""
    return small(a + b) if isinstance(a, Fraction) and isinstance(b, Fraction) else checked(number(a) + number(b))


def times(a: Any, b: Any) -> Any:
    """a b."""
    return small(a * b) if isinstance(a, Fraction) and isinstance(b, Fraction) else checked(number(a) * number(b))


def over(a: Any, b: Any) -> Any:
    """a / b."""
    if b == 0:
        raise Undefined("division by 0")
    return small(a / b) if isinstance(a, Fraction) and isinstance(b, Fraction) else checked(number(a) / number(b))


def to_the(a: Any, b: Any) -> Any:
    """a^b, the principal value."""
    whole = isinstance(b, Fraction) and b.denominator == 1
    if isinstance(a, Fraction) and whole:
        if a == 0 and b < 0:
            raise Undefined("division by 0")
        bits = max(a.numerator.bit_length(), a.denominator.bit_length())
        if abs(b) * bits <= MOST_BITS or abs(a) in (0, 1):
            return a ** int(b % 2 if a == -1 else min(b, 1) if abs(a) in (0, 1) else b)
    x, y = number(a), number(b)
    if x == 0:
        if mp.re(y) <= 0:
            raise Undefined("power of 0")
        return Fraction(0)
    if abs(y) * (1 + abs(mp.log(abs(x)))) > 10**5 and not (mp.isinf(x) or mp.isinf(y)):
        raise Undecided("power")
    return checked(mp.power(x, int(b)) if whole else mp.power(x, y))


def root(a: Any, degree: Any) -> Any:
    """The real root of a real number where there is one, else the principal one."""
    if isinstance(a, Fraction) and degree == 2 and a >= 0:
        top, bottom = math.isqrt(a.numerator), math.isqrt(a.denominator)
        if top * top == a.numerator and bottom * bottom == a.denominator:
            return Fraction(top, bottom)
    odd = isinstance(degree, Fraction) and degree.denominator == 1 and degree % 2 == 1
    x = number(a)
    if odd and mp.im(x) == 0 and mp.re(x) < 0:
        return -to_the(-x, 1 / degree)
    return to_the(a, over(Fraction(1), degree))


def factorial(n: Any) -> Any:
    """n!, exact up to 4000."""
    if isinstance(n, Fraction) and n.denominator == 1:
        if n < 0:
            raise Undefined("factorial")
        if n <= 4000:
            return Fraction(math.factorial(int(n)))
        raise Undecided("factorial")
    return checked(mp.gamma(number(n) + 1))


def factorial2(n: Any) -> Any:
    """n!! of a whole number."""
    if not (isinstance(n, Fraction) and n.denominator == 1 and 0 <= n <= 2000):
        raise Undecided("double factorial")
    return Fraction(math.prod(range(int(n), 0, -2)))


def binomial(n: Any, k: Any) -> Any:
    """n over k."""
    if all(isinstance(x, Fraction) and x.denominator == 1 for x in (n, k)) and 0 <= n <= 6000:
        return small(Fraction(math.comb(int(n), int(k)) if k >= 0 else 0))
    if isinstance(n, Fraction) and abs(n) > 10**4:
        raise Undecided("binomial")
    return checked(mp.binomial(number(n), number(k)))


def remainder(a: Any, b: Any) -> Any:
    """a mod b."""
    if not (isinstance(a, Fraction) and isinstance(b, Fraction)):
        raise Undecided("mod")
    return a % b


def remainder_of_power(base: Any, power: Any, modulus: Any) -> Any:
    """base^power mod modulus of whole numbers; None where the power has to be calculated first."""
    if not all(isinstance(x, Fraction) and x.denominator == 1 for x in (base, power, modulus)):
        return None
    if power < 0 or modulus <= 0:
        return None
    if power.numerator.bit_length() * modulus.numerator.bit_length() > MOST_BITS * 100:
        raise Undecided("remainder of a power")
    return Fraction(pow(int(base), int(power), int(modulus)))


def _whole(name: str, by: Callable[..., int]) -> Callable[..., Any]:
    def calculated(*values: Any) -> Any:
        if all(isinstance(value, Fraction) and value.denominator == 1 for value in values):
            return Fraction(by(*map(int, values)))
        parts = [unknown(name, [value]) for value in values]
        return mp.fsum(parts)

    return calculated


def _extreme(by: Callable[..., Any]) -> Callable[..., Any]:
    def calculated(*values: Any) -> Any:
        if len(values) == 1:  # max f, of a function
            return unknown(by.__name__, list(values))
        if any(mp.im(number(value)) != 0 for value in values):
            raise Undecided("complex")
        return by(values, key=number)

    return calculated


def _step(value: Any, by: Callable[[Any], Any]) -> Any:
    if isinstance(value, Fraction):
        return Fraction(math.floor(value) if by is mp.floor else math.ceil(value))
    nearest = mp.nint(mp.re(value))
    return nearest if abs(value - nearest) < mpf("1e-30") else by(value)


def unknown(name: str, values: list[Any]) -> Any:
    """A value for a function of which only the name is known: the same for the same arguments."""
    rng = random.Random(f"function {name}")
    inside = mpf(rng.uniform(0.3, 1))
    for value in values:
        inside += mpf(rng.uniform(0.3, 1)) * number(value)
    return 3 * mp.cos(checked(inside)) + mpf(rng.uniform(0.3, 1))


def of_matrices(name: str, values: list[Any]) -> Any:
    """An operation on values of which one or more are matrices, as lists of rows."""
    first, second = values[0], values[1] if len(values) > 1 else None
    if name in ("det", "abs") and second is None and len(first) == len(first[0]):
        return _determinant(first)
    if name == "neg" or name == "add":
        second = first if second is None else second
        if (
            not isinstance(second, list)
            or not isinstance(first, list)
            or (len(first), len(first[0])) != (len(second), len(second[0]))
        ):
            raise Undecided(name)
        if name == "neg":
            return [[times(Fraction(-1), entry) for entry in row] for row in first]
        return [[plus(x, y) for x, y in zip(row, other, strict=True)] for row, other in zip(first, second, strict=True)]
    if name in ("mul", "div") and second is not None:
        if isinstance(first, list) and isinstance(second, list):
            if name == "div" or len(first[0]) != len(second):
                raise Undecided(name)
            return [[_dot(row, [other[j] for other in second]) for j in range(len(second[0]))] for row in first]
        if isinstance(first, list):
            return [[(times if name == "mul" else over)(entry, second) for entry in row] for row in first]
        if name == "mul":
            return [[times(first, entry) for entry in row] for row in second]
    raise Undecided(name)


def _dot(a: list[Any], b: list[Any]) -> Any:
    total: Any = Fraction(0)
    for x, y in zip(a, b, strict=True):
        total = plus(total, times(x, y))
    return total


def _determinant(rows: list[list[Any]]) -> Any:
    if len(rows) > 6:
        raise Undecided("determinant")
    if len(rows) == 1:
        return rows[0][0]
    total: Any = Fraction(0)
    for j, entry in enumerate(rows[0]):
        minor = [[x for i, x in enumerate(row) if i != j] for row in rows[1:]]
        total = plus(total, times(times(Fraction((-1) ** j), entry), _determinant(minor)))
    return total


EXACT: dict[str, Callable[..., Any]] = {
    "add": plus,
    "mul": times,
    "div": over,
    "pow": to_the,
    "root": root,
    "neg": lambda a: times(Fraction(-1), a),
    "abs": abs,
    "factorial": factorial,
    "factorial2": factorial2,
    "binom": binomial,
    "mod": remainder,
    "gcd": _whole("gcd", math.gcd),
    "lcm": _whole("lcm", math.lcm),
    "max": _extreme(max),
    "min": _extreme(min),
    "floor": lambda a: _step(a, mp.floor),
    "ceil": lambda a: _step(a, mp.ceil),
    "conj": lambda a: a if isinstance(a, Fraction) else mp.conj(a),
}
_LOGS = {"ln": mp.log, "lg": lambda x: mp.log(x, 10), "lb": lambda x: mp.log(x, 2)}
NUMERIC: dict[str, Callable[..., Any]] = (
    _LOGS
    | {
        "log": mp.log,
        "exp": lambda x: to_the(+mp.e, x),
        "cis": lambda x: to_the(+mp.e, mp.mpc(0, 1) * x),
        "sgn": mp.sign,
        "Re": mp.re,
        "Im": mp.im,
        "arg": mp.arg,
        "zeta": mp.zeta,
        "Gamma": mp.gamma,
        "erf": mp.erf,
        "erfc": mp.erfc,
    }
    | {
        name: getattr(mp, name)
        for name in ["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "sech", "csch"]
    }
    | {
        f"arc{name}": getattr(mp, f"a{name}")
        for name in ["sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth", "sech", "csch"]
    }
)
