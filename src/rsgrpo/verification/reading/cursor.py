"""A place in the tokens of a text, and what the readers of its parts ask of one another."""

from abc import ABC, abstractmethod

from rsgrpo.verification.notation.names import FUNCTIONS
from rsgrpo.verification.reading.tokens import END, Token, tokens
from rsgrpo.verification.reading.tree import Call, Const, Node, Num, Quantity, Unreadable

JOINS = frozenset(("or", "and"))
"""Words that join answers."""


def call(name: str, *args: Node) -> Call:
    """The operation on the arguments."""
    return Call(name, args)


def number_like(node: Node) -> bool:
    """Whether a tree has no letters: only numbers, constants and operations."""
    match node:
        case Num() | Const():
            return not (isinstance(node, Const) and node.name == "i")
        case Call(_, args):
            return all(number_like(arg) for arg in args)
        case Quantity(value, _):
            return number_like(value)
    return False


class Cursor(ABC):
    """The tokens of a text, and the next of them."""

    def __init__(self, text: str) -> None:
        self.all = tokens(text)
        self.at = 0
        self.bars = 0

    @property
    def token(self) -> Token:
        """The next token."""
        return self.all[self.at] if self.at < len(self.all) else END

    def ahead(self, by: int = 1) -> Token:
        """A later token."""
        return self.all[self.at + by] if 0 <= self.at + by < len(self.all) else END

    def take(self) -> Token:
        """The next token, read."""
        token = self.token
        if token is END:
            raise Unreadable("end")
        self.at += 1
        return token

    def function_in_text(self) -> bool:
        r"""Whether the next token is the name of a function as words, with what it is applied to: `\text{lcm}(4,6)`."""
        return (
            self.token.kind == "text"
            and self.token.text in FUNCTIONS
            and self.ahead().text in ("(", r"\frac", r"\left")
        )

    def takes(self, *texts: str) -> bool:
        """Read the next token if it is one of these commands or marks."""
        if self.token.text in texts and self.token.kind in ("command", "mark"):
            self.at += 1
            return True
        return False

    def need(self, *texts: str) -> None:
        """Read one of these, or give up."""
        if not self.takes(*texts):
            raise Unreadable(f"{texts} expected at {self.token}")

    @abstractmethod
    def bracket(self, opening: str) -> Node:
        """What stands between brackets, the opening one already read."""

    @abstractmethod
    def table(self, token: Token, *, cases_expected: bool = False) -> Node:
        """A matrix or a table of cases."""

    @abstractmethod
    def whole(self) -> Node:
        """The whole text as one answer."""

    @abstractmethod
    def command(self, name: str) -> Node:
        """What the command of this name stands for, with its arguments."""

    @abstractmethod
    def function(self, name: str) -> Node:
        """A function with its power, base and argument."""

    @abstractmethod
    def atom(self) -> Node:
        """One number, letter, bracket, function or command."""

    @abstractmethod
    def argument(self) -> Node:
        """The argument of a function."""
