r"""Expressions: sums, products, powers, functions, in LaTeX and in plain text alike.

`a/bc` is read from the left, a function takes the product behind it, `3\frac12` and `3 1/2` are mixed numbers, `1 3` is
nothing.
"""

import re
from fractions import Fraction

from rsgrpo.verification.notation.names import CONSTANTS, FUNCTIONS, LETTERS, is_word, pieces
from rsgrpo.verification.notation.units import ratio
from rsgrpo.verification.notation.vocabulary import vocabulary
from rsgrpo.verification.reading.cursor import JOINS, call
from rsgrpo.verification.reading.lettering import Lettering
from rsgrpo.verification.reading.quantities import Quantities
from rsgrpo.verification.reading.tokens import END, Token
from rsgrpo.verification.reading.tree import Call, Node, Num, Quantity, Sym, Unreadable

_TIMES, _OVER = {"*", r"\cdot", r"\times", r"\ast", r"\bullet"}, {"/", r"\div"}
_STARTS = frozenset(
    vocabulary(
        "frac binom sqrt int sum prod overline bar hat widehat tilde widetilde overrightarrow angle triangle",
        "mathbb mathcal mathfrak mathscr lfloor lceil langle vert lvert | tbinom nicefrac sfrac not varnothing",
        "$",
    )
)


