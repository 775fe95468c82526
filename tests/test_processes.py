"""A fork of the server is what a new process would be, or none is made."""

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.processes import ROOT, environment_of, is_forked, new_process, python

STATE = """
import json, os, signal, sys, threading
sys.path.append(os.getcwd())
print(json.dumps({
    "name": __name__, "main": getattr(sys.modules["__main__"], "__file__", None), "argv": sys.argv,
    "orig_argv": sys.orig_argv, "path": sys.path, "flags": str(sys.flags), "cwd": os.getcwd(), "umask": os.umask(0),
    "environment": dict(os.environ), "input": sys.stdin.read(),
    "streams": [[s.encoding, s.errors, s.line_buffering, s.isatty()] for s in (sys.stdin, sys.stdout, sys.stderr)],
    "signals": [str(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGCHLD)],
    "files": sorted(os.listdir("/proc/self/fd")), "threads": threading.active_count(),
}))
print("a word", file=sys.stderr)
"""


@pytest.mark.parametrize("kind", ["file", "-m", "-c"])
def test_a_fork_is_in_the_state_of_a_new_process(kind: str, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/state_of_process.py").write_text(STATE)
    start = {"file": ["lib/state_of_process.py"], "-m": ["-m", "state_of_process"], "-c": ["-c", STATE]}[kind]
    words = [*start, "a", "--b=c d"]
    variables = {"PYTHONPATH": f"{tmp_path / 'lib'}:elsewhere", "COLUMNS": "77"}
    new, fork = (run(*words, cwd=tmp_path, variables=variables) for run in (new_process, python))
    assert (new.returncode, new.stderr) == (fork.returncode, fork.stderr) == (0, "a word\n")
    mine, theirs = json.loads(fork.stdout), json.loads(new.stdout)
    set_by_imports = mine["environment"].keys() - theirs["environment"].keys()
    assert {name: mine["environment"].pop(name) for name in set_by_imports}.keys() <= SET_BY_IMPORTS
    assert mine == theirs


SET_BY_IMPORTS = {"PYTORCH_NVML_BASED_CUDA_CHECK", "TORCHINDUCTOR_CACHE_DIR"}
"""What Lightning and PyTorch add to the environment as they are imported. A fork has it from the start."""


THREAD = "import sys, threading, time as t; threading.Thread(target=lambda: (t.sleep(0.2), print(4, file=sys.stderr)))"


@pytest.mark.parametrize(
    ("code", "ends", "says"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('a sentence')", 1, "a sentence\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import atexit; atexit.register(print, 'at exit', file=__import__('sys').stderr)", 0, "at exit\n"),
        ("import os; os._exit(7)", 7, ""),
        ("import os; os.abort()", -signal.SIGABRT, None),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        (f"{THREAD}.start()", 0, "4\n"),
    ],
)
def test_a_fork_ends_as_a_new_process_does(code: str, ends: int, says: str | None) -> None:
    done = python("-c", code)
    assert done.returncode == ends
    assert says is None or done.stderr.endswith(says)
    assert says != "" or done.stderr == ""


def test_a_fork_that_takes_too_long_ends_with_what_it_has_started(tmp_path: Path) -> None:
    """A pipe to the child ends when the child does."""
    goes_on = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(1000)'])"
    with pytest.raises(subprocess.TimeoutExpired):
        python("-c", goes_on, timeout=1)


def test_a_fork_knows_nothing_of_the_test_process() -> None:
    code = "import sys; print('pytest' in sys.modules, 'rsgrpo' in sys.modules, 'tests' in sys.modules)"
    said = python("-c", code, variables={"PYTHONPATH": ""})
    assert said.stdout == "False True False\n"


def test_what_is_read_while_it_is_imported_needs_a_new_process(tmp_path: Path) -> None:
    given = environment_of({"PYTHONPATH": ""})
    assert is_forked(("run.py",), ROOT, given)
    assert is_forked(("run.py",), ROOT, given | {"COLUMNS": "77", "PYTHONPATH": str(tmp_path)})
    for name in ("ATEN_CPU_CAPABILITY", "HF_HUB_OFFLINE", "OMP_NUM_THREADS", "RANK", "WHATEVER"):
        assert not is_forked(("run.py",), ROOT, given | {name: "0"}), name
    del given["HF_HUB_OFFLINE"]
    assert not is_forked(("run.py",), ROOT, given)


def test_a_module_that_hides_one_of_the_servers_needs_a_new_process(tmp_path: Path) -> None:
    given = environment_of({"PYTHONPATH": ""})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "torch.py").touch()
    assert is_forked(("run.py",), tmp_path, given)
    assert not is_forked(("run.py",), tmp_path, given | {"PYTHONPATH": "elsewhere:mine"})
    assert not is_forked(("mine/run.py",), tmp_path, given)
    assert is_forked(("-m", "rsgrpo"), tmp_path, given)
    assert not is_forked(("-m", "rsgrpo"), tmp_path / "mine", given)


def test_what_a_test_sets_reaches_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    for start in (new_process, python):
        assert start("-c", "import os; print(os.environ.get('HYDRA_FULL_ERROR'))").stdout == "None\n"
