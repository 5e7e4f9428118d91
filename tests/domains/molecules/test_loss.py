"""The loss: nothing to pay for a perfect prediction, the stated weights, the same numbers every time."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.domains.molecules.codec import BOND_ORDERS, TOKENS, encode
from scigen.domains.molecules.data import load_fixture
from scigen.domains.molecules.loss import LossConfig, molecule_loss
from scigen.domains.molecules.process import molecule_process
from scigen.process.affine import rectified, vp
from scigen.state import pair_mask

X0 = encode([load_fixture()[k] for k in (3, 50, 120, 300, 310, 320)])
PROCESS = molecule_process(rectified())
NEVER = LossConfig(self_condition=0.0)


class Known:
    """Predicts what it was told, and remembers what it was shown."""

    def __init__(self, pos, sure: float = 20.0) -> None:
        one_hot = torch.nn.functional.one_hot
        atom, bond = one_hot(X0["atom"], len(TOKENS)), one_hot(X0["bond"], BOND_ORDERS)
        self.out = {"pos": pos, "atom": sure * atom.float(), "bond": sure * bond.float()}
        self.shown = []

    def __call__(self, x, logsnr, previous):
        self.shown.append((x, logsnr, previous))
        return self.out


def loss(network, config=NEVER, seed=0, process=PROCESS, **more):
    return molecule_loss(network, process, X0, torch.Generator().manual_seed(seed), config, **more)


def test_a_perfect_prediction_costs_nothing():
    total, terms = loss(Known(X0["pos"]))
    assert terms["pos"] == 0 and terms["length"] == 0
    assert terms["atom"] < 1e-6 and terms["bond"] < 1e-6 and total < 1e-5


def test_an_ignorant_prediction_costs_the_entropy():
    _, terms = loss(Known(X0["pos"], sure=0.0))
    assert float(terms["atom"]) == pytest.approx(math.log(9), rel=1e-5)
    assert float(terms["bond"]) == pytest.approx(math.log(4), rel=1e-5)


def test_weights_make_the_total():
    pos = X0["pos"] * 1.1
    for config in (NEVER, LossConfig(atom=3, bond=5, length=7, self_condition=0.0)):
        total, terms = loss(Known(pos, sure=1.0), config)
        parts = terms["pos"] + config.atom * terms["atom"] + config.bond * terms["bond"]
        assert float(total) == pytest.approx(float(parts + config.length * terms["length"]), rel=1e-6)


def test_coordinates_weigh_by_truncated_snr():
    """A shift of every atom by d costs mean(min(1 + SNR, cap)) d^2, atoms counted alike."""
    net = Known(X0["pos"] + 0.1 * X0.mask[..., None])
    _, terms = loss(net)
    snr = net.shown[0][1].exp()
    weight = (1 + snr).clamp(max=25)
    expected = 0.01 * (weight * X0.sizes).sum() / X0.sizes.sum()
    assert float(terms["pos"]) == pytest.approx(float(expected), rel=1e-4)
    _, capped = loss(net, LossConfig(snr_cap=2.0, self_condition=0.0))
    assert capped["pos"] < terms["pos"]


def test_lengths_count_bonded_pairs_at_late_times_only():
    net = Known(X0["pos"] * 1.1)
    _, terms = loss(net, LossConfig(self_condition=0.0, length_until=1.0))
    bonded = X0["bond"] > 0
    distance = (X0["pos"][:, :, None] - X0["pos"][:, None]).norm(dim=-1)
    assert float(terms["length"]) == pytest.approx(0.1 * float(distance[bonded].mean()), rel=1e-3)
    assert loss(net, LossConfig(self_condition=0.0, length_until=0.0))[1]["length"] == 0


def test_padding_and_the_diagonal_cost_nothing():
    net = Known(X0["pos"].clone())
    net.out["pos"][~X0.mask] = 50.0
    net.out["atom"][~X0.mask] = 7 * torch.arange(9.0)
    net.out["bond"][~pair_mask(X0.mask)] = 7 * torch.arange(4.0)
    total, _ = loss(net)
    assert total < 1e-5


@pytest.mark.parametrize("affine", [rectified(), vp()], ids=["flow", "vp"])
def test_the_network_sees_unit_variance(affine):
    net = Known(X0["pos"])
    for seed in range(20):
        loss(net, seed=seed, process=molecule_process(affine))
    seen = torch.cat([x["pos"][x.mask] for x, _, _ in net.shown])
    assert float(seen.square().mean().sqrt()) == pytest.approx(1, abs=0.1)
    for x, _, _ in net.shown:
        assert torch.equal(x["bond"], x["bond"].transpose(1, 2)) and x["pos"].sum(1).abs().max() < 1e-4


def test_the_generator_decides_everything():
    net = Known(X0["pos"] * 0.9, sure=1.0)
    before = torch.get_rng_state()
    a, b, c = (loss(net, LossConfig(), seed)[0] for seed in (1, 1, 2))
    assert a == b != c
    assert torch.equal(before, torch.get_rng_state()), "the global generator is left alone"


def test_self_conditioning_shows_the_first_belief():
    net = Known(X0["pos"] * 0.9, sure=1.0)
    loss(net, LossConfig(self_condition=1.0))
    (first_x, _, nothing), (second_x, _, previous) = net.shown
    assert all(not v.any() for v in nothing.values())
    assert all(torch.equal(first_x[name], second_x[name]) for name in first_x.fields)
    assert torch.equal(previous["pos"], net.out["pos"])
    assert torch.allclose(previous["atom"], net.out["atom"].softmax(-1))
    calls = []
    for seed in range(40):
        net = Known(X0["pos"])
        loss(net, LossConfig(self_condition=0.5), seed)
        calls.append(len(net.shown))
    assert 10 < calls.count(2) < 30
    loss(net := Known(X0["pos"]), NEVER)
    assert len(net.shown) == 1


def test_the_first_belief_gives_no_gradient():
    """Self-conditioning costs one forward pass: nothing flows back through the first belief."""
    scale = torch.ones((), requires_grad=True)
    fed = []

    def network(x, logsnr, previous):
        fed.append(previous["pos"])
        known = Known(X0["pos"]).out
        return {**known, "pos": known["pos"] * scale}

    total, _ = loss(network, LossConfig(self_condition=1.0))
    total.backward()
    assert not fed[1].requires_grad and scale.grad is not None


def test_a_coupling_is_used():
    used = []

    def couple(x0, x1):
        used.append(x1)
        return x1.replace(pos=x1["pos"] * 0)

    net = Known(X0["pos"])
    loss(net, couple=couple)
    x, logsnr, _ = net.shown[0]
    t = torch.sigmoid(-logsnr / 2)
    alpha = (1 - t) / (t**2 + (1 - t) ** 2).sqrt()
    assert used and torch.allclose(x["pos"], alpha[:, None, None] * X0["pos"], atol=1e-5)