class Expressions(Quantities, Lettering):
    """A reader of expressions."""

    def sum(self) -> Node:
        """Terms with their signs."""
        total = self.signed()
        while True:
            if self.takes("+"):
                total = added(total, self.signed())
            elif self.takes("-"):
                total = added(total, negative(self.signed()))
            elif self.takes(r"\pm"):
                total = call("add", total, call("pm", self.signed()))
            elif self.takes(r"\mp"):
                total = call("add", total, call("mp", self.signed()))
            else:
                return total

    def signed(self) -> Node:
        """A term, with any signs in front of it."""
        if self.takes("+"):
            return self.signed()
        for sign, name in (("-", "neg"), (r"\pm", "pm"), (r"\mp", "mp")):
            if self.takes(sign):
                return negative(self.signed()) if name == "neg" else call(name, self.signed())
        return self.product()

    def product(self) -> Node:
        """Factors, then a unit."""
        money = self.money()
        result = self.mixed() or self.power()
        while True:
            if self.token.text == r"\times" and "bold" in (self.ahead(-1).kind, self.ahead().kind):
                self.at += 1
                result = call("cross", result, self.factor())
            elif self.takes(*_TIMES):
                result = call("mul", result, self.factor())
            elif self.takes(*_OVER):
                result = call("div", result, self.factor())
            elif self.takes(r"\bmod") or (self.token.kind == "word" and self.token.text == "mod" and bool(self.take())):
                result = call("mod", result, self.factor())
            elif self.takes(r"\circ"):
                result = call("compose", result, self.power())
            elif (unit := self.unit(result)) is not None:
                result = unit
            elif isinstance(result, Quantity) and self.token.kind == "num" and (more := self.smaller_unit(result)):
                result = more
            elif self.begins():
                if isinstance(result, Num) and self.token.kind == "num":
                    raise Unreadable("two numbers side by side")
                result = call("mul", result, self.power())
            else:
                return Quantity(result, money) if money else result

    def smaller_unit(self, larger: Quantity) -> Node | None:
        """Two hours with thirty minutes behind them; None where no smaller unit of the same kind follows."""
        start = self.at
        more = self.product()
        by = ratio(more.unit, larger.unit) if isinstance(more, Quantity) else None
        if isinstance(more, Quantity) and by is not None and by < 1:
            return Quantity(call("add", larger.value, call("mul", Num(by), more.value)), larger.unit)
        self.at = start
        return None

    def factor(self) -> Node:
        """A factor behind a sign of multiplication, which may have a sign of its own."""
        return call("neg", self.factor()) if self.takes("-") else self.power()

    def mixed(self) -> Node | None:
        r"""`3 1/2` or `3\frac12`."""
        whole, top, slash, bottom = self.token, self.ahead(), self.ahead(2), self.ahead(3)
        if whole.kind != "num" or not whole.text.isdigit():
            return None
        start = self.at
        if top.kind == bottom.kind == "num" and slash.text == "/" and top.text.isdigit() and bottom.text.isdigit():
            self.at += 4
            part = Fraction(int(top.text), int(bottom.text) or 1)
        elif top.text in (r"\frac", r"\nicefrac", r"\sfrac"):
            self.at += 1
            fraction = self.atom()
            if not (
                isinstance(fraction, Call)
                and fraction.name == "div"
                and all(isinstance(side, Num) for side in fraction.args)
            ):
                self.at = start
                return None
            numbers = [side.value for side in fraction.args if isinstance(side, Num)]
            part = numbers[0] / (numbers[1] or 1)
        else:
            return None
        if not 0 < part < 1 or part.denominator == 1:
            self.at = start
            return None
        return self.postfix(Num(int(whole.text) + part))

    def begins(self) -> bool:
        """Whether the next token begins a factor."""
        token = self.token
        if token.kind in ("num", "upright", "bold", "table") or self.function_in_text():
            return True
        if token.kind == "word":
            return (
                token.text not in JOINS and not is_word(token.text) and not re.fullmatch("d[a-z]", token.text)
            ) or token.text in FUNCTIONS
        if token.kind == "mark":
            if token.text == "[":
                return self.ahead() is not END and self.ahead().text not in (
                    r"\cup",
                    r"\cap",
                    r"\setminus",
                    ",",
                    ")",
                    "]",
                    r"\}",
                )
            return token.text in "({" or (token.text == "|" and self.bars == 0)
        if token.kind == "command":
            name = token.text[1:]
            return name in FUNCTIONS or name in LETTERS or name in CONSTANTS or name in _STARTS
        return False

    def power(self) -> Node:
        """An atom with what is written behind it: powers, factorials, percent, degrees."""
        return self.postfix(self.atom())

    def postfix(self, base: Node) -> Node:
        """The base with what is written behind it."""
        while True:
            if self.takes("^"):
                if self.takes(r"\degree", r"\circ"):
                    base = self.degrees(base)
                elif (
                    self.takes("*", r"\ast", r"\star", r"\dagger", "+", r"\top", r"\perp", r"\times", r"\complement")
                    or self.starred()
                ):
                    base = _marked(base, self.all[self.at - 1].text)
                else:
                    base = call("pow", base, self.exponent())
                    if self.token.text == "^":
                        raise Unreadable("two exponents")
            elif self.takes("!"):
                base = call("factorial2", base) if self.takes("!") else call("factorial", base)
            elif self.takes("%"):
                base = Quantity(base, "%")
            elif self.takes(r"\degree"):
                base = self.degrees(base)
            elif self.takes("'"):
                base = _marked(base, "'")
            else:
                return base

    def starred(self) -> bool:
        """A star or a plus in braces as an exponent."""
        if (
            self.token.text == "{"
            and self.ahead().text in ("*", r"\ast", r"\prime", "+", r"\dagger")
            and self.ahead(2).text == "}"
        ):
            self.at += 3
            return True
        return False

    def degrees(self, value: Node) -> Node:
        """Degrees of an angle, or of Celsius and Fahrenheit."""
        token = self.token
        if token.kind in ("word", "upright", "text") and token.text in ("C", "F", "K", "Celsius", "Fahrenheit"):
            self.at += 1
            return Quantity(value, token.text[0])
        return Quantity(value, "degree")

    def exponent(self) -> Node:
        """A group, or one token with an optional sign; of a number without braces all digits, as in plain text."""
        if self.takes("-"):
            return call("neg", self.exponent())
        if self.takes("+"):
            return self.exponent()
        if self.token.kind == "word" and len(self.token.text) > 1 and not is_word(self.token.text):
            first = pieces(self.token.text)[0]
            self.all[self.at : self.at + 1] = [Token("word", first), Token("word", self.token.text[len(first) :])][
                : 1 if first == self.token.text else 2
            ]
        return self.atom()

    def argument(self) -> Node:
        """The argument of a function: brackets, or the product up to the next sign or function."""
        if self.token.text in ("(", "{", "[") or self.token.text == "|":
            return self.power()
        sign = self.takes("-")
        result = self.mixed() or self.power()
        while (
            self.begins()
            and not self.function_next()
            and not (self.token.kind == "mark" and self.token.text in "([" and isinstance(result, Sym))
        ):
            if isinstance(result, Num) and self.token.kind == "num":
                raise Unreadable("two numbers side by side")
            result = call("mul", result, self.power())
        return call("neg", result) if sign else result

    def function_next(self) -> bool:
        """Whether the next token is the name of a function."""
        name = self.token.text.lstrip("\\")
        return self.token.kind in ("command", "word", "upright") and (
            name in FUNCTIONS or (self.token.kind == "word" and pieces(name)[0] in FUNCTIONS)
        )

    def atom(self) -> Node:
        """One number, letter, bracket, function or command."""
        token = self.take()
        if token.kind == "num":
            return self.number(token)
        if token.kind == "word":
            return self.letters(token)
        if token.kind in ("upright", "bold", "text"):
            return self.in_font(token)
        if token.kind == "table":
            return self.table(token)
        if token.kind == "command":
            return self.command(token.text[1:])
        if token.text in ("(", "[", "{"):
            bars, self.bars = self.bars, 0
            result = self.bracket(token.text)
            self.bars = bars
            return result
        if token.text == "|":
            return self.between_bars("|")
        raise Unreadable(token.text)

    def between_bars(self, closing: str) -> Node:
        """An absolute value, or a determinant."""
        self.bars += 1
        inside = self.sum()
        self.need(closing, r"\vert", r"\rvert", r"\mid")
        self.bars -= 1
        return call("abs", inside)


def negative(node: Node) -> Node:
    """The negative of a number with its unit."""
    return Quantity(call("neg", node.value), node.unit) if isinstance(node, Quantity) else call("neg", node)


def added(a: Node, b: Node) -> Node:
    """A sum; a unit behind its last term is one of the whole sum."""
    if isinstance(b, Quantity) and not isinstance(a, Quantity) and b.unit not in ("%", "degree"):
        return Quantity(call("add", a, b.value), b.unit)
    return call("add", a, b)


def _marked(base: Node, mark: str) -> Node:
    """A letter with a star or a prime."""
    if not isinstance(base, Sym):
        return call("pow", base, Sym(mark)) if mark != "'" else call("'", base)
    return Sym(base.name + mark.removeprefix("\\"))
