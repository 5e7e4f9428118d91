"""A controlled network starts as its trunk, keeps its symmetries and its weights, and learns what the control says."""

from __future__ import annotations

import copy

import pytest
import torch

from scigen.adapt.control import Controlled
from scigen.denoiser import from_network
from scigen.domains.molecules.loss import LossConfig, molecule_loss
from scigen.domains.molecules.process import blank, molecule_process
from scigen.nn.transformer import GraphTransformer, TransformerConfig
from scigen.process.affine import rectified
from scigen.solver import ddim, sample
from scigen.solver.grids import late
from scigen.state import State, center
from tests.nn.problems import MOLECULES, TOLERANCE, belief_of, gap, levels, noised, orthogonal, small, widen

DOUBLE = torch.float64


def controlled(dtype=DOUBLE, features=2):
    return Controlled(copy.deepcopy(small("transformer", dtype)), features)


def with_control(x, features=2, seed=11):
    draw = torch.randn(*x.mask.shape, features, generator=torch.Generator().manual_seed(seed), dtype=x["pos"].dtype)
    return x.replace(control=draw * x.mask[..., None])


def run(net, x, previous=None):
    with torch.no_grad():
        return net(x, levels(x), previous)


def loss_of(net, x, rng):
    return molecule_loss(net, molecule_process(rectified()), x, rng, LossConfig(self_condition=1.0))[0]


def trained(rng):
    """Two steps on real molecules: the first moves the exits alone."""
    net, data = controlled(), with_control(MOLECULES.replace(pos=MOLECULES["pos"].double()))
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 3e-3)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(net, data, rng).backward()
        optimizer.step()
    return net


@pytest.mark.parametrize("remembers", [False, True])
def test_at_first_it_is_the_trunk_exactly(remembers):
    net, x = controlled(), with_control(noised(DOUBLE))
    previous = belief_of(x) if remembers else None
    assert gap(run(net, x, previous), run(net.trunk, x, previous), x.mask) == 0


def test_the_zero_maps_have_a_gradient(rng):
    """First the exits, then, once they let something through, the copy and the entry."""
    net, x = controlled(), with_control(MOLECULES.replace(pos=MOLECULES["pos"].double()))
    loss_of(net, x, rng).backward()
    assert all(p.grad.norm() > 1e-6 for p in net.exits.parameters())
    assert not net.entry.weight.grad.any() and not any(p.grad.any() for p in net.copy.parameters())
    for p in net.exits.parameters():
        torch.nn.init.normal_(p, std=0.1, generator=rng)
    loss_of(net, x, rng).backward()
    assert net.entry.weight.grad.norm() > 1e-6 and all(p.grad.any() for p in net.copy.parameters())


def test_the_trunk_stays_what_it_was(rng):
    net = trained(rng)
    kept, was = (n.trunk.state_dict() for n in (net, controlled()))
    assert all(torch.equal(kept[name], was[name]) for name in was)
    assert {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad} == {"copy", "entry", "exits"}
    x = with_control(noised(DOUBLE))
    assert gap(run(net, x), run(net.trunk, x), x.mask) > 1e-3
    assert gap(run(net, x), run(net, with_control(x, seed=12)), x.mask) > 1e-6, "the control is seen"


@pytest.mark.parametrize("determinant", [1, -1], ids=["rotation", "reflection"])
def test_turning_the_input_turns_the_output(determinant, rng):
    net, x, q = trained(rng), with_control(noised(DOUBLE)), orthogonal(determinant, DOUBLE)
    out, got = run(net, x), run(net, x.replace(pos=x["pos"] @ q))
    assert gap(got, {**out, "pos": out["pos"] @ q}, x.mask) < TOLERANCE[DOUBLE]


def test_padding_does_not_show(rng):
    net, x = trained(rng), with_control(noised(DOUBLE))
    plain = x.replace(control=x["pos"][..., :1])
    wide, _ = widen(State({k: v for k, v in plain.fields.items() if k != "control"}, x.mask), None, 5)
    wide = wide.replace(control=torch.nn.functional.pad(x["control"], (0, 0, 0, 5), value=7.0))
    n, out = x.mask.shape[1], run(net, wide)
    cut = {"pos": out["pos"][:, :n], "atom": out["atom"][:, :n], "bond": out["bond"][:, :n, :n]}
    assert gap(cut, run(net, x), x.mask) < TOLERANCE[DOUBLE]


def test_it_learns_the_condition(rng):
    """From noise alone nobody can tell the atoms; the control names them (one of three, at random)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trunk = GraphTransformer(TransformerConfig(3, width=16, pair=4, message=8, vectors=2, heads=2, layers=2))
    net, logsnr = Controlled(trunk, 3), torch.full((16,), -8.0)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 3e-2)

    def batch():
        token, redrawn = torch.randint(3, (2, 16, 4), generator=rng)
        mask, pos = torch.ones(16, 4) > 0, torch.randn(16, 4, 3, generator=rng)
        fields = {"pos": center(pos, mask), "atom": redrawn, "bond": torch.zeros(16, 4, 4, dtype=torch.long)}
        return State({**fields, "control": torch.nn.functional.one_hot(token, 3).float()}, mask), token

    for _ in range(50):
        x, token = batch()
        loss = torch.nn.functional.cross_entropy(net(x, logsnr)["atom"].flatten(0, 1), token.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x, token = batch()
    with torch.no_grad():
        guess, blind = (f(x, logsnr)["atom"].argmax(-1) for f in (net, net.trunk))
    assert (guess == token).float().mean() > 0.95
    assert (blind == token).float().mean() < 0.6


def test_a_control_travels_through_the_sampler(rng):
    flow, sizes, net = rectified(), [5, 4], controlled(torch.float32)
    torch.nn.init.normal_(net.entry.weight, generator=rng)
    for p in net.exits.parameters():
        torch.nn.init.normal_(p, std=0.1, generator=rng)
    process, ends = molecule_process(flow), []
    for seed in (1, 1, 2):
        streams = [torch.Generator().manual_seed(k) for k in range(2)]
        like = with_control(blank(sizes), seed=seed)
        with torch.inference_mode():
            start = process.source(like, streams)
            x, _ = sample(process, from_network(net, flow), start, late(4, 0.1), streams, ddim())
        assert torch.equal(x["control"], like["control"])
        ends.append(x["pos"])
    assert torch.equal(ends[0], ends[1]) and (ends[0] - ends[2]).abs().max() > 1e-3


def test_impossible_requests_are_refused():
    net, x = controlled(), noised(DOUBLE)
    with pytest.raises(ValueError, match="`control` must be .B, N, 2., got no such field"):
        run(net, x)
    with pytest.raises(ValueError, match=r"got \(4, 19, 3\)"):
        run(net, with_control(x, 3))
    with pytest.raises(ValueError, match="TensorProductNetwork shows no `start`"):
        Controlled(small("e3nn"), 2)
