import random

from rsgrpo.verification.rewriting import Rule, Word, program_in, rewrite, written


def replaced(word: Word, program: list[Rule]) -> Word:
    """`rewrite` by a text in which every letter stands between spaces of its own."""
    text = "".join(f" {letter} " for letter in word)
    for left, right in program:
        text = text.replace("".join(f" {letter} " for letter in left), "".join(f" {letter} " for letter in right))
    return tuple(map(int, text.split()))


def drawn(rng: random.Random) -> list[Rule]:
    sides = [tuple(rng.choices(range(3), k=k)) for k in (1, 2, 2, 0, 1, 1)]
    return list(zip(sides[::2], sides[1::2], strict=True))


def test_rules_rewrite_as_text_is_replaced():
    rng = random.Random(0)
    for _ in range(2000):
        program, word = drawn(rng), tuple(rng.choices(range(3), k=8))
        assert rewrite(word, program) == replaced(word, program)


def test_what_is_written_is_read():
    rng = random.Random(0)
    for _ in range(200):
        program = drawn(rng)
        assert program_in(written(program)) == program
