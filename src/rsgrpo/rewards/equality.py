r"""Whether two answers are the same mathematics: guards on the notation first, math-verify for the rest.

Runs in the workers of the verification service. Answers come from a model, so they are read by a grammar (math-verify's
LaTeX parser) and never evaluated as code. The time limits use SIGALRM: for the main thread of a process only.
"""

import re
from functools import lru_cache
from typing import Any, Literal

from latex2sympy2_extended.math_normalization import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify
from math_verify.errors import TimeoutException
from sympy import Basic
from sympy.core.function import AppliedUndef

from rsgrpo.rewards.notation import (
    based_number,
    choice,
    congruence,
    letters,
    same_congruence,
    squeezed,
    tidy,
    too_deep,
    word,
)

Verdict = Literal["right", "wrong", "unparsed", "timeout", "error"]

# Units are taken off by `tidy`: the library's own list takes single letters for units, and so 2ab for 2.
_LATEX = (
    LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all", equations=False
        )
    ),
)
CONSTANTS = frozenset("ei")
"""Letters that a parse may lose: e and the imaginary unit become constants."""


def compare(gold: str, answer: str, limit_s: int) -> Verdict:
    """Whether `answer` equals the `gold` answer, both without their box.

    Args:
        limit_s: whole seconds for each parse and for the comparison of each pair of readings.
    """
    if too_deep(answer):
        return "unparsed"
    gold, answer = tidy(gold), tidy(answer)
    if not answer or not gold:
        return "unparsed"
    known = _without_parsing(gold, answer)
    if known is not None:
        return "right" if known else "wrong"
    try:
        gold, answer, share = _without_percent(gold, answer)
        golds, answers = _gold_readings(gold, limit_s), _readings(answer, limit_s)
        if not golds or not answers:
            return "unparsed"
        hundredth = [reading / 100 for reading in golds if share and getattr(reading, "is_number", False)]
        equal = verify(golds + hundredth, answers, timeout_seconds=limit_s, raise_on_error=True)
        return "right" if equal else "wrong"
    except TimeoutException:
        return "timeout"
    except Exception:  # sympy can raise anything on the text of a model, RecursionError and MemoryError among it
        return "error"


def parsable(gold: str, limit_s: int) -> Verdict:
    """`right` when a gold answer can be compared with, by its words or its mathematics."""
    text = tidy(gold)
    if not text or too_deep(text):
        return "unparsed"
    if any(read(text) is not None for read in (choice, word, based_number, congruence)):
        return "right"
    try:
        return "right" if _gold_readings(text.replace("%", ""), limit_s) else "unparsed"
    except TimeoutException:
        return "timeout"
    except Exception:
        return "error"


def _without_parsing(gold: str, answer: str) -> bool | None:
    """The verdict where the notation alone decides; None where it does not."""
    if squeezed(gold) == squeezed(answer):
        return True
    choices = choice(gold), choice(answer)
    if any(choices):
        return (choices[0] or gold.casefold()) == (choices[1] or answer.casefold())
    words = word(gold), word(answer)
    if words[0] is not None or words[1] is not None:
        return words[0] == words[1]
    based = based_number(gold), based_number(answer)
    if based[0] and based[1]:
        return based[0] == based[1]
    if based[0]:  # the base may be left out: the question names it
        return based[0][0] == answer.upper().lstrip("0")
    if based[1]:
        return based[1] == (gold.lstrip("0"), 10)
    congruences = congruence(gold), congruence(answer)
    if congruences[0] and congruences[1]:
        return same_congruence(congruences[0], congruences[1])
    return False if congruences[0] or congruences[1] else None


def _without_percent(gold: str, answer: str) -> tuple[str, str, bool]:
    """Both without their percent signs, and whether one had one and the other had not: 25, 25 % and 0.25 then agree."""
    share = ("%" in gold) != ("%" in answer)
    return gold.replace("%", ""), answer.replace("%", ""), share


def _readings(text: str, limit_s: int) -> list[Any]:
    """What the parser makes of a tidy text: the readings that lose none of its letters."""
    found = parse(
        f"\\boxed{{{text}}}",
        extraction_config=_LATEX,
        fallback_mode="no_fallback",
        parsing_timeout=limit_s,
        raise_on_error=True,
    )
    written = letters(text) - CONSTANTS
    return [reading for reading in found if not isinstance(reading, str) and written <= _symbols(reading)]


_gold_readings = lru_cache(maxsize=4096)(_readings)


def _symbols(reading: Any) -> frozenset[str]:
    """The letters in the names of all symbols and functions of a reading, without case."""
    names = [str(symbol) for symbol in reading.free_symbols]
    if isinstance(reading, Basic):
        names += [str(function.func) for function in reading.atoms(AppliedUndef)]
        names += [str(symbol) for symbol in reading.atoms() if getattr(symbol, "is_Symbol", False)]
    return frozenset(letter.casefold() for name in names for letter in re.sub(r"\\[A-Za-z]+", "", name))
