"""Runs a function of `rank_bodies.py` on real gloo processes: `python -m tests.distributed.on_ranks NAME FOLDER`."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from rsgrpo.distributed import ranks
from tests.runs import ROOT


def on_ranks(body: str, folder: Path, ranks: int = 2) -> None:
    """Every rank runs the body; what one of them fails with fails the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "tests.distributed.on_ranks", body, str(folder)]
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(ranks)
    ]
    try:
        said = [process.communicate(timeout=600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    failed = [rank for rank, process in enumerate(processes) if process.returncode]
    assert not failed, "\n".join(f"rank {rank}:\n{said[rank]}" for rank in failed)


def _run() -> int:
    from tests.distributed import rank_bodies

    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    getattr(rank_bodies, sys.argv[1])(Path(sys.argv[2]))
    ranks.leave()
    return 0


if __name__ == "__main__":
    ranks.exit_with(_run)
