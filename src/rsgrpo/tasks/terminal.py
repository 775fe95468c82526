"""What is said on the terminal: once, however many ranks a run has."""

from rich.console import Console

from rsgrpo.training import ranks


def terminal() -> Console:
    """Standard error, for progress and remarks; silent on all ranks but the first."""
    return Console(stderr=True, quiet=not ranks.is_first())
