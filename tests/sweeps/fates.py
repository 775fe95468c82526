"""A metric that ends the runs which a file names, and writes down in which process each of them is."""

import json
import os
import signal
from pathlib import Path

import torch

from rsgrpo.sweeps.supervise import THREADS
from rsgrpo.types import StepReport

FATES = Path("fates.json")
"""By seed: after which iteration, and the name of a signal, or anything else for an exception."""


def fate(report: StepReport, seed: int) -> dict[str, float]:
    """End as the file says."""
    place = {name: os.environ.get(name, "") for name in (*THREADS, "CUDA_VISIBLE_DEVICES")}
    known = {"pid": os.getpid(), "threads": torch.get_num_threads(), **place}
    Path(f"process_{seed}.json").write_text(json.dumps(known), encoding="utf-8")
    fates = json.loads(FATES.read_text(encoding="utf-8")) if FATES.exists() else {}
    after, end = fates.get(str(seed), (None, ""))
    if report.iteration != after:
        return {}
    if end.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[end])
    raise ZeroDivisionError(end)
