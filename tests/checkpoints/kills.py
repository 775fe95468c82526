"""A small run, killed at every kind of file event and at random moments, then resumed: is the folder the same?

    python -m tests.checkpoints.kills            # the whole table
    python -m tests.checkpoints.kills --every 6  # each sixth line of it

A kind is an operation (open for writing, write, torn write, fsync, rename, remove, mkdir, rmdir, truncate) on one
file of the run folder. The kinds are those that an uninterrupted run shows, and those of a resume. All processes are
forked from this one, which has imported everything.
"""

import argparse
import builtins
import io
import json
import os
import random
import re
import runpy
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.checkpoints.same_folder import differences
from tests.runs import ROOT, SETTINGS

WORDS = (
    *(word for word in SETTINGS if not word.startswith(("iterations", "batching", "data", "eval.test_every"))),
    *("iterations=4", "trainer.threads=1", "schedule=adaptive", "schedule.hardest=10"),
    *("batching.prompts_per_iteration=4", "batching.completions_per_prompt=4", "batching.prompts_per_update=2"),
    *("data.levels=[2]", "callbacks.checkpoint.best=eval/validation/pass@1", "callbacks.checkpoint.keep=1"),
    *("callbacks.export.every=2", "callbacks.completions.every=2"),
    "eval.test_every=2",  # both evaluations at one iteration
)


@dataclass(frozen=True, slots=True)
class Moment:
    """The `number`-th time (from 1) that `operation` meets `name`; a torn write gets half of its bytes out."""

    operation: str
    name: str
    number: int
    torn: bool = False


