"""Lists, sets and tuples, member by member."""

from collections.abc import Callable
from fractions import Fraction

from rsgrpo.verification.comparing.scalars import equal_values, letters
from rsgrpo.verification.reading.tree import (
    Call,
    Joined,
    Matrix,
    Node,
    Num,
    Rel,
    Seq,
    Sym,
)

Same = Callable[[Node, Node], bool | None]
"""Whether two trees mean the same answer: `same.same`, which asks the rules here for its cases."""

MOST_MEMBERS = 120
"""Of lists that are compared member by member in any order."""

_GOES_ON = Sym(r"\ldots")
"""Dots in a list, whose members then have their order."""

UNIT_VECTORS = ("i\u20d7", "j\u20d7", "k\u20d7")


def is_list(node: Node) -> bool:
    """Whether a tree is a list or set."""
    return isinstance(node, Joined) or (isinstance(node, Seq) and node.opening in ("", "{"))


def members_of(node: Node) -> list[Node]:
    """The members of a list or set; of anything else itself."""
    if isinstance(node, Joined):
        return [
            member
            for part in node.parts
            for member in (members_of(part) if isinstance(part, Seq) and part.opening == "" else [part])
        ]
    return list(node.items) if isinstance(node, Seq) and node.opening in ("", "{") else [node]


def same_lists(gold: Node, answer: Node, same: Same) -> bool | None:
    """Lists and sets in any order; a list without brackets also as a tuple, in its order."""
    gold, answer = _named_values(gold), _named_values(answer)
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Seq) and one.opening in ("(", "[", "<"):
            return (
                isinstance(other, Seq)
                and other.opening == ""
                and in_order(
                    members_of(gold) if one is answer else list(one.items),
                    list(one.items) if one is answer else members_of(answer),
                    same,
                )
            )
        if isinstance(one, Matrix):
            return (
                isinstance(other, Seq) and other.opening == "" and same(_column(one) or one, Seq("(", ")", other.items))
            )
        if isinstance(one, Rel) and (named := named_tuple(one)):
            return same(named, answer) if one is gold else same(gold, named)
    if (
        isinstance(gold, Joined)
        and isinstance(answer, Joined)
        and len(gold.parts) == len(answer.parts)
        and any(isinstance(part, Seq) for part in gold.parts)
    ):
        verdict = in_any_order(list(gold.parts), list(answer.parts), same)
        if verdict or all(isinstance(part, Seq) for part in gold.parts + answer.parts):
            return verdict
    for one, other in ((gold, answer), (answer, gold)):
        if (
            isinstance(one, Joined)
            and len(one.parts) == len(members_of(other))
            and all(isinstance(part, Seq) for part in one.parts)
        ):
            parts, found = list(one.parts), members_of(other)
            if in_any_order(parts, found, same) if one is gold else in_any_order(found, parts, same):
                return True
    words = [
        side.word if isinstance(side, Joined) and all(isinstance(part, Sym) for part in side.parts) else ""
        for side in (gold, answer)
    ]
    if set(words) == {"and", "or"}:
        return False
    members = members_of(gold), members_of(answer)
    if any(isinstance(side, Seq) and side.opening == "{" for side in (gold, answer)) and not any(
        isinstance(side, Seq) and side.opening == "" for side in (gold, answer)
    ):
        members = _distinct(members[0], same), _distinct(members[1], same)
    names = [{_name_given_in(member) for member in side} - {None} for side in members]
    if any(len(found) > 1 for found in names) and not all(names):
        return in_order(*members, same)
    return in_any_order(*members, same)


def _named_values(node: Node) -> Node:
    """`x = 2 and y = 7` as the list of both; anything else as it is."""
    if isinstance(node, Joined) and node.word == "and":
        names = [_name_given_in(part) for part in node.parts]
        if None not in names and len(set(names)) == len(names):
            return Seq("", "", node.parts)
    return node


def _name_given_in(node: Node) -> str | None:
    """`x` of `x = 2`, without its index; None for anything else."""
    return (
        node.sides[0].name.split("_")[0]
        if isinstance(node, Rel) and node.signs == ("=",) and isinstance(node.sides[0], Sym)
        else None
    )


