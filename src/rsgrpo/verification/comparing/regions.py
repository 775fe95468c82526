r"""Sets of real numbers: intervals, inequalities in one unknown, unions, sets by a condition.

A set is a list of the points where it may change, and whether a number lies in it. Two sets are equal when they agree
at all these points and between them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from mpmath import mp

from rsgrpo.verification.comparing.operations import Undecided, Undefined, number
from rsgrpo.verification.comparing.scalars import DIGITS, close, is_constant, letters
from rsgrpo.verification.comparing.values import POINTS, Values
from rsgrpo.verification.reading.tree import Builder, Call, Joined, Node, Rel, Seq, SetOp, Sym

INEQUALITIES = frozenset(("<", ">", "<=", ">=", "!="))


@dataclass(frozen=True, slots=True)
class Region:
    """A set of real numbers, the unknown it was written with, and where it may change."""

    unknown: str | None
    changes: tuple[Any, ...]
    has: Callable[[Any], bool]


class NoRegion(ValueError):
    """The tree is not a set of real numbers."""


class Backwards(NoRegion):
    """An interval that ends before it begins."""


class WithInfinity(NoRegion):
    """An interval that infinity belongs to."""


def is_region(node: Node) -> bool:
    """Whether a tree can only be meant as a set of numbers, or a condition on one."""
    match node:
        case Rel(signs, sides):
            return bool(INEQUALITIES & set(signs)) or (signs == ("in",) and is_region(sides[1]))
        case SetOp() | Builder():
            return True
        case Joined(_, parts):
            return any(is_region(part) for part in parts)
        case Seq(opening, closing, items):
            interval = opening + closing in ("[]", "[)", "(]", "][", "]]", "[[") and len(items) == 2
            listed = opening == "" and any(is_region(item) for item in items)
            return listed or (interval and not any(isinstance(item, Seq) for item in items))
        case Sym(name):
            return name in _HALVES or name in ("ℝ", r"\emptyset")  # noqa: RUF001
    return False


def same_region(gold: Node, answer: Node) -> bool | None:
    """Whether two trees are the same set of numbers; None when one of them is not."""
    verdicts = []
    named = (letters(gold) | letters(answer)) - {r"\emptyset"}
    with mp.workdps(DIGITS):
        for point in range(POINTS if named else 2):
            try:
                found = [_region_or_beyond(node, Values(point)) for node in (gold, answer)]
            except (NoRegion, Undecided, Undefined) as reason:
                if named and isinstance(reason, Backwards):
                    continue
                return None
            sets = [side for side in found if side is not None]
            if len(sets) < 2:
                return False if sets else None
            names = {side.unknown for side in sets} - {None}
            if named - names and all(_agree(side, _NOTHING) for side in sets):
                continue  # with the letters so, nothing is in either
            verdicts.append(len(names) < 2 and _agree(*sets))
    return all(verdicts) if verdicts else None


def _region_or_beyond(node: Node, values: Values) -> Region | None:
    """The set of numbers that a tree means; None for one with infinity in it."""
    try:
        return region(node, values)
    except WithInfinity:
        return None


_NOTHING = Region(None, (), lambda _: False)


def _agree(a: Region, b: Region) -> bool:
    ends = sorted((number(end) for end in {*a.changes, *b.changes} if not mp.isinf(number(end))), key=float)
    tried = list(ends)
    tried += [(x + y) / 2 for x, y in pairwise(ends) if not close(x, y)]
    tried += [ends[0] - 1, ends[-1] + 1] if ends else [mp.mpf(0)]
    return all(a.has(x) == b.has(x) for x in tried)


def region(node: Node, values: Values) -> Region:
    """The set of numbers that a tree means.

    Raises:
        NoRegion: when it means none.
    """
    match node:
        case Rel(("in",), (unknown, inside)) if isinstance(unknown, Sym):
            found = region(inside, values)
            return Region(unknown.name, found.changes, found.has)
        case Rel(signs, sides):
            return _inequality(signs, sides, values)
        case SetOp(sign, left, right):
            return _combined(sign, region(left, values), region(right, values))
        case Builder(var, condition):
            return _by_condition(var, condition, values)
        case Joined(word, parts):
            conditions = any(isinstance(part, Rel) and part.signs != ("in",) for part in parts)
            conditions &= not all(isinstance(part, Rel) and part.signs == ("=",) for part in parts)
            return _all("n" if word in ("and", ";") and conditions else "u", parts, values)
        case Seq("", _, items) if all(isinstance(item, Rel) for item in items):
            unions = all(isinstance(item, Rel) and item.signs in (("=",), ("in",)) for item in items)
            both = _all("u" if unions else "n", items, values)
            return _all("u", items, values) if _agree(both, _NOTHING) else both
        case Seq("", _, items):
            return _all("u", items, values)
        case Seq("{", "}", items):
            ends = tuple(_real(values.of(item)) for item in items)
            return Region(None, ends, lambda x: any(close(x, end) for end in ends))
        case Seq(opening, closing, (low, high)) if opening in "([]" and opening:
            return _interval(_real(values.of(low)), _real(values.of(high)), opening == "[", closing == "]")
        case Sym("ℝ"):  # noqa: RUF001
            return Region(None, (), lambda _: True)
        case Sym(name) if name in _HALVES:
            return _half(mp.mpf(0), _HALVES[name])
        case Sym(r"\emptyset") | Seq("none"):
            return Region(None, (), lambda _: False)
    if is_constant(node):
        point = _real(values.of(node))
        return Region(None, (point,), lambda x: close(x, point))
    raise NoRegion


def _real(value: Any) -> Any:
    if isinstance(value, list) or mp.im(number(value)) != 0:
        raise NoRegion
    return number(value)


def _interval(low: Any, high: Any, with_low: bool, with_high: bool) -> Region:
    if low > high:
        raise Backwards
    if (with_low and mp.isinf(low)) or (with_high and mp.isinf(high)):
        raise WithInfinity

    def has(x: Any) -> bool:
        if close(x, low) or close(x, high):
            return (with_low and bool(close(x, low))) or (with_high and bool(close(x, high)))
        return bool(low < x < high)

    return Region(None, (low, high), has)


_HALVES = {"ℝ+": ">", "ℝ_+": ">", "ℝ_>0": ">", "ℝ-": "<", "ℝ_-": "<", "ℝ_<0": "<", r"ℝ_\ge0": ">=", r"ℝ_\le0": "<="}  # noqa: RUF001
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!=", "=": "="}


def _inequality(signs: tuple[str, ...], sides: tuple[Node, ...], values: Values) -> Region:
    """Of a chain in which one side is the unknown and its neighbours do not contain it."""
    if not set(signs) <= _TURNED.keys():
        raise NoRegion
    places = [i for i, side in enumerate(sides) if isinstance(side, Sym) and not is_constant(side)]
    names = [i for i in places if all(sides[i].name not in letters(side) for j, side in enumerate(sides) if j != i)]  # type: ignore[union-attr]
    middle = [i for i in names if len(sides) == 2 or i == 1]
    if not middle and len(sides) == 2:
        return _linear(signs[0], sides, values)
    if not middle or len(sides) > 3 or (len(sides) == 3 and middle != [1]):
        raise NoRegion
    at = middle[0]
    unknown = sides[at]
    assert isinstance(unknown, Sym)
    found = None
    for i, sign in enumerate(signs):
        other = sides[i + 1] if i == at else sides[i]
        half = _half(_real(values.of(other)), sign if i == at else _TURNED[sign])
        found = half if found is None else _combined("n", found, half)
    assert found is not None
    return Region(unknown.name, found.changes, found.has)


def _linear(sign: str, sides: tuple[Node, ...], values: Values) -> Region:
    """Of two sides that are linear in the one unknown, or of the absolute value of such a side and a number."""
    names = letters(sides[0]) | letters(sides[1])
    if len(names) != 1:
        raise NoRegion
    (name,) = names
    for inside, other, way in ((sides[0], sides[1], sign), (sides[1], sides[0], _TURNED[sign])):
        if isinstance(inside, Call) and inside.name == "abs" and is_constant(other):
            both = [
                _linear(w, (inside.args[0], end), values)
                for w, end in ((way, other), (_TURNED[way], Call("neg", (other,))))
            ]
            return _combined("u" if way in (">", ">=") else "n", *both)
    at = []
    for x in (0, 1, 3):
        values.bound[name] = Fraction(x)
        at.append(_real(values.of(Call("add", (sides[0], Call("neg", (sides[1],)))))))
    del values.bound[name]
    start, slope = at[0], at[1] - at[0]
    if not close(at[2] - start, 3 * slope) or close(slope, mp.mpf(0)):
        raise NoRegion
    found = _half(-start / slope, sign if slope > 0 else _TURNED[sign])
    return Region(name, found.changes, found.has)


def _half(end: Any, sign: str) -> Region:
    """All x with `x sign end`."""
    strict = {
        "<": lambda x: x < end,
        ">": lambda x: x > end,
        "<=": lambda x: x < end,
        ">=": lambda x: x > end,
        "!=": lambda _: True,
    }
    if sign == "=":
        return Region(None, (end,), lambda x: close(x, end))
    return Region(None, (end,), lambda x: "=" in sign and sign != "!=" if close(x, end) else bool(strict[sign](x)))


def _combined(sign: str, a: Region, b: Region) -> Region:
    has = {
        "u": lambda x: a.has(x) or b.has(x),
        "n": lambda x: a.has(x) and b.has(x),
        "-": lambda x: a.has(x) and not b.has(x),
    }[sign]
    if a.unknown is not None and b.unknown is not None and a.unknown != b.unknown:
        raise NoRegion
    return Region(a.unknown or b.unknown, a.changes + b.changes, has)


def _all(sign: str, nodes: tuple[Node, ...], values: Values) -> Region:
    if len(nodes) > 40:
        raise NoRegion
    found = region(nodes[0], values)
    for node in nodes[1:]:
        found = _combined(sign, found, region(node, values))
    return found


def _by_condition(var: Node, condition: Node, values: Values) -> Region:
    domain = None
    if isinstance(var, Rel) and var.signs == ("in",):
        domain, var = region(var.sides[1], values), var.sides[0]
    if not isinstance(var, Sym):
        raise NoRegion
    found = region(condition, values)
    if found.unknown not in (None, var.name):
        raise NoRegion
    found = Region(None, found.changes, found.has)
    return found if domain is None else _combined("n", domain, found)


def normal_chain(node: Rel) -> Rel:
    """A chain of inequalities read from its smaller end."""
    if any(">" in sign for sign in node.signs) and not any("<" in sign for sign in node.signs):
        return Rel(tuple(_TURNED.get(sign, sign) for sign in reversed(node.signs)), tuple(reversed(node.sides)))
    return node


def same_condition(gold: Rel, answer: Rel, equal: Callable[[Node, Node], bool | None]) -> bool | None:
    """Whether two chains of inequalities are the same: side by side, or of two sides up to a factor."""
    gold, answer = normal_chain(gold), normal_chain(answer)
    if len(gold.sides) == len(answer.sides) and gold.signs == answer.signs:
        verdicts = [equal(a, b) for a, b in zip(gold.sides, answer.sides, strict=True)]
        if all(verdicts):
            return True
    if len(gold.sides) == len(answer.sides) == 2:
        return _proportional(gold, answer)
    return False if gold.signs != answer.signs else None


def _proportional(gold: Rel, answer: Rel) -> bool | None:
    factors = []
    for point in range(3):
        try:
            a, b = (
                _real(Values(point).of(Call("add", (node.sides[0], Call("neg", (node.sides[1],))))))
                for node in (gold, answer)
            )
            if close(a, mp.mpf(0)) or close(b, mp.mpf(0)):
                return None
        except (Undecided, Undefined, NoRegion):
            return None
        factors.append(a / b)
    if not all(close(factor, factors[0]) for factor in factors):
        return False
    return (gold.signs[0] if factors[0] > 0 else _TURNED.get(gold.signs[0])) == answer.signs[0]
