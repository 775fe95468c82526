"""Equations, and what they stand for; ratios."""

from fractions import Fraction

from mpmath import mp

from rsgrpo.verification.comparing.lists import Same, all_of, named_tuple, same_lists
from rsgrpo.verification.comparing.operations import Undecided, Undefined, number
from rsgrpo.verification.comparing.scalars import (
    DIGITS,
    close,
    contains,
    equal_values,
    is_applied,
    is_constant,
    letters,
    with_name,
)
from rsgrpo.verification.comparing.values import Values
from rsgrpo.verification.reading.tree import Builder, Call, Node, Num, Rel, Seq, SetOp, Sym, Text

_SAME_NAMES = ({"y", "f(x)"}, {"y", "g(x)"}, {"y", "h(x)"}, {"y", "y(x)"}, {"f", "f(x)"})

_UNKNOWNS = (Sym("x"), Sym("y"), Sym("t"), Sym("n"))
_OF_A_FIGURE = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))
_OF_SOMETHING = frozenset(("max", "min", "det", "dim", "rank", "deg", "tr"))
"""Functions that name a number rather than ask for an unknown, as in max f = 4 and cos A = 1/2."""


def is_ratio(node: Node) -> bool:
    """Whether a tree is a ratio such as 3:4."""
    return isinstance(node, Rel) and set(node.signs) == {":"}


def same_ratios(gold: Node, answer: Node, same: Same) -> bool | None:
    """3:4 is 6:8 and 3/4; of more than two members, the same up to a factor."""
    first, second = (
        list(node.sides) if isinstance(node, Rel) and is_ratio(node) else [node] for node in (gold, answer)
    )
    if len(first) == len(second):
        return all_of(
            equal_values(Call("mul", (first[i], second[0])), Call("mul", (first[0], second[i])))
            for i in range(1, len(first))
        )
    for one, other, turned in ((first, second, False), (second, first, True)):
        if len(one) == 2 and len(other) == 1 and not isinstance(other[0], Rel | Seq):
            quotient = Call("div", (one[0], one[1]))
            return same(other[0], quotient) if turned else same(quotient, other[0])
    return False


def _is_text(node: Node) -> bool:
    return isinstance(node, Text)


def _is_event(node: Node) -> bool:
    """Whether a letter can be an event, as in P(A)."""
    return isinstance(node, Sym) and node.name[:1].isupper()


def _is_name(node: Node) -> bool:
    """Whether a side of an equation only names what the other side is."""
    if isinstance(node, Call):
        if node.name == "mul":  # P(A), P(\text{heads})
            of = node.args[1]
            return isinstance(node.args[0], Sym) and (
                isinstance(of, Num | Rel | Seq) or contains(of, _is_text) or _is_event(of)
            )
        if node.name == "abs":
            return node.args[0] not in _UNKNOWNS and isinstance(node.args[0], Sym | Call)
        if node.name in _OF_A_FIGURE:
            return all(isinstance(arg, Sym) and (arg.name[0].isupper() or "angle" in arg.name) for arg in node.args)
        if node.name in _OF_SOMETHING:
            return True
        return node.name == "conj" or (
            all(isinstance(arg, Sym | Num) for arg in node.args)
            and node.name.strip("'")[:1] in ("f", "g", "h", "F", "G", "H")
            and node.name not in ("floor", "gcd", "factorial")
        )
    if isinstance(node, Seq):
        return node.opening == "(" and all(isinstance(item, Sym) for item in node.items)
    return isinstance(node, Sym | Text) or (isinstance(node, Seq) and node.opening == "words")


def _meaning(node: Rel, *, of_gold: bool) -> list[Node]:
    """What an equation stands for, when it stands for one side.

    Nothing when it does not hold, or is an equation proper.
    """
    if set(node.signs) != {"="}:
        return []
    first, last = node.sides[0], node.sides[-1]
    constants = [
        side for side in node.sides if not isinstance(side, Seq | Text | Rel | SetOp | Builder) and is_constant(side)
    ]
    if any(
        equal_values(constants[0], other) is False and not _approximate(constants[0], other) for other in constants[1:]
    ):
        return []
    named = all(side in constants or _is_name(side) for side in node.sides)
    unsolved = [side for side in node.sides if side not in constants and not _is_name(side)]
    if constants and any(len(letters(side)) == 1 and not isinstance(side, Seq) for side in unsolved):
        return []  # an equation of one unknown that is not solved, such as 2x = 4
    if constants and (named or (not of_gold and last in constants)):
        exact = [side for side in constants if not contains(side, lambda n: isinstance(n, Num) and n.decimal)]
        return [*exact[-1:], *(side for side in constants[-1:] if side not in exact[-1:])]
    found = [last] if _is_name(first) or (not of_gold and not isinstance(first, Seq)) else []
    if _is_name(last) and not (found and _is_name(first)):
        found = [first]
    return found


