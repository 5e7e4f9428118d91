"""Adapters start as nothing, train alone, keep every symmetry, and fold into the weights."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from scigen.adapt import lora
from scigen.domains.molecules.loss import LossConfig, molecule_loss
from scigen.domains.molecules.process import molecule_process
from scigen.process.affine import rectified
from tests.nn.problems import MOLECULES, SMALL, TOLERANCE, gap, levels, noised, orthogonal, small

every_network = pytest.mark.parametrize("kind", SMALL)


@cache
def frozen(kind):
    """Frozen, because torch folds some products another way for weights that train: it shows in the last bit."""
    return copy.deepcopy(small(kind, torch.float64)).requires_grad_(False)


def fresh(kind):
    return copy.deepcopy(frozen(kind))


def run(net, x=None):
    x = noised(torch.float64) if x is None else x
    with torch.no_grad():
        return net(x, levels(x), None)


def trained(net, rng, where="*"):
    """Adapters of rank 3 after two steps on real molecules: the first moves only B."""
    parameters = lora.attach(net, 3, rng, where, alpha=6.0)
    optimizer = torch.optim.Adam(parameters, 1e-2)
    data = MOLECULES.replace(pos=MOLECULES["pos"].double())
    for _ in range(2):
        loss, _ = molecule_loss(net, molecule_process(rectified()), data, rng, LossConfig(self_condition=1.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return parameters


def test_the_adapter_is_a_low_rank_map_beside_the_weight(rng):
    linear = nn.Linear(7, 5).double()
    x = torch.randn(4, 7, dtype=torch.float64, generator=rng)
    plain = linear(x)
    net = nn.Sequential(linear)
    down, up = lora.attach(net, 2, rng, alpha=3.0)
    assert down.shape == (2, 7) and up.shape == (5, 2)
    assert torch.equal(net(x), plain) and not up.any() and down.any()
    nn.init.normal_(up, generator=rng)
    assert (net(x) - (plain + 1.5 * (x @ down.T) @ up.T)).abs().max() < 1e-14
    assert torch.linalg.matrix_rank(linear.weight - linear.parametrizations.weight.original) == 2


@every_network
def test_a_network_is_itself_until_the_adapter_moves(kind, rng):
    net = fresh(kind)
    before = run(net)
    lora.attach(net, 4, rng)
    assert gap(run(net), before, noised().mask) == 0


@every_network
def test_adapters_alone_are_trained(kind, rng):
    net, was = fresh(kind), frozen(kind).state_dict()
    parameters = trained(net, rng)
    wanted = {name for name, p in net.named_parameters() if p.requires_grad}
    assert wanted and all(".parametrizations.weight.0." in name for name in wanted) and len(wanted) == len(parameters)
    assert all(p.grad is not None and p.grad.any() for p in parameters)
    before = run(frozen(kind))
    assert gap(run(net), before, noised().mask) > 1e-3
    lora.detach(net)
    assert all(torch.equal(v, was[name]) for name, v in net.state_dict().items())
    assert gap(run(net), before, noised().mask) == 0


@every_network
def test_turning_the_input_still_turns_the_output(kind, rng):
    net, x, q = fresh(kind), noised(torch.float64), orthogonal(-1, torch.float64)
    trained(net, rng)
    out = run(net, x)
    got = run(net, x.replace(pos=x["pos"] @ q))
    assert gap(got, {**out, "pos": out["pos"] @ q}, x.mask) < TOLERANCE[torch.float64]


@every_network
def test_merged_is_adapted_and_unmerged_is_both_again(kind, rng):
    net, plain = fresh(kind), frozen(kind).state_dict()
    trained(net, rng)
    adapted, mask = run(net), noised().mask
    kept = lora.merge(net)
    assert net.state_dict().keys() == plain.keys(), "nothing of the adapter is left but the weights"
    assert gap(run(net), adapted, mask) < 1e-12
    assert all(p.requires_grad for p in lora.unmerge(net, kept))
    assert gap(run(net), adapted, mask) < 1e-12
    lora.detach(net)
    assert max(float((v - plain[name]).abs().max()) for name, v in net.state_dict().items()) < 1e-15


def test_adapters_travel_in_a_file_of_their_own(rng, tmp_path):
    net, other = fresh("transformer"), fresh("transformer")
    trained(net, rng, "layers.*.feed_*")
    save_file(lora.tensors(net), tmp_path / "adapter.safetensors")
    flat = load_file(tmp_path / "adapter.safetensors")
    assert sorted(flat)[:3] == ["layers.0.feed_in.down", "layers.0.feed_in.scale", "layers.0.feed_in.up"]
    assert len(flat) == 3 * 2 * 3 and float(flat["layers.0.feed_in.scale"]) == 2
    lora.load(other, flat)
    assert gap(run(other), run(net), noised().mask) == 0


def test_single_precision_stays_so(rng):
    net = nn.Sequential(nn.Linear(3, 3))
    assert {p.dtype for p in lora.attach(net, 2, rng)} == {torch.float32}
    assert net(torch.ones(1, 3)).dtype == torch.float32


def test_a_small_map_takes_its_own_rank(rng):
    assert [tuple(p.shape) for p in lora.attach(nn.Sequential(nn.Linear(6, 1)), 4, rng)] == [(1, 6), (1, 1)]


def test_impossible_requests_are_refused(rng):
    net = fresh("transformer")
    with pytest.raises(ValueError, match="`where` 'layer' matches no linear map; names are like .*bond_out"):
        lora.attach(net, 4, rng, "layer")
    with pytest.raises(ValueError, match="`rank` must be at least 1, got 0"):
        lora.attach(net, 0, rng)
    lora.attach(net, 4, rng, "atom_out")
    with pytest.raises(ValueError, match="already has adapters"):
        lora.attach(net, 4, rng)
    kept = lora.merge(net)
    for bad in ({"nowhere.down": torch.ones(1, 1)}, {**kept, "atom_out.up": torch.ones(2, 4)}):
        with pytest.raises(ValueError, match="does not fit"):
            lora.load(net, bad)
