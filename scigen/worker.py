"""The process behind `scigen.deadline`: reads batches of items, answers one line of JSON for each.

Run as `python -m scigen.worker`. One line in: `{"call": "module:function", "warm": ..., "items": [...]}`;
lines out: `{"ready": true}` once, then `{"value": ...}` or `{"error": "..."}` for each item, as soon as it is done.
"""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from typing import Any, TextIO

__all__ = ["main", "resolve"]

_MEMORY_BYTES = 8 * 2**30  # address space, not resident memory: a runaway search dies before the machine suffers


def resolve(path: str) -> Callable[..., Any]:
    """The function named `module:function`."""
    module, _, name = path.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _answer(function: Callable[[Any], Any], item: Any) -> dict[str, Any]:
    # Any exception becomes the record's own error: one bad record must not end the batch.
    try:
        return {"value": function(item)}
    except MemoryError:
        return {"error": "out of memory"}
    except Exception as error:
        text = str(error).strip().splitlines()
        return {"error": f"{type(error).__name__}: {text[0] if text else 'no message'}"}


def _private_streams() -> tuple[TextIO, TextIO]:
    """Our ends of the pipes; whatever a library prints goes to stderr and cannot spoil the protocol."""
    sink = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return os.fdopen(os.dup(0), encoding="utf-8"), sink


def _limit_memory() -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    except (ImportError, ValueError, OSError):
        pass  # no such limit on this system; the deadline still holds


def main() -> None:
    """Serve until the parent closes the pipe."""
    source, sink = _private_streams()
    _limit_memory()
    ready = False
    for line in source:
        request = json.loads(line)
        function = resolve(request["call"])
        if not ready:
            if request.get("warm"):
                resolve(request["warm"])()
            sink.write('{"ready": true}\n')
            sink.flush()
            ready = True
        for item in request["items"]:
            sink.write(json.dumps(_answer(function, item)) + "\n")
            sink.flush()


if __name__ == "__main__":
    main()