@dataclass(slots=True)
class Watch:
    """Counts the file events of this process below a folder, and kills it at a moment."""

    run: Path
    moment: Moment | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)

    def meet(self, operation: str, path: Any, tear: Callable[[], object] | None = None) -> None:
        """An event is about to happen."""
        try:
            name = Path(os.fsdecode(path)).absolute().relative_to(self.run).as_posix()
        except (TypeError, ValueError):
            return
        name = re.sub(r"events\.out\.tfevents.*", "tfevents", name)
        key = operation, re.sub(r"\d+", "N", name)
        self.seen.append(key)
        self.counts[key] = self.counts.get(key, 0) + 1
        at = self.moment
        if at is not None and key == (at.operation, at.name) and self.counts[key] == at.number:
            if at.torn and tear is not None:
                tear()
            os.kill(os.getpid(), signal.SIGKILL)

    def begin(self) -> None:
        """Listen from now on."""
        sys.addaudithook(self._hear)
        watch, fsync, original = self, os.fsync, builtins.open

        def watched_fsync(handle: int) -> None:
            watch.meet("fsync", os.readlink(f"/proc/self/fd/{handle}"))
            fsync(handle)

        class Raw(io.FileIO):
            def write(self, content: Any) -> int:  # type: ignore[override]
                half = bytes(content)[: len(bytes(content)) // 2]
                watch.meet("write", self.name, tear=lambda: super(Raw, self).write(half))
                return super().write(content)

        def watched_open(
            file: Any,
            mode: str = "r",
            buffering: int = -1,
            encoding: str | None = None,
            errors: str | None = None,
            newline: str | None = None,
            closefd: bool = True,
            opener: Any = None,
        ) -> Any:
            if isinstance(file, int) or not set(mode) & set("wax+"):
                return original(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = Raw(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            if buffering == 0:
                return raw
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

        os.fsync, builtins.open, io.open = watched_fsync, watched_open, watched_open
        self._hear_safetensors()

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.meet("open", args[0])
        elif event in ("os.remove", "os.mkdir", "os.rmdir", "os.truncate"):
            self.meet(event.removeprefix("os."), args[0])
        elif event == "os.rename":
            self.meet("rename", args[1])

    def _hear_safetensors(self) -> None:
        """Weights are written by a library that Python does not see."""
        from rsgrpo.training import export

        save_file = export.save_file

        def watched(tensors: Any, file: Path, **kwargs: Any) -> None:
            def half() -> None:
                save_file(tensors, file, **kwargs)
                os.truncate(file, Path(file).stat().st_size // 2)

            self.meet("write", file, tear=half)
            save_file(tensors, file, **kwargs)

        export.save_file = watched


@dataclass(frozen=True, slots=True)
class Server:
    """Runs of `run.py` in processes forked from this one."""

    policy: Path
    words: Sequence[str] = WORDS

    def start(self, run: Path, moment: Moment | None = None, *, seen: Path | None = None) -> int:
        """Begin or resume (`ckpt=auto`) the run in `run`; returns the id of its process."""
        sys.stdout.flush()
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            os.setsid()
            out = os.open(f"{run}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            watch = Watch(run, moment)
            watch.begin()
            sys.argv = ["run.py", f"hydra.run.dir={run}", "ckpt=auto", f"model.path={self.policy}", *self.words]
            try:
                runpy.run_path("run.py", run_name="__main__")
            except SystemExit as end:
                code = int(end.code or 0)
            if seen is not None:
                seen.write_text(json.dumps(watch.seen))
        finally:
            sys.stderr.flush()
            os._exit(code)

    def whole(self, run: Path, **kwargs: Any) -> None:
        """Let the run in `run` end by itself."""
        code = ended(self.start(run, **kwargs))
        assert code == 0, f"exit code {code}:\n{Path(f'{run}.txt').read_text()}"


def ended(process: int) -> int:
    """Exit code of a process; -9 when it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def moments(seen: Sequence[tuple[str, str]]) -> list[Moment]:
    """The middle one of the events of each kind, in the order the kinds came; a write also torn."""
    found = []
    for operation, name in dict.fromkeys(map(tuple, seen)):
        number = (sum(tuple(event) == (operation, name) for event in seen) + 2) // 2
        number = min(number, sum(tuple(event) == (operation, name) for event in seen))
        found += [
            Moment(operation, name, number, torn) for torn in ((False, True) if operation == "write" else (False,))
        ]
    return found


def prepare() -> None:
    """Import what a run imports, once for all."""
    os.chdir(ROOT)
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    sys.path.insert(0, str(ROOT))
    import matplotlib  # noqa: F401
    import tensorboard.compat.tensorflow_stub  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast  # noqa: F401

    import rsgrpo.callbacks.checkpoint
    import rsgrpo.callbacks.completions  # noqa: F401
    import tests.training.parity_reward  # noqa: F401


def result(server: Server, run: Path, reference: Path) -> str:
    """Resume a killed run to its end: "same", or what differs from the uninterrupted one."""
    code = ended(server.start(run))
    if code:
        return f"ends with {code}: {Path(f'{run}.txt').read_text().strip().splitlines()[-1]}"
    return "; ".join(differences(run, reference)) or "same"


def main() -> int:
    """Print a line for each kill; returns 1 when a folder differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--every", type=int, default=1, help="only each n-th kind of file event")
    parser.add_argument("--random", type=int, default=20, help="random moments")
    parser.add_argument("--logger", default="tensorboard")
    options = parser.parse_args()
    prepare()
    bad = lines = 0
    with tempfile.TemporaryDirectory() as folder:
        for operation, name, what in table(Path(folder), options.logger, every=options.every, kills=options.random):
            print(f"| {operation} | {name} | {what} |", flush=True)
            bad, lines = bad + (what != "same"), lines + 1
    print(f"{lines} kills, {lines - bad} folders the same")
    return int(bad > 0)


def table(folder: Path, logger: str, *, every: int = 1, kills: int = 20) -> Any:
    """(operation, file, result) of each kill."""
    from rsgrpo.models.policy import Policy
    from rsgrpo.models.tiny import build_model, build_tokenizer

    tokenizer = build_tokenizer()
    Policy(build_model(tokenizer, hidden_size=32, num_layers=1, seed=0), tokenizer).save_pretrained(folder / "base")
    server = Server(folder / "base", (*WORDS, f"logger={logger}"))
    reference, log = folder / "reference", folder / "seen.json"
    began = time.monotonic()
    server.whole(reference, seen=log)
    seconds = time.monotonic() - began
    first = moments(json.loads(log.read_text()))

    killed = folder / "killed"  # with something to drop: the first validation after an iteration was not finished
    assert ended(server.start(killed, Moment("open", "eval/validation.jsonl", 3))) == -signal.SIGKILL
    shutil.copytree(killed, folder / "resumed")
    server.whole(folder / "resumed", seen=log)
    known = {(moment.operation, moment.name) for moment in first}
    second = [m for m in moments(json.loads(log.read_text())) if (m.operation, m.name) not in known]

    run = folder / "run"
    for number, (moment, start) in enumerate([*((m, None) for m in first), *((m, killed) for m in second)]):
        if number % every:
            continue
        if start is not None:
            shutil.copytree(start, run)
        code = ended(server.start(run, moment))
        what = result(server, run, reference) if code == -signal.SIGKILL else f"was not killed: {code}"
        yield (
            f"{'torn ' if moment.torn else ''}{moment.operation}{'' if start is None else ', resuming'}",
            moment.name,
            what,
        )
        _forget(run)
    draws = random.Random(0)
    for _ in range(kills):
        wait = draws.uniform(0, seconds)
        process = server.start(run)
        time.sleep(wait)
        os.kill(process, signal.SIGKILL)
        code = ended(process)
        yield "kill", f"after {wait:.2f} s (of {seconds:.2f})", result(server, run, reference)
        _forget(run)


def _forget(run: Path) -> None:
    shutil.rmtree(run, ignore_errors=True)
    Path(f"{run}.txt").unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
