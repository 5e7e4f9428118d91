"""EDM's preconditioning against its own table and its defining property (float64)."""

from __future__ import annotations

import pytest
import torch

from scigen.denoiser import from_network
from scigen.objective import weights
from scigen.precondition import edm_coefficients, edm_denoiser, precondition
from scigen.state import State, expand
from tests.anchors.problems import MEAN, PROCESSES, VAR, on_gaussian

F64 = torch.float64
POINTS = torch.tensor([[-1.0], [0.2], [0.7], [2.5]], dtype=F64)


@pytest.mark.parametrize("std", [0.5, 1.0, 3.0])
def test_preconditioning_keeps_unit_variances(std):
    """Of input and target, at every level, for data of that standard deviation; and c_out can be no smaller."""
    logsnr = torch.linspace(-20, 20, 41, dtype=F64)
    sigma, c = (-logsnr / 2).exp(), edm_coefficients(logsnr, std)
    assert (c.inside**2 * (std**2 + sigma**2) - 1).abs().max() < 1e-12
    # Target (x0 - c_skip y) / c_out with y = x0 + sigma n.
    target = ((1 - c.skip) ** 2 * std**2 + c.skip**2 * sigma**2) / c.out**2
    assert (target - 1).abs().max() < 1e-9
    for off in (0.99, 1.01):  # any other skip needs a larger c_out
        assert ((1 - off * c.skip) ** 2 * std**2 + (off * c.skip) ** 2 * sigma**2 > c.out**2).all()
    assert (weights.edm(logsnr, std) * c.out**2 - 1).abs().max() < 1e-12
    assert (c.noise - sigma.log() / 4).abs().max() < 1e-12
    table = (std**2 / (sigma**2 + std**2), sigma * std / (sigma**2 + std**2).sqrt(), (sigma**2 + std**2).rsqrt())
    assert max(float((ours / theirs - 1).abs().max()) for ours, theirs in zip(c, table)) < 1e-11


@pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)
def test_a_raw_network_serves_every_process(affine):
    """The raw network of the exact belief on G, (E[x0 | y] - c_skip y) / c_out, gives that belief back."""
    std = 0.7

    def raw(seen, c_noise):
        sigma = expand((4 * c_noise).exp(), seen)
        s2 = std**2 + sigma**2
        y = seen * s2.sqrt()
        mean = MEAN + VAR / (VAR + sigma**2) * (y - MEAN)
        return (mean - std**2 / s2 * y) / (sigma * std / s2.sqrt())

    denoise, x = edm_denoiser(raw, affine, std), POINTS
    for t in (0.05, 0.5, 0.9):
        x_t = x * affine.scale(t, std)
        assert (denoise(x_t, t) - on_gaussian(affine)(x_t, t)).abs().max() < 1e-11
    assert edm_denoiser(lambda seen, _: seen, affine, std)(x, 1.0).isfinite().all()


def test_preconditioned_states_agree_with_tensors():
    raw = lambda seen, c_noise: torch.tanh(seen) + expand(c_noise, seen)  # noqa: E731
    on_states = lambda x, logsnr, previous: {"pos": raw(x["pos"], -logsnr / 8)}  # noqa: E731
    state = State({"pos": POINTS.reshape(2, 2, 1)}, torch.ones(2, 2, dtype=torch.bool))
    for affine in PROCESSES.values():
        network = from_network(precondition(on_states, 0.5), affine, std=0.5)
        gap = network(state, 0.4)["pos"] - edm_denoiser(raw, affine, 0.5)(state["pos"], 0.4)
        assert gap.abs().max() < 1e-13
