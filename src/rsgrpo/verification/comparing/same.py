r"""Whether two trees mean the same answer."""

from rsgrpo.verification.comparing.equations import is_ratio, same_equations, same_ratios
from rsgrpo.verification.comparing.lists import (
    UNIT_VECTORS,
    all_of,
    in_any_order,
    is_list,
    members_of,
    same_lists,
    same_tuples,
)
from rsgrpo.verification.comparing.measures import same_quantities
from rsgrpo.verification.comparing.regions import INEQUALITIES, is_region, same_condition, same_region
from rsgrpo.verification.comparing.scalars import equal_values, is_constant, letters
from rsgrpo.verification.comparing.signs import both_signs
from rsgrpo.verification.notation.names import same_names
from rsgrpo.verification.notation.words import same_words
from rsgrpo.verification.reading.tree import Builder, Call, Joined, Matrix, Node, Quantity, Rel, Seq, SetOp, Sym, Text


def same(gold: Node, answer: Node) -> bool | None:
    """Whether two trees mean the same; None where the rules do not say."""
    if gold == answer:
        return True
    signs = both_signs(gold), both_signs(answer)
    if any(signs):
        return same(signs[0] or gold, signs[1] or answer)
    match gold, answer:
        case Rel(("in",), (name, _)), Rel(("in",), (other, _)) if same(name, other) is not True:
            return False
    gold, answer = _one_member(gold), _one_member(answer)
    if isinstance(gold, Sym) and isinstance(answer, Sym):
        return same_names(gold.name, answer.name)
    if isinstance(gold, Text) or isinstance(answer, Text):
        return isinstance(gold, Text) and isinstance(answer, Text) and same_words(gold.words, answer.words)
    if is_region(gold) or is_region(answer):
        return _conditions(gold, answer)
    if is_ratio(gold) or is_ratio(answer):
        return same_ratios(gold, answer, same)
    if isinstance(gold, Rel) or isinstance(answer, Rel):
        if is_list(gold) or is_list(answer):
            return same_lists(gold, answer, same)
        return same_equations(gold, answer, same)
    if is_list(gold) or is_list(answer):
        return same_lists(gold, answer, same)
    if any(isinstance(side, Seq) for side in (gold, answer)) or (
        any(isinstance(side, Matrix) for side in (gold, answer)) and (letters(gold) | letters(answer)) & {*UNIT_VECTORS}
    ):
        return same_tuples(gold, answer, same)
    if isinstance(gold, Quantity) or isinstance(answer, Quantity):
        return same_quantities(gold, answer, same)
    if any(isinstance(side, SetOp | Builder) for side in (gold, answer)):
        return None
    if (
        isinstance(gold, Matrix) != isinstance(answer, Matrix)
        and is_constant(gold)
        and is_constant(answer)
        and not any(isinstance(x, Call) for x in (gold, answer))
    ):
        return False
    return equal_values(gold, answer)


def _one_member(node: Node) -> Node:
    """The member of a set or list of one."""
    if isinstance(node, Seq) and node.opening in ("{", "") and node.closing != "cases" and len(node.items) == 1:
        inside = node.items[0]
        return node if (isinstance(inside, Seq) and inside.opening == "{") or is_region(inside) else _one_member(inside)
    if isinstance(node, Rel) and node.signs == ("in",) and not is_region(node):
        return node.sides[1]
    return node


def _conditions(gold: Node, answer: Node) -> bool | None:
    if (
        isinstance(gold, Rel)
        and isinstance(answer, Rel)
        and INEQUALITIES & set(gold.signs)
        and INEQUALITIES & set(answer.signs)
        and same_condition(gold, answer, same)
    ):
        return True
    verdict = same_region(gold, answer)
    if verdict is not None:
        return verdict
    if isinstance(gold, Rel) and isinstance(answer, Rel):
        if not (INEQUALITIES & set(gold.signs) and INEQUALITIES & set(answer.signs)):
            return False
        return same_condition(gold, answer, same)
    if isinstance(gold, Seq) and isinstance(answer, Seq) and gold.opening and answer.opening:
        return same_tuples(gold, answer, same) if gold.opening != "{" and answer.opening != "{" else False
    if is_list(gold) and is_list(answer):
        if (
            isinstance(gold, Joined)
            and isinstance(answer, Joined)
            and "or" in (gold.word, answer.word)
            and gold.word != answer.word
        ):
            return False
        return in_any_order(members_of(gold), members_of(answer), same)
    if isinstance(gold, Builder) and isinstance(answer, Builder):
        return all_of((same(gold.var, answer.var), same(gold.condition, answer.condition))) or None
    if isinstance(gold, SetOp) and isinstance(answer, SetOp):
        if gold.sign == answer.sign and (all_of((same(gold.left, answer.left), same(gold.right, answer.right)))):
            return True
        turned = (
            gold.sign != "-"
            and gold.sign == answer.sign
            and all_of((same(gold.left, answer.right), same(gold.right, answer.left)))
        )
        return True if turned else None
    kinds = isinstance(gold, Rel | SetOp | Builder), isinstance(answer, Rel | SetOp | Builder)
    return None if all(kinds) else False
