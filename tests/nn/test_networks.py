"""Both networks keep every symmetry of a molecule, see neither padding nor neighbours, and start from alpha y."""

from __future__ import annotations

import copy

import pytest
import torch

from scigen.domains.molecules.loss import LossConfig, molecule_loss
from scigen.domains.molecules.process import molecule_process
from scigen.process.affine import rectified
from scigen.state import State, center, pair_mask
from tests.nn.problems import MOLECULES, SMALL, TOLERANCE, belief_of, gap, levels, noised, orthogonal, small, widen

every_network = pytest.mark.parametrize("kind", SMALL)
with_and_without = pytest.mark.parametrize("remembers", [False, True], ids=["first", "self-conditioned"])


def run(net, x: State, previous=None, logsnr=None):
    with torch.no_grad():
        return net(x, levels(x) if logsnr is None else logsnr, previous)


@every_network
@with_and_without
@pytest.mark.parametrize("determinant", [1, -1], ids=["rotation", "reflection"])
def test_turning_the_input_turns_the_output(kind, dtype, remembers, determinant):
    net, x, q = small(kind, dtype), noised(dtype), orthogonal(determinant, dtype)
    previous = belief_of(x) if remembers else None
    turned = {**previous, "pos": previous["pos"] @ q} if remembers else None
    out = run(net, x, previous)
    expected = {**out, "pos": out["pos"] @ q}
    got = run(net, x.replace(pos=x["pos"] @ q), turned)
    assert gap(got, expected, x.mask) < TOLERANCE[dtype]
    assert gap(got, out, x.mask) > 0.1, "the test could not fail"


@every_network
def test_translation_leaves_with_the_centre_of_mass(kind, dtype):
    net, x = small(kind, dtype), noised(dtype)
    moved = x["pos"] + torch.tensor([3.0, -1.0, 2.0], dtype=dtype)
    got = run(net, x.replace(pos=center(moved, x.mask)))
    assert gap(got, run(net, x), x.mask) < TOLERANCE[dtype]
    assert got["pos"].sum(1).abs().max() < TOLERANCE[dtype] / 100
    assert not got["pos"][~x.mask].any()


@every_network
@with_and_without
def test_renumbering_atoms_renumbers_the_output(kind, dtype, remembers):
    net, x = small(kind, dtype), noised(dtype)
    rng = torch.Generator().manual_seed(3)
    # Renumber each molecule within its real atoms.
    order = (torch.rand(x.mask.shape, generator=rng) + ~x.mask * 10).argsort(1)
    previous = belief_of(x) if remembers else None

    def shuffle(f):
        rows = torch.stack([v[o] for v, o in zip(f, order)])
        pairwise = f.dim() > 2 and f.shape[2] == f.shape[1]
        return torch.stack([v[:, o] for v, o in zip(rows, order)]) if pairwise else rows

    out = run(net, x, previous)
    got = run(net, x.map(shuffle), {k: shuffle(v) for k, v in previous.items()} if remembers else None)
    assert gap(got, {k: shuffle(v) for k, v in out.items()}, x.mask) < TOLERANCE[dtype]
    assert gap(got, out, x.mask) > 0.1, "the test could not fail"


@every_network
@with_and_without
def test_padding_does_not_show(kind, dtype, remembers):
    net, x = small(kind, dtype), noised(dtype)
    previous = belief_of(x) if remembers else None
    wide = run(net, *widen(x, previous, 7))
    n = x.mask.shape[1]
    cut = {"pos": wide["pos"][:, :n], "atom": wide["atom"][:, :n], "bond": wide["bond"][:, :n, :n]}
    assert gap(cut, run(net, x, previous), x.mask) < TOLERANCE[dtype]


def test_vectors_of_padding_stay_zero(dtype):
    """They enter no norm: were they to grow, their squares would pass every bound within a few layers."""
    net, x = small("transformer", dtype), noised(dtype)
    assert not x.mask.all()
    (h, v, e), context = net.start(x, levels(x), belief_of(x))
    for layer in net.layers:
        h, v, e = layer(h, v, e, *context)
        assert not v[~x.mask].any() and v[x.mask].any()


@every_network
@with_and_without
def test_the_batch_does_not_show(kind, dtype, remembers):
    net, x = small(kind, dtype), noised(dtype)
    previous = belief_of(x) if remembers else None
    together = run(net, x, previous)
    for k, n in enumerate(x.sizes.tolist()):
        def own(v, k=k, n=n):
            v = v[k : k + 1, :n]
            return v[:, :, :n] if v.dim() > 2 and v.shape[2] == x.mask.shape[1] else v

        mine = {a: own(v) for a, v in previous.items()} if remembers else None
        alone = run(net, x.map(own), mine, levels(x)[k : k + 1])
        assert gap(alone, {a: own(v) for a, v in together.items()}, own(x.mask)) < TOLERANCE[dtype]


@every_network
def test_bond_logits_are_symmetric(kind, dtype):
    net, x = small(kind, dtype), noised(dtype)
    bond = run(net, x, belief_of(x))["bond"]
    assert (bond - bond.transpose(1, 2)).abs().max() < TOLERANCE[dtype]


@every_network
def test_starts_from_the_best_guess_that_ignores_everything(kind, dtype):
    net, x = small(kind, dtype, silent=True), noised(dtype)
    alpha = torch.sigmoid(levels(x)).sqrt()[:, None, None]
    assert (run(net, x, belief_of(x))["pos"] - alpha * x["pos"]).abs().max() < TOLERANCE[dtype]


@every_network
def test_no_belief_is_the_empty_belief(kind):
    net, x = small(kind), noised()
    empty = {name: torch.zeros_like(v) for name, v in belief_of(x).items()}
    assert gap(run(net, x, None), run(net, x, empty), x.mask) == 0
    assert gap(run(net, x, None), run(net, x, belief_of(x)), x.mask) > 1e-2


@every_network
def test_log_snr_matters(kind):
    net, x = small(kind), noised()
    assert gap(run(net, x), run(net, x, logsnr=levels(x) + 1), x.mask) > 1e-2


@every_network
@pytest.mark.parametrize("autocast", [False, True], ids=["full", "bf16"])
def test_every_weight_learns_and_no_gradient_breaks(kind, autocast):
    net = copy.deepcopy(small(kind, silent=True)).train()
    for p in net.parameters():  # one step of training away from the zeros
        if not p.any():
            torch.nn.init.normal_(p, std=0.01)
    rng = torch.Generator().manual_seed(4)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        total, _ = molecule_loss(net, molecule_process(rectified()), MOLECULES, rng, LossConfig(self_condition=1.0))
    total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert [name for name, p in net.named_parameters() if not p.grad.any()] == []


@every_network
def test_coincident_atoms_have_finite_gradients(kind):
    net, x = copy.deepcopy(small(kind)).train(), noised()
    pos = torch.zeros_like(x["pos"]).requires_grad_()
    out = net(x.replace(pos=pos), levels(x), None)
    (out["pos"].square().sum() + out["atom"].square().sum() + out["bond"][pair_mask(x.mask)].square().sum()).backward()
    assert pos.grad.isfinite().all() and all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


@every_network
def test_one_atom_is_a_molecule(kind):
    net, x = small(kind), noised()
    one = State({"pos": x["pos"][:1, :1] * 0, "atom": x["atom"][:1, :1], "bond": x["bond"][:1, :1, :1]}, x.mask[:1, :1])
    out = run(net, one, logsnr=torch.zeros(1))
    assert all(v.isfinite().all() for v in out.values()) and out["pos"].abs().max() == 0
