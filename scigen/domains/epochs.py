"""Which rows a training batch holds: a function of (seed, rank, world, step) alone, so that runs resume exactly."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from scigen.errors import InputError

__all__ = ["place", "rows_at"]


def place(step: int, count: int, share: int, what: str = "shapes") -> tuple[int, int]:
    """The epoch that `step` lies in, and its number there, when a step takes `share` of `count` rows.

    Rows that do not fill a step wait for the next epoch. Raises `InputError` when there are fewer than one step takes.
    """
    if count < share:
        raise InputError(f"{count} {what} do not fill one batch of {share}; lower `train.batch`.")
    return divmod(step, count // share)


def rows_at(step: int, rank: int, world: int, batch: int, count: int, stream: tuple[int, ...]) -> np.ndarray:
    """The `batch` of `count` rows that one rank takes at one step, every epoch in an order of its own."""
    epoch, position = place(step, count, batch * world)
    begin = (position * world + rank) * batch
    return _order(count, (*stream, epoch))[begin : begin + batch]


@lru_cache(maxsize=4)  # a training and a held-out set, each at the turn of an epoch
def _order(count: int, stream: tuple[int, ...]) -> np.ndarray:
    order = np.random.default_rng(list(stream)).permutation(count)
    order.setflags(write=False)
    return order
