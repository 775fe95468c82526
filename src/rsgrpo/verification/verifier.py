"""The worker process of the verification service: answers one question at a time until its connection closes.

Started as `python -m rsgrpo.verification.verifier FD LIMIT_S`. It imports the comparison and nothing of the trainer,
takes JSON and returns JSON, and is expendable: whoever asked kills it when it takes too long and starts another.
"""

import json
import sys
from multiprocessing.connection import Connection

from rsgrpo.workers.expendable import be_expendable, limit_memory, resident

ADDRESS_SPACE = 240 * 2**20
"""Bytes. An answer that would fill the memory ends in a MemoryError instead; the imports take 61 MiB."""
RESIDENT = 160 * 2**20
"""Bytes. A worker whose caches have grown beyond this makes way for a fresh one."""


def main() -> None:
    """Serve questions (kind, gold, answer) with verdicts, as a `rsgrpo.workers.pool.Program` does."""
    connection = Connection(int(sys.argv[1]))
    limit_s = int(sys.argv[2])
    be_expendable()
    limit_memory(ADDRESS_SPACE)
    from rsgrpo.verification.equality import compare
    from rsgrpo.verification.golds import unreadable_because

    connection.send_bytes(b"ready")
    while True:
        try:
            kind, gold, answer = json.loads(connection.recv_bytes())
        except EOFError:
            return
        verdict = unreadable_because(gold) or "right" if kind == "gold" else compare(gold, answer, limit_s)
        connection.send_bytes(bytes([resident() > RESIDENT]) + json.dumps(verdict).encode())


if __name__ == "__main__":
    main()
