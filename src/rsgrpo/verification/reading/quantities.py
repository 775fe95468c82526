"""Reading units, money and scales beside a number."""

import re

from rsgrpo.verification.notation.numbers import SCALES
from rsgrpo.verification.notation.units import BARE_LETTERS, BARE_WORDS, SYMBOLS, singular, unit_of
from rsgrpo.verification.reading.cursor import Cursor, number_like
from rsgrpo.verification.reading.tokens import Token
from rsgrpo.verification.reading.tree import Node, Num, Quantity

_CURRENCY = {"$", r"\$", "£", "€", "₹", "¥", "¢"}
_MONEY_WORDS = {"Rs", "Rs.", "USD", "EUR", "GBP", "INR", "US$", r"\$", "CAD", "AUD", "RMB"}

_PRODUCTS_TOO = {"mn", "nm", "ms"}
"""Scales and units that are products of letters right behind a number."""


class Quantities(Cursor):
    """A reader of units."""

    def money(self) -> str | None:
        """A sign of money in front of a number."""
        token = self.token
        if token.text in _CURRENCY or (
            token.kind in ("text", "word", "upright") and token.text in _MONEY_WORDS and self.ahead().kind == "num"
        ):
            self.at += 1
            return unit_of(token.text.rstrip(".").replace("US$", "$").replace("\\", "")) or token.text
        return None

    def unit(self, value: Node) -> Node | None:
        """The value with the unit or the scale behind it; None when none stands there."""
        token = self.token
        if (token.kind == "mark" and token.text in _CURRENCY) or token.text == r"\$":
            self.at += 1
            return Quantity(value, singular(token.text.lstrip("\\")))
        if self.function_in_text():
            return None
        if token.kind == "text":
            return self.marked_unit(value, token)
        if token.kind == "word" and token.text in _PRODUCTS_TOO and not token.space:
            return None
        if token.kind == "word" and token.text in SCALES and isinstance(value, Num):
            self.at += 1
            return Num(value.value * SCALES[token.text], value.decimal)
        found = self.unit_tokens(value)
        if found is None:
            return None
        name, end = found
        self.at = end
        return Quantity(value, name)

    def marked_unit(self, value: Node, token: Token) -> Node | None:
        """A unit in \\text, which may begin with a scale such as million and go on with powers and quotients."""
        first, _, rest = token.text.partition(" ")
        if first.casefold() in SCALES and isinstance(value, Num):
            self.all[self.at] = Token("text", rest.strip(), True)
            if not rest.strip():
                self.at += 1
            return Num(value.value * SCALES[first.casefold()], value.decimal)
        if (
            not number_like(value)
            and (value_unit := unit_of(token.text)) not in SYMBOLS | {"square unit", "unit", "unit^2", "degree"}
            and (value_unit or "").split("^")[0] not in SYMBOLS
        ):
            return None
        found = self.unit_tokens(value)
        if found is None:
            return None
        self.at = found[1]
        return Quantity(value, found[0])

    def unit_tokens(self, value: Node) -> tuple[str, int] | None:
        """The unit that begins at the next token, and where it ends."""
        token, position = self.token, self.at
        fraction = token.text == r"\frac" and self.ahead().text == "{" and self.ahead(2).kind in ("text", "upright")
        letter = token.kind == "word" and token.text in BARE_LETTERS and token.space and isinstance(value, Num)
        bare = token.kind == "word" and token.text in BARE_WORDS
        names = re.findall(r"[A-Za-z]+", token.text)
        upright = (
            token.kind == "upright"
            and bool(names)
            and all(name in SYMBOLS or name in BARE_WORDS for name in names)
            and number_like(value)
        )
        if not (fraction or letter or bare or upright or token.kind == "text"):
            return None
        said: list[str] = []
        while position < len(self.all):
            token = self.all[position]
            known = token.text in BARE_WORDS or token.text in SYMBOLS
            if token.kind in ("text", "upright") or (token.kind == "word" and (known or token.text == "per")):
                said.append(" " + token.text)
            elif (
                (token.text in ("/", "^", "{", "}", r"\cdot", r"\frac", "-") and said)
                or (token.text in (r"\frac", "{") and fraction)
            ) or (token.kind == "num" and said and said[-1] in ("^", "{", "-")):
                said.append(token.text)
            else:
                break
            position += 1
        while said and said[-1] in ("/", "^", "{", r"\cdot", "-", r"\frac"):
            said.pop()
            position -= 1
        text = "".join(said)
        if fraction:
            text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", text)
        while text.count("}") > text.count("{") and said and said[-1] == "}":
            said.pop()
            position -= 1
            text = "".join(said)
        unit = unit_of(text)
        return None if unit is None else (unit, position)
