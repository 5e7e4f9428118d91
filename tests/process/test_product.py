"""Product: one process a field, one clock, one projection."""

from __future__ import annotations

import torch

from scigen.process.affine import rectified
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product, unchanged
from scigen.state import State, center


def state() -> State:
    mask = torch.tensor([[True, True, True], [True, True, False]])
    fields = {
        "pos": torch.ones(2, 3, 3),
        "atom": torch.zeros(2, 3, dtype=torch.long),
        "charge": torch.full((2, 3), 9.0),
    }
    return State(fields, mask)


def process() -> Product:
    flow = rectified()
    parts = {"pos": flow, "atom": uniform_tokens(4, keep_of(flow))}
    return Product(parts, lambda x: x.replace(pos=center(x["pos"], x.mask)))


def test_fields_without_a_part_are_carried(rng):
    x = process().source(state(), rng)
    assert torch.equal(x["charge"], state()["charge"]) and x.mask is not None
    assert unchanged(x) is x


def test_every_move_projects(rng):
    belief = {"pos": torch.ones(2, 3, 3), "atom": torch.full((2, 3, 4), 0.25)}
    x1 = process().source(state(), rng)
    for x in (
        x1,
        process().noise(state(), x1, torch.tensor([0.2, 0.7]), rng),
        process().step(x1, belief, 0.9, 0.5, rng),
    ):
        assert x["pos"].sum(1).abs().max() < 1e-5
        assert not x["pos"][1, 2].any()


def test_all_fields_share_the_clock(rng):
    x1 = process().source(state(), rng)
    assert torch.equal(process().noise(state(), x1, 1.0, rng)["atom"], x1["atom"])
    assert torch.equal(process().noise(state(), x1, 0.0, rng)["atom"], state()["atom"])
    end = process().step(x1, {"pos": state()["pos"], "atom": torch.eye(4)[[2]].expand(2, 3, 4)}, 0.3, 0.0, rng)
    assert (end["atom"] == 2).all()
