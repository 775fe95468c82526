r"""Whether two expressions have the same value.

Exact numbers have to be equal. A decimal stands for the numbers that round to it, when it has six decimals or more (six
digits behind the zeros of a small one).
"""

from fractions import Fraction
from typing import Any

from mpmath import mp, mpf

from rsgrpo.verification.comparing.operations import Undecided, Undefined, number
from rsgrpo.verification.comparing.values import MORE_POINTS, POINTS, Values
from rsgrpo.verification.reading.tree import Big, Call, Joined, Matrix, Node, Num, Quantity, Rel, Seq, Sym

DIGITS = 40
MORE_DIGITS = 220


def parts(node: Node) -> tuple[Node, ...]:
    """The nodes right below a node of an expression."""
    match node:
        case Call(_, args):
            return args
        case Big(_, _, low, high, body):
            return low, high, body
        case Quantity(value, _):
            return (value,)
        case Matrix(rows):
            return tuple(entry for row in rows for entry in row)
        case Seq(_, _, items) | Joined(_, items) | Rel(_, items):
            return items
    return ()


def contains(node: Node, kinds: Any) -> bool:
    """Whether a node that `kinds` says yes to is in a tree."""
    return kinds(node) or any(contains(part, kinds) for part in parts(node))


def letters(node: Node) -> frozenset[str]:
    """The free letters of an expression."""
    if isinstance(node, Sym):
        return frozenset({node.name})
    found = frozenset(name for part in parts(node) for name in letters(part))
    return found - {node.var} if isinstance(node, Big) else found


def with_name(node: Node, old: str, new: str) -> Node:
    """An expression with a letter called otherwise."""
    match node:
        case Sym(name):
            return Sym(new) if name == old else node
        case Call(name, args):
            return Call(name, tuple(with_name(arg, old, new) for arg in args))
        case Quantity(value, unit):
            return Quantity(with_name(value, old, new), unit)
        case Rel(signs, sides):
            return Rel(signs, tuple(with_name(side, old, new) for side in sides))
        case Seq(opening, closing, items):
            return Seq(opening, closing, tuple(with_name(item, old, new) for item in items))
        case Joined(word, items):
            return Joined(word, tuple(with_name(item, old, new) for item in items))
    return node


def is_constant(node: Node) -> bool:
    """Whether an expression has a value without any letter having one."""
    return not letters(node) and not contains(node, is_applied)


def is_applied(node: Node) -> bool:
    """Whether a tree is a function of which only the name is known, such as f(2)."""
    known = ("floor", "gcd", "factorial", "factorial2")
    return isinstance(node, Call) and node.name[0] in "fghFGH" and node.name not in known


def _decimal(node: Node) -> bool:
    return contains(node, lambda n: isinstance(n, Num) and n.decimal)


def _integral(node: Node) -> bool:
    return contains(node, lambda n: isinstance(n, Big) and n.kind == "int")


def close(a: Any, b: Any, *, rounded: bool = False) -> bool:
    """Whether two values are equal, to rounding."""
    if isinstance(a, list) or isinstance(b, list):
        return (
            isinstance(a, list) and isinstance(b, list) and [len(row) for row in a] == [len(row) for row in b]
            and all(
                close(x, y, rounded=rounded)
                for row, other in zip(a, b, strict=True) for x, y in zip(row, other, strict=True)
            )
        )  # fmt: skip
    if isinstance(a, Fraction) and isinstance(b, Fraction) and (not rounded or _short(a) or _short(b)):
        return a == b
    x, y = number(a), number(b)
    if mp.isinf(x) or mp.isinf(y):
        return bool(x == y)
    size = max(abs(x), abs(y))
    difference = abs(x - y)
    if difference <= size * mpf(10) ** (10 - mp.dps):
        return True
    if not rounded:
        return False
    scale = mpf(10) ** min(0, int(mp.floor(mp.log10(size))) + 1)
    return bool(difference <= max(mpf("0.50001e-6") * scale, size * mpf("1e-10")))


def _short(value: Fraction) -> bool:
    """Whether five decimals write the number in full, so that no decimal but itself stands for it."""
    return 10**5 % value.denominator == 0


