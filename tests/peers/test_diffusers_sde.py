"""A second opinion in float32: SDE-DPM-Solver++(2M) of diffusers on EDM's levels, with the same noise."""

from __future__ import annotations

from unittest import mock

import pytest
import torch

from scigen.solver import sample
from scigen.solver.grids import karras
from scigen.solver.sde import dpmpp_2m_sde
from tests.anchors.problems import EDM, on_mixture, starts

diffusers = pytest.importorskip("diffusers", exc_type=ImportError)


def test_dpmpp_2m_sde_on_karras_levels():
    steps, sd = 24, 0.5
    scheduler = diffusers.EDMDPMSolverMultistepScheduler(
        sigma_min=0.002, sigma_max=80.0, sigma_data=sd, algorithm_type="sde-dpmsolver++", solver_order=2
    )
    scheduler.set_timesteps(steps)
    x, start, rng = starts(EDM, 1.0).float(), starts(EDM, 1.0), torch.Generator().manual_seed(0)
    for sigma, t in zip([80 * t for t in karras(EDM, steps)], scheduler.timesteps):
        x0 = on_mixture(EDM)(x.double(), sigma / 80)
        skip, out = sd**2 / (sigma**2 + sd**2), sigma * sd / (sigma**2 + sd**2) ** 0.5
        x = scheduler.step(((x0 - skip * x) / out).float(), t, x, generator=rng).prev_sample

    theirs = torch.Generator().manual_seed(0)
    same = lambda law, shape, *_: torch.randn(shape, generator=theirs).double()  # noqa: E731
    with mock.patch("scigen.state._draw", same):
        mine, _ = sample(EDM, on_mixture(EDM), start, karras(EDM, steps), torch.Generator(), dpmpp_2m_sde())
    assert (mine - x).abs().max() < 1e-3  # float32 inside diffusers, its sigmas included
    assert mine.std() > 0.5
