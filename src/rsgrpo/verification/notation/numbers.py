r"""How numbers are written: thousands, decimals that repeat, powers of ten, mixed numbers, words.

Repeating decimals become fractions here; the rest is marked for the grammar.
"""

import re
from fractions import Fraction

from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.notation.vocabulary import vocabulary

EXAMPLES = (
    equal("10080", r"10,\!080", "thousands"),
    equal("1112", "1~112", "thousands"),
    equal("9901", "9,901", "thousands"),
    equal("100, 200", r"\{200,100\}", "a list, for its space"),
    equal("3.14", "3{,}14", "the decimal comma of TeX"),
    different("13", "1 3", "two numbers"),
    different("1.5", "1 .5", "two numbers"),
    equal("70", "70.0", "zeros that say nothing"),
    equal("073", "73", "zeros that say nothing"),
    equal(r"\frac{1}{3}", r"0.\bar3", "a bar repeats"),
    equal(r"\frac{1}{3}", r"0.\overline{3}", "a bar repeats"),
    equal(r"\frac{1}{3}", r"0.\dot{3}", "a dot repeats"),
    equal(r"\frac{1}{3}", "0.(3)", "brackets repeat"),
    equal(r"\frac{1}{3}", r"0.333\ldots", "dots go on"),
    equal(r"\frac{1}{6}", "0.1666...", "dots go on"),
    equal(r"\frac{1}{3}", "0.333333", "six decimals, rounded"),
    different(r"\frac{2}{3}", "0.67", "fewer decimals are another number"),
    different(r"\frac{1}{3}", "0.333", "fewer decimals are another number"),
    different(r"7.142857142857\times10^{-2}", r"7.142854142857\times10^{-2}", "another decimal of the same length"),
    equal(r"2.314814814815\times10^{-3}", r"\frac{1}{432}", "twelve decimals, rounded"),
    equal("1500", "1.5e3", "a power of ten"),
    equal("0.00015", "1.5e-4", "a power of ten"),
    different(r"1.6\times10^{-19}", r"1.7\times10^{-19}", "numbers are compared by their own size"),
    equal("3.5", "3 1/2", "a mixed number"),
    equal(r"\frac{833}{4}", r"208\frac14", "a mixed number"),
    different("2", "3 1/2", "a mixed number"),
    equal("5", r"\text{five}", "a number in words"),
    equal("5", r"5^{\text{th}}", "a place"),
    equal("0.5", r"\text{half}", "a number in words"),
    equal("1000000", r"1\text{ million}", "a number in words"),
    different("5", r"5\text{ million}", "a number in words"),
    different("99999999999999999999", "100000000000000000000", "whole numbers are compared exactly"),
)

_SEPARATOR = r"(?:,\\!|\\!|,\s*\\,|\\[,;: ]|~|\{,\}|[\u00a0\u202f\u2009]|,\\ )"
_THOUSANDS = re.compile(rf"(?<![\d.,\\])(?!0)\d{{1,3}}(?:{_SEPARATOR}\s*\d{{3}})+(?!\d)")
_SPACED = re.compile(r"(?<![\d.,/])(?<!\d )(?!0)\d{1,3}(?: \d{3})+(?![\d/])(?! \d)")
_TEX_COMMA = re.compile(r"(?<=\d)\{,\}(?=\d)")
_OVER = r"\\(?:overline|bar|overset\{-\}|widebar)"
_BAR = re.compile(rf"(?<![\w.])(\d*)\.(\d*){_OVER}\s*(?:\{{\s*(\d+)\s*\}}|(\d))")
_DOTTED = re.compile(r"(?<![\w.])(\d*)\.(\d*)\\dot\s*(?:\{\s*(\d+)\s*\}|(\d))(?:(\d*)\\dot\s*(?:\{\s*(\d)\s*\}|(\d)))?")
_BRACKETS = re.compile(r"(?<![\w.])(\d*)\.(\d*)\((\d+)\)(?!\s*[\^!])")
_GOES_ON = re.compile(r"(?<![\w.])(\d*)\.(\d+)\s*(?:\\(?:ldots|dots|cdots|dotsc|dotsb)(?![A-Za-z])|\.{2,})")


