r"""Commands with their arguments: fractions, roots, functions, sums, sets of numbers, angles, tables."""

import re
from fractions import Fraction

from rsgrpo.verification.boxes import end_of_group
from rsgrpo.verification.notation.names import CONSTANTS, FUNCTIONS, LETTERS, SAME, TRIGONOMETRIC
from rsgrpo.verification.reading.cursor import call
from rsgrpo.verification.reading.grammar import Expressions
from rsgrpo.verification.reading.tokens import Token
from rsgrpo.verification.reading.tree import Big, Call, Const, Matrix, Node, Num, Rel, Seq, Sym, Unreadable

SETS = {"R": "ℝ", "Z": "ℤ", "N": "ℕ", "Q": "ℚ", "C": "ℂ"}  # noqa: RUF001
_BOTH_ENDS = ("overline", "widehat", "bar", "hat", "tilde", "widetilde", "overrightarrow", "overleftrightarrow")


class Commands(Expressions):
    """What the commands mean."""

    def command(self, name: str) -> Node:
        """What the command of this name stands for, with its arguments."""
        if name in FUNCTIONS and name != "sqrt":
            return self.function(SAME.get(name, name))
        if name in CONSTANTS:
            return Const(CONSTANTS[name])
        if name in LETTERS:
            return self.symbol(f"\\{name}")
        match name:
            case "frac" | "nicefrac" | "sfrac" | "cfrac":
                return self.fraction()
            case "binom" | "tbinom" | "dbinom":
                return call("binom", self.argument_in_braces(), self.argument_in_braces())
            case "sqrt":
                return self.root()
            case "sum" | "prod" | "int":
                return self.big(name)
            case "mathbb" | "mathcal" | "mathfrak" | "mathscr":
                return self.alphabet(name)
            case "lfloor" | "lceil":
                inside = self.sum()
                self.need(r"\rfloor" if name == "lfloor" else r"\rceil")
                return call("floor" if name == "lfloor" else "ceil", inside)
            case "vert" | "lvert" | "|" | "Vert" | "lVert":
                return self.between_bars({"|": r"\|", "Vert": r"\Vert", "lVert": r"\rVert"}.get(name, r"\rvert"))
            case "langle":
                return self.bracket("<")
            case "{":
                return self.bracket(r"\{")
            case "angle" | "triangle" | "measuredangle" | "arc" | "Delta":
                return self.figure(name)
            case "$":
                return self.product()
        if name in _BOTH_ENDS:
            return self.over(name)
        raise Unreadable(name)

    def argument_in_braces(self) -> Node:
        """A group, or the one digit, letter or command that stands in its place."""
        token = self.token
        if token.kind == "num" and len(token.text) > 1 and token.text.isdigit():
            self.all[self.at] = Token("num", token.text[1:])
            return Num(Fraction(int(token.text[0])))
        if token.kind == "word" and len(token.text) > 1:
            self.all[self.at] = Token("word", token.text[1:])
            return Sym(token.text[0]) if token.text[0] not in "ei" else Const(token.text[0])
        return self.atom()

    def fraction(self) -> Node:
        """A quotient; dy/dx is the name of a derivative."""
        start = self.at
        raw = "".join(token.text for token in self.all[start : start + 12])
        if match := re.match(
            r"\{((?:d|\\partial)(?:\^\{?\d\}?)?[A-Za-z]?)\}\{((?:d|\\partial)[a-z](?:\^\{?\d\}?)?)\}", raw
        ):
            said = 0
            while said < match.end():
                said += len(self.take().text)
            return Sym(f"{match[1]}/{match[2]}")
        return call("div", self.argument_in_braces(), self.argument_in_braces())

    def root(self) -> Node:
        """A root of any degree; `\\sqrt(2)` is the root of 2."""
        degree: Node = Num(Fraction(2))
        if self.takes("["):
            degree = self.sum()
            self.need("]")
        return call("root", self.argument_in_braces(), degree)

    def function(self, name: str) -> Node:
        """A function with its power, base and argument."""
        base, power = None, None
        for _ in range(2):
            if self.token.text == "_" and name in ("log", "max", "min"):
                self.at += 1
                base = self.argument_in_braces()
            elif self.takes("^"):
                power = self.exponent()
        if self.takes("'"):
            name += "'"
        if name in ("max", "min", "gcd", "lcm") or name in ("deg", "dim", "rank", "tr", "ker", "det", "arg"):
            inside = self.atom()
            args = inside.items if isinstance(inside, Seq) else (inside,)
            result: Node = Call(name, args)
        else:
            argument = self.argument()
            if isinstance(argument, Seq):
                raise Unreadable(name)
            if power == call("neg", Num(Fraction(1))) and name in TRIGONOMETRIC:
                name, power = f"arc{name}", None
            result = call("log", argument, base) if base is not None else call(name, argument)
        return result if power is None else call("pow", result, power)

    def big(self, kind: str) -> Node:
        """A sum or product with numbers below and above, or an integral between them."""
        low: Node | None = None
        high: Node | None = None
        var = ""
        for _ in range(2):
            if self.takes("_"):
                below = self.take()
                if below.text != "{":
                    self.at -= 1
                    low = self.argument_in_braces()
                    continue
                inside = self.bracket("{")
                if isinstance(inside, Rel) and inside.signs == ("=",) and isinstance(inside.sides[0], Sym | Const):
                    var, low = inside.sides[0].name, inside.sides[1]
                else:
                    low = inside
            elif self.takes("^"):
                high = self.argument_in_braces()
        if low is None or high is None or (kind != "int" and not var):
            raise Unreadable(kind)
        body = self.sum() if kind == "int" else self.product()
        if kind == "int":
            if self.token.kind != "word" or len(self.token.text) != 2 or self.token.text[0] != "d":
                raise Unreadable("integral")
            var = self.take().text[1]
        return Big(kind, var, low, high, body)

    def alphabet(self, name: str) -> Node:
        """A letter of another alphabet: sets of numbers, script, Fraktur."""
        text = "".join(part.text for part in self.group())
        if name == "mathcal" and text == "O":
            return self.symbol("O")
        return self.symbol(SETS[text] if name == "mathbb" and text in SETS else f"\\{name}{{{text}}}")

    def group(self) -> list[Token]:
        """The tokens of a group in braces, or one token."""
        if not self.takes("{"):
            return [self.take()]
        depth, found = 1, []
        while depth:
            token = self.take()
            depth += {"{": 1, "}": -1}.get(token.text, 0) if token.kind == "mark" else 0
            found.append(token)
        return found[:-1]

    def figure(self, name: str) -> Node:
        """An angle by three points, of which the outer two change places; a triangle by its corners in any order."""
        text = "".join(part.text for part in self.group())
        if not re.fullmatch("[A-Za-z]+", text):
            self.at -= 1
            return self.symbol(f"\\{name}")
        if name == "triangle":
            return Sym(f"\\triangle {''.join(sorted(text))}")
        return Sym(f"\\{name} {min(text, text[::-1])}")

    def over(self, name: str) -> Node:
        """A line, hat or arrow over letters: a segment, a conjugate, a vector; both ends of a segment are alike."""
        text = "".join(part.text for part in self.group())
        if not re.fullmatch(r"\\?[A-Za-z]+(?:_\{?\w+\}?)?|\\mathbf\{\w\}", text):
            if name in ("overline", "bar"):
                return call("conj", type(self)(text).whole())
            raise Unreadable(name)
        if name in ("overline", "bar", "overleftrightarrow") and text.isalpha() and len(text) > 1:
            text = "".join(sorted(text))
        if name in ("hat", "widehat", "overrightarrow") and (
            vector := re.fullmatch(r"\\?(?:mathbf\{)?([ijk])(?:math)?\}?", text)
        ):
            return self.symbol(f"{vector[1]}\u20d7")
        if name == "overrightarrow" and len(text) == 1:
            return self.symbol(text)
        name = {"bar": "overline", "widehat": "hat", "widetilde": "tilde"}.get(name, name)
        return self.symbol(f"{name}({text})")

    def lines(self, body: str) -> Node:
        """Lines under one another: a list of what they say."""
        rows = ["".join(split(row, "&")).strip().rstrip(",;.") for row in split(body, "\\\\")]
        return _list([type(self)(row).whole() for row in rows if row])

    def table(self, token: Token, *, cases_expected: bool = False) -> Node:
        """A matrix, a determinant, or a table of cases."""
        body, name = token.body, token.text
        if name in ("array", "tabular"):
            body = re.sub(r"^\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}", "", body)
        elif name in ALIGNED:
            return self.lines(body)
        elif not name.rstrip("*").endswith("matrix") and name not in ("cases", "dcases", "rcases"):
            raise Unreadable(name)
        body = re.sub(r"\\(?:hline|cline\{[^{}]*\})", " ", body)
        rows = [[cell.strip() for cell in split(row, "&")] for row in split(body, "\\\\")]
        rows = [row for row in rows if any(row)]
        if not rows or len(rows) * max(map(len, rows)) > 150:
            raise Unreadable("table")
        if name.endswith("cases"):
            return cases(type(self), rows)
        if len({len(row) for row in rows}) > 1:
            raise Unreadable("rows of different lengths")
        if cases_expected:
            return cases(type(self), rows)
        read = tuple(tuple(type(self)(cell).whole() for cell in row) for row in rows)
        if len(read[0]) == 1 and (len(read) == 1 or all(isinstance(row[0], Rel) for row in read)):
            return _list([row[0] for row in read])
        matrix = Matrix(read)
        return call("det", matrix) if name in ("vmatrix", "Vmatrix") else matrix


