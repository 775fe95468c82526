"""SIGTERM and Ctrl-C end a run between two iterations, with a checkpoint, and not in the middle of one."""

import os
import signal
import threading
from types import FrameType

from rsgrpo.distributed import ranks


class StopSignals:
    """Remembers that this process was asked to stop; the ranks agree on it at the end of an iteration.

    A second Ctrl-C stops at once.
    """

    HEARD = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self.received: str | None = None

    def listen(self) -> None:
        """From now on, and until somebody else handles these signals, only remember them."""
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for number in self.HEARD:
                signal.signal(number, self._remember)

    def let_through(self) -> None:
        """From now on both signals end the process at once: where there is nothing to save."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is None:
            self.received = signal.Signals(number).name
            if ranks.is_first():
                # print() may not be entered twice, and a handler can interrupt one.
                os.write(2, f"\n{self.received}: stopping after this iteration; Ctrl-C again stops at once\n".encode())
