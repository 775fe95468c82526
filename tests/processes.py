"""`python WORDS...` as a user types it, with or without the seconds that each new process spends on its imports.

Most of a small run are imports. `python` hands a command line to a process that has done them and forks a child for
each. The child has the streams, the environment and the working directory of a process of its own and ends as one; of
the test process it has nothing, neither the checks of types nor what a test has patched.

What a fork cannot show is how a program starts, what it imports, and whether the order of a set matters, since all
forks of a server have its hash seed. `new_process` is for whole runs of each kind, among them those that others are
compared with, and `subprocess` itself for tests that send signals or look at processes.
"""

import atexit
import functools
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parents[1]
SERVER = Path(__file__).with_name("fork_server.py")
BEGINNING = os.environ | {"HF_HUB_OFFLINE": "1"}  # no test asks a hub unless it says so
LOCK = threading.Lock()

READ_LATE = {
    *("COLUMNS", "PYTHONPATH", "RSGRPO_CACHE", "RSGRPO_TRACEBACK"),
    *("DIES_AT_CALL", "DIES_BY", "ENGINE_FAILS"),  # of parts that the tests bring
}
"""Variables that nothing reads while it is imported."""


class Python(Protocol):
    """Runs `python WORDS...`, where the first of the words are a file, `-m` and a module, or `-c` and code."""

    def __call__(
        self, *words: str, cwd: Path = ROOT, variables: Mapping[str, str] | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]: ...


def new_process(
    *words: str, cwd: Path = ROOT, variables: Mapping[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """`python WORDS...` in `cwd`, with `variables` beside those that the tests began with."""
    return _finished([sys.executable, *words], cwd, environment_of(variables), timeout)


def python(
    *words: str, cwd: Path = ROOT, variables: Mapping[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[str]:
    """The same in a fork, wherever that is what a new process would be."""
    environment = environment_of(variables)
    start = [sys.executable]
    if is_forked(words, cwd, environment):
        start = [sys.executable, "-ISE", str(SERVER), "ask", str(_server().address)]
    return _finished([*start, *words], cwd, environment, timeout)


def is_forked(words: tuple[str, ...], cwd: Path, environment: Mapping[str, str]) -> bool:
    """Whether a fork of the server is what a new process would be.

    It is not where a variable differs that a library may read while it is imported; where a folder that Python
    searches first holds another module of a name that the server has imported; and on a machine with a GPU, as CUDA
    survives no fork.
    """
    if shutil.which("nvidia-smi") or _read_early(environment) != _read_early(BEGINNING):
        return False
    first = cwd if words[0] in ("-m", "-c") else (cwd / words[0]).parent
    searched = [first, *(cwd / folder for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder)]
    names = {module.name for module in pkgutil.iter_modules(map(str, searched))}
    return not names & _server().imported


def environment_of(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """That of the tests when they began, before libraries and other tests added to it, and `variables`."""
    return BEGINNING | dict(variables or {})


def _read_early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in READ_LATE}


def _finished(
    command: list[str], cwd: Path, environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout)


class _Server:
    """The process that forks, one for each test process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks-")
        self.address = Path(self._folder.name) / "s"
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), "serve", str(self.address)],
            env=_read_early(BEGINNING),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the tests, with which it ends
        )
        assert self._process.stdout is not None
        self.imported = set(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the server, and wait for it."""
        self._process.communicate()
        self._folder.cleanup()


@functools.cache
def _only_server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


def _server() -> _Server:
    with LOCK:  # or two threads would each start one
        return _only_server()
