r"""Numbers in another base, and congruences."""

import re

from rsgrpo.verification.examples import different, equal
from rsgrpo.verification.notation.words import in_plain_words

EXAMPLES = (
    equal("42_7", "42_{7}", "the base as an index"),
    equal("2516_8", "2516", "the base may be left out: the question names it"),
    equal("1101_2", r"1101\text{ (base 2)}", "the base in words"),
    different("1101_2", r"1101\text{ (base 3)}", "another base"),
    different("42_7", "42_8", "another base"),
    different("12.3_5", "12.3_6", "another base"),
    different("28", "28_9", "a number without a base has base ten"),
    equal("24", "24_{10}", "a number without a base has base ten"),
    equal("10001_2", "17_{10}", "two numbers with their bases are compared by value"),
    different("10001_2", "17_2", "a digit that the base does not have"),
    equal(r"p \equiv 1 \pmod{4}", r"p\equiv 5\pmod 4", "residues are compared modulo the modulus"),
    different(r"p \equiv 1 \pmod{4}", "1", "a congruence is not a number"),
    different(r"p \equiv 1 \pmod{4}", r"p \equiv 1 \pmod{8}", "another modulus"),
)

_NAMES = {
    name: i
    for i, name in enumerate(
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], start=2
    )
} | {"sixteen": 16, "binary": 2}
_BASE = rf"(\d+|{'|'.join(_NAMES)})"
_BASED = (
    re.compile(rf"\(?(-?[0-9][0-9A-Za-z]*(?:\.[0-9A-Za-z]+)?)\)?_\{{?\(?(?:base)?{_BASE}\)?\}}?"),
    re.compile(rf"\(?(-?[0-9][0-9A-Za-z]*?(?:\.[0-9A-Za-z]+)?)\)?,?\(?(?:in)?base-?_?\{{?{_BASE}\}}?\)?"),
)


def based_number(text: str) -> tuple[str, int] | None:
    r"""(digits, base) of a number with its base as an index or in words.

    >>> based_number("42_7"), based_number("1A2_{16}"), based_number(r"1101\text{ (base 3)}"), based_number("42")
    (('42', 7), ('1A2', 16), ('1101', 3), None)
    """
    plain = in_plain_words(text).replace(" ", "").replace("\\", "")
    for pattern in _BASED:
        if match := pattern.fullmatch(plain):
            base = _NAMES.get(match[2]) or int(match[2])
            if base > 1 and (base > 10 or not re.search("[A-Za-z]", match[1])):
                return match[1].upper().lstrip("0") or "0", base
    return None


def base_value(digits: str, base: int) -> float | int | None:
    """The value of digits in a base; None when it does not have them.

    >>> base_value("1101", 2), base_value("17", 2), base_value("1.1", 2)
    (13, None, 1.5)
    """
    whole, _, part = digits.partition(".")
    if not 2 <= base <= 36 or len(digits) > 400:
        return None
    try:
        value = int(whole, base)
        return value + int(part, base) / base ** len(part) if part else value
    except (ValueError, OverflowError):
        return None


def same_based(gold: str, answer: str) -> bool | None:
    """The verdict where one has a base; None where none has."""
    found = based_number(gold), based_number(answer)
    if found[0] and found[1]:
        values = base_value(*found[0]), base_value(*found[1])
        return found[0] == found[1] or (None not in values and values[0] == values[1])
    if found[0]:
        return (
            found[0][0] == answer.upper().replace(" ", "").lstrip("0") or None
            if not re.fullmatch(r"[0-9A-Za-z .]+", answer)
            else found[0][0] == answer.upper().replace(" ", "").lstrip("0")
        )
    if found[1]:
        value = base_value(*found[1])
        return (
            value is not None and re.fullmatch(r"-?\d+", gold) is not None and found[1][1] == 10 and value == int(gold)
        )
    return None


_MODULUS = re.compile(r"\(?\\?(?:pmod|bmod|mod)(?:\{\}|\s)*[{(]*([^{}()]+)[})]*")


def congruence(text: str) -> tuple[str, tuple[str, ...], str] | None:
    r"""(left side, residues, modulus) of a congruence; the left side may be empty.

    >>> congruence(r"p \equiv 1 \pmod{4}"), congruence(r"1,3 \pmod 8"), congruence("x = 1"), congruence(r"7 \bmod 4")
    (('p', ('1',), '4'), ('', ('1', '3'), '8'), None, None)
    """
    plain = in_plain_words(text)
    if r"\pmod" not in plain and not ((r"\equiv" in plain or "(" in plain) and "mod" in plain):
        return None
    left, sign, right = plain.replace(" ", "").partition(r"\equiv")
    if not sign:
        left, right = "", left
    match = re.fullmatch(rf"(.*?)\\?(?:quad)?{_MODULUS.pattern}", right)
    if match is None:
        return None
    residues = tuple(sorted(part for part in re.split(r",|or|and|\\lor", match[1].strip("\\;")) if part))
    return left, residues, match[2]


def residue_of_numbers(congruent: tuple[str, tuple[str, ...], str]) -> str | None:
    """The residue of a number, where the congruence says one and holds.

    >>> residue_of_numbers(("18", ("4",), "7")), residue_of_numbers(("18", ("5",), "7"))
    ('4', None)
    >>> residue_of_numbers(("p", ("1",), "4")) is None
    True
    """
    left, residues, modulus = congruent
    if len(residues) != 1 or not all(re.fullmatch(r"-?\d{1,30}", number) for number in (left, *residues, modulus)):
        return None
    holds = int(modulus) != 0 and (int(left) - int(residues[0])) % int(modulus) == 0
    return residues[0] if holds else None


def same_congruence(gold: tuple[str, tuple[str, ...], str], answer: tuple[str, tuple[str, ...], str]) -> bool:
    """The same side and modulus, and residues that differ by multiples of it.

    >>> same_congruence(("p", ("1",), "4"), ("p", ("5",), "4")), same_congruence(("p", ("1",), "4"), ("p", ("1",), "8"))
    (True, False)
    """
    if (gold[0] != answer[0] and gold[0] and answer[0]) or gold[2] != answer[2]:
        return False
    if all(re.fullmatch(r"-?\d{1,30}", number) for number in (*gold[1], *answer[1], gold[2])) and int(gold[2]) != 0:
        modulus = int(gold[2])
        return {int(x) % modulus for x in gold[1]} == {int(x) % modulus for x in answer[1]}
    signs = {r"\pm1": ("-1", "1")}
    return gold[1] == answer[1] or signs.get("".join(gold[1])) == answer[1] or signs.get("".join(answer[1])) == gold[1]