def _approximate(a: Node, b: Node) -> bool:
    """Whether the second number is the first one rounded, as in pi = 3.14."""
    try:
        with mp.workdps(DIGITS):
            x, y = number(Values(0).of(a)), number(Values(0).of(b))
            return contains(b, lambda n: isinstance(n, Num) and n.decimal) and bool(abs(x - y) <= abs(x) / 100)
    except (Undecided, Undefined):
        return False


def same_equations(gold: Node, answer: Node, same: Same) -> bool | None:
    """Whether two answers are the same, one of them an equation."""
    if isinstance(gold, Rel) and isinstance(answer, Rel):
        return _two_equations(gold, answer, same)
    rel, other = (gold, answer) if isinstance(gold, Rel) else (answer, gold)
    assert isinstance(rel, Rel)
    if set(rel.signs) != {"="}:
        return None
    meant = _meaning(rel, of_gold=rel is gold)
    if not meant:
        return False
    verdicts = [same(side, other) if rel is gold else same(other, side) for side in meant]
    return True if True in verdicts else verdicts[0]


def _called(node: Node) -> str:
    match node:
        case Sym(name):
            return name
        case Call(name, (Sym(of),)):
            return f"{name}({of})"
        case Text(words):
            return words.casefold()
    return repr(node)


def _renamed(node: Rel, gold: Rel) -> Rel:
    """An equation f(t) = ... with the argument called as in the other."""
    mine, theirs = node.sides[0], gold.sides[0]
    match mine, theirs:
        case (Call(name, (Sym(a),)), Call(other, (Sym(b),))) if (
            name == other and is_applied(mine) and a != b and b not in letters(node)
        ):
            return Rel(node.signs, tuple(with_name(side, a, b) for side in node.sides))
    return node


def _two_equations(gold: Rel, answer: Rel, same: Same) -> bool | None:
    if bool(letters(gold)) != bool(letters(answer)):
        return False
    answer = _renamed(answer, gold)
    if gold.signs == answer.signs and all_of(same(a, b) for a, b in zip(gold.sides, answer.sides, strict=True)):
        return True
    if set(gold.signs) != {"="} or set(answer.signs) != {"="}:
        return None if gold.signs == answer.signs else False
    if len(gold.sides) == len(answer.sides) == 2:
        if all_of((same(gold.sides[0], answer.sides[1]), same(gold.sides[1], answer.sides[0]))):
            return True
        if (letters(gold) and _proportional(gold, answer)) or _solves(gold, answer) or _solves(answer, gold):
            return True
        if (
            any(isinstance(side, Seq) for side in gold.sides + answer.sides)
            and named_tuple(gold)
            and named_tuple(answer)
        ):
            return same_lists(named_tuple(gold) or gold, named_tuple(answer) or answer, same)
    named = [[side for side in rel.sides if _is_name(side)] for rel in (gold, answer)]
    if named[0] and named[1]:
        names = _called(named[0][0]), _called(named[1][0])
        if names[0] == names[1] or set(names) in _SAME_NAMES:
            meant = _meaning(gold, of_gold=True), _meaning(answer, of_gold=False)
            return bool(meant[0] and meant[1]) and same(meant[0][0], meant[1][0])
    return False


def _solves(equation: Rel, solved: Rel) -> bool:
    """Whether `solved`, such as y = 1/x, is the equation xy = 1, in which y has no other power."""
    name, value = solved.sides
    if not isinstance(name, Sym) or name.name in letters(value) or letters(equation) != letters(solved):
        return False
    difference = Call("add", (equation.sides[0], Call("neg", (equation.sides[1],))))
    with mp.workdps(DIGITS):
        for point in range(3):
            try:
                at = Values(point).of(value)
                found = []
                for step in range(3):
                    values = Values(point)
                    values.bound[name.name] = number(at) + step
                    found.append(number(values.of(difference)))
            except (Undecided, Undefined):
                return False
            size = abs(found[1]) + abs(found[2])
            if not (abs(found[0]) <= size / 10**25 and abs(found[2] - 2 * found[1]) <= size / 10**25 and size > 0):
                return False
    return True


def _proportional(gold: Rel, answer: Rel) -> bool | None:
    """Whether left minus right of the one is the same up to a factor as of the other."""
    factors = []
    with mp.workdps(DIGITS):
        for point in range(3):
            try:
                a, b = (
                    Values(point).of(Call("add", (rel.sides[0], Call("neg", (rel.sides[1],)))))
                    for rel in (gold, answer)
                )
                if isinstance(a, list) or isinstance(b, list) or close(a, Fraction(0)) or close(b, Fraction(0)):
                    return None
                factors.append(number(a) / number(b))
            except (Undecided, Undefined):
                return None
        return all(close(factor, factors[0]) for factor in factors)
