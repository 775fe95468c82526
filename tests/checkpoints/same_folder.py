"""Whether two run folders hold the same, wall times and paths aside: `differences(a, b)` names what does not."""

import csv
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]

from rsgrpo import run_folder
from tests.runs import records

OF_A_PROCESS = (run_folder.CONFIG, run_folder.OVERRIDES, run_folder.RUN, run_folder.DONE)
"""How the last process was started, with which code on which machine, and how long it took."""


def differences(a: Path, b: Path) -> list[str]:
    """A sentence for each file that only one folder has, and for each whose content differs."""
    left, right = _files(a), _files(b)
    found = [
        f"only in {folder.name}: {name}"
        for folder, mine, other in ((a, left, right), (b, right, left))
        for name in sorted(mine - other)
    ]
    found += [name for name in sorted(left & right) if _content(a, name) != _content(b, name)]
    if events(a / "tensorboard") != events(b / "tensorboard"):
        found.append("the events of TensorBoard")
    state, other = (_of_the_run(run_folder.checkpoints(folder)[-1]) for folder in (a, b))
    found += _unequal(state, other, "state")
    return found


def events(folder: Path) -> list[tuple[int, str, bytes]]:
    """Step, tag and value of everything in the event files, each as often as it is there, without wall times."""
    values = []
    for file in folder.glob("*tfevents*"):
        for raw in RawEventFileLoader(str(file)).Load():
            event = Event.FromString(raw)
            values += [(event.step, value.tag, value.SerializeToString()) for value in event.summary.value]
    return sorted(value for value in values if not value[1].startswith("time/"))


def table(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, without wall times."""
    with file.open(newline="") as lines:
        return [
            {name: value for name, value in row.items() if not name.startswith("time/")}
            for row in csv.DictReader(lines)
        ]


def _files(run: Path) -> set[str]:
    """Every file, the event files aside, and what somebody may change in the code while the runs go on."""
    files = (file.relative_to(run).as_posix() for file in run.rglob("*") if not file.is_dir())
    return {name for name in files if "tfevents" not in name and name != run_folder.SOURCE_DIFF}


def _content(run: Path, name: str) -> Any:
    file = run / name
    if name in OF_A_PROCESS:
        return _done(file) if name == run_folder.DONE else None
    if file.suffix == ".jsonl":
        return [
            {key: value for key, value in record.items() if not key.startswith("time/")} for record in records(file)
        ]
    if file.suffix == ".csv":
        return table(file)
    if file.suffix == ".safetensors":
        return {name: (tensor.shape, tensor.numpy().tobytes()) for name, tensor in load_file(file).items()}
    if file.name == run_folder.MANIFEST:
        return sorted(json.loads(file.read_text())["files"])
    return None if file.name == run_folder.STATE else file.read_bytes()


def _done(file: Path) -> Any:
    """Iterations and tokens are those of the run; the seconds are those of the last process."""
    done = run_folder.read_json(file)
    return done["iteration"], done.get("tokens")


def _of_the_run(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds, without what Lightning counts of evaluations outside training in each process."""
    state = torch.load(run_folder.state_of(checkpoint), weights_only=True)
    loops = {name: counted for name, counted in state["loops"].items() if name not in ("validate_loop", "test_loop")}
    return state | {"loops": loops}


def _unequal(a: Any, b: Any, at: str) -> list[str]:
    """Where two checkpoints differ: tensors by their bits."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [at]
    if isinstance(a, dict) and a.keys() == b.keys():
        return [place for key in a for place in _unequal(a[key], b[key], f"{at}.{key}")]
    if isinstance(a, list | tuple) and len(a) == len(b):
        return [place for i, (x, y) in enumerate(zip(a, b, strict=True)) for place in _unequal(x, y, f"{at}[{i}]")]
    return [] if a == b else [f"{at}: {a} and {b}"]
