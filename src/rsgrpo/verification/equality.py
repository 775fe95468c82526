r"""Whether an answer equals a gold answer: what their notation means first, math-verify for what no rule reads.

Runs in the workers of the verification service. Answers come from a model, so they are read by grammars and never
evaluated as code.
"""

import re
from itertools import product
from typing import Literal

from math_verify.errors import TimeoutException
from math_verify.utils import timeout

from rsgrpo.verification.bases import congruence, residue_of_numbers, same_based, same_congruence
from rsgrpo.verification.clock import same_time
from rsgrpo.verification.comparing.same import same
from rsgrpo.verification.library import equal_by_library
from rsgrpo.verification.notation.tidy import squeezed, tidy, too_deep
from rsgrpo.verification.notation.words import choice, choice_with_text, in_signs, phrase, same_words
from rsgrpo.verification.qualifiers import FEWER, called_alike, contradict, without_qualifier
from rsgrpo.verification.reading.answers import read
from rsgrpo.verification.reading.tokens import grouped
from rsgrpo.verification.reading.tree import Node

Verdict = Literal["right", "wrong", "unparsed", "timeout", "error"]


_CONSTANT = re.compile(r"[a-z}).|\d]\s*\+\s*C$")
_OTHER_CONSTANT = re.compile(r"\+\s*([ckKA])$")
"""An indefinite integral may call its constant otherwise."""


def compare(gold: str, answer: str, limit_s: int) -> Verdict:
    """Whether `answer` equals the `gold` answer, both without their box.

    Args:
        limit_s: whole seconds for the rules, for each parse of math-verify and for its comparison of each pair of
            readings. The limits use SIGALRM: for the main thread of a process only.
    """
    if too_deep(answer):
        return "unparsed"
    try:
        gold, answer = tidy(gold), timeout(limit_s)(tidy)(answer)
        if not answer or not gold:
            return "unparsed"
        known = timeout(limit_s)(_by_rules)(gold, answer)
        if known is None:
            known = equal_by_library(gold, answer, limit_s)
        return "unparsed" if known is None else "right" if known else "wrong"
    except TimeoutException:
        return "timeout"
    except Exception:  # sympy can raise anything on the text of a model, RecursionError and MemoryError among it
        return "error"


def _by_rules(gold: str, answer: str) -> bool | None:
    """The verdict of the rules; None where none of them reads both."""
    if squeezed(gold) == squeezed(answer):
        return True
    gold, answer = in_signs(gold), in_signs(answer)
    for rule in (same_time, _congruences, same_based, _choices, _phrases):
        known = rule(gold, answer)
        if known is not None:
            return known
    return _read(gold, answer)


def _congruences(gold: str, answer: str) -> bool | None:
    found = congruence(gold), congruence(answer)
    if found[0] and found[1]:
        return same_congruence(found[0], found[1])
    if found[1] and (residue := residue_of_numbers(found[1])) is not None:
        return _by_rules(gold, residue)
    return False if any(found) else None


def _choices(gold: str, answer: str) -> bool | None:
    """A letter of multiple choice, alone or with what it says."""
    with_text = choice_with_text(gold), choice_with_text(answer)
    letters = choice(gold), choice(answer) or (answer.upper() if len(answer) == 1 else None)
    if with_text[0] and with_text[1]:
        return with_text[0][0] == with_text[1][0]
    if letters[0]:
        said = with_text[1][0] if with_text[1] else letters[1]
        return letters[0] == said if said else None
    if with_text[0]:
        return True if with_text[0][0] == letters[1] else _by_rules(tidy(with_text[0][1]), answer)
    if with_text[1]:
        return _by_rules(gold, tidy(with_text[1][1])) or None
    return None


def _phrases(gold: str, answer: str) -> bool | None:
    found = phrase(gold), phrase(answer)
    return same_words(found[0], found[1]) if found[0] and found[1] else None


def _read(gold: str, answer: str) -> bool | None:
    """By the trees of both; where a text has two readings, any pair of them that agrees."""
    said = gold, answer
    (gold, of_gold), (answer, of_answer) = without_qualifier(gold), without_qualifier(answer)
    if ((of_gold or of_answer & FEWER) and of_answer and of_gold != of_answer) or (
        said != (gold, answer) and contradict(*said)
    ):
        return False
    if (
        _CONSTANT.search(gold)
        and (named := _OTHER_CONSTANT.search(answer))
        and named[1] not in answer[: named.start(1)]
    ):
        answer = f"{answer[: named.start(1)]}C"
    trees = _trees(gold), _trees(answer)
    if said != (gold, answer):
        trees = trees[0], [called_alike(*said, tree) for tree in trees[1]]
    verdicts = [same(a, b) for a, b in product(*trees)]
    if True in verdicts:
        return True
    return None if not verdicts or None in verdicts else False


def _trees(text: str) -> list[Node]:
    joined = grouped(text)
    found = [read(joined)] if joined else []
    found.append(read(text))
    return [tree for tree in found if tree is not None]
