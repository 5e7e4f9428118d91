"""Orders of training rows: each once an epoch, ranks disjoint, and nothing but the seed and the step counts."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.epochs import place, rows_at
from scigen.errors import InputError

COUNT, BATCH, WORLD = 50, 4, 3


def epoch(number, seed=5, world=WORLD):
    per_epoch = COUNT // (BATCH * world)
    steps = range(number * per_epoch, (number + 1) * per_epoch)
    return [[rows_at(step, rank, world, BATCH, COUNT, (seed,)) for rank in range(world)] for step in steps]


def test_an_epoch_takes_no_row_twice_and_leaves_less_than_a_step():
    rows = np.concatenate(np.concatenate(epoch(0)))
    assert len(set(rows.tolist())) == len(rows) == COUNT - COUNT % (BATCH * WORLD)
    assert rows.min() >= 0 and rows.max() < COUNT


def test_epochs_and_seeds_have_orders_of_their_own():
    first, second, other = (np.concatenate(np.concatenate(e)) for e in (epoch(0), epoch(1), epoch(0, seed=6)))
    assert (first != second).any() and (first != other).any()


def test_a_step_is_the_same_whatever_was_asked_before():
    later = rows_at(1000, 1, WORLD, BATCH, COUNT, (5,))
    epoch(0), epoch(3)
    assert (rows_at(1000, 1, WORLD, BATCH, COUNT, (5,)) == later).all()


def test_ranks_share_what_one_worker_would_take_alone():
    together = np.concatenate([rows_at(2, rank, WORLD, BATCH, COUNT, (5,)) for rank in range(WORLD)])
    assert (together == rows_at(2, 0, 1, BATCH * WORLD, COUNT, (5,))).all()


def test_a_caller_cannot_spoil_the_order():
    with pytest.raises(ValueError, match="read-only"):
        rows_at(0, 0, 1, BATCH, COUNT, (5,))[0] = 7


def test_too_few_rows_are_refused():
    assert place(7, 10, 5) == (3, 1)
    with pytest.raises(InputError, match=r"9 molecules do not fill one batch of 10; lower `train.batch`\."):
        place(0, 9, 10, "molecules")
