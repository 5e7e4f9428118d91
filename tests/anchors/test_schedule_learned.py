"""The learned schedule: a monotone process, whose bound on G depends on its ends alone, in closed form (float64)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scigen.likelihood.elbo import rate
from scigen.objective.regression import second_moment
from scigen.oracle import gaussian_variance
from scigen.process.learned import MonotoneSchedule, affine_of
from tests.anchors.problems import VAR, level_grid, on_mixture, starts

F64 = torch.float64
T = torch.linspace(0, 1, 101, dtype=F64)
FIRST, LAST = 6.0, -5.0


def bent(seed=0, width=8):
    """A schedule with every parameter off its start."""
    rng = torch.Generator().manual_seed(seed)
    schedule = MonotoneSchedule(FIRST, LAST, width).double()
    with torch.no_grad():
        for p in schedule.inside():
            p.add_(2 * torch.randn(p.shape, generator=rng, dtype=F64))
    return schedule


def cost(affine, t):
    """The mean of the bound's integrand over G at each t, by the exact belief: sqrt(Var[x0 | x_t]) is its error."""
    error = gaussian_variance(affine, VAR, t).sqrt()[:, None]
    return rate(affine, error, torch.zeros_like(error), t)


def integral(affine, count=60):
    u, w = np.polynomial.legendre.leggauss(count)
    return (cost(affine, torch.from_numpy((u + 1) / 2)) * torch.from_numpy(w / 2)).sum()


@pytest.mark.parametrize("seed", range(5))
def test_it_falls_between_its_ends(seed):
    schedule = bent(seed)
    with torch.no_grad():
        logsnr = schedule(T)
    assert (logsnr.diff() < 0).all()
    assert abs(float(logsnr[0]) - FIRST) < 1e-12 and abs(float(logsnr[-1]) - LAST) < 1e-12
    assert schedule(torch.tensor(0.3, dtype=F64)).shape == () and schedule(T.reshape(1, 101)).shape == (1, 101)
    line = MonotoneSchedule(FIRST, LAST)(T).detach() - (FIRST + (LAST - FIRST) * T)
    assert line.abs().max() < 0.05 * (FIRST - LAST)


def test_it_is_an_affine_process():
    schedule = bent()
    affine, t = affine_of(schedule), T[1:-1]
    with torch.no_grad():
        assert (affine.alpha(t) ** 2 + affine.sigma(t) ** 2 - 1).abs().max() < 1e-14
        assert (affine.logsnr(t) - schedule(t)).abs().max() < 1e-12
        central = (schedule(t + 1e-6) - schedule(t - 1e-6)) / 2e-6
        assert (affine.diffusion_squared(t) / (-affine.sigma(t) ** 2 * central) - 1).abs().max() < 1e-7
        grid = level_grid(affine, 8, -4.0, 5.0)
        assert (affine.logsnr(torch.tensor(grid, dtype=F64)).diff() - 9 / 8).abs().max() < 1e-9
        assert on_mixture(affine)(starts(affine, 0.5), 0.5).isfinite().all()


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_sees_the_ends_alone(seed):
    """Value, and gradients: (1/2) v SNR / (1 + v SNR) at each end, nothing inside."""
    schedule = bent(seed)
    bound = integral(affine_of(schedule))
    low, high = (VAR * math.exp(end) for end in (LAST, FIRST))
    assert abs(bound.item() - 0.5 * math.log((1 + high) / (1 + low))) < 1e-6
    ends, *inside = torch.autograd.grad(bound, [schedule.ends, *schedule.inside()])
    truth = torch.tensor([high / (1 + high) / 2, -low / (1 + low) / 2], dtype=F64)
    assert (ends - truth).abs().max() < 1e-5
    assert max(float(g.abs().max()) for g in inside) < 1e-5 < float(ends.abs().max())


def test_training_the_inside_steadies_the_estimate():
    """The variance over t falls tenfold and the mean stays: the ends are not touched."""
    schedule = MonotoneSchedule(FIRST, LAST, width=16)
    optimiser = torch.optim.Adam(schedule.inside(), lr=1.0)
    t = (torch.arange(40, dtype=F64) + 0.5) / 40
    with torch.no_grad():
        before = cost(affine_of(schedule), t)
    for _ in range(60):
        optimiser.zero_grad()
        second_moment(cost(affine_of(schedule), t)).backward()
        optimiser.step()
    with torch.no_grad():
        after = cost(affine_of(schedule), t)
    assert after.var() < 0.15 * before.var()
    assert abs(float(after.mean() - before.mean())) < 1e-3 and schedule.ends.tolist() == [FIRST, LAST]


def test_single_precision_and_refusal():
    schedule = MonotoneSchedule()
    assert schedule(torch.rand(5)).dtype == torch.float32 and schedule(T).dtype == F64
    loss = cost(affine_of(schedule), torch.rand(64, generator=torch.Generator().manual_seed(0))).mean()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in schedule.parameters())
    with pytest.raises(ValueError, match="`first` must exceed"):
        MonotoneSchedule(-5.0, 13.3)
