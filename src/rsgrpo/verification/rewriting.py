"""Programs of rewriting rules: what they make of a word, and how they are written and read."""

from collections.abc import Sequence

from rsgrpo.verification.listed import whole_numbers

Word = tuple[int, ...]
Rule = tuple[Word, Word]
"""(left side, right side)"""

MAX_RULES, MAX_SIDE = 8, 2
"""Most rules of a program, and most letters on a side of one: too few to write tests down as rules."""


def rewrite(word: Word, program: Sequence[Rule]) -> Word:
    """The word after all rules; of occurrences that overlap, the first is replaced.

    >>> rewrite((1, 2, 2, 1), [((1,), (3,)), ((2,), (1,)), ((1, 3), ())])
    (3, 1)
    """
    for left, right in program:
        out, place = list[int](), 0
        while place < len(word):
            hit = word[place : place + len(left)] == left
            out += right if hit else word[place : place + 1]
            place += len(left) if hit else 1
        word = tuple(out)
    return word


def written(program: Sequence[Rule]) -> str:
    """A program as it stands in a box.

    >>> written([((1, 2), (2, 1)), ((3,), ())])
    '1 2 = 2 1 ; 3 ='
    """
    return " ; ".join(" ".join(map(str, (*left, "=", *right))) for left, right in program)


def passed(program: Sequence[Rule], tests: Sequence[tuple[Word, Word]]) -> int:
    """How many tests a program passes."""
    return sum(rewrite(word, program) == result for word, result in tests)


def program_in(boxed: str) -> list[Rule] | None:
    """The program of a box, its rules apart by semicolons; None for anything else, or none.

    >>> program_in(" 1 2 = 2 1 ; 3="), program_in("1 = 2, 3 = 4"), program_in("")
    ([((1, 2), (2, 1)), ((3,), ())], None, None)
    """
    written = boxed.split(";", MAX_RULES)
    program = [rule for rule in map(_rule, written) if rule is not None]
    return program if len(program) == len(written) <= MAX_RULES else None


def _rule(written: str) -> Rule | None:
    before, equals, after = written.partition("=")
    left, right = whole_numbers(before), whole_numbers(after) if after.strip() else []
    if not equals or left is None or right is None or max(len(left), len(right)) > MAX_SIDE:
        return None
    return tuple(left), tuple(right)
