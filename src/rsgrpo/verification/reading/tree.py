"""What an answer is once it is read: a tree of these."""

from dataclasses import dataclass
from fractions import Fraction


class Unreadable(ValueError):
    """The grammar does not know what a text means."""


@dataclass(frozen=True, slots=True)
class Num:
    """A number as it is written; `decimal` when it has a point."""

    value: Fraction
    decimal: bool = False


@dataclass(frozen=True, slots=True)
class Const:
    """`pi`, `e`, `i` or `inf`."""

    name: str


@dataclass(frozen=True, slots=True)
class Sym:
    """A letter with its index and primes, or a name such as AB."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operation of numbers: add, mul, div, pow, neg, sin, gcd, ..."""

    name: str
    args: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Big:
    """A sum, product or integral over `var` from `low` to `high`."""

    kind: str
    var: str
    low: "Node"
    high: "Node"
    body: "Node"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit."""

    value: "Node"
    unit: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of entries."""

    rows: tuple[tuple["Node", ...], ...]


@dataclass(frozen=True, slots=True)
class Seq:
    """Entries between brackets: ( [ ] < for what is ordered, { for a set, "" for a list without brackets."""

    opening: str
    closing: str
    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Joined:
    """Parts joined by `or`, `and` or a semicolon."""

    word: str
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Rel:
    """A chain of relations: sides with the signs between them."""

    signs: tuple[str, ...]
    sides: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class SetOp:
    """Union, intersection or difference."""

    sign: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class Builder:
    """The set of all `var` with a condition."""

    var: "Node"
    condition: "Node"


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    words: str


Node = Num | Const | Sym | Call | Big | Quantity | Matrix | Seq | Joined | Rel | SetOp | Builder | Text
