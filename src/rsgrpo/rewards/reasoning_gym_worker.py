"""The worker process of `ReasoningGymReward`: asks the verifier of a task family about one answer at a time.

Started as `python -m rsgrpo.rewards.reasoning_gym_worker FD`. It is given the trainer's import path, then takes pickled
(family, settings, entry, answer) and returns JSON, never an object. Whoever asked kills it when it takes too long.
"""

import json
import pickle
import sys
from multiprocessing.connection import Connection

from rsgrpo.workers.expendable import address_space, be_expendable, limit_memory, resident

MEMORY = 2**31
"""Bytes that a verifier may take beyond the imports; with half of them in its caches a worker makes way for another."""


def main() -> None:
    """Serve questions as a `rsgrpo.workers.pool.Program` does."""
    connection = Connection(int(sys.argv[1]))
    be_expendable()
    sys.path[:] = pickle.loads(connection.recv_bytes())
    from rsgrpo.verification.families import graded, registry

    registry()
    limit_memory(address_space() + MEMORY)
    grown = resident() + MEMORY // 2
    connection.send_bytes(b"ready")
    while True:
        try:
            family, settings, entry, answer = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        score = graded(family, settings, entry, answer)
        connection.send_bytes(
            bytes([resident() > grown]) + json.dumps("malformed" if score is None else score).encode()
        )


if __name__ == "__main__":
    main()
