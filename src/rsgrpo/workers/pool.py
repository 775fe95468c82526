"""Worker processes that may hang, crash or be killed at any moment without costing more than the answer at hand."""

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

START_S = 120.0
"""Longest wait for the imports of a new worker; on a busy machine they take many times their two seconds."""

ATTEMPTS = 3
"""A worker that dies on an answer, other than by the deadline, leaves it to a fresh one; the third death is an error.
Likewise a worker that something kills while it starts is started again."""

MOST_WORKERS = 8


def default_count() -> int:
    """One worker for each core that this process may use; ranks on one machine share its cores."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0)) // ranks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What the processes run: `python -m MODULE FD ARGUMENTS...`, a server on the connection FD.

    It takes the `greeting`, if there is one, sends `ready`, and then answers each message with one: a first byte that
    is 1 when it wants to be replaced, and the reply.
    """

    module: str
    arguments: tuple[str, ...] = ()
    greeting: bytes = b""
    encode: Callable[[Any], bytes]
    """A question on its way to the process."""
    decode: Callable[[bytes], Any]
    """A reply on its way back."""


class Workers:
    """`count` processes behind one queue. The first question starts them.

    Each is fed by a thread of its own, which waits for one answer at a time, kills the process at the deadline and
    starts another. Python's own pools lose tasks, or the whole pool, with a worker that is killed.
    """

    def __init__(self, count: int, program: Program, *, timeout_s: float) -> None:
        self.count, self.program, self.timeout_s = count, program, timeout_s
        self.restarts = 0
        self._closing = False
        self._tasks: queue.SimpleQueue[tuple[Sequence[Any], Future[list[Any]]] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._processes: dict[int, _Process] = {}

    def submit(self, questions: Sequence[Any]) -> "Future[list[Any]]":
        """The replies to the questions, in order; `timeout` and `error` stand for those that a process never gave."""
        while len(self._threads) < self.count:
            thread = threading.Thread(target=self._serve, args=(len(self._threads),), daemon=True, name="verification")
            self._threads.append(thread)
            thread.start()
        future: Future[list[Any]] = Future()
        self._tasks.put((questions, future))
        return future

    @property
    def process_ids(self) -> list[int]:
        """Of the processes that are running now."""
        return [process.pid for process in list(self._processes.values()) if process.alive]

    def close(self) -> None:
        """End all processes at once: unanswered questions are cancelled. The next question starts new ones."""
        self._closing = True
        for _ in self._threads:
            self._tasks.put(None)
        for process in list(self._processes.values()):
            process.stop()
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._closing = False

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

    def _ask(self, number: int, question: Any) -> Any:
        """The reply to one question, whatever happens to the worker.

        Raises:
            CancelledError: when the pool is closed meanwhile.
        """
        message = self.program.encode(question)
        for _ in range(ATTEMPTS):
            if self._closing:
                raise CancelledError
            process = self._processes.get(number) or self._start(number)
            try:
                reply = process.ask(message, self.timeout_s)
            except (EOFError, OSError):  # the worker died
                self._replace(number)
                continue
            if reply is None:
                self._replace(number)
                return "timeout"
            if reply[0]:
                self._replace(number)
            return self.program.decode(reply[1:])
        return "error"

    def _start(self, number: int) -> "_Process":
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._processes[number] = _Process(self.program)
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
    """Something killed a worker before it had started."""


class _Process:
    """One worker process and the connection to it.

    Raises:
        RuntimeError: when it does not start, with its output.
        _Killed: when something else ended it before.
    """

    def __init__(self, program: Program) -> None:
        self.connection, theirs = Pipe()
        with tempfile.TemporaryFile() as said, theirs:
            self._process = _spawn(program, theirs, said)
            theirs.close()  # so that the end of the process is the end of the connection
            try:
                if program.greeting:
                    self.connection.send_bytes(program.greeting)
                started = self.connection.poll(START_S) and self.connection.recv_bytes() == b"ready"
            except (EOFError, OSError):
                started = False
            if not started:
                by_signal = self._ended_by_signal()
                self.kill()
                said.seek(0)
                message = said.read().decode(errors="replace")[-2000:]
                kind, what = (_Killed, "was killed while it started") if by_signal else (RuntimeError, "did not start")
                raise kind(f"a worker of {program.module} {what}: {message}")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, message: bytes, timeout_s: float) -> bytes | None:
        """What the process says, None when it did not answer in time."""
        self.connection.send_bytes(message)
        return self.connection.recv_bytes() if self.connection.poll(timeout_s) else None

    def _ended_by_signal(self) -> bool:
        """Of a process whose connection has closed: it is about to end, if it has not."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout=1.0) < 0
        return False

    def stop(self) -> None:
        """End the process, and those that it has started; whoever waits for its reply is told by the connection."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """End the process, those that it has started, and the connection."""
        self.stop()
        self._process.wait()
        with suppress(OSError):
            self.connection.close()


def _spawn(program: Program, connection: Connection, said: IO[bytes]) -> subprocess.Popen[bytes]:
    """A fresh interpreter: a fork would inherit the locks of the trainer's threads, and its GPU."""
    package = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-P", "-m", program.module, str(connection.fileno()), *program.arguments]
    return subprocess.Popen(
        command,
        pass_fds=(connection.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,  # so that they and what they start can be ended together
    )
