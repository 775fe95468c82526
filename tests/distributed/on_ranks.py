"""Runs a function of `rank_bodies.py` on real gloo processes.

python -m tests.distributed.on_ranks NAME FOLDER PORT RANK RANKS
"""

import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.distributed as dist

from rsgrpo.distributed import ranks
from tests.processes import ROOT, python


def on_ranks(body: str, folder: Path, ranks: int = 2) -> None:
    """Every rank runs the body; what one of them fails with fails the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ("-m", "tests.distributed.on_ranks", body, str(folder), str(port))
    with ThreadPoolExecutor(ranks) as pool:
        started = [
            pool.submit(python, *words, str(rank), str(ranks), variables={"PYTHONPATH": str(ROOT)})
            for rank in range(ranks)
        ]
    ended = [process.result() for process in started]
    failed = [rank for rank, process in enumerate(ended) if process.returncode]
    assert not failed, "\n".join(f"rank {rank}:\n{ended[rank].stdout}{ended[rank].stderr}" for rank in failed)


def _run() -> int:
    from tests.distributed import rank_bodies

    body, folder, port, rank, count = sys.argv[1:]
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=int(rank), world_size=int(count))
    getattr(rank_bodies, body)(Path(folder))
    ranks.leave()
    return 0


if __name__ == "__main__":
    ranks.exit_with(_run)
