r"""Answers as mathematicians write them, rewritten into the one notation that the parser reads right.

Pure functions on text, without any package: verification workers import this file and little else.
"""

import re
from fractions import Fraction

MAX_DEPTH = 40
"""Brackets inside brackets; no answer of the data sets has more than a handful."""

# ruff: noqa: RUF001  (these look like other characters: that is why they are here)
_LETTERS_FOR = {
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ", "π": r"\pi ",
    "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "°": r"^\circ ", "∪": r"\cup ", "∩": r"\cap ",
    "∈": r"\in ", "±": r"\pm ", "≡": r"\equiv ", "∅": r"\emptyset ", "（": "(", "）": ")", "，": ",", "％": r"\%",
    "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip
_TRANSLATION = str.maketrans(_LETTERS_FOR)

_SPACING = re.compile(r"(?<!\\)\\(?:[!,;: ]|quad|qquad|displaystyle|textstyle|limits)(?![A-Za-z])|~")
_SIZES = re.compile(r"\\(?:left|right|bigl|bigr|Bigl|Bigr|big|Big)(?![A-Za-z])\.?")
_FRACTIONS = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_FONTS = re.compile(r"\\(?:textbf|textit|textrm|mathbf|mathrm|mathit|boldsymbol|bm|mbox|textnormal)(?![A-Za-z])")
_THOUSANDS = re.compile(r"(?<=\d),\\!(?=\d{3})")
_ABOUT = re.compile(r"^\s*\\approx(?![A-Za-z])")
_UNICODE_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\w+))")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_REPEATING = re.compile(r"(?<![\w.])(\d*)\.(\d*)\\overline\s*\{\s*(\d+)\s*\}")

UNITS = (
    "cm|mm|km|kg|mg|ft|inch|inches|in|feet|foot|yd|yard|yards|mile|miles|mph|meter|meters|metre|metres|second|seconds|"
    "sec|minute|minutes|min|hour|hours|hr|hrs|day|days|week|weeks|month|months|year|years|degree|degrees|deg|dollar|"
    "dollars|cent|cents|unit|units|square|sq|cubic|gram|grams|liter|liters|litre|litres|percent|people|students|ways|"
    "points|rad|radians|N|J|W|Hz"
)
_UNIT_WORDS = re.compile(rf"(?<=[\d}})])\s+(?:(?:{UNITS})\b\.?\s*)+(?:\^\s*\{{?\d\}}?)?\s*$")
_UNIT_TEXT = re.compile(r"(?<=[^\s({\[,;])\s*\\text\s*\{[^{}]*\}\s*(?:\^\s*\{?\d\}?)?\s*$")
_JOINS_ANSWERS = re.compile(r"\\text\s*\{\s*(?:or|and)\s*\}")


def tidy(text: str) -> str:
    r"""One notation for the same mark: no spacing commands, no sizes, plain fractions, full arguments, no unit.

    >>> tidy(r"$\left( \dfrac \pi4 ,\, √2 \right)$."), tidy(r"10,\!080 \text{ cm}^2"), tidy(r"0.1\overline{6}")
    ('( \\frac{\\pi}{4} , \\sqrt{2} )', '10080', '\\frac{1}{6}')
    """
    text = _THOUSANDS.sub("", text)
    text = _UNICODE_ROOT.sub(lambda m: rf"\sqrt{{{m[1] or m[2]}}}", text).translate(_TRANSLATION)
    text = text.replace(r"\$", "").replace("$", "").replace(r"\%", "%")
    text = _SPACING.sub(lambda m: "" if m[0] in (r"\!", r"\,") else " ", text)
    text = _FONTS.sub(r"\\text", _FRACTIONS.sub(r"\\frac", _SIZES.sub("", text)))
    text = _REPEATING.sub(_repeating_decimal, text)
    text = re.sub(r"\s+", " ", full_arguments(text)).strip().rstrip(".,;").strip()
    text = _ABOUT.sub("", _DEGREES.sub("", text)).strip()
    if not _JOINS_ANSWERS.search(text):
        text = _UNIT_TEXT.sub("", text)
    return _UNIT_WORDS.sub("", text).strip()


def _repeating_decimal(match: re.Match[str]) -> str:
    r"""0.1\overline{6} = (16 - 1)/90."""
    whole, once, again = match[1], match[2], match[3]
    value = Fraction(int(whole + once + again) - int(whole + once or "0"), 10 ** len(once) * (10 ** len(again) - 1))
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


_ARGUMENT = re.compile(r"\s*(\\[A-Za-z]+|[0-9A-Za-z])")
_TAKES = {"frac": 2, "binom": 2, "sqrt": 1}
_COMMAND = re.compile(r"\\(frac|binom|sqrt)(?![A-Za-z])")


def full_arguments(text: str) -> str:
    r"""Braces around the one-character arguments of fractions, binomials and roots.

    >>> full_arguments(r"\frac12 + \frac \pi4 - \sqrt2 + \frac{a}b + \sqrt[3]5")
    '\\frac{1}{2} + \\frac{\\pi}{4} - \\sqrt{2} + \\frac{a}{b} + \\sqrt[3]{5}'
    """
    out, position = [], 0
    while match := _COMMAND.search(text, position):
        out.append(text[position : match.end()])
        position = match.end()
        if match[1] == "sqrt" and (index := re.compile(r"\s*\[[^\]]*\]").match(text, position)):
            out.append(index[0].strip())
            position = index.end()
        for _ in range(_TAKES[match[1]]):
            bare = _ARGUMENT.match(text, position)
            if bare and bare[1] not in (r"\frac", r"\binom", r"\sqrt"):
                out.append(f"{{{bare[1]}}}")
                position = bare.end()
                continue
            end = _end_of_group(text, position)
            if end is None:
                break
            out.append(full_arguments(text[position:end].strip()))
            position = end
    return "".join([*out, text[position:]])


