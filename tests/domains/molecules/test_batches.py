"""Batches: a function of (seed, step, rank) alone, no molecule twice in an epoch, little padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scigen.domains.molecules.batches import Batches
from scigen.domains.molecules.codec import encode
from scigen.domains.molecules.data import load_fixture
from scigen.errors import InputError
from scigen.state import State

DATA = load_fixture()
BATCH = 16


def batches(seed: int = 0) -> Batches:
    return Batches.of(DATA, BATCH, seed)


def same(a: State, b: State) -> bool:
    return torch.equal(a.mask, b.mask) and all(torch.equal(a[name], b[name]) for name in a.fields)


def of_sizes(sizes: np.ndarray, batch: int) -> Batches:
    """Batches over molecules that are nothing but sizes: enough to ask for an order."""
    none = torch.zeros(0)
    return Batches(none, none, none, sizes, batch, 0)


def test_a_resumed_run_sees_the_same_batches():
    one, per_epoch = batches(), len(DATA) // BATCH
    straight = [one.at(k) for k in range(2 * per_epoch + 2)]
    for k in (1, per_epoch - 1, per_epoch, 2 * per_epoch + 1):  # each by a fresh object, as after a restart
        assert same(batches().at(k), straight[k])
    assert same(one.at(0), straight[0]), "and going back is allowed"


def test_seeds_and_epochs_differ():
    assert not np.array_equal(batches(0).order(0), batches(1).order(0))
    assert not np.array_equal(batches(0).order(0), batches(0).order(1))


def test_a_batch_is_the_codecs_molecules():
    data = batches()
    rows = data.order(0)[3]
    x, wanted = data.at(3), encode([DATA[int(k)] for k in rows])
    assert same(x, wanted) and x["atom"].dtype == x["bond"].dtype == torch.int64


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_an_epoch_without_overlap(world, monkeypatch):
    data, seen = batches(), []
    order = data.order(0)
    index = {x["pos"].numpy().tobytes(): k for k in range(len(DATA)) for x in [encode([DATA[k]])]}
    for step in range(len(DATA) // (BATCH * world)):
        for rank in range(world):
            x = data.at(step, rank, world)
            seen += [index[p[:n].contiguous().numpy().tobytes()] for p, n in zip(x["pos"], x.sizes.tolist())]
    assert len(seen) == len(set(seen)) == (len(DATA) // (BATCH * world)) * BATCH * world
    assert set(seen) <= set(order.reshape(-1).tolist())


def test_every_molecule_at_most_once_an_epoch_and_nearly_all():
    for epoch in range(3):
        rows = batches().order(epoch).reshape(-1)
        assert len(np.unique(rows)) == len(rows) == len(DATA) // BATCH * BATCH


def test_the_left_out_change_from_epoch_to_epoch():
    left = [frozenset(range(len(DATA))) - set(batches().order(e).reshape(-1).tolist()) for e in range(4)]
    assert len(set(left)) > 1


def test_padding_wastes_little():
    """A mix of sizes like QM9's (18 +- 3 atoms), in pairs of atoms, which is what the network computes on."""
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.normal(18, 3, 20_000).round(), 3, 29).astype(int)
    rows = sizes[of_sizes(sizes, 64).order(0)]
    widest = rows.max(1, keepdims=True)
    assert 1 - rows.sum() / (widest * 64).sum() < 0.05
    assert 1 - (rows**2).sum() / (widest**2 * 64).sum() < 0.10
    shuffled = rng.permutation(sizes)[: rows.size].reshape(-1, 64)
    assert 1 - (shuffled**2).sum() / (shuffled.max(1, keepdims=True) ** 2 * 64).sum() > 0.4, "without buckets"


def test_batches_come_in_no_order_of_size():
    rng = np.random.default_rng(0)
    sizes = np.clip(rng.normal(18, 3, 20_000).round(), 3, 29).astype(int)
    means = sizes[of_sizes(sizes, 64).order(0)].mean(1)
    assert abs(np.corrcoef(means[1:], means[:-1])[0, 1]) < 0.2


def test_too_few_molecules_are_refused():
    with pytest.raises(InputError, match=r"413 molecules do not fill one batch of 800; lower `train.batch`"):
        Batches.of(DATA, 400, 0).at(0, 0, 2)
