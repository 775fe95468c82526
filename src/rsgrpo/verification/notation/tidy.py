r"""An answer in the one notation that the rules read.

Characters are commands, ornaments are gone, and each sign has one spelling.
"""

import re
from functools import lru_cache
from math import perm

from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.notation.characters import as_commands
from rsgrpo.verification.notation.decoration import plain
from rsgrpo.verification.notation.numbers import repeating, thousands

EXAMPLES = (
    equal("10", "C(5,2)", "combinations"),
    equal("10", "_5C_2", "combinations"),
    equal("10", "C_5^2", "combinations"),
    equal(r"\binom{5}{2}", "10", "combinations"),
    equal(r"4\sqrt{2}", r"4\sqrt(2)", "round brackets of a root"),
    equal("x^2", "x**2", "a power in plain text"),
    equal("10^{-2}", "10^-2", "a power in plain text"),
    equal(r"\frac12", r"\dfrac{1}{2}", "a fraction of any size"),
    equal("15.5", r"\nicefrac{31}{2}", "a fraction of any size"),
    equal("8!!", "384", "a double factorial"),
    equal("120", "5!=120", "a factorial, not the sign of what is unequal"),
    equal(r"3-2i", r"3-2\imath", "a letter without its dot"),
    equal("4", r"19 \mod 5", "a remainder"),
    equal(r"\sqrt[3]{-8}", "-2", "the real root"),
    equal("7+i", "(2+i)(3-i)", "complex numbers"),
    equal("5", "|3+4i|", "complex numbers"),
    equal("-1", r"e^{i\pi}", "complex numbers"),
    different("7", r"3+4\mathrm{i}", "complex numbers"),
    different("2", r"2\mathrm{e}", "the base of logarithms"),
    different(r"\text{Re}(z)", "z", "a letter may be a complex number"),
    different(r"\text{Im}(z)", r"\text{Im}(w)", "another letter"),
    different(r"\frac{1}{1000!}", r"\frac{1}{8000!}", "small numbers are compared by their own size"),
    different("|x|+|y|", "|x+y|", "letters have either sign"),
    different("p - q", "p q", "another operation"),
    different(r"\frac1{2^{98}}", r"\frac1{3^{98}}", "small numbers are compared by their own size"),
)

MAX_DEPTH = 40
"""Brackets inside brackets; no answer of the data sets has more than a handful."""

