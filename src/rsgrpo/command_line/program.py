"""How the program was started: as `rsgrpo`, the command of the installed package, or as `python run.py`."""

import sys
from pathlib import Path


def typed() -> str:
    """What a user types before the words of a command line, for messages that show one."""
    return "rsgrpo" if _is_script() or _is_module() else "python run.py"


def started_again() -> list[str]:
    """What starts another process of the same program, which finds the same modules."""
    if _is_script():
        return [sys.executable, "-P", "-m", "rsgrpo"]  # like the script, without the working directory on its path
    if _is_module():
        return [sys.executable, "-m", "rsgrpo"]
    return [sys.executable, str(Path(sys.argv[0]).resolve())]


def _is_script() -> bool:
    return Path(sys.argv[0]).stem == "rsgrpo"


def _is_module() -> bool:
    """Whether this is `python -m rsgrpo`."""
    return Path(sys.argv[0]).parts[-2:] == ("rsgrpo", "__main__.py")
