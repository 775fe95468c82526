r"""Whole answers: lists, tuples, sets, intervals, equations, inequalities, and what joins them."""

from functools import lru_cache

from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.reading.commands import Commands
from rsgrpo.verification.reading.cursor import call
from rsgrpo.verification.reading.tokens import END
from rsgrpo.verification.reading.tree import Builder, Joined, Node, Rel, Seq, SetOp, Sym, Text, Unreadable

EXAMPLES = (
    equal("1, 2", "2, 1", "a list has no order"),
    equal("1, 2", "1 or 2", "words join a list"),
    equal("1$ and $2$ and $3", "1,2,3", "words join a list"),
    equal("1,2", r"x=1\lor x=2", "the name of the unknown may stand before each"),
    equal("1,i,-i", "1; i; -i", "semicolons join a list"),
    equal(r"\{1,2,4\}", r"\{4, 2, 1\}", "a set has no order"),
    equal(r"\{4,5\}", "4, 5", "a set without its braces"),
    different("3,3", "3", "a list counts its members"),
    different(r"1,2,\ldots,n", r"n,2,\ldots,1", "a list that goes on has an order"),
    different("(3, 4)", "(4, 3)", "a tuple has an order"),
    different("(1,2)", r"\{1,2\}", "a pair is not a set"),
    equal("(11,7)or(7,11)", r"(7,11),\ (11,7)", "a list of pairs"),
    equal(r"\{(1,2)\}", "(1,2)", "a set of one"),
    equal("(1,2,3)", r"\langle 1,2,3\rangle", "a vector"),
    equal(r"\begin{pmatrix}1\\2\\3\end{pmatrix}", "(1,2,3)", "a column is a vector"),
    equal(
        r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
        r"\left[\begin{array}{cc}1&2\\3&4\end{array}\right]",
        "a matrix in any brackets",
    ),
    equal(r"\begin{pmatrix}1\\2\end{pmatrix}", r"\mathbf{i}+2\mathbf{j}", "a column is a vector"),
    equal(r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[[1,2],[3,4]]", "a matrix by its rows"),
    different(r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}", "a row is not a column"),
    equal(r"\pm 3", "3, -3", "both signs"),
    equal("p = 5, q = 2", "(p,q)=(5,2)", "named values"),
    equal("(2,7)", r"x=2\text{ and }y=7", "named values"),
    different("(2,7)", r"x=7\text{ and }y=2", "named values"),
    equal("5", "x = 5", "the name of the unknown"),
    equal("5", "5 = x", "the name of the unknown on the right"),
    equal("f(x)=2x+3", "y=2x+3", "y is f(x)"),
    different("x = 5", "y = 5", "another unknown"),
    equal(r"P(A)=\frac13", r"\frac13", "the name of a probability"),
    different(r"P(A)=\frac13", r"P(B)=\frac13", "another event"),
    different("5", "3 = 5", "an equation of numbers has to hold"),
    different("f(3)=2", "f(2)=3", "a value of a function is one at its place"),
    different(r"\max f=4", r"\min f=4", "another function"),
    different(r"|x|=4", r"|y|=4", "another unknown"),
    equal("2", r"17 \bmod 5 = 2", "an equation of numbers that holds"),
    different("2x^2+3y^2=d", "3", "an equation is not its end"),
    equal("x+2y=3", "2x+4y=6", "equations up to a factor"),
    equal("TT^* = I", "I = TT^*", "sides change places"),
    equal("a<b<c", "c>b>a", "a chain from its other end"),
    different("x>3", "x<3", "the other side"),
    different("x>3", r"x\ge3", "another strictness"),
    equal("-1<x<3", "(-1,3)", "an inequality of one unknown is an interval"),
    equal("(a,b)", "a<x<b", "also between letters"),
    different("(a,b)", r"a<x\le b", "another end"),
    equal(r"x<-1\text{ or }x>3", r"(-\infty,-1)\cup(3,\infty)", "or is a union"),
    different(r"x<-1\text{ or }x>3", r"x<-1\text{ and }x>3", "and is an intersection"),
    equal(r"\{x \mid x>2\}", r"(2,\infty)", "a set by a condition"),
    equal("[-2,7]", r"x\in[-2,7]", "membership"),
    different(r"x\in(0,1)", r"y\in(0,1)", "another unknown"),
    different("w>v>u", "w>v>h", "another chain"),
    equal(r"x\ne0", r"\mathbb{R}-\{0\}", "a set without a point"),
    different("(1,2,3)", "(1,2,3]", "brackets of nothing"),
    different(r"x=5\text{ and }x=9", r"x\le5\text{ and }x=9", "a condition is not a value"),
    different(r"[0,\infty)", r"[0,\infty]", "infinity is not a real number"),
    equal("(0,1)", "]0,1[", "brackets turned round"),
    different("[-2,7]", "(-2,7]", "another end"),
    equal(r"\frac13", r"\int_0^1 x^2\,dx", "an answer is judged by its value, not by its form"),
)

_SIGNS = {
    "=": "=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!=", r"\in": "in", r"\approx": "=",
    r"\equiv": "=",
    r"\lt": "<", r"\gt": ">", r"\notin": "notin", r"\subset": "subset", r"\subseteq": "subseteq", r"\to": "to",
    r"\sim": "~", r"\cong": "~=",
    r"\mid": "mid", r"\nmid": "nmid", r"\parallel": "||", r"\perp": "perp", r"\rightarrow": "to", r"\mapsto": "to",
    r"\Rightarrow": "=>", r"\iff": "<=>",
    r"\propto": "prop", r"\ll": "<<", r"\gg": ">>", ":": ":", r"\colon": ":", r"\doteq": "=", r"\simeq": "=",
}  # fmt: skip
_OR, _AND = {r"\lor", r"\vee"}, {r"\land", r"\wedge", r"\&", "&"}
_CLOSING = {"(": (")", "]"), "[": ("]", ")", "["), "{": ("}",), r"\{": (r"\}",), "<": (r"\rangle",), "]": ("[", "]")}
_SETS = {r"\cup": "u", r"\cap": "n", r"\setminus": "-", r"\backslash": "-"}


class Answers(Commands):
    """A reader of whole answers."""

    def whole(self) -> Node:
        """The whole text as one answer."""
        result = self.joined()
        if self.token is not END:
            raise Unreadable(f"left over: {self.token}")
        return result

    def joined(self) -> Node:
        """Lists joined by `or`, `and` or a semicolon."""
        parts, said = [self.listed()], []
        while word := self.joining():
            if self.token is END or self.token.text in (r"\}", ")", "]"):
                break
            said.append(word)
            parts.append(self.listed())
        if len(parts) == 1:
            return parts[0]
        return Joined("or" if "or" in said else "and" if "and" in said else ";", tuple(parts))

    def joining(self) -> str | None:
        """The word that joins, read with any comma before it."""
        token = self.token
        start = self.at
        if token.text in (",", ";") and (self.ahead().text.casefold().strip(",; ") in ("or", "and")):
            self.at += 1
            token = self.token
        said = token.text.casefold().strip(",; ")
        if token.kind in ("word", "text", "upright") and said in ("or", "and"):
            self.at += 1
            return said
        if token.text in _OR | _AND and token.kind in ("command", "mark"):
            self.at += 1
            return "or" if token.text in _OR else "and"
        if token.text == ";":
            self.at += 1
            return ";"
        self.at = start
        return None

    def listed(self) -> Node:
        """One answer, or several with commas between them."""
        items = [self.relation()]
        while self.token.text == "," and self.ahead().text.casefold().strip(",; ") not in ("or", "and"):
            self.at += 1
            if self.token is END or self.token.text in (")", "]", r"\}", "}"):
                break
            items.append(self.relation())
        return items[0] if len(items) == 1 else Seq("", "", tuple(items))

    def relation(self) -> Node:
        """A chain of sides with signs of relation between them."""
        sides, signs = [self.sets()], []
        while (
            self.token.kind in ("command", "mark")
            and self.token.text in _SIGNS
            and not (self.bars and self.token.text == r"\mid")
        ):
            sign = _SIGNS[self.take().text]
            if sign in "<>" and self.takes("="):
                sign += "="
            if sign in ("<", ">") and self.token.text == r"\infty":
                pass
            signs.append(sign)
            sides.append(self.sets())
        return Rel(tuple(signs), tuple(sides)) if signs else sides[0]

    def sets(self) -> Node:
        """A union, intersection or difference; else an expression, or words."""
        left = self.side()
        while self.token.text in _SETS and self.token.kind == "command":
            left = SetOp(_SETS[self.take().text], left, self.side())
        return left

    def side(self) -> Node:
        """An expression, or words."""
        if self.takes("]"):
            return self.inside("]")
        result = self.sum()
        said = []
        while self.token.kind in ("text", "word") and self.token.text.casefold().strip(",; ") not in ("or", "and"):
            said.append(self.take().text)
        if said and isinstance(result, Text):
            return Text(" ".join([result.words, *said]))
        return Seq("words", "", (result, Text(" ".join(said)))) if said else result

    def bracket(self, opening: str) -> Node:
        """What stands between brackets, the opening one already read."""
        if opening == r"\{":
            return self.braces()
        return self.inside(opening)

    def inside(self, opening: str) -> Node:
        """A group, a tuple or an interval."""
        if opening == "{" and self.takes("}"):
            return Seq("none", "", ())
        content = self.joined()
        if opening == "{" and self.takes(r"\choose"):
            content = call("binom", content, self.joined())
        closing = self.token.text
        self.need(*_CLOSING[opening])
        items = (
            content.items
            if isinstance(content, Seq) and content.opening == ""
            else content.parts
            if isinstance(content, Joined) and content.word == ";"
            else None
        )
        if items is not None and opening != "{":
            if len(items) > 2 and opening + closing in ("[)", "(]"):
                raise Unreadable("brackets")
            return Seq({"<": "("}.get(opening, opening), {r"\rangle": ")"}.get(closing, closing), items)
        return content

    def braces(self) -> Node:
        """A set by its members or by a condition, or cases behind one brace."""
        if self.takes(r"\}"):
            return Sym(r"\emptyset")
        if self.token.kind == "table" and self.ahead().text != r"\}" and self.ahead() is END:
            return self.table(self.take(), cases_expected=True)
        bars, self.bars = self.bars, 1
        first = self.listed_or_member()
        if self.takes("|", r"\mid", r"\vert", ":", r"\colon"):
            condition = self.joined()
            result: Node = Builder(first, condition)
        else:
            rest = [first]
            while self.joining() or self.takes(","):
                if self.token.text in (r"\ldots", r"\dots"):
                    pass
                rest.append(self.relation_without_bar())
            result = Seq("{", "}", tuple(rest))
        self.need(r"\}")
        self.bars = bars
        return result

    def listed_or_member(self) -> Node:
        """The first member of a set, or the variable of a condition."""
        left = self.sets()
        if self.takes(r"\in"):
            return Rel(("in",), (left, self.sets()))
        signs, sides = [], [left]
        while (
            self.token.text in _SIGNS
            and self.token.text not in (":", r"\mid", r"\colon")
            and self.token.kind in ("command", "mark")
        ):
            signs.append(_SIGNS[self.take().text])
            sides.append(self.sets())
        return Rel(tuple(signs), tuple(sides)) if signs else left

    relation_without_bar = listed_or_member


@lru_cache(maxsize=4096)
def read(text: str) -> Node | None:
    """The tree of a tidy text; None when the grammar does not know it."""
    try:
        return Answers(text).whole()
    except (Unreadable, RecursionError, ZeroDivisionError, OverflowError):
        return None
