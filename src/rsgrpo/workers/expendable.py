"""What makes a process one that costs nothing to lose. Worker programs import this file, which imports little."""

import ctypes
import logging
import os
import resource
import signal
import warnings

_PR_SET_PDEATHSIG = 1


def be_expendable() -> None:
    """Die with the parent, leave Ctrl-C to it, leave no core, and keep the terminal clean."""
    end_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def end_with_parent(number: int = signal.SIGTERM, *, parent: int | None = None) -> None:
    """Be sent this signal when the thread that started the process ends, in whatever way.

    Args:
        number: of the signal.
        parent: the number of the process with that thread, for a process that may come too late to be told of its end.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)


def limit_memory(address_space: int) -> None:
    """Bytes of address space; what would take more ends in a MemoryError."""
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))


def address_space() -> int:
    """Bytes of address space that the process has now."""
    return _pages(0)


def resident() -> int:
    """Bytes of memory that the process holds now."""
    return _pages(1)


def _pages(column: int) -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[column]) * resource.getpagesize()
