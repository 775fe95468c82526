"""A process that has imported what a run imports, and becomes a run of a command line by forking: see `processes`.

    python fork_server.py serve SOCKET          # until its standard input ends
    python fork_server.py ask SOCKET WORDS...   # what `python WORDS...` would do here, with this process's streams

The process that asks stands for the run: it ends as the run does, and its end is the end of the run.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import struct
import sys
import types
from contextlib import suppress
from pathlib import Path
from typing import Any

HEAD = struct.Struct("!I")


def ask(address: str, words: list[str]) -> None:
    """Hand the command line, the working directory, the environment and the streams over; end as the run ends."""
    umask = os.umask(0)
    request = {"words": words, "cwd": os.getcwd(), "environment": dict(os.environ), "umask": umask}
    message = json.dumps(request).encode(errors="surrogatepass")
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [HEAD.pack(len(message))], [0, 1, 2])
        server.sendall(message)
        status = server.recv(HEAD.size, socket.MSG_WAITALL)
    code = os.waitstatus_to_exitcode(HEAD.unpack(status)[0])
    if code < 0:
        os.kill(os.getpid(), -code)
    os._exit(code)


def serve(address: str) -> list[str]:
    """Import what a run imports and answer; returns in each run, with its command line."""
    sys.path.pop(0)  # the folder of this file, which a run has not got
    given = dict(os.environ)
    import rsgrpo

    for module in pkgutil.walk_packages(rsgrpo.__path__, "rsgrpo."):
        if module.name != "rsgrpo.__main__":  # a run executes it
            importlib.import_module(module.name)
    set_by_imports = {name: value for name, value in os.environ.items() if given.get(name) != value}
    gc.freeze()
    if not (first := os.fork()):  # before a fork BLAS ends its threads, and begins them again when it first computes
        os._exit(0)
    os.waitpid(first, 0)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), flush=True)

    running: set[int] = set()
    waiting = selectors.DefaultSelector()
    waiting.register(0, selectors.EVENT_READ)
    waiting.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fd == 0:
                os._exit(0)
            if key.fileobj is listener:
                assert len(os.listdir("/proc/self/task")) == 1, "a thread was started, or something computed"
                asker, _ = listener.accept()
                request, streams = received(asker)
                process = os.fork()
                if not process:
                    waiting.close()
                    listener.close()
                    asker.close()
                    become(request, streams, set_by_imports)
                    return request["words"]
                for stream in streams:
                    os.close(stream)
                running.add(process)
                waiting.register(os.pidfd_open(process), selectors.EVENT_READ, (process, asker))
                waiting.register(asker, selectors.EVENT_READ, (process, asker))
                continue
            process, asker = key.data
            waiting.unregister(key.fileobj)
            if key.fileobj is not asker:  # the run has ended
                os.close(key.fd)
                running.remove(process)
                _, status = os.waitpid(process, 0)
                with suppress(OSError):  # nobody asks any more
                    asker.sendall(HEAD.pack(status))
            else:  # it was told, or has ended itself: then the run ends too, with what it has started
                asker.close()
                if process in running:
                    end(process)


def end(run: int) -> None:
    """Kill a run and all that it has started."""
    try:
        os.killpg(run, signal.SIGKILL)
    except ProcessLookupError:  # it is not yet the first of its group
        os.kill(run, signal.SIGKILL)


def received(asker: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A request, and the streams that came with it."""
    head, streams, _, _ = socket.recv_fds(asker, HEAD.size, 3)
    message = asker.recv(HEAD.unpack(head)[0], socket.MSG_WAITALL)
    return json.loads(message), list(streams)


def become(request: dict[str, Any], streams: list[int], set_by_imports: dict[str, str]) -> None:
    """Make this forked process what a new one would be."""
    os.setsid()  # so that it can be ended with what it starts
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"] | set_by_imports)
    import numpy as np

    np.random.seed()  # noqa: NPY002  (Python's own generator sees to that itself)


def start(words: list[str]) -> None:
    """What `python WORDS...` does."""
    kind = words[0] if words[0] in ("-m", "-c") else "file"
    file = os.path.abspath(words[0])
    sys.orig_argv = [sys.executable, *words]
    first = {"file": os.path.dirname(file), "-m": os.getcwd(), "-c": ""}[kind]
    searched = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = [first, *map(os.path.abspath, searched)]
    if kind == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    if kind == "-c":
        sys.argv = ["-c", *words[2:]]
        code = compile(words[1], "<string>", "exec")
    else:
        sys.argv = words
        main.__file__ = file
        code = compile(Path(file).read_bytes(), file, "exec")
    exec(code, main.__dict__)


if __name__ == "__main__":
    role, address, *rest = sys.argv[1:]
    if role == "ask":
        ask(address, rest)
    start(serve(address))
