"""Reading numbers, letters, names and words."""

from fractions import Fraction

from rsgrpo.verification.notation.names import CONSTANTS, FUNCTIONS, GREEK, SAME, WORDS, is_word, is_word_alone, pieces
from rsgrpo.verification.notation.numbers import number_in_words
from rsgrpo.verification.reading.cursor import JOINS, Cursor, call
from rsgrpo.verification.reading.tokens import Token
from rsgrpo.verification.reading.tree import Call, Const, Node, Num, Seq, Sym, Text, Unreadable

_APPLIED = frozenset("fghFGH")
_STOPS = frozenset(")]},;=<>:'&")
_ALONE = _STOPS | {
    "(",
    "[",
    "{",
    r"\{",
    r"\}",
    r"\ldots",
    r"\quad",
    r"\to",
    r"\cup",
    r"\ne",
    r"\lor",
    r"\land",
    "|",
    r"\rangle",
    r"\langle",
}


class Lettering(Cursor):
    """A reader of numbers, letters, names and words."""

    def number(self, token: Token) -> Node:
        """A number; with an index, one in another base."""
        mantissa, _, exponent = token.text.lower().partition("e")
        if len(mantissa) > 1200 or len(exponent) > 4:
            raise Unreadable("long number")
        value = Fraction(mantissa if mantissa != "." else "0") * Fraction(10) ** int(exponent or 0)
        if self.token.text == "_":
            return Sym(f"{token.text}{self.index()}")
        return Num(value, "." in mantissa)

    def index(self) -> str:
        """The text of an index."""
        self.need("_")
        if self.takes("{"):
            depth, said = 1, []
            while depth:
                part = self.take()
                depth += {"{": 1, "}": -1}.get(part.text, 0) if part.kind == "mark" else 0
                said.append(part.text)
            return "_" + "".join(said[:-1])
        token = self.take()
        if token.kind == "word" and len(token.text) > 1:
            self.at -= 1
            self.all[self.at] = Token("word", token.text[1:])
            return "_" + token.text[0]
        return "_" + token.text

    def letters(self, token: Token) -> Node:
        """A run of letters: a function, a name, a word or a product."""
        run, before, after = token.text, self.ahead(-2), self.token
        alone = (before.kind in ("end", "text") or before.text in _ALONE) and (
            after.kind in ("end", "text") or after.text in _ALONE or after.text in JOINS
        )
        if (
            alone
            and (before.kind == "end" or before.text in JOINS)
            and (value := number_in_words(run.casefold())) is not None
        ):
            return Num(value)
        if is_word(run) or (alone and is_word_alone(run)):
            return self.words(token)
        names = pieces(run)
        if len(names) > 1:
            self.at -= 1
            self.all[self.at : self.at + 1] = [
                Token("word", name, token.space and not i) for i, name in enumerate(names)
            ]
            self.at += 1
        return self.name(names[0])

    def words(self, token: Token) -> Node:
        """A phrase of words."""
        said = [token.text]
        while (
            self.token.kind in ("word", "text")
            and self.token.text not in JOINS
            and (self.token.kind == "text" or is_word_alone(self.token.text))
        ):
            said.append(self.take().text)
        if len(said) == 1 and token.kind == "word" and len(token.text) < 4 and token.text.casefold() not in WORDS:
            return self.symbol(token.text) if self.token.text in ("_", "'") else Sym(token.text)
        return Text(" ".join(said))

    def name(self, name: str) -> Node:
        """A function, a constant or a letter."""
        if name == "sqrt" or name == "cbrt":
            return call("root", self.argument(), Num(Fraction(2 if name == "sqrt" else 3)))
        if name in FUNCTIONS:
            return self.function(SAME.get(name, name))
        if name in CONSTANTS:
            return Const(CONSTANTS[name])
        if name in ("e", "i") and self.token.text not in ("_", "'"):
            return Const(name)
        return self.symbol(f"\\{name}" if name in GREEK else name)

    def symbol(self, name: str) -> Node:
        """A letter with its index and primes; f, g and h are applied to what stands in brackets behind them."""
        while True:
            if self.token.text == "_":
                name += self.index()
            elif self.takes("'"):
                name += "'"
            elif (self.token.text == "^" and self.ahead().text == r"\prime") or (
                self.token.text == "^" and self.ahead().text == "{" and self.ahead(2).text == r"\prime"
            ):
                braces = self.ahead().text == "{"
                self.at += 2 + braces
                name += "'"
                while self.takes(r"\prime"):
                    name += "'"
                if braces:
                    self.need("}")
            elif (order := self.order_of_derivative(name)) is not None:
                self.at += 6
                name += "'" * order
            else:
                break
        if name[0] in _APPLIED and self.token.text == "(":
            return self.applied(name)
        return Sym(name)

    def order_of_derivative(self, name: str) -> int | None:
        """3 of `f^{(3)}`; None for what is not a derivative."""
        texts = [self.ahead(i).text for i in range(6)]
        if name[0] not in _APPLIED | {"y"} or texts[:3] != ["^", "{", "("] or texts[4:] != [")", "}"]:
            return None
        return int(texts[3]) if texts[3].isdigit() and len(texts[3]) < 3 else None

    def applied(self, name: str) -> Node:
        """The function `name` of what stands in the brackets that come next."""
        inside = self.atom()
        return Call(name, inside.items if isinstance(inside, Seq) else (inside,))

    def in_font(self, token: Token) -> Node:
        """Upright, bold or marked as text: letters, a function, or words."""
        inside = token.text.strip()
        name = inside.lstrip("\\")
        spelt = token.kind != "text" or self.token.text in ("(", r"\frac")
        if (spelt and name in FUNCTIONS) or name in CONSTANTS or name.casefold() == "infinity":
            return self.name(name if name in FUNCTIONS or name in CONSTANTS else "infinity")
        if (
            token.kind == "upright"
            and is_word_alone(inside)
            and (inside.casefold() in WORDS or len(inside) > 3)
            and self.token.text != "("
        ):
            return self.words(Token("text", inside))
        if token.kind == "bold" and inside in ("i", "j", "k", "e"):
            return self.symbol(f"{inside}\u20d7")
        if (token.kind == "upright" and len(inside) == 1) or (
            token.kind == "bold" and inside.isalpha() and len(inside) == 1
        ):
            return self.name(inside)
        if token.kind == "text":
            value = number_in_words(inside.casefold())
            if value is not None:
                return Num(value)
            return (
                self.symbol(inside)
                if len(inside) == 1 and inside.isalpha() and inside not in "ie"
                else self.words(token)
            )
        if inside.isalpha():
            return self.applied(inside) if self.token.text == "(" and token.kind == "upright" else self.symbol(inside)
        return type(self)(inside).whole()