ALIGNED = ("aligned", "align", "gathered", "gather", "split", "alignedat", "eqnarray")
_LEAD = re.compile(
    r"^(?:\\text\s*\{\s*(?:if|for|when|where|,|otherwise if)\s*\}|(?:if|for|when)\b)\s*|"
    r"^\\text\s*\{\s*(?:if|for|when)\s+"
)


def _list(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else Seq("", "", tuple(nodes))


def cases(reader: type[Commands], rows: list[list[str]]) -> Node:
    """The rows of a definition by cases, as a set of pairs."""
    read: list[Node] = []
    if all(len(row) == 1 for row in rows):
        return _list([reader(row[0].strip().rstrip(",;.")).whole() for row in rows])
    for row in rows:
        cells = [_LEAD.sub("", cell.strip().rstrip(",;. ").strip()).rstrip(",;.") for cell in row]
        read.append(Seq("(", ")", tuple(reader(cell).whole() for cell in cells if cell)))
    return Seq("{", "cases", tuple(read))


def split(text: str, mark: str) -> list[str]:
    """The parts of a text between marks that stand outside of braces and tables."""
    parts, depth, start, position = [], 0, 0, 0
    while position < len(text):
        if depth == 0 and text.startswith(mark, position):
            parts.append(text[start:position])
            position += len(mark)
            if mark == "\\\\":
                spacing = re.compile(r"\s*\[[-\d.]+\s*(?:pt|em|ex|mm|cm)\]").match(text, position)
                position = spacing.end() if spacing else position
            start = position
            continue
        if text[position] == "{":
            end = end_of_group(text, position)
            if end is None:
                raise Unreadable("braces")
            position = end
            continue
        if match := re.compile(r"\\(begin|end)\b").match(text, position):
            depth += 1 if match[1] == "begin" else -1
            position = match.end()
            continue
        position += 2 if text[position] == "\\" and not text.startswith("\\\\", position) else 1
    return [*parts, text[start:]]
