"""A second opinion in float32: DPM-Solver++(2M) of diffusers on EDM's levels, its last step to zero included."""

from __future__ import annotations

import pytest
import torch

from scigen.solver import dpmpp_2m, sample
from scigen.solver.grids import karras
from tests.anchors.problems import EDM, on_mixture, starts

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
