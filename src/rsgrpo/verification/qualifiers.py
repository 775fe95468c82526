r"""What an answer says of its letters: `for any integer k`, `where n > 0`.

It may be left out, and the letter may be called otherwise; what contradicts the gold is another answer.
"""

import re

from rsgrpo.verification.comparing.same import same
from rsgrpo.verification.comparing.scalars import letters, with_name
from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.reading.answers import read
from rsgrpo.verification.reading.tree import Node

EXAMPLES = (
    equal("3k", r"3k\text{ for any integer }k", "what the letters stand for may be left out"),
    equal(r"x=\pi k, k\in\mathbb{Z}", r"x=\pi n, n\in\mathbb{Z}", "a letter for any number may have another name"),
    equal(r"(t,2t), t\in\mathbb{R}", r"(s,2s), s\in\mathbb{R}", "a letter for any number may have another name"),
    different(r"x=\pi k, k\in\mathbb{Z}", r"x=2\pi n, n\in\mathbb{Z}", "another formula"),
    different(r"2n, n\in\mathbb{Z}", r"2n, n\in\mathbb{R}", "other numbers"),
    equal(r"f(x)=x\text{ for all }x>0", "f(x)=x", "a condition may be left out"),
    equal(r"f(x)=x\text{ for all }x>0", r"f(x)=x\text{ when }0<x", "the same condition"),
    different(r"f(x)=x\text{ for all }x>0", r"f(x)=x\text{ for all }x<0", "another condition"),
    different(r"\frac1x, x\ne0", r"\frac1x, x\ne1", "another condition"),
    different(r"2n, n\in\mathbb{Z}", r"2n, n\notin\mathbb{Z}", "other numbers"),
    different(r"x\in\mathbb{Z}", r"y\in\mathbb{Z}", "another letter, of which this is the answer"),
    different(r"n\text{ is even}", r"n\text{ is odd}", "words that matter"),
    different(r"n\text{ is prime}", "n", "words that matter"),
)


_QUALIFIER = re.compile(
    r"(?:,|;|\\text\s*\{\s*,\s*\})?\s*(?:\\text\s*\{\s*[,(]?\s*"
    r"(?:for|where|with|any|some|as|such that|when|at(?! least| most)|provided|if it exists)\b[^{}]*\}|"
    r"\b(?:for (?:all|any|some|every|each)|where|with)\b|\\forall(?![A-Za-z])|"
    r",\s*[A-Za-z]\s*\\text\s*\{\s*(?:is |any |an? )*(?:positive |negative |nonzero )?(?:integer|real|natural)[^{}]*\}|"
    r"(?:,|\()\s*[A-Za-z](?:\s*,\s*[A-Za-z])*\s*\\in\s*\\mathbb|"
    r"[,(]\s*[A-Za-z]\s*\\ne\s*-?\s*\d+\s*\)?$).*$",
    re.DOTALL,
)
_RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|in)(?![A-Za-z])")
_KINDS = {
    "integer": "Z",
    "real": "R",
    "natural": "N",
    "positive": ">0",
    "even": "even",
    "odd": "odd",
    "prime": "prime",
    "rational": "Q",
    "complex": "C",
    "nonzero": "!=0",
    "not ": "not",
    r"\\notin": "not",
    "negative": "<0",
}
FEWER = frozenset(("even", "odd", "prime"))
"""Kinds of numbers that the letters of a gold which says nothing of them do not have."""
_MATHBB = re.compile(r"\\mathbb\s*\{?([ZRNQC])")


def without_qualifier(text: str) -> tuple[str, frozenset[str]]:
    r"""The text without what its letters stand for, and that.

    >>> without_qualifier(r"3k\text{ for any integer }k"), without_qualifier(r"2n, n \in \mathbb{Z}")
    (('3k', frozenset({'Z'})), ('2n', frozenset({'Z'})))
    """
    match = _QUALIFIER.search(text)
    if match is None or not text[: match.start()].strip(" ,(\\{"):
        return text, frozenset()
    if r"\ne" in match[0] and _RELATION.search(text[: match.start()]):
        return text, frozenset()
    said = match[0].casefold()
    kinds = {sign for word, sign in _KINDS.items() if re.search(rf"(?<![a-z]){word}", said)} | set(
        _MATHBB.findall(match[0])
    )
    return text[: match.start()].rstrip(" ,"), frozenset(kinds)


_CONDITION = re.compile(r"([A-Za-z0-9.\\-]+|\\[a-z]+)\s*(?:=|<|>|\\(?:le|ge|ne)(?![A-Za-z]))\s*[^,(){}]+")
_ANY = re.compile(
    r"([A-Za-z])(?:\s*\\in\s*\\mathbb|"
    r"\s*\\text\s*\{\s*(?:is |any |an? )*(?:positive |nonzero )?(?:integer|real|natural))|"
    r"(?:integers?|reals?|numbers?|constants?|any|all|every|some|each)\s*\}?\s*([A-Za-z])(?![A-Za-z])"
)


def _qualifier(text: str) -> str:
    """What a text says of its letters; nothing where it says nothing else."""
    match = _QUALIFIER.search(text)
    return match[0] if match and without_qualifier(text)[0] != text else ""


def contradict(gold: str, answer: str) -> bool:
    r"""Whether two texts put other conditions on their letters.

    >>> contradict(r"x\text{ for }x>0", r"x\text{ for }x<0"), contradict(r"x\text{ for }x>0", "x")
    (True, False)
    """
    said = []
    for text in (gold, answer):
        condition = _CONDITION.search(_qualifier(text))
        said.append(read(condition[0].strip()) if condition else None)
    return said[0] is not None and said[1] is not None and same(said[0], said[1]) is False


def called_alike(gold: str, answer: str, tree: Node) -> Node:
    """The tree of an answer, the letter that stands for any number called as in the gold."""
    names = [{found[1] or found[2] for found in _ANY.finditer(_qualifier(text))} for text in (gold, answer)]
    if len(names[0]) == len(names[1]) == 1 and names[0] != names[1]:
        (wanted,), (name,) = names
        if wanted not in letters(tree):
            return with_name(tree, name, wanted)
    return tree
