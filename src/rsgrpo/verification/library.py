r"""math-verify, for what no rule reads: answers whose letters, indices, primes and words are the same on both sides.

The time limits use SIGALRM: for the main thread of a process only.
"""

import re
from functools import lru_cache
from typing import Any

from latex2sympy2_extended.math_normalization import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, FiniteSet, Tuple
from sympy.core.function import AppliedUndef

# Units are read by the rules: the library's own list takes single letters for units, and so 2ab for 2.
_LATEX = (
    LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all", equations=False
        )
    ),
)
_CONSTANTS = frozenset("eid")
"""Letters that a parse may lose: e and the imaginary unit become constants, d stands in integrals."""

_NOT_LETTERS = re.compile(r"\\(?:begin|end|operatorname|mathbb|mathcal|mathrm|text)\s*\{[^{}]*\}|\\[A-Za-z]+")
_FUNCTIONS = re.compile(r"(?<![A-Za-z])(?:sin|cos|tan|cot|sec|csc|ln|log|exp|sqrt|pi|max|min|mod)(?![a-z])")
_SAID = re.compile(
    r"'|\\prime|\\(?:text|mathrm|mathbf)\s*\{[^{}]*\}|_\s*(?:\{[^{}]*\}|\w)|\\l?or(?![A-Za-z])|\\land|\\pm|\\mathbb\s*\{[^{}]*\}"
)
_SIGNS = re.compile(r"=|<|>|\\(?:le|ge|ne|in|equiv|approx)(?![A-Za-z])")


def letters(text: str) -> frozenset[str]:
    r"""The variables of a tidy text: its letters outside of commands, texts and names of functions.

    >>> sorted(letters(r"\pi aB + \gcd(n, 2) \sin(x)"))
    ['B', 'a', 'n', 'x']
    """
    return frozenset(c for c in _FUNCTIONS.sub(" ", _NOT_LETTERS.sub(" ", text)) if c.isalpha())


def _trusted(gold: str, answer: str) -> bool:
    """Whether the library can be asked: it drops or misreads what differs between texts that say other things."""
    if letters(gold) - _CONSTANTS != letters(answer) - _CONSTANTS:
        return False
    if any(
        re.search(r"\d\s+\d|\\text\s*\{[^{}]*[A-Za-z]", text) or len(_SIGNS.findall(text)) > 1
        for text in (gold, answer)
    ):
        return False
    said = [sorted(re.sub(r"\s|[{}]", "", part) for part in _SAID.findall(text)) for text in (gold, answer)]
    return said[0] == said[1]


def equal_by_library(gold: str, answer: str, limit_s: int) -> bool | None:
    """Whether math-verify finds two tidy texts equal; None when it cannot read one of them or cannot be trusted.

    Raises:
        TimeoutException: of math-verify, at the limit of `limit_s` seconds for a parse or a pair of readings.
        Exception: anything of sympy.
    """
    golds, answers = readings(gold, limit_s), readings(answer, limit_s)
    if not golds or not answers:
        return None
    if not _trusted(gold, answer):
        return False
    tuples = [any(isinstance(reading, Tuple) for reading in side) for side in (golds, answers)]
    sets = [any(isinstance(reading, FiniteSet) for reading in side) for side in (golds, answers)]
    if (tuples[0] and sets[1]) or (sets[0] and tuples[1]):
        return False
    return bool(verify(list(golds), list(answers), timeout_seconds=limit_s, raise_on_error=True)) and _near(
        golds[0], answers[0]
    )


def _near(a: Any, b: Any) -> bool:
    """Two numbers differ by little beside their own size."""
    if not (getattr(a, "is_number", False) and getattr(b, "is_number", False)):
        return True
    x, y = (abs(value.evalf(20)) for value in (a, b))
    return bool(abs((a - b).evalf(20)) * 10**6 <= max(x, y))


@lru_cache(maxsize=4096)
def readings(text: str, limit_s: int) -> tuple[Any, ...]:
    """What the library's parser makes of a tidy text: the readings that lose none of its letters."""
    found = parse(
        f"\\boxed{{{text}}}",
        extraction_config=_LATEX,
        fallback_mode="no_fallback",
        parsing_timeout=limit_s,
        raise_on_error=True,
    )
    written = frozenset(letter.casefold() for letter in letters(text) - _CONSTANTS)
    return tuple(reading for reading in found if not isinstance(reading, str) and written <= _symbols(reading))


def _symbols(reading: Any) -> frozenset[str]:
    """The letters in the names of all symbols and functions of a reading, without case."""
    names = [str(symbol) for symbol in reading.free_symbols]
    if isinstance(reading, Basic):
        names += [str(function.func) for function in reading.atoms(AppliedUndef)]
        names += [str(symbol) for symbol in reading.atoms() if getattr(symbol, "is_Symbol", False)]
    return frozenset(letter.casefold() for name in names for letter in re.sub(r"\\[A-Za-z]+", "", name))