_DEGREES = re.compile(
    r"\^\s*(?:\{\s*\\(?:circ|degree)\s*\}|\\(?:circ|degree)(?![A-Za-z]))|\\(?:degree|degrees|textdegree)(?![A-Za-z])|"
    r"(?<=[\d})])\s*\\text\s*\{\s*(?:degrees?|deg\.?)\s*\}|(?<=\d) ?degrees?\b"
)
_PERCENT = re.compile(
    r"\\%|\\text\s*\{\s*(?:\\?%|percent|per cent|pct\.?)\s*\}|(?<=[\d}) ])(?:percent|per cent|pct)\b\.?"
)
_FRACTIONS = re.compile(r"\\(?:dfrac|tfrac|cfrac|nicefrac|sfrac|xfrac|flatfrac)(?![A-Za-z])")
_NUMBER = r"(?:\{\s*(\d+)\s*\}|(\d+))"
_CHOOSE = (
    re.compile(rf"(?:\{{\s*\}})?\s*[_^]\s*{_NUMBER}\s*(?:\\mathrm)?\{{?([CP])\}}?\s*_\s*{_NUMBER}"),
    re.compile(rf"(?<![A-Za-z\\])(?:\\mathrm\s*)?\{{?([CP])\}}?\s*[_^]\s*{_NUMBER}\s*[_^]\s*{_NUMBER}"),
    re.compile(r"(?<![A-Za-z\\])()([CP])\(\s*(\d+)\s*,\s*(\d+)\s*\)"),
    re.compile(r"(?<![\w\\])()(\d+)\s?([CP])\s?(\d+)(?![\w])"),
)
_BEHIND_POINT = re.compile(r"\.\d{3}(?:\\[,!]\d{3})*\\[,!]\d{1,3}(?!\d)")
_WORDS = {"infinity": r"\infty ", "Infinity": r"\infty "}
_LIMITS = re.compile(r"\\(?:operatorname|mathrm)\s*\{\s*d\s*\}\s*(?=[a-z](?![A-Za-z]))")
_COMMANDS = {
    "pounds": "£", "textsterling": "£", "euro": "€", "texteuro": "€", "textcent": "¢", "cent": "¢",
    "textdollar": r"\$", "surd": r"\sqrt ", "ell": " l ", "imath": " i ", "jmath": " j ", "lnot": r"\neg ",
    "Vert": r"\|", "lVert": r"\|", "rVert": r"\|", "leqq": r"\le", "leqslant": r"\le", "geqq": r"\ge",
    "geqslant": r"\ge", "lbrace": r"\{", "rbrace": r"\}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")",
    "Bbb": r"\mathbb", "wedge": r"\land ", "bigcup": r"\cup", "mod": r"\bmod ", "dots": r"\ldots ",
    "dotsc": r"\ldots ", "dotsb": r"\ldots ", "cdots": r"\ldots ", "hdots": r"\ldots ",
}  # fmt: skip
_COMMAND = re.compile(rf"\\({'|'.join(_COMMANDS)})(?![A-Za-z])")
_MISC = (
    (re.compile(r"\{?\s*([^{}\\]+?)\s*\\choose\s*([^{}\\]+?)\s*(?:\}|$)"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\text\s*\{\s*,\s*\}"), ", "),
    (
        re.compile(r"(?<=\d)\s*\\text\s*\{\s*(hours?|minutes?|feet|pounds|weeks?|days?),? and\s*\}\s*(?=\d)"),
        r" \\text{\1} ",
    ),
    (re.compile(r"(?<=\d)\s*(?:\\text\s*\{\s*to\s*\}|\bto\b)\s*(?=\d)"), ":"),
    (re.compile(r"\\text\s*\{\s*(?:minus|negative)\s*\}(?=\s*\S)"), "-"),
    (re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)"), r"\\times "),
    (
        re.compile(
            r"\^\s*(?:\\(?:top|intercal)(?![A-Za-z])|\{\s*\\(?:top|intercal)\s*\}|\{?\s*\\mathrm\s*\{\s*T\s*\}\s*\}?)"
        ),
        "^T",
    ),
    (re.compile(r"(?<=\d)\s*\^\s*(?:o|\{\s*o\s*\}|\{?\\text\s*\{\s*o\s*\}\}?)(?![A-Za-z])"), r"\\degree "),
    (re.compile(r"(?<=\d)\s*\^?\s*\{?\s*\\text\s*\{\s*(?:st|nd|rd|th)\s*\}\s*\}?|(?<=\d)(?:st|nd|rd|th)\b"), ""),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\\not\s*="), r"\\ne "),
    (re.compile(r"(?<!\.)\.\.\.(?!\.)"), r"\\ldots "),
    (re.compile(r"(?<=[\d)}])!=(?!=)"), "! ="),
    (re.compile(r"(?<![<>=!])!=(?!=)"), r"\\ne "),
    (re.compile(r"(?<=[\])}])\s*-\s*(?=\\\{)"), r"\\setminus "),
    (re.compile(r"<=>?"), r"\\le "),
    (re.compile(r">="), r"\\ge "),
    (re.compile(r"\\mathbb\s+([A-Z])"), r"\\mathbb{\1}"),
    (re.compile(r"\\text\s*\{\s*(\(?[A-Z]\)?(?:\s*(?:,|,?\s*\b(?:and|or)\b)\s*\(?[A-Z]\)?){1,9})\s*\}"), r"\1"),
    (re.compile(r"\\text\s*\{\s*\}"), " "),
)


@lru_cache(maxsize=4096)
def tidy(text: str) -> str:
    r"""One notation for the same mark.

    >>> tidy(r"$\left( \dfrac \pi4 ,\, √2 \right)$."), tidy(r"10,\!080"), tidy(r"0.1\overline{6}"), tidy("60°")
    ('( \\frac \\pi4 , \\sqrt{2} )', '10080', '\\frac{1}{6}', '60\\degree')
    """
    text = _BEHIND_POINT.sub(lambda match: re.sub(r"\\[,!]", "", match[0]), as_commands(text))
    text = plain(repeating(thousands(text)))
    text = _LIMITS.sub("d", text)
    text = _FRACTIONS.sub(r"\\frac", _PERCENT.sub("%", _DEGREES.sub(r"\\degree ", text)))
    text = _COMMAND.sub(lambda match: _COMMANDS[match[1]], text)
    for pattern, sign in _MISC:
        text = pattern.sub(sign, text)
    text = repeating(text)
    for pattern in _CHOOSE:
        text = pattern.sub(_chosen, text)
    return re.sub(r"\s+", " ", plain(text)).strip()


def _chosen(match: re.Match[str]) -> str:
    r"""Combinations as \binom, permutations as a number."""
    found = [group for group in match.groups() if group]
    letter = next(group for group in found if group in "CP")
    numbers = [int(group) for group in found if group not in "CP"]
    n, k = max(numbers), min(numbers)
    if match.re is not _CHOOSE[1]:
        n, k = numbers
    if letter == "C":
        return rf"\binom{{{n}}}{{{k}}}"
    return str(perm(n, k)) if k <= n <= 200 else match[0]


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
    text = re.sub(r"(?<=[\d.])\s+(?=[\d.])", "{}", text)
    return re.sub(r"([_^])\{(\w)\}", r"\1\2", text.replace(" ", ""))
