"""How the program was started: as `rsgrpo`, the command of the installed package, or as `python run.py`."""

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def nobody_may_read() -> Iterator[None]:
    """End as a process that SIGPIPE ends, and without a word, where nobody reads what is printed any more.

    `python run.py --help | head` is such a case, and no mistake: `head` has read enough.

    Raises:
        SystemExit: 128 + SIGPIPE.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream.fileno())]
        if not unread:
            raise  # of another pipe
        for stream in unread:  # or Python complains when it takes itself apart
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(128 + signal.SIGPIPE) from None


def _is_unread(output: int) -> bool:
    """Whether the other end of a pipe is closed."""
    poll = select.poll()
    poll.register(output, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _is_script() -> bool:
    return Path(sys.argv[0]).stem == "rsgrpo"


def _is_module() -> bool:
    """Whether this is `python -m rsgrpo`."""
    return Path(sys.argv[0]).parts[-2:] == ("rsgrpo", "__main__.py")
