"""What writes a file when it is run, which it must not be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


class Trap:
    """An object whose unpickling touches a file."""

    def __init__(self, victim: str) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path(self.victim),)


def python(victim: Path) -> list[str]:
    """Python expressions that touch a file, as a model might write them."""
    return [
        f"open('{victim}','w')",
        f"__import__('os').system('touch {victim}')",
        f"exec(\"open('{victim}','w')\")",
        f"lambda: open('{victim}','w')",
        f"{{{{7*7}}}}${{open('{victim}','w')}}",
    ]
