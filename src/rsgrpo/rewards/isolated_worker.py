"""The worker process of `reward.isolated=true`: calls one reward on one completion at a time.

Started as `python -m rsgrpo.rewards.isolated_worker FD MEMORY`. It is given the trainer's import path and the pickled
reward, then takes pickled ("score" or "answer", prompt, completion) and returns JSON, never an object: whatever the
text of a model makes a reward do, it hands the trainer no code.
"""

import json
import os
import pickle
import sys
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from rsgrpo.workers.expendable import address_space, be_expendable, limit_memory, resident


def main() -> None:
    """Serve ("score" or "answer", prompt, completion) as a `rsgrpo.workers.pool.Program` does."""
    connection, memory = Connection(int(sys.argv[1])), int(sys.argv[2])
    be_expendable()
    sys.path[:], pickled = pickle.loads(connection.recv_bytes())
    from rsgrpo.rewards.base import answered, judged

    reward = pickle.loads(pickled)
    asked = {"score": judged, "answer": answered}
    limit_memory(address_space() + memory)
    grown = resident() + memory // 2
    connection.send_bytes(b"ready")
    me = os.getpid()
    while True:
        try:
            what, prompt, completion = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        reply = _reply(*asked[what](reward, prompt, completion))
        if os.getpid() != me:
            os._exit(0)  # the reward forked, and this is not the process that was asked
        connection.send_bytes(bytes([resident() > grown]) + json.dumps(reply).encode())


def _reply(result: Any, printed: str) -> dict[str, Any]:
    """The score, or the answer, or `refused`, the sentence that ends the run, or `error` for a lack of memory."""
    if result is None or isinstance(result, str):
        return {"printed": printed, "answer": result}
    if not isinstance(result, Exception):
        parts = {str(name): float(part) for name, part in result.parts.items()}
        return {"printed": printed, "score": asdict(result) | {"value": float(result.value), "parts": parts}}
    if isinstance(result.__cause__, MemoryError):
        return {"printed": printed, "error": "memory"}
    return {"printed": printed, "refused": str(result)}


if __name__ == "__main__":
    main()
