"""A small molecule process and a lawful belief, for methods that must work on whole states."""

from __future__ import annotations

import torch

from scigen.process.affine import Affine
from scigen.process.categorical import absorbing, keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.state import State, center, mirror, pair_mask
from tests.anchors.test_product import empty

ATOMS, BONDS = 3, 2


def project(x: State) -> State:
    return x.replace(pos=center(x["pos"], x.mask), bond=mirror(x["bond"]) * pair_mask(x.mask))


def molecules(affine: Affine) -> Product:
    keep = keep_of(affine)
    return Product({"pos": affine, "atom": uniform_tokens(ATOMS, keep), "bond": absorbing(BONDS, keep)}, project)


def sources(process, sizes, seed=0) -> State:
    return process.source(empty(sizes), torch.Generator().manual_seed(seed))


def padded(x: State, n: int) -> State:
    """The same molecules in wider arrays."""
    wide = empty([n] * len(x.mask))
    k = x.mask.shape[1]
    wide["pos"][:, :k], wide["atom"][:, :k], wide["bond"][:, :k, :k] = x["pos"], x["atom"], x["bond"]
    mask = torch.zeros(len(x.mask), n, dtype=torch.bool)
    mask[:, :k] = x.mask
    return State(wide.fields, mask)


def guess(x_t: State, t, previous=None):
    """A belief of every field that depends on where the atoms are."""
    pos = center(0.5 * x_t["pos"], x_t.mask)
    atom = (
        torch.nn.functional.one_hot(x_t["atom"], ATOMS) + pos.norm(dim=-1, keepdim=True) * torch.arange(ATOMS)
    ).softmax(-1)
    bond = torch.tensor([0.6, 0.4, 0.0], dtype=torch.float64).expand(*x_t["bond"].shape, BONDS + 1)
    return {"pos": pos, "atom": atom, "bond": bond}
