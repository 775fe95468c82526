"""Numbers with units, money and percent."""

from fractions import Fraction

from rsgrpo.verification.comparing.lists import Same
from rsgrpo.verification.comparing.operations import Undecided, Undefined, number
from rsgrpo.verification.comparing.scalars import equal_values, is_constant
from rsgrpo.verification.comparing.values import Values
from rsgrpo.verification.notation.units import ratio
from rsgrpo.verification.reading.tree import Call, Const, Node, Num, Quantity


def same_quantities(gold: Node, answer: Node, same: Same) -> bool | None:
    """Whether two numbers are the same with their units."""
    units = gold.unit if isinstance(gold, Quantity) else None, answer.unit if isinstance(answer, Quantity) else None
    values = (
        gold.value if isinstance(gold, Quantity) else gold,
        answer.value if isinstance(answer, Quantity) else answer,
    )
    if units[0] and units[1]:
        factor = Fraction(1) if units[0] == units[1] else ratio(units[0], units[1])
        if factor is None:
            return (
                same(gold, answer)
                if _numeric(units[0]) and _numeric(units[1]) and gold != answer and equal_values(gold, answer)
                else False
            )
        return same(values[0] if factor == 1 else Call("mul", (Num(factor), values[0])), values[1])
    if "%" in units:
        return _percent(values, units, same)
    if "degree" in units and equal_values(gold, answer):
        return True
    return same(*values)


def _numeric(unit: str) -> bool:
    return unit in ("%", "degree")


def _percent(values: tuple[Node, Node], units: tuple[str | None, str | None], same: Same) -> bool | None:
    """A gold of 25 % is also 25 and 0.25; an answer of 25 % is 0.25, and 25 when the gold is 10 or more."""
    shares = [
        Call("div", (value, Num(Fraction(100)))) if unit == "%" else value
        for value, unit in zip(values, units, strict=True)
    ]
    if equal_values(shares[0], shares[1]):
        return True
    if units[0] == "%":
        return same(*values)
    large = is_constant(values[0]) and not isinstance(values[0], Const)
    try:
        large = large and bool(abs(number(Values(0).of(values[0]))) >= 10)
    except (Undecided, Undefined):
        large = False
    return large and same(*values)
