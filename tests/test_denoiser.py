"""The denoiser contract: five expressions of one belief, and one network under every affine process."""

from __future__ import annotations

import pytest
import torch

from scigen.denoiser import epsilon, from_network, score, sharpen, v_target, velocity
from scigen.process.affine import cosine, rectified, subvp, ve, vp
from scigen.state import State, expand
from tests.anchors.problems import PROCESSES, level_grid, on_mixture, starts

X0 = torch.tensor([[0.4, -1.2], [2.0, 0.3]], dtype=torch.float64)
X1 = torch.tensor([[-0.3, 0.8], [1.1, -0.5]], dtype=torch.float64)


@pytest.mark.parametrize("affine", [vp(), subvp(), ve(), cosine(), rectified()])
@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
def test_expressions_recover_what_made_x_t(affine, t):
    x_t = affine.noise(X0, X1, t)
    assert (epsilon(affine, x_t, X0, t) - X1).abs().max() < 1e-11
    assert (score(affine, x_t, X0, t) * affine.sigma(t) + X1).abs().max() < 1e-11
    h = 1e-6
    along = (affine.noise(X0, X1, t + h) - affine.noise(X0, X1, t - h)) / (2 * h)
    assert (velocity(affine, x_t, X0, t) - along).abs().max() < 1e-7 * (1 + along.abs().max())


def test_flow_velocity_is_the_chord():
    x_t = rectified().noise(X0, X1, 0.3)
    assert (velocity(rectified(), x_t, X0, 0.3) - (X1 - X0)).abs().max() < 1e-14


@pytest.mark.parametrize("affine", [vp(), cosine()])
def test_v_inverts_on_the_circle(affine):
    """x0 = alpha x_t - sigma v where alpha^2 + sigma^2 = 1."""
    t = torch.tensor([0.2, 0.7], dtype=torch.float64)
    x_t = affine.noise(X0, X1, t)
    a, s = expand(affine.alpha(t), x_t), expand(affine.sigma(t), x_t)
    assert (a * x_t - s * v_target(affine, x_t, X0, t) - X0).abs().max() < 1e-13


class OneNetwork:
    """Sees (x_t / scale, logsnr) alone, as a network does: the exact belief for M, taken through VP's own times."""

    def __init__(self):
        self.seen = []

    def __call__(self, x, logsnr, previous):
        self.seen.append((x, logsnr, previous))
        t = vp().time_of_logsnr(logsnr[:1])
        return {"pos": on_mixture(vp())(x["pos"] * vp().scale(t), t), "atom": torch.zeros(len(x["pos"]), 2)}


@pytest.mark.parametrize("name", PROCESSES)
def test_one_network_serves_every_affine_process(name):
    affine = PROCESSES[name]
    denoise = from_network(OneNetwork(), affine)
    for t in level_grid(affine, 6):
        x_t = starts(affine, t)
        belief = denoise(State({"pos": x_t}, torch.ones(64, 1) > 0), t)
        assert (belief["pos"] - on_mixture(affine)(x_t, t)).abs().max() < 1e-11
        assert torch.allclose(belief["atom"], torch.full((64, 2), 0.5))


def test_conditioning_is_clamped_and_the_process_is_not():
    network, flow = OneNetwork(), rectified()
    x = State({"pos": torch.ones(4, 2)}, torch.ones(4, 1) > 0)
    from_network(network, flow, std=2.0, logsnr_range=(-7.0, 9.0))(x, 1.0, {"pos": x["pos"]})
    seen, logsnr, previous = network.seen[-1]
    assert logsnr.tolist() == [-7.0] * 4 and logsnr.dtype == torch.float32
    assert torch.equal(seen["pos"], x["pos"]) and previous is not None  # scale(1) = sigma(1) = 1
    from_network(network, flow, std=2.0)(x, 0.5)
    assert torch.allclose(network.seen[-1][0]["pos"], x["pos"] / (0.5**0.5 * 2.5**0.5))


def test_sharpen_is_a_temperature():
    p = torch.tensor([[0.1, 0.2, 0.7]])
    sharp = sharpen(lambda *_: {"atom": p, "pos": X0}, {"atom": 2.0})(None, 0.5)
    assert torch.allclose(sharp["atom"], torch.tensor([[0.01, 0.04, 0.49]]) / 0.54)
    assert sharp["pos"] is X0
