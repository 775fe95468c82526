"""Real worker processes that hang, die, are killed and do not start."""

import os
import shutil
import signal
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from rsgrpo.rewards.math_verify import verifier
from rsgrpo.verification import verifier as program
from rsgrpo.workers.pool import Workers

HANGS = ("answer", "5", "9^{9^{9^{9}}}")
RIGHT = ("answer", "2", "2")
WRONG = ("answer", "2", "3")


@pytest.fixture
def workers():
    pool = Workers(2, verifier(2), timeout_s=4.0)
    yield pool
    pool.close()


def verifier_of_a_copy(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """The file of the workers' program in a copy of the library, which they run from now on."""
    ignored = shutil.ignore_patterns("__pycache__", "bases")
    library = Path(shutil.copytree(Path(program.__file__).parents[1], folder / "rsgrpo", ignore=ignored))
    monkeypatch.setattr("rsgrpo.workers.pool.__file__", str(library / "workers" / "pool.py"))
    return library / "verification" / "verifier.py"


def gone(pid: int) -> bool:
    """Whether a process has ended, within a few seconds."""
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_verdicts_come_in_the_order_of_the_questions(workers: Workers):
    futures = [workers.submit([RIGHT, WRONG, ("gold", "x", "")]) for _ in range(20)]
    assert [future.result() for future in futures] == [["right", "wrong", "right"]] * 20
    assert len(workers.process_ids) == 2
    assert workers.restarts == 0


def test_nothing_is_started_before_the_first_question(workers: Workers):
    assert workers.process_ids == []


def test_closing_ends_the_processes_and_the_next_question_starts_others(workers: Workers):
    workers.submit([RIGHT]).result()
    first = workers.process_ids
    workers.close()
    assert workers.process_ids == []
    assert all(gone(pid) for pid in first)
    assert workers.submit([RIGHT]).result() == ["right"]


def test_the_deadline_kills_and_replaces_a_worker():
    """The limits inside are set beyond the deadline outside, so that only the latter can end it."""
    pool = Workers(1, verifier(100), timeout_s=2.0)
    assert pool.submit([RIGHT]).result() == ["right"]
    (before,) = pool.process_ids
    assert pool.submit([WRONG, HANGS, RIGHT]).result() == ["wrong", "timeout", "right"]
    (after,) = pool.process_ids
    assert after != before
    assert gone(before)
    assert pool.restarts == 1
    pool.close()


def test_a_worker_killed_by_hand_costs_nothing(workers: Workers):
    workers.submit([RIGHT]).result()
    futures: list[Future[list[str]]] = []
    for round in range(30):
        futures.append(workers.submit([RIGHT, WRONG] * 10))
        if round % 10 == 5:
            for pid in workers.process_ids:
                os.kill(pid, signal.SIGKILL)
    assert [future.result() for future in futures] == [["right", "wrong"] * 10] * 30
    assert workers.restarts > 0


def test_a_stopped_worker_is_a_hanging_one():
    pool = Workers(1, verifier(2), timeout_s=2.0)
    pool.submit([RIGHT]).result()
    os.kill(pool.process_ids[0], signal.SIGSTOP)
    assert pool.submit([RIGHT, RIGHT]).result() == ["timeout", "right"]
    pool.close()


def test_an_answer_that_kills_every_worker_is_an_error(monkeypatch: pytest.MonkeyPatch):
    """Each fresh worker breaks its connection when it is asked."""
    pool = Workers(1, verifier(2), timeout_s=4.0)
    real = Workers._start

    def start_and_kill(self: Workers, number: int):
        process = real(self, number)
        process.ask = lambda message, timeout_s: (_ for _ in ()).throw(EOFError)  # what a dead one's pipe raises
        return process

    monkeypatch.setattr(Workers, "_start", start_and_kill)
    assert pool.submit([RIGHT]).result() == ["error"]
    monkeypatch.undo()
    assert pool.submit([RIGHT]).result() == ["right"]
    pool.close()


def test_an_answer_that_would_fill_the_memory_is_an_error_or_a_timeout():
    pool = Workers(1, verifier(2), timeout_s=4.0)
    filler = ("answer", "5", "10^{10^{9}}")
    assert pool.submit([filler, RIGHT]).result() in (["error", "right"], ["timeout", "right"], ["wrong", "right"])
    status = Path(f"/proc/{pool.process_ids[0]}/status").read_text(encoding="ascii")
    assert int(status.split("VmPeak:")[1].split()[0]) * 1024 <= program.ADDRESS_SPACE
    pool.close()


def test_a_worker_that_has_grown_makes_way(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The limit is read in the worker, so the worker's own code is run with a smaller one."""
    verifier_file = verifier_of_a_copy(monkeypatch, tmp_path)
    source = verifier_file.read_text(encoding="utf-8")
    small = source.replace("RESIDENT = 160 * 2**20", "RESIDENT = 1")
    assert small != source
    verifier_file.write_text(small, encoding="utf-8")
    pool = Workers(1, verifier(2), timeout_s=4.0)
    assert pool.submit([RIGHT, WRONG, RIGHT]).result() == ["right", "wrong", "right"]
    assert pool.restarts == 3
    pool.close()


def test_a_worker_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    verifier_file = verifier_of_a_copy(monkeypatch, tmp_path)
    verifier_file.write_text("raise ImportError('no math-verify here')", encoding="utf-8")
    pool = Workers(1, verifier(2), timeout_s=4.0)
    with pytest.raises(RuntimeError, match=r"verification\.verifier did not start: (?s:.*)no math-verify here"):
        pool.submit([RIGHT]).result()
    pool.close()


def test_a_worker_that_is_killed_while_it_starts_is_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The first start of three kills itself, as the system does when memory runs out; three in a row are too many."""
    verifier_file = verifier_of_a_copy(monkeypatch, tmp_path)
    dies = f"import os, pathlib; kills = pathlib.Path({str(tmp_path / 'kills')!r})\n"
    dies += "if left := int(kills.read_text()): kills.write_text(str(left - 1)); os.kill(os.getpid(), 9)\n"
    verifier_file.write_text(dies + verifier_file.read_text(encoding="utf-8"), encoding="utf-8")
    pool = Workers(1, verifier(2), timeout_s=4.0)
    (tmp_path / "kills").write_text("2")
    assert pool.submit([RIGHT]).result() == ["right"]
    assert pool.restarts == 2
    pool.close()
    (tmp_path / "kills").write_text("3")
    with pytest.raises(RuntimeError, match=r"a worker of rsgrpo\.verification\.verifier was killed while it started"):
        pool.submit([RIGHT]).result()
    pool.close()


def test_workers_leave_out_the_trainer():
    """They would hold hundreds of megabytes each."""
    pool = Workers(1, verifier(2), timeout_s=4.0)
    pool.submit([RIGHT]).result()
    maps = Path(f"/proc/{pool.process_ids[0]}/maps").read_text(encoding="utf-8")
    assert "libtorch" not in maps
    assert "python" in maps
    pool.close()
