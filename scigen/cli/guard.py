"""What a user sees when something goes wrong: one sentence on stderr and an exit code.

0 ok, 1 threshold missed, 2 usage, 3 bad input, 4 partial, 5 numeric, 6 resources, 70 a fault of ours,
130 interrupted, 141 the reader of our output went away, 143 terminated.
"""

from __future__ import annotations

import errno
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from typer.exceptions import Abort, Exit, TyperException

from scigen.errors import ScigenError

__all__ = ["explain", "guarded", "one_line"]

# What the machine refuses, as opposed to what the user mistyped.
_RESOURCES = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EFBIG: "raise the file size limit or choose another folder",
    errno.EROFS: "choose a folder on a writable disk",
    errno.EACCES: "choose a folder you may write to, or mend its permissions",
    errno.EPERM: "choose a folder you may write to, or mend its permissions",
    errno.EMFILE: "raise the limit on open files",
    errno.ENOMEM: "use a smaller batch",
    errno.EIO: "check the disk",
}
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


def guarded(work: Callable[[], int | None], debug: bool = False) -> int:
    """Run `work` and return the exit code; whatever it raises becomes one sentence on stderr.

    `debug` lets the traceback through. SIGTERM unwinds like any exception, so half-written files are cleaned up.
    """
    try:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python takes no signals
            signal.signal(signal.SIGTERM, _terminated)
        code = work() or 0
        sys.stdout.flush()
        return code
    except Exit as stop:
        return stop.exit_code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 2
    except BrokenPipeError:
        # Python would complain again when it closes stdout at exit.
        sys.stdout = sys.stderr = None
        return 128 + signal.SIGPIPE
    except (KeyboardInterrupt, Exception) as error:
        code, sentence = explain(error)
        if type(error).__name__ == "NoArgsIsHelpError":
            return code  # a bare `scigen sample` has printed its help already
        if debug and not isinstance(error, (KeyboardInterrupt, Abort, TyperException)):
            raise
        print(f"scigen: {one_line(sentence)}", file=sys.stderr)
        return code


def explain(error: BaseException) -> tuple[int, str]:
    """The exit code of an exception and the sentence that describes it."""
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "scigen"
        return error.exit_code, f"{error.format_message().rstrip('.')}{_offending(error)} (see `{path} --help`)."
    if isinstance(error, ScigenError):
        return error.exit_code, str(error)
    if isinstance(error, (KeyboardInterrupt, Abort)):
        return 130, "interrupted."
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        return 6, "not enough memory: use a smaller batch (`--batch-size`) or fewer, smaller inputs."
    if isinstance(error, OSError) and error.errno in _RESOURCES:
        return 6, f"{error.strerror}: `{error.filename or 'output'}`; {_RESOURCES[error.errno]}."
    if isinstance(error, OSError) and error.filename is not None:
        return 3, f"{error.strerror}: `{error.filename}`; check the path."
    return 70, f"internal error, {type(error).__name__}: {error}; run again with --debug and report it."


def one_line(text: str, limit: int = 2000) -> str:
    """`text` on one line without control characters, cut at `limit` characters: file names are not ours to trust."""
    flat = " ".join(text.split())
    clean = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in flat)
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def _offending(error: TyperException) -> str:
    # typer tells what a number should be; what it was stands in the validation error behind.
    details: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    return f", got {details[0]['input']!r}" if details else ""


def _is_out_of_memory(error: BaseException) -> bool:
    # torch raises its own classes, and importing torch to name them would cost seconds.
    text = str(error).lower() if isinstance(error, RuntimeError) else ""
    return type(error).__name__ == "OutOfMemoryError" or any(mark in text for mark in _OUT_OF_MEMORY)


def _terminated(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)
