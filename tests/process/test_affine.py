"""Affine processes: their curves, derivatives, ends, and the exact posterior draw."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.process.affine import Affine, cosine, rectified, subvp, ve, vp
from scigen.state import normal

PROCESSES = {"vp": vp(), "subvp": subvp(), "ve": ve(), "cosine": cosine(), "flow": rectified()}
every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)
T = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)


@every_process
def test_curves_run_from_data_to_source(affine):
    logsnr = affine.logsnr(T)
    assert (logsnr.diff() < 0).all()
    assert float(affine.alpha(0.0)) == 1
    assert (affine.logsnr(T) - 2 * (affine.alpha(T) / affine.sigma(T)).log()).abs().max() < 1e-12


def test_defining_relations():
    beta = 0.1 + T * 19.9
    assert (vp().alpha(T) ** 2 + vp().sigma(T) ** 2 - 1).abs().max() < 1e-15
    assert (subvp().sigma(T) - (1 - vp().alpha(T) ** 2)).abs().max() < 1e-15
    assert (cosine().alpha(T) - torch.cos(math.pi / 2 * T)).abs().max() < 1e-15
    assert (cosine().sigma(T) - torch.sin(math.pi / 2 * T)).abs().max() < 1e-15
    assert (rectified().alpha(T) + rectified().sigma(T) - 1).abs().max() < 1e-15
    assert abs(float(ve().sigma(0.0)) - 0.01) < 1e-15 and abs(float(ve().sigma(1.0)) - 50) < 1e-12
    assert (vp().drift(T) + beta / 2).abs().max() < 1e-13  # dx = -beta x / 2 dt + sqrt(beta) dW
    assert (vp().diffusion_squared(T) / beta - 1).abs().max() < 1e-12
    shrink = 1 - vp().alpha(T) ** 4  # sub-VP's g^2 = beta (1 - e^(-2 int beta)), arXiv:2011.13456 eq. 15
    assert (subvp().diffusion_squared(T) / (beta * shrink) - 1).abs().max() < 1e-12
    assert (ve().diffusion_squared(T) / (2 * math.log(5000) * ve().sigma(T) ** 2) - 1).abs().max() < 1e-12
    assert ve().drift(T).abs().max() == 0


@pytest.mark.parametrize(
    "name, at_one, at_half, near_zero",
    [("vp", -10.05, -2.46, 9.12), ("subvp", -10.05, -2.37, 18.23), ("ve", -7.82, 0.69, 9.19)],
)
def test_levels_of_the_reference_table(name, at_one, at_half, near_zero):
    levels = [float(PROCESSES[name].logsnr(t)) for t in (1.0, 0.5, 1e-3)]
    assert levels == pytest.approx([at_one, at_half, near_zero], abs=6e-3)


@every_process
def test_derivatives_against_differences(affine):
    h = 1e-6
    for curve, derivative in ((affine.alpha, affine.d_alpha), (affine.sigma, affine.d_sigma)):
        central = (curve(T + h) - curve(T - h)) / (2 * h)
        assert ((derivative(T) - central).abs() / (1 + central.abs())).max() < 1e-7
    f, g2, sigma = affine.drift(T), affine.diffusion_squared(T), affine.sigma(T)
    assert (f * affine.alpha(T) - affine.d_alpha(T)).abs().max() < 1e-11
    two_ways = 2 * sigma * affine.d_sigma(T) - 2 * f * sigma**2  # g^2 = (sigma^2)' - 2 f sigma^2
    assert ((g2 - two_ways).abs() / g2).max() < 1e-10


def test_derivatives_at_the_ends_are_limits():
    assert abs(float(rectified().d_alpha(1.0)) + 1) < 1e-12
    assert abs(float(rectified().d_sigma(0.0)) - 1) < 1e-12
    assert abs(float(cosine().d_alpha(1.0)) + math.pi / 2) < 1e-12
    assert abs(float(vp().diffusion_squared(0.0)) - 0.1) < 1e-12
    assert float(rectified().diffusion_squared(0.0)) < 1e-12


def test_derivatives_in_every_grad_mode():
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with mode():
            t = torch.tensor([0.3, 0.6])
            assert not rectified().d_sigma(t).requires_grad
            assert torch.allclose(rectified().d_sigma(t), torch.ones(2))
    rate = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)  # a schedule with a parameter learns through it
    learned = Affine(lambda t: -rate * t, torch.log)
    learned.drift(0.5).backward()
    assert float(rate.grad) == -1


@every_process
def test_time_of_logsnr_inverts_logsnr(affine):
    assert (affine.time_of_logsnr(affine.logsnr(T)) - T).abs().max() < 1e-12
    clamped = affine.time_of_logsnr(torch.tensor([-1e9, 1e9]))
    assert clamped[0] > 1 - 1e-12 and clamped[1] < 1e-12


@every_process
def test_step_law_is_bayes(affine):
    """q(x_s | x_t, x0) by conditioning the joint Gaussian of (x_s, x_t) given x0; the draw is affine in its normals."""
    t, s, x0, x_t = 0.8, 0.5, 0.7, 0.4
    (a_t, v_t), (a_s, v_s) = ((float(affine.alpha(u)), float(affine.sigma(u)) ** 2) for u in (t, s))
    cross = a_t / a_s * v_s  # Cov(x_s, x_t | x0), x_t being x_s scaled plus fresh noise
    mean, var = a_s * x0 + cross / v_t * (x_t - a_t * x0), v_s - cross**2 / v_t
    here = torch.full((2, 1), x_t, dtype=torch.float64)
    z = normal(here, torch.Generator().manual_seed(0))[:, 0]
    x_s = affine.step(here, torch.full_like(here, x0), t, s, torch.Generator().manual_seed(0))[:, 0]
    spread = (x_s[1] - x_s[0]) / (z[1] - z[0])
    assert abs(float(spread) ** 2 / var - 1) < 1e-12
    assert abs(float(x_s[0] - spread * z[0]) - mean) < 1e-12


@every_process
def test_step_is_finite_at_the_ends(affine):
    x = torch.ones(2, 3)
    assert affine.step(x, x, 1.0, 0.5, torch.Generator()).isfinite().all()
    end = affine.step(x, 2 * x, 0.5, 0.0, torch.Generator())
    assert end.isfinite().all() and (float(affine.sigma(0.0)) > 0 or torch.equal(end, 2 * x))


@every_process
def test_noise_and_source(affine, rng):
    x0, x1 = torch.full((2, 3), 2.0), torch.ones(2, 3)
    t = torch.tensor([0.2, 0.9], dtype=torch.float64)
    expected = affine.alpha(t) * 2 + affine.sigma(t)
    assert torch.allclose(affine.noise(x0, x1, t)[:, 0].double(), expected, rtol=1e-6)
    assert torch.allclose(affine.noise(x0, x1, 0.2), affine.noise(x0, x1, t)[0])
    source = affine.source(torch.zeros(100_000, 1), rng)
    assert abs(float(source.std() / affine.sigma(1.0)) - 1) < 0.02
    assert torch.allclose(affine.scale(t, 2.0), (4 * affine.alpha(t) ** 2 + affine.sigma(t) ** 2).sqrt())


def test_bad_parameters_are_told():
    with pytest.raises(ValueError, match="beta_min"):
        vp(0.0, 20.0)
    with pytest.raises(ValueError, match="beta_max=0.05"):
        subvp(0.1, 0.05)
    with pytest.raises(ValueError, match="sigma_min"):
        ve(1.0, 0.5)