def _end_of_group(text: str, start: int) -> int | None:
    """The end of the braces that open at `start`, after spaces; None when none do, or when they stay open."""
    position = start
    while text[position : position + 1] == " ":
        position += 1
    if text[position : position + 1] != "{":
        return None
    depth = 0
    for i in range(position, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    return None


def too_deep(text: str) -> bool:
    """Whether brackets of any kind are nested deeper than `MAX_DEPTH`."""
    depth = deepest = 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH


def squeezed(text: str) -> str:
    r"""A tidy text without spaces and needless braces: equal ones are the same answer.

    >>> squeezed("4210_{5}") == squeezed("4210_5"), squeezed(r"\text{ Yes }"), squeezed(r"\pi a") == squeezed(r"\pia")
    (True, 'Yes', False)
    """
    text = re.sub(r"\\text\s*\{\s*([^{}]*?)\s*\}", r"\1", text)
    text = re.sub(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])", r"\1{}", text)
    return re.sub(r"([_^])\{(\w)\}", r"\1\2", text.replace(" ", ""))


_CHOICE = re.compile(r"(?=[\\(])\(?(?:\\text\s*\{)?\s*\(?([A-Za-z])\)?\s*\}?\)?")


def choice(text: str) -> str | None:
    r"""The letter of a multiple choice, marked as text or by brackets.

    >>> choice(r"\text{(B)}"), choice(r"(\text{B})"), choice("(b)"), choice("B"), choice("x+1")
    ('b', 'b', 'b', None, None)
    """
    match = _CHOICE.fullmatch(text)
    return match[1].casefold() if match else None


_WORDS = re.compile(r"[^\W\d_][^\W\d_ .'-]*(?:[ .'-]+[^\W\d_]+)*")
_TEXT = re.compile(r"\\text\s*\{\s*([^{}]*?)\s*\}")


def word(text: str) -> str | None:
    r"""The word or words that an answer is, without case; None for mathematics.

    Marked as text, or four letters and more; shorter runs of letters are products, but for the common short answers.

    >>> word(r"\text{Evelyn}"), word("NO"), word("east"), word("abc"), word("2x")
    ('evelyn', 'no', 'east', None, None)
    """
    marked = _TEXT.fullmatch(text)
    inside = (marked[1] if marked else text).strip().rstrip(".").strip()
    if not _WORDS.fullmatch(inside):
        return None
    letters = re.sub(r"[ .'-]+", " ", inside).casefold()
    short = ("no", "yes", "odd", "all")
    return letters if marked or " " in letters or len(letters) > 3 or letters in short else None


_BASED = re.compile(
    r"\(?([0-9][0-9A-Za-z]*)\)?_\{?(?:\\text\{)?(\d+|two|three|four|five|six|seven|eight|nine|ten)\}?\}?"
)
_NAMES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


def based_number(text: str) -> tuple[str, int] | None:
    """(digits, base) of a number with its base as an index.

    >>> based_number("42_7"), based_number("1A2_{16}"), based_number("42"), based_number("x_1")
    (('42', 7), ('1A2', 16), None, None)
    """
    match = _BASED.fullmatch(text.replace(" ", ""))
    return None if match is None else (match[1].upper().lstrip("0") or "0", _NAMES.get(match[2]) or int(match[2]))


def congruence(text: str) -> tuple[str, str, str] | None:
    r"""(left side, residue, modulus) of a congruence; the left side may be empty.

    >>> congruence(r"p \equiv 1 \pmod{4}"), congruence(r"1 \pmod 4"), congruence("x = 1")
    (('p', '1', '4'), ('', '1', '4'), None)
    """
    if r"\pmod" not in text and r"\bmod" not in text and r"\mod" not in text and r"\equiv" not in text:
        return None
    plain = squeezed(text).replace("{}", "")
    left, sign, right = plain.partition(r"\equiv")
    if not sign:
        left, right = "", plain
    match = re.fullmatch(r"(.*?)\(?\\(?:pmod|bmod|mod)(?:\{\}|\s)*[{(]*([^{}()]+)[})]*", right)
    return (left, match[1], match[2]) if match else (left, right, "")


def same_congruence(a: tuple[str, str, str], b: tuple[str, str, str]) -> bool:
    """The same side and modulus, and residues that differ by a multiple of it.

    >>> same_congruence(("p", "1", "4"), ("p", "5", "4")), same_congruence(("p", "1", "4"), ("p", "1", "8"))
    (True, False)
    """
    sides = a[0] == b[0] or not a[0] or not b[0]
    if not sides or a[2] != b[2]:
        return False
    if all(re.fullmatch(r"-?\d{1,30}", number) for number in (a[1], b[1], a[2])) and int(a[2]) != 0:
        return (int(a[1]) - int(b[1])) % int(a[2]) == 0
    return a[1] == b[1]


_NOT_LETTERS = re.compile(r"\\text\s*\{[^{}]*\}|\\(?:begin|end|operatorname|mathbb|mathcal)\s*\{[^{}]*\}|\\[A-Za-z]+")
_WRITTEN_FUNCTIONS = re.compile(r"(?<![A-Za-z])(?:sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|pi|max|min|mod)(?![a-z])")


def letters(text: str) -> frozenset[str]:
    r"""The variables of a tidy text, without case: its letters outside of commands, texts and names of functions.

    >>> sorted(letters(r"\pi ab + \gcd(n, 2) \sin(x) \text{ cm}"))
    ['a', 'b', 'n', 'x']
    """
    return frozenset(c.casefold() for c in _WRITTEN_FUNCTIONS.sub(" ", _NOT_LETTERS.sub(" ", text)) if c.isalpha())
