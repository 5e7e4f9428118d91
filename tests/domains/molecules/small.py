"""What tests of molecules share: an untrained network, and processes that are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from scigen.deadline import Outcome
from scigen.nn.transformer import GraphTransformer, TransformerConfig
from scigen.worker import resolve


def untrained() -> GraphTransformer:
    """A small network whose coordinates move, though nothing has taught it where to."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = GraphTransformer(TransformerConfig(width=32, pair=8, message=16, vectors=4, heads=4, layers=2))
        torch.nn.init.normal_(net.vector_out.weight, std=0.3)
    return net.eval()


class Here:
    """A process pool that stays in this process."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def map(self, f: Callable[[Any], Any], items: Iterable[Any], chunksize: int = 1) -> Iterable[Any]:
        return map(f, items)


class Near:
    """A `Deadline` that stays in this process; values pass through JSON as they do between processes."""

    def __init__(self, call: str, seconds: float, warm: str) -> None:
        self.call = resolve(call)

    def __enter__(self) -> Near:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def each(self, items: Iterable[Any], batch: int) -> Iterator[Outcome]:
        for item in items:
            yield Outcome(json.loads(json.dumps(self.call(json.loads(json.dumps(item))))))
