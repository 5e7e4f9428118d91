"""Calls that may never return, each under a deadline, in a process that can be killed.

RDKit, PoseBusters and tblite run C++ loops that ignore signals (rdkit#9227, #7922, #8006), so a timeout inside the
process is no timeout. Items go in batches, answers come back one by one: the parent always knows which item is
being worked on, and after a kill only that item is lost. 10,000 cheap items cost about a second of overhead.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scigen.errors import ResourceError

__all__ = ["Deadline", "Outcome", "call_each"]

SECONDS = 10.0
_STARTUP_SECONDS = 180.0  # imports on a loaded machine and a cold disk
_BATCH = 32


@dataclass(frozen=True)
class Outcome:
    """What one item gave: a value, or the sentence that says why there is none."""

    value: Any = None
    error: str | None = None


class Deadline:
    """`Deadline("module:function", seconds)`: the function in a child process, each call within `seconds`.

    `warm` names a function that runs once in a fresh child, outside any deadline. The child starts with the first item
    and is replaced after a kill; leaving the `with` block ends it. Items and values are JSON.
    Raises `ResourceError` when the child cannot start at all.
    """

    def __init__(self, call: str, seconds: float = SECONDS, warm: str | None = None) -> None:
        self._call, self._seconds, self._warm = call, seconds, warm
        self._worker: _Worker | None = None

    def __enter__(self) -> Deadline:
        """Nothing is started before the first item."""
        return self

    def __exit__(self, *reason: object) -> None:
        """End the child."""
        self.close()

    def __call__(self, item: Any) -> Outcome:
        """The outcome of one item."""
        return next(self.each([item]))

    def each(self, items: Sequence[Any], batch: int = _BATCH) -> Iterator[Outcome]:
        """Outcomes in order. Abandoning the iteration leaves the child in the middle of a batch, so it is ended."""
        done = 0
        while done < len(items):
            self._worker = self._worker or _Worker(self._call, self._warm)
            chunk = items[done : done + batch]
            self._worker.send(chunk)
            left = len(chunk)
            try:
                while left and self._worker is not None:
                    outcome = self._worker.receive(self._seconds)
                    left, done = left - 1, done + 1
                    if not self._worker.alive:
                        self.close()
                    yield outcome
            finally:
                if left:
                    self.close()

    def close(self) -> None:
        """Kill the child if there is one."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()


def call_each(
    call: str, items: Sequence[Any], seconds: float = SECONDS, warm: str | None = None, batch: int = _BATCH
) -> Iterator[Outcome]:
    """Outcomes of `call(item)` in order, each within `seconds`: a `Deadline` for the length of one list."""
    with Deadline(call, seconds, warm) as deadline:
        yield from deadline.each(items, batch)


class _Worker:
    """One child process and the thread that reads it (a thread works where pipes cannot be polled)."""

    def __init__(self, call: str, warm: str | None) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
        self.alive = True
        self._call, self._warm = call, warm
        self._lines: queue.Queue[str] = queue.Queue()
        # Own session: Ctrl-C reaches the parent, which closes us; the pipe's end closes us if the parent is killed.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scigen.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env=environment,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.send([])
        self._take(_STARTUP_SECONDS, "start")
        if not self.alive:
            self.close()
            raise ResourceError(f"The worker process for `{call}` did not start; run `scigen doctor` to see why.")

    def send(self, items: Sequence[Any]) -> None:
        """Hand over a batch; the child is idle here, so the write never waits for a stuck item."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"call": self._call, "warm": self._warm, "items": list(items)}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the next receive reports it

    def receive(self, seconds: float) -> Outcome:
        """The next outcome; on silence or death the item is given up and the worker is dead."""
        line = self._take(seconds, "item")
        if line is None:
            return Outcome(error=f"timed out after {seconds:g} s")
        if not line:
            return Outcome(error="the process died (out of memory or a crash in native code)")
        return Outcome(**json.loads(line))

    def close(self) -> None:
        """Kill and reap."""
        self._process.kill()
        self._process.wait()

    def _take(self, seconds: float, what: str) -> str | None:
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            line = None
        self.alive = bool(line)
        return line

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")
