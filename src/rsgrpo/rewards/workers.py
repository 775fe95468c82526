"""Worker processes that may hang, crash or be killed at any moment without costing more than the answer at hand."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

START_S = 120.0
"""Longest wait for the imports of a new worker; on a busy machine they take many times their two seconds."""

ATTEMPTS = 3
"""A worker that dies on an answer, other than by the deadline, leaves it to a fresh one; the third death is an error.
Likewise a worker that something kills while it starts is started again."""

Question = tuple[str, str, str]
"""(kind, gold, answer): `answer` asks whether the two are equal, `gold` whether the gold can be compared with."""


class Workers:
    """`count` processes behind one queue. The first question starts them.

    Each is fed by a thread of its own, which waits for one answer at a time, kills the process at the deadline and
    starts another. Python's own pools lose tasks, or the whole pool, with a worker that is killed.
    """

    def __init__(self, count: int, *, timeout_s: float, limit_s: int) -> None:
        self.count, self.timeout_s, self.limit_s = count, timeout_s, limit_s
        self.restarts = 0
        self._tasks: queue.SimpleQueue[tuple[Sequence[Question], Future[list[str]]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._processes: dict[int, _Process] = {}

    def submit(self, questions: Sequence[Question]) -> "Future[list[str]]":
        """The verdicts on the questions, in order: those of `rsgrpo.rewards.equality`."""
        while len(self._threads) < self.count:
            thread = threading.Thread(target=self._serve, args=(len(self._threads),), daemon=True, name="verification")
            self._threads.append(thread)
            thread.start()
        future: Future[list[str]] = Future()
        self._tasks.put((questions, future))
        return future

    @property
    def process_ids(self) -> list[int]:
        """Of the processes that are running now."""
        return [process.pid for process in list(self._processes.values()) if process.alive]

    def close(self) -> None:
        """End all processes once what was submitted is done. The next question starts new ones."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _serve(self, number: int) -> None:
        try:
            while (task := self._tasks.get()) is not None:
                questions, future = task
                try:
                    future.set_result([self._ask(number, question) for question in questions])
                except BaseException as error:
                    future.set_exception(error)
        finally:
            self._end(number)

    def _ask(self, number: int, question: Question) -> str:
        """The verdict on one question, whatever happens to the worker."""
        for _ in range(ATTEMPTS):
            process = self._processes.get(number) or self._start(number)
            try:
                reply = process.ask(question, self.timeout_s)
            except (EOFError, OSError):  # the worker died
                self._replace(number)
                continue
            if reply is None:
                self._replace(number)
                return "timeout"
            verdict, tired = reply
            if tired:
                self._replace(number)
            return verdict
        return "error"

    def _start(self, number: int) -> "_Process":
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._processes[number] = _Process(self.limit_s)
                break
            except _Killed:
                self.restarts += 1
                if attempt == ATTEMPTS:
                    raise
        return self._processes[number]

    def _replace(self, number: int) -> None:
        self.restarts += 1
        self._end(number)

    def _end(self, number: int) -> None:
        process = self._processes.pop(number, None)
        if process is not None:
            process.kill()


class _Killed(RuntimeError):
    """A worker was killed before it had started."""


class _Process:
    """One worker process and the connection to it.

    Raises:
        RuntimeError: when it does not start, with what it said.
        _Killed: when something else ended it before.
    """

    def __init__(self, limit_s: int) -> None:
        self.connection, theirs = Pipe()
        with tempfile.TemporaryFile() as said, theirs:
            self._process = _spawn(theirs, limit_s, said)
            theirs.close()  # so that the end of the process is the end of the connection
            try:
                started = self.connection.poll(START_S) and self.connection.recv_bytes() == b"ready"
            except (EOFError, OSError):
                started = False
            if not started:
                by_signal = self._ended_by_signal()
                self.kill()
                said.seek(0)
                message = said.read().decode(errors="replace")[-2000:]
                kind, what = (_Killed, "was killed while it started") if by_signal else (RuntimeError, "did not start")
                raise kind(f"a verification worker {what}: {message}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, question: Question, timeout_s: float) -> tuple[str, bool] | None:
        """(verdict, whether the process wants to be replaced); None when it did not answer in time."""
        self.connection.send_bytes(json.dumps(question).encode())
        if not self.connection.poll(timeout_s):
            return None
        verdict, tired = json.loads(self.connection.recv_bytes())
        return verdict, tired

    def _ended_by_signal(self) -> bool:
        """Of a process whose connection has closed: it is about to end, if it has not."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=1.0) < 0
        return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self.connection.close()


def _spawn(connection: Connection, limit_s: int, said: IO[bytes]) -> subprocess.Popen[bytes]:
    """A fresh interpreter: a fork would inherit the locks of the trainer's threads, and its GPU."""
    package = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-m", "rsgrpo.rewards.verifier", str(connection.fileno()), str(limit_s)]
    return subprocess.Popen(
        command,
        pass_fds=(connection.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env=os.environ | {"PYTHONPATH": path},
    )