def equal_values(gold: Node, answer: Node) -> bool | None:
    """Whether two expressions are equal; None where that cannot be calculated."""
    logs = contains(gold, _plain_log) or contains(answer, _plain_log)
    verdict = _equal(gold, answer, 0)
    return _equal(gold, answer, 10) or verdict if logs and not verdict else verdict


def _plain_log(node: Node) -> bool:
    return isinstance(node, Call) and node.name == "log" and len(node.args) == 1


def _by_sign(node: Node) -> bool:
    return isinstance(node, Call) and node.name in ("abs", "max", "min")


def _equal(gold: Node, answer: Node, base: int) -> bool | None:
    rounded = _decimal(gold) or _decimal(answer)
    if isinstance(gold, Num) and isinstance(answer, Num) and gold.decimal and answer.decimal:
        return _same_decimals(gold.value, answer.value)
    both_letters = letters(gold), letters(answer)
    most = MORE_POINTS if contains(gold, _by_sign) or contains(answer, _by_sign) else POINTS
    points = range(most) if any(both_letters) or not (is_constant(gold) and is_constant(answer)) else range(1)
    real, complex_ = [], []
    for point in points:
        try:
            pair = _pair(gold, answer, point, base, DIGITS)
            equal = _close(pair, rounded, gold, answer, point, base)
        except Undefined:
            continue
        except Undecided:
            return None
        (real if all(_is_real(value) for value in pair) else complex_).append(equal)
        if real and not real[-1]:
            return False
    decided = real or complex_
    if not decided:
        return False if len(points) == 1 else None
    return all(decided)


def _same_decimals(a: Fraction, b: Fraction) -> bool:
    """Whether two decimals are the same, or the shorter one is the other rounded to six digits or more."""
    if a == b:
        return True
    shorter, longer = sorted((a, b), key=lambda value: value.denominator)
    places = next(n for n in range(5000) if (shorter * 10**n).denominator == 1)
    digits = len(str(abs(shorter.numerator * 10**places // shorter.denominator))) if abs(shorter) < 1 else places
    exact = shorter.denominator == longer.denominator or min(places, digits) < 6
    return not exact and abs(a - b) <= Fraction(1, 2 * 10**places)


def _terminates(value: Any) -> bool:
    """Whether a number is exact and has 60 decimals or fewer."""
    return isinstance(value, Fraction) and 10**60 % value.denominator == 0


def _pair(gold: Node, answer: Node, point: int, base: int, digits: int) -> tuple[Any, Any]:
    with mp.workdps(digits):
        return Values(point, base).of(gold), Values(point, base).of(answer)


def _close(pair: tuple[Any, Any], rounded: bool, gold: Node, answer: Node, point: int, base: int) -> bool:
    """Whether a pair of values is equal; small differences are calculated again with more digits."""
    if rounded and _decimal(gold) and _decimal(answer) and all(_terminates(value) for value in pair):
        return _same_decimals(*pair)
    with mp.workdps(DIGITS):
        if _integral(gold) or _integral(answer):
            x, y = (number(value) for value in pair)
            return bool(abs(x - y) <= mpf("1e-11") * max(abs(x), abs(y), mpf("1e-3")))
        if close(*pair, rounded=rounded):
            return True
        if any(isinstance(value, list) for value in pair) or all(isinstance(value, Fraction) for value in pair):
            return False
        if not abs(number(pair[0]) - number(pair[1])) < mpf("1e-25"):
            return False
    with mp.workdps(MORE_DIGITS):
        x, y = (number(value) for value in _pair(gold, answer, point, base, MORE_DIGITS))
        difference, size = abs(x - y), max(abs(x), abs(y))
        if difference <= size * mpf(10) ** -100 or difference < mpf(10) ** -180:
            return True
    with mp.workdps(DIGITS):
        return rounded and close(x, y, rounded=True)


def _is_real(value: Any) -> bool:
    if isinstance(value, Fraction):
        return True
    if isinstance(value, list):
        return all(_is_real(entry) for row in value for entry in row)
    return bool(abs(mp.im(value)) <= mpf("1e-25") * (1 + abs(mp.re(value))))
