"""SIGINT and SIGTERM as a request: the run finishes its step, saves and leaves."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = ["Stop", "stop_on_signals"]

PATIENCE = 2.0  # seconds: torchrun forwards what the terminal has sent already, and that is one request, not two


@dataclass
class Stop:
    """The signal that asked for a stop, 0 while none has."""

    number: int = 0
    since: float = 0.0

    def ask(self, number: int, frame: FrameType | None = None) -> None:
        """Note the request; asked again after two seconds, unwind at once."""
        if self.number and time.monotonic() - self.since > PATIENCE:
            raise SystemExit(128 + number)
        if not self.number:
            self.number, self.since = number, time.monotonic()


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Catch both signals for the time of the block (in the main thread; elsewhere Python takes none)."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    former = {number: signal.signal(number, stop.ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
