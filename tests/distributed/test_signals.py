"""Signals to this very process: remembered while a run trains, in force again where nothing could be saved."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from rsgrpo.distributed import ranks
from rsgrpo.distributed.signals import StopSignals


@pytest.fixture(autouse=True)
def handlers_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in StopSignals.HEARD}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered_and_announced(number: signal.Signals, capfd: pytest.CaptureFixture[str]) -> None:
    signals = StopSignals()
    signals.listen()
    assert signals.received is None
    os.kill(os.getpid(), number)
    assert signals.received == number.name
    assert f"{number.name}: stopping after this iteration; Ctrl-C again stops at once" in capfd.readouterr().err


def test_other_ranks_say_nothing(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "is_first", lambda: False)
    signals = StopSignals()
    signals.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == "SIGTERM"
    assert capfd.readouterr().err == ""


def test_the_second_ctrl_c_stops_at_once() -> None:
    signals = StopSignals()
    signals.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)  # a scheduler that repeats itself means the same
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert signals.received == "SIGTERM"


def test_what_is_let_through_acts_at_once() -> None:
    signals = StopSignals()
    signals.listen()
    signals.let_through()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert signals.received is None


def test_a_thread_leaves_the_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=StopSignals().listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before
