r"""Answers in words, and the letters of multiple choice."""

import re

from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.notation.numbers import number_in_words

EXAMPLES = (
    equal(r"\text{Evelyn}", "evelyn", "words are compared without case"),
    equal("Yes", r"\text{ Yes }.", "words are compared without marks"),
    different("Yes", "No", "another word"),
    different("Yes", "not Yes", "another word"),
    equal(r"\text{east}", r"(\text{east})", "a word in brackets"),
    different(r"\text{five}", r"-\text{five}", "a sign matters"),
    different("sin(2x)", "sin(2X)", "a function is not a phrase"),
    different(r"p\text{ divides }q", r"p\text{ divides }Q", "letters keep their case"),
    equal(r"\mathbb{R}", r"\text{all real numbers}", "a set of numbers"),
    equal(r"\infty", r"\text{infinitely many}", "a number without end"),
    different(r"x\text{ is rational}", r"x\text{ is irrational}", "another word"),
    different(r"k\text{ divides }n", r"n\text{ divides }k", "words keep their order"),
    equal(r"\text{(B)}", "B", "a choice is its letter"),
    equal("B", r"(\text{b})", "a choice is its letter"),
    equal("E", "E)", "a choice is its letter"),
    equal("C", r"\textbf{(C)}\ 13", "a choice with what it says"),
    equal("E", r"E: \text{a longer option}", "a choice with what it says"),
    equal("A, C", r"\text{(A), (C)}", "two choices"),
    different(r"\text{(B)}", "C", "another choice"),
)

_MARKED = re.compile(r"\\(?:text|mathbf|mathrm)\s*\{([^{}]*)\}")
_LETTERS = re.compile(r"[^\W\d_]")


def in_plain_words(text: str) -> str:
    r"""A tidy text without the marks of words.

    >>> in_plain_words(r"\text{(B)} or \mathbf{ C }")
    '(B) or  C '
    """
    before = None
    while before != text:
        before, text = text, _MARKED.sub(r"\1", text)
    return text


def same_words(gold: str, answer: str) -> bool:
    """Whether two phrases are the same words.

    >>> same_words("Two lines", "two lines."), same_words("yes", "no")
    (True, False)
    """
    return _words(gold) == _words(answer)


def _words(text: str) -> list[str]:
    plain = re.sub(r"\bDNE\b", "does not exist", in_plain_words(text))
    plain = re.sub(r"\b\w{2,}|\b[aA]\b", lambda m: m[0].casefold(), plain)
    said = re.findall(r"[^\W_]+|[^\w\s.,'\"-]", plain)
    return [_singular(word) for word in said if word not in ("the", "a", "an", "and")] or [text]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 4 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def phrase(text: str) -> str | None:
    r"""The words that a whole answer is; None for mathematics.

    >>> phrase(r"\text{the same as the answer}"), phrase("June 20"), phrase("2x")
    ('the same as the answer', 'June 20', None)
    """
    plain = in_plain_words(text).strip()
    if plain == "DNE":
        return "does not exist"
    if re.search(r"[\\^_=<>+*/|{}\[\]]|^-|[^\W\d_]\(", plain) or not _LETTERS.search(plain):
        return None
    if plain.startswith("(") and plain.find(")") == len(plain) - 1:
        plain = plain[1:-1].strip()
    words = re.findall(r"[^\W\d_]+", plain)
    marked = bool(_MARKED.fullmatch(text.strip()))
    numbers = re.findall(r"\d+", plain)
    if numbers and not (re.match(r"[^\W\d_]{3,}", plain) and len(words) + len(numbers) <= 4):
        return None
    several = len(words) > 1 and all(len(word) > 1 for word in words) and any(len(word) > 3 for word in words)
    if numbers or several or len(words[0]) > 3 or (marked and max(map(len, words)) > 1):
        return plain
    return None


_NO_SOLUTION = re.compile(r"no (?:real )?solutions?|(?:the )?empty set", re.IGNORECASE)

_ALL = re.compile(r"(?:the set of )?all (real numbers|reals)", re.IGNORECASE)


def in_signs(text: str) -> str:
    r"""Words that a sign or a number stands for: no solution is the empty set.

    >>> in_signs(r"\text{no solution}"), in_signs("twenty-one"), in_signs("even")
    ('\\emptyset ', '21', 'even')
    """
    said = phrase(text)
    if said is None:
        return text
    if _NO_SOLUTION.fullmatch(said):
        return r"\emptyset "
    if said.casefold() == "infinitely many":
        return r"\infty "
    if numbers := _ALL.fullmatch(said):
        return rf"\mathbb{{{numbers[1][0].upper()}}}"
    value = number_in_words(said.casefold())
    return text if value is None else str(value)


_CHOICE = re.compile(r"\(([A-Za-z])\)|([A-Za-z])\)|\(([A-Za-z])|\[([A-Z])\]|([A-K])[.:]|([A-K])")
_WITH_TEXT = re.compile(
    r"\s*(?:\(([A-K])\)|([A-K])\)|([A-K])[.:](?!\d))\s*(?P<rest>(?![,;]|or\b|and\b)\S.*)", re.DOTALL
)


def choice(text: str) -> str | None:
    r"""The letter of a multiple choice, in brackets or alone.

    >>> choice(r"\text{(B)}"), choice(r"(\text{b})"), choice("E)"), choice("B"), choice("x"), choice("x+1")
    ('B', 'B', 'E', 'B', None, None)
    """
    plain = re.sub(r"^\s*(?:option|choice|answer|part)\s+(?=\(?[A-K]\b)", "", in_plain_words(text), flags=re.IGNORECASE)
    match = _CHOICE.fullmatch(re.sub(r"[{}\s]", "", plain))
    found = next((group for group in match.groups() if group), None) if match else None
    return found.upper() if found else None


def choice_with_text(text: str) -> tuple[str, str] | None:
    r"""The letter of a choice and what it says: `(C) 13`.

    >>> choice_with_text(r"\text{(C)} 13"), choice_with_text("E: a longer option"), choice_with_text("C")
    (('C', '13'), ('E', 'a longer option'), None)
    """
    match = _WITH_TEXT.fullmatch(in_plain_words(text).replace("{}", ""))
    if match is None:
        return None
    return next(group for group in match.groups() if group), match["rest"].strip()


def is_bare_letter(text: str) -> bool:
    """Whether a text is one letter without any mark of a choice."""
    return len(text.strip()) == 1
