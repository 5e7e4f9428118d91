"""Work that is independent, one piece a core.

Small tensor operations hold Python's lock for a good part of their time, so two threads give 1.5 cores' worth where two
processes give two. A forked process starts with everything this one has loaded; only results travel back.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, TypeVar

import torch

__all__ = ["one_each_core"]

Item = TypeVar("Item")
Result = TypeVar("Result")
_WATCH_SECONDS = 1.0


def one_each_core(run: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`run(item)` in order, as many at a time as torch has threads, each on one thread.

    Forked processes on Linux, threads elsewhere (Windows has no fork, and macOS's own libraries do not survive one).
    Items and results must be picklable; `run` need not be. A piece that raises ends the iteration with its exception.
    """
    workers = min(torch.get_num_threads(), len(items))
    if workers <= 1:
        yield from map(run, items)
        return
    with _executor(workers, run) as pool:
        if isinstance(pool, ProcessPoolExecutor):
            yield from pool.map(_call, items)
        else:
            yield from pool.map(run, items)


def _executor(workers: int, run: Callable[..., Any]) -> Executor:
    if sys.platform == "linux":
        fork = multiprocessing.get_context("fork")
        return ProcessPoolExecutor(workers, fork, initializer=_begin, initargs=(run, os.getpid()))
    return ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))


_work: Callable[..., Any] | None = None  # what this child does; a fork inherits it, so it is never pickled


def _begin(run: Callable[..., Any], parent: int) -> None:
    global _work
    _work = run
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: int) -> None:
    """End this process when its parent is gone: a killed parent closes no queue."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _call(item: Any) -> Any:
    assert _work is not None
    return _work(item)
