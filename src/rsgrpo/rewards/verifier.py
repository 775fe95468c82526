"""The worker process of the verification service: answers one question at a time until its connection closes.

Started as `python -m rsgrpo.rewards.verifier FD LIMIT_S`. It imports the comparison and nothing of the trainer, takes
JSON and returns JSON, and is expendable: whoever asked kills it when it takes too long and starts another.
"""

import ctypes
import json
import logging
import resource
import signal
import sys
import warnings
from multiprocessing.connection import Connection

ADDRESS_SPACE = 240 * 2**20
"""Bytes. An answer that would fill the memory ends in a MemoryError instead; the imports take 61 MiB."""
RESIDENT = 160 * 2**20
"""Bytes. A worker whose caches have grown beyond this makes way for a fresh one."""

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve questions (kind, gold, answer) with (verdict, whether the worker wants to be replaced)."""
    connection = Connection(int(sys.argv[1]))
    limit_s = int(sys.argv[2])
    _be_expendable()
    from rsgrpo.rewards.equality import compare, parsable

    connection.send_bytes(b"ready")
    while True:
        try:
            kind, gold, answer = json.loads(connection.recv_bytes())
        except EOFError:
            return
        verdict = parsable(gold, limit_s) if kind == "gold" else compare(gold, answer, limit_s)
        connection.send_bytes(json.dumps([verdict, _resident() > RESIDENT]).encode())


def _be_expendable() -> None:
    """Die with the parent, leave Ctrl-C to it, stay small, and keep the terminal clean."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def _resident() -> int:
    """Bytes of memory that the process holds now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
