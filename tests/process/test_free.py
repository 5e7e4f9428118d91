"""Independent entries of a field, read off the process's own projection."""

from __future__ import annotations

import pytest
import torch

from scigen.process.affine import rectified
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.free import free_entries
from scigen.process.product import Product
from scigen.state import State, center, mirror

SIZES = (4, 3, 1)


def state(width=3):
    b, n = len(SIZES), max(SIZES)
    fields = {
        "pos": torch.zeros(b, n, width),
        "feat": torch.zeros(b, n, 2),
        "edge": torch.zeros(b, n, n),
        "atom": torch.zeros(b, n, dtype=torch.long),
        "bond": torch.zeros(b, n, n, dtype=torch.long),
    }
    return State(fields, torch.arange(n)[None] < torch.tensor(SIZES)[:, None])


def symmetric(x):
    pair = x.mask[:, None] & x.mask[:, :, None]
    return x.replace(
        pos=center(x["pos"], x.mask), bond=mirror(x["bond"]) * pair, edge=mirror(x["edge"]), atom=x["atom"] * x.mask
    )


def process(project):
    affine = rectified()
    tokens = uniform_tokens(3, keep_of(affine))
    return Product({"pos": affine, "feat": affine, "edge": affine, "atom": tokens, "bond": tokens}, project)


@pytest.mark.parametrize("width", [2, 3, 4])  # with four coordinates a node field has the shape of a pair field
def test_constraints_and_padding_are_left_out(width):
    x = state(width)
    count = {name: free_entries(process(symmetric), x, name).count.tolist() for name in x.fields}
    assert count["pos"] == [(n - 1) * width for n in SIZES]
    assert count["feat"] == [2 * n for n in SIZES]
    assert count["atom"] == list(SIZES)
    assert count["bond"] == count["edge"] == [n * (n - 1) // 2 for n in SIZES]


def test_without_constraints_every_real_entry_counts():
    x = state()
    free = {name: free_entries(process(lambda x: x), x, name) for name in ("pos", "atom", "bond")}
    assert free["pos"].count.tolist() == [3 * n for n in SIZES]
    assert free["atom"].count.tolist() == list(SIZES)
    assert free["bond"].count.tolist() == [n * n for n in SIZES]


def test_a_bare_tensor_is_free_everywhere():
    free = free_entries(rectified(), torch.zeros(5, 2, 3), "")
    assert free.count.tolist() == [6] * 5
    assert torch.equal(free.total(torch.ones(5, 2, 3)), torch.full((5,), 6.0))


def test_padding_that_is_not_finite_does_not_leak_into_totals():
    x = state()
    free = free_entries(process(symmetric), x, "feat")
    values = torch.where(x.mask[..., None], x["feat"] + 1, torch.nan)
    assert free.total(values).tolist() == [2.0 * n for n in SIZES]
