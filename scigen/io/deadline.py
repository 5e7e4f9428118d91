"""Calls that may hang, made in a child process that can be killed.

Chemistry code loops inside C++ where no signal reaches, so the deadline is kept from outside. The child is a fresh
interpreter that reads one JSON line per call and answers one: nothing is forked, nothing unpickled, and the caller's
main module is not imported again.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from scigen.errors import ResourceError

__all__ = ["Deadline", "Refused", "TooLong"]

_CHILD = "from scigen.io.deadline import serve; serve({task!r}, {memory!r})"


class TooLong(Exception):
    """The call passed its deadline; its process was killed."""


class Refused(Exception):
    """The call raised; the message is the child's `Type: text`."""


class Deadline:
    """`Deadline("package.module:function", seconds)` calls the function with JSON arguments, within the deadline.

    The child starts at the first call and is replaced after a kill. `memory` caps its address space in bytes.
    Use it in a `with` block: leaving it ends the child.
    """

    def __init__(self, task: str, seconds: float = 10.0, memory: int = 4 << 30) -> None:
        self._task, self._seconds, self._memory = task, seconds, memory
        self._child: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def __enter__(self) -> Deadline:
        """Nothing is started before the first call."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the child."""
        self.close()

    def __call__(self, *args: Any) -> Any:
        """The function's JSON answer. Raises TooLong, or Refused when it raised or its process died."""
        fresh = self._child is None
        child = self._start() if self._child is None else self._child
        try:
            assert child.stdin is not None
            child.stdin.write(json.dumps(args).encode() + b"\n")
            child.stdin.flush()
            # The first call also pays for the imports of the child.
            answer = self._answers.get(timeout=self._seconds + (60.0 if fresh else 0.0))
        except queue.Empty:
            self.close()
            raise TooLong(f"took more than {self._seconds:g} s") from None
        except BrokenPipeError:
            answer = b""
        if not answer:
            self.close()
            raise Refused("the process died (out of memory, or a crash in native code)")
        reply = json.loads(answer)
        if "error" in reply:
            raise Refused(reply["error"])
        return reply["value"]

    def close(self) -> None:
        """Kill the child if there is one; the next call starts another."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        code = _CHILD.format(task=self._task, memory=self._memory)
        try:
            child = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        except OSError as error:
            raise ResourceError(f"cannot start a worker process: {error}; raise the limit on processes.") from error
        self._child, self._answers = child, queue.SimpleQueue()
        threading.Thread(target=_listen, args=(child, self._answers), daemon=True).start()
        return child


def serve(task: str, memory: int) -> None:
    """The child's loop: a JSON list of arguments per line on stdin, one JSON answer per line on stdout."""
    from importlib import import_module

    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever native code prints must not end in the answers
    _limit_memory(memory)
    module, name = task.split(":")
    function = getattr(import_module(module), name)
    for line in sys.stdin.buffer:
        try:
            reply = {"value": function(*json.loads(line))}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply).encode() + b"\n")
        answers.flush()


def _listen(child: subprocess.Popen[bytes], answers: queue.SimpleQueue[bytes]) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        answers.put(line)
    answers.put(b"")  # the child is gone


def _limit_memory(memory: int) -> None:
    try:
        import resource
    except ImportError:  # not a Unix
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _environment() -> dict[str, str]:
    # The child must find this package even where the parent extended sys.path by hand; one thread is enough for it.
    paths: Sequence[str] = [path for path in sys.path if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
