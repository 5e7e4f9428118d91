"""A second opinion in float32: DPM-Solver++(2M), UniPC and linear multistep of diffusers on the same levels."""

from __future__ import annotations

import pytest
import torch

from scigen.solver import DATA, adams, dpmpp_2m, sample, unipc
from scigen.solver.grids import karras
from tests.anchors.problems import EDM, level_grid, on_mixture, starts

diffusers = pytest.importorskip("diffusers", exc_type=ImportError)


def test_dpmpp_2m_on_karras_levels():
    steps, sd = 24, 0.5
    scheduler = diffusers.EDMDPMSolverMultistepScheduler(
        sigma_min=0.002, sigma_max=80.0, sigma_data=sd, solver_order=2, lower_order_final=True, euler_at_final=True
    )
    scheduler.set_timesteps(steps)
    levels = [80 * t for t in karras(EDM, steps)]
    assert torch.allclose(scheduler.sigmas, torch.tensor(levels), rtol=2e-5)

    start = starts(EDM, 1.0)
    x = start.float()
    for sigma, t in zip(levels, scheduler.timesteps):
        x0 = on_mixture(EDM)(x.double(), sigma / 80)
        skip, out = sd**2 / (sigma**2 + sd**2), sigma * sd / (sigma**2 + sd**2) ** 0.5
        x = scheduler.step(((x0 - skip * x) / out).float(), t, x).prev_sample
    mine, _ = sample(EDM, on_mixture(EDM), start, karras(EDM, steps), torch.Generator(), dpmpp_2m)
    assert (mine - x).abs().max() < 1e-3  # float32 inside diffusers, its sigmas included


def test_unipc():
    """From the start of their run on, whose shortcut a = 1/2 in its first two moves we replace by the exact weights."""
    grid = level_grid(EDM, 48)
    sigmas = torch.tensor(grid, dtype=torch.float64) * 80
    scheduler = diffusers.UniPCMultistepScheduler(solver_order=3, prediction_type="sample", lower_order_final=False)
    scheduler.set_timesteps(len(grid) - 1)
    scheduler.sigmas, scheduler.timesteps = sigmas, torch.arange(len(grid) - 1, 0, -1)
    scheduler.set_begin_index(0)
    start = starts(EDM, grid[0])
    x = start / (1 + sigmas[0] ** 2).sqrt()  # they hold the variance at one
    for k, t, sigma in zip(scheduler.timesteps, grid, sigmas):
        x = scheduler.step(on_mixture(EDM)(x * (1 + sigma**2).sqrt(), t), k, x).prev_sample
    theirs = x * (1 + sigmas[-1] ** 2).sqrt()
    mine, _ = sample(EDM, on_mixture(EDM), start, grid, torch.Generator(), unipc(3, DATA))
    other, _ = sample(EDM, on_mixture(EDM), start, grid, torch.Generator(), adams(3, DATA))
    assert (mine - theirs).abs().max() < 0.02 * (other - theirs).abs().max()
