"""What a run writes to the terminal: once, however many ranks it has."""

from rich.console import Console

from rsgrpo.distributed import ranks


def terminal() -> Console:
    """Standard error, for progress and remarks; silent on all ranks but the first."""
    return Console(stderr=True, quiet=not ranks.is_first())


def say(sentence: str) -> None:
    """On one line of the terminal, however long: it may hold a path or a command to copy."""
    terminal().print(sentence, soft_wrap=True, highlight=False)