def thousands(text: str) -> str:
    r"""Groups of three digits joined, where what separates them can mean nothing else; `3{,}14` with its point.

    >>> thousands(r"10,\!080"), thousands(r"1\,000\,000"), thousands("1 000"), thousands("3{,}14"), thousands("1 3")
    ('10080', '1000000', '1000', '3.14', '1 3')
    """
    text = _THOUSANDS.sub(lambda m: re.sub(r"\D", "", m[0]), text)
    text = _SPACED.sub(lambda m: m[0].replace(" ", ""), text)
    return _TEX_COMMA.sub(".", text)


def repeating(text: str) -> str:
    r"""Decimals that repeat as fractions; dots after other decimals go.

    >>> repeating(r"0.1\overline{6}"), repeating("0.(3)"), repeating(r"0.142857142857\ldots"), repeating("3.14159...")
    ('{\\frac{1}{6}}', '{\\frac{1}{3}}', '{\\frac{1}{7}}', '3.14159')
    """
    text = _BAR.sub(lambda m: _fraction(m[1], m[2], m[3] or m[4]), text)
    text = _DOTTED.sub(lambda m: _fraction(m[1], m[2], (m[3] or m[4]) + (m[5] or "") + (m[6] or m[7] or "")), text)
    text = _BRACKETS.sub(lambda m: _fraction(m[1], m[2], m[3]), text)
    return _GOES_ON.sub(_period, text)


def _period(match: re.Match[str]) -> str:
    """The shortest period that the digits show at least twice, as little before it as possible."""
    digits = match[2][:60]
    found = [
        (once + length, once, length)
        for once in range(len(digits) - 1)
        for length in range(1, (len(digits) - once) // 2 + 1)
        if all(digits[i] == digits[i - length] for i in range(once + length, len(digits)))
    ]
    if not found:
        return f"{match[1]}.{match[2]}"
    _, once, length = min(found)
    return _fraction(match[1], digits[:once], digits[once : once + length])


def _fraction(whole: str, once: str, again: str) -> str:
    r"""0.1\overline{6} = (16 - 1)/90."""
    if len(whole + once + again) > 100:
        return f"{whole}.{once}{again}"
    value = Fraction(int(whole + once + again) - int(whole + once or "0"), 10 ** len(once) * (10 ** len(again) - 1))
    return rf"{{\frac{{{value.numerator}}}{{{value.denominator}}}}}"


SCALES = {
    "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "dozens": 12,
    "thousands": 10**3, "millions": 10**6, "billions": 10**9, "mn": 10**6, "bn": 10**9, "lakh": 10**5, "crore": 10**7,
}  # fmt: skip
_UNITS = vocabulary(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen",
    "seventeen eighteen nineteen",
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_VALUES = {word: i for i, word in enumerate(_UNITS)} | {word: 10 * i for i, word in enumerate(_TENS, start=2)}
_PARTS = {
    "half": 2,
    "third": 3,
    "quarter": 4,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "tenth": 10,
}


def number_in_words(words: str) -> Fraction | None:
    """The number that lower-case words say; None when they say none.

    >>> number_in_words("one hundred and five"), number_in_words("thirty-two"), number_in_words("two thirds")
    (Fraction(105, 1), Fraction(32, 1), Fraction(2, 3))
    """
    parts = [part for part in re.split(r"[\s-]+", words.strip()) if part and part != "and"]
    if not parts:
        return None
    if parts in (["half"], ["a", "half"]):
        return Fraction(1, 2)
    sign = -1 if parts[0] in ("minus", "negative") else 1
    parts = parts[sign < 0 :]
    share = 1
    if len(parts) > 1 and parts[0] != "and" and (parts[-1].rstrip("s") if parts[-1] != "half" else "half") in _PARTS:
        share = _PARTS[parts.pop().rstrip("s")]
        if parts == ["a"]:
            parts = ["one"]
    total = group = 0
    if not parts or (parts[0] not in _VALUES and not (parts[0] in ("a", "an") and len(parts) > 1)):
        return None
    for i, part in enumerate(parts):
        if part in ("a", "an") and i == 0:
            group = 1
        elif part in _VALUES:
            if i and parts[i - 1] in _VALUES and not (_VALUES[parts[i - 1]] >= 20 and _VALUES[part] < 10):
                return None
            group += _VALUES[part]
        elif part in SCALES:
            group *= SCALES[part]
            if SCALES[part] >= 1000:
                total, group = total + group, 0
        else:
            return None
    return sign * Fraction(total + group, share)
