"""The rules in the order in which they are read, each a module with a table of examples."""

from types import ModuleType

from rsgrpo.verification import bases, clock, qualifiers
from rsgrpo.verification.notation import characters, decoration, names, numbers, tidy, units, words
from rsgrpo.verification.reading import answers

RULES: dict[str, ModuleType] = {
    "Characters": characters,
    "Ornaments": decoration,
    "Expressions": tidy,
    "Numbers": numbers,
    "Letters and names": names,
    "Units, money, percent": units,
    "Lists, sets, equations, inequalities": answers,
    "What letters stand for": qualifiers,
    "Bases and congruences": bases,
    "Times and dates": clock,
    "Words and choices": words,
}
"""Title and module."""


def table() -> str:
    """The examples of all rules as Markdown, a table each."""
    lines = []
    for title, module in RULES.items():
        lines += [f"#### {title}", "", "| gold | answer | verdict | why |", "|---|---|---|---|"]
        lines += [
            f"| {_code(e.gold)} | {_code(e.answer)} | {'equal' if e.equal else 'different'} | {e.why} |"
            for e in module.EXAMPLES
        ]
        lines.append("")
    return "\n".join(lines)


def _code(text: str) -> str:
    text = text.replace("|", r"\|").replace("\N{ZERO WIDTH SPACE}", "(zero width)")
    return f"`` {text} ``" if "`" in text else f"`{text}`"
