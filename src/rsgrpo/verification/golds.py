r"""What a gold answer is: whether any answer but a copy of it could ever be right."""

import re

from math_verify.errors import TimeoutException

from rsgrpo.verification.bases import based_number, congruence
from rsgrpo.verification.clock import date, time_of_day
from rsgrpo.verification.library import readings
from rsgrpo.verification.notation.tidy import tidy, too_deep
from rsgrpo.verification.notation.words import choice, choice_with_text, in_plain_words, phrase
from rsgrpo.verification.qualifiers import without_qualifier
from rsgrpo.verification.reading.answers import read

LIMIT_S = 2
_PLACEHOLDERS = re.compile(
    r"(?:n/?a|nan|null|nil|unknown|tbd|todo|"
    r"see (?:the )?(?:solution|below|above|text|explanation|proof|figure|attached).*|"
    r"no answer.*|not available|not given|"
    r"omitted|proof\.?|(?:the )?(?:proof|answer|solution) (?:is )?(?:omitted|below|above|follows|not .*)|"
    r"answers? (?:may )?var(?:y|ies)|various|\?+|-+|\.+|refer to .*)",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"[(\[,;]\s*(?:see|shown|as (?:above|below|shown)|refer|given above|answers? (?:may )?var(?:y|ies))\b",
    re.IGNORECASE,
)
_STATEMENT = re.compile(
    r"(?:the|this|that|it|we|these|those)\s+(?:[a-z]+\s+){0,4}(?:is|are|was|were|has|have|can|follows?|holds?|exists?)\b"
    r"[^\d\\$]*|(?:trivial|clear|obvious|proved|proven|q\.?e\.?d|as (?:above|below)|left to the reader)\.?",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"^\s*(?:\\text\s*\{\s*)?(?:the )?(?:final )?(?:answer|ans|solution|result)\s*(?:is\b|:|=)|^\s*####|\\boxed",
    re.IGNORECASE,
)
MOST_WORDS = 4
"""Of an answer in words; more are a sentence."""


def unreadable_because(gold: str) -> str | None:
    r"""Why no answer but a copy could equal a gold answer: `empty`, `prose` or `cannot be parsed`; None when one could.

    >>> unreadable_because(r"\frac{1}{2}"), unreadable_because("see solution"), unreadable_because(" ")
    (None, 'prose', 'empty')
    """
    if not gold.strip():
        return "empty"
    if is_prose(gold):
        return "prose"
    try:
        text = tidy(gold)
        if not text:
            return "empty"
        if too_deep(text):
            return "cannot be parsed"
        if any(
            reader(text) is not None
            for reader in (choice, choice_with_text, phrase, based_number, congruence, time_of_day, date)
        ):
            return None
        if read(without_qualifier(text)[0]) is not None or readings(text.replace("%", ""), LIMIT_S):
            return None
    except TimeoutException:
        pass
    except Exception:  # sympy can raise anything
        pass
    return "cannot be parsed"


def is_prose(gold: str) -> bool:
    r"""Whether a gold is a placeholder, an answer with a label, or a sentence.

    >>> golds = ("N/A", "Answer: 5", "5 (see below)", "The proof is trivial.", r"\text{two lines}", "Evelyn")
    >>> [is_prose(gold) for gold in golds]
    [True, True, True, True, False, False]
    """
    plain = re.sub(r"\s+", " ", in_plain_words(gold)).strip().strip("$").strip()
    if _PLACEHOLDERS.fullmatch(plain) or _STATEMENT.fullmatch(plain) or _ELSEWHERE.search(plain) or _LABEL.search(gold):
        return True
    without = re.sub(r"\$[^$]*\$|\\[A-Za-z]+(?:\{[^{}]*\})*", " ", plain)
    words = [word for word in re.findall(r"[A-Za-z]{2,}", without) if word.casefold() not in ("and", "or", "if", "for")]
    return len(words) > MOST_WORDS and "\\begin" not in gold
