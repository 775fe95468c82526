"""TensorBoard's event files: sampled text for them, and all of them made anew from the records of a run."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import scalar, text

from rsgrpo import run_folder

COMPLETIONS = "train/completions"
"""Tag of the sampled completions."""

LONGEST_SHOWN = 2000
"""Characters of a completion in the text; `rollouts.jsonl` has all of it."""

ANEW = "events.out.tfevents.0000000000.records"
"""The file made from the records: its name sorts before those of the processes that go on."""


GRAPHS = ("graph_def", "meta_graph_def")
"""Events beside summaries that hold something to show."""


class Written(NamedTuple):
    """One value of a summary, or an event of another kind (a graph)."""

    step: int
    tag: str
    content: bytes
    wall_time: float
    event: Event


def write_anew(
    folder: Path, scalars: Sequence[tuple[int, Mapping[str, float]]], texts: Sequence[tuple[int, Mapping[str, str]]]
) -> None:
    """Replace the event files in `folder` by one that shows the records, each at the time it was first written.

    Other events that lie in the old files (images of a callback, a graph) are kept up to the last record's step.

    Args:
        folder: of the event files.
        scalars: step and value by tag, in the order they were logged.
        texts: the same for text.

    Raises:
        UserError: when the disk refuses; the old files are then what they were.
    """
    files = sorted(file for file in folder.glob("*tfevents*") if file.is_file())
    old = _written(files)
    times: dict[tuple[int, str], float] = {}
    for written in old:
        times.setdefault((written.step, written.tag), written.wall_time)
    of_records = [(step, scalar(tag, value)) for step, values in scalars for tag, value in values.items()]
    of_records += [(step, text(tag, value)) for step, values in texts for tag, value in values.items()]
    tags = {summary.value[0].tag for _, summary in of_records}
    last = max((step for step, _ in of_records), default=0)
    others = {w[:3]: w.event for w in old if w.tag not in tags and w.step <= last}
    events = [
        Event(wall_time=times.get((step, summary.value[0].tag), time.time()), step=step, summary=summary)
        for step, summary in of_records
    ]
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / ANEW, sorted([*events, *others.values()], key=lambda event: event.step))
    for file in files:
        if file.name != ANEW:
            file.unlink()


def _written(files: Iterable[Path]) -> list[Written]:
    """Everything in the files up to a record that was cut short, without their headers."""
    found = []
    for file in files:
        for raw in RawEventFileLoader(str(file)).Load():
            event = Event.FromString(raw)
            for value in event.summary.value:
                alone = Event(wall_time=event.wall_time, step=event.step, summary=Summary(value=[value]))
                found.append(Written(event.step, value.tag, value.SerializeToString(), event.wall_time, alone))
            kind = event.WhichOneof("what")
            if kind in GRAPHS:
                found.append(Written(event.step, kind, getattr(event, kind), event.wall_time, event))
    return found


def _write(file: Path, events: Iterable[Event]) -> None:
    temporary = file.with_name(f"records{run_folder.UNFINISHED}")  # a name that TensorBoard does not read
    try:
        with temporary.open("wb") as out:
            records = RecordWriter(out)
            for event in (Event(wall_time=time.time(), file_version="brain.Event:2"), *events):
                records.write(event.SerializeToString())
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise run_folder.disk_error(file, error) from error


def texts(samples: Iterable[Mapping[str, Any]]) -> list[tuple[int, dict[str, str]]]:
    """Iteration and text by tag of the records of `rollouts.jsonl`: a table of each iteration's samples."""
    return [
        (iteration, {COMPLETIONS: _markdown(group)}) for iteration, group in groupby(samples, itemgetter("iteration"))
    ]


def _markdown(samples: Iterable[Mapping[str, Any]]) -> str:
    """A table: reward, problem and completion of every sample, as literal text."""
    rows = [f"| {s['reward']:g} | {_literal(s['problem'])} | {_literal(s['completion'])} |" for s in samples]
    return "\n".join(["| reward | problem | completion |", "|---|---|---|", *rows])


def _literal(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]} [...]"
    return f"`` {shown.replace('`', chr(39)).replace('|', '&#124;').replace(chr(10), ' ')} ``"