def named_tuple(node: Rel) -> Node | None:
    """`(p, q) = (5, 2)` as p = 5, q = 2."""
    if node.signs == ("=",) and all(isinstance(side, Seq) for side in node.sides):
        left, right = node.sides
        assert isinstance(left, Seq)
        assert isinstance(right, Seq)
        if len(left.items) == len(right.items) and all(isinstance(item, Sym) for item in left.items):
            return Seq("", "", tuple(Rel(("=",), pair) for pair in zip(left.items, right.items, strict=True)))
    return None


def in_order(gold: list[Node], answer: list[Node], same: Same) -> bool | None:
    """Whether two lists agree member by member."""
    return len(gold) == len(answer) and all_of(same(a, b) for a, b in zip(gold, answer, strict=True))


def in_any_order(gold: list[Node], answer: list[Node], same: Same) -> bool | None:
    """Whether two lists agree in some order."""
    if len(gold) != len(answer):
        return False
    if len(gold) > MOST_MEMBERS or _GOES_ON in gold:
        return in_order(gold, answer, same)
    left, unclear = list(answer), False
    for member in gold:
        for i, other in enumerate(left):
            verdict = _is_set(member) == _is_set(other) and same(member, other)
            if verdict:
                del left[i]
                break
            unclear |= verdict is None
        else:
            return None if unclear else False
    return True


def _is_set(node: Node) -> bool:
    return isinstance(node, Seq) and node.opening == "{" and node.closing != "cases"


def _distinct(nodes: list[Node], same: Same) -> list[Node]:
    found: list[Node] = []
    for node in nodes[:MOST_MEMBERS]:
        if not any(same(node, other) for other in found):
            found.append(node)
    return found + nodes[MOST_MEMBERS:]


def all_of(verdicts: object) -> bool | None:
    """All of several verdicts: False when one is, else None when one is."""
    found = list(verdicts)  # type: ignore[call-overload]
    return False if False in found else None if None in found else True


def _column(node: Matrix) -> Node | None:
    return Seq("(", ")", tuple(row[0] for row in node.rows)) if len(node.rows[0]) == 1 and len(node.rows) > 1 else None


def _rows(node: Node) -> Node | None:
    """A matrix written as a tuple of its rows."""
    if isinstance(node, Seq) and node.opening in ("(", "[") and all(isinstance(item, Seq) for item in node.items):
        rows = tuple(item.items for item in node.items if isinstance(item, Seq))
        return Matrix(rows) if len({len(row) for row in rows}) == 1 else None
    return None


def same_tuples(gold: Node, answer: Node, same: Same) -> bool | None:
    """Whether two tuples, vectors or intervals are the same."""
    if isinstance(gold, Matrix) != isinstance(answer, Matrix):
        gold, answer = _rows(gold) or gold, _rows(answer) or answer
        if isinstance(gold, Matrix) and isinstance(answer, Matrix):
            return same(gold, answer)
    sides = [_column(node) or node if isinstance(node, Matrix) else node for node in (gold, answer)]
    first, second = sides
    if isinstance(first, Seq) and isinstance(second, Seq):
        if "words" in (first.opening, second.opening):
            return first.opening == second.opening and all_of(
                same(a, b) for a, b in zip(first.items, second.items, strict=True)
            )
        brackets = first.opening, first.closing, second.opening, second.closing
        if len(first.items) == 2 and brackets[:2] != brackets[2:] and "<" not in brackets:
            return False
        return in_order(list(first.items), list(second.items), same)
    for one, other in ((first, second), (second, first)):
        if isinstance(one, Seq) and one.opening == "words":
            return None
        if isinstance(one, Seq) and isinstance(other, Call | Sym) and letters(other) & {name for name in UNIT_VECTORS}:
            vector = _of_unit_vectors(one)
            return vector is not None and (equal_values(vector, other) if one is first else equal_values(other, vector))
        if isinstance(one, Seq) and isinstance(other, Call | Matrix) and len(one.items) > 1:
            column = Matrix(tuple((item,) for item in one.items))
            row = Matrix((one.items,))
            flat = isinstance(other, Matrix) and len(other.rows) == 1
            return (
                equal_values(row if flat else column, other)
                if one is first
                else equal_values(other, row if flat else column)
            )
    return False


def _of_unit_vectors(node: Seq) -> Node | None:
    """(1, 2, 3) as i + 2 j + 3 k."""
    if not 1 < len(node.items) < 4:
        return None
    total: Node = Num(Fraction(0))
    for item, name in zip(node.items, UNIT_VECTORS, strict=False):
        total = Call("add", (total, Call("mul", (item, Sym(name)))))
    return total
