"""A second opinion in float64: azula's DDIM, Heun and Adams-Bashforth at the same grid, from the same points."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from scigen.solver import DATA, NATURAL, NOISE, adams, ddim, heun, sample
from scigen.solver.grids import at_logsnr, karras
from tests.anchors.problems import EDM, PROCESSES, level_grid, on_mixture, starts

azula = pytest.importorskip("azula.sample", exc_type=ImportError)


class Theirs:
    """Our process and exact belief behind azula's denoiser contract."""

    def __init__(self, affine):
        self.affine, self.schedule = affine, lambda t: (affine.alpha(t), affine.sigma(t))

    def __call__(self, x_t, t):
        return SimpleNamespace(mean=on_mixture(self.affine)(x_t, t))


def both(affine, grid, ours, theirs):
    start = starts(affine, grid[0])
    x = start
    for t, s in zip(torch.tensor(grid).double(), torch.tensor(grid[1:]).double()):
        x = theirs.step(x, t, s)
    mine, _ = sample(affine, on_mixture(affine), start, torch.tensor(grid).double(), torch.Generator(), ours)
    return (mine - x).abs().max() / x.abs().max()


@pytest.mark.parametrize("name", PROCESSES)
def test_ddim(name):
    affine = PROCESSES[name]
    assert both(affine, level_grid(affine, 32), ddim(), azula.DDIMSampler(Theirs(affine), silent=True)) < 1e-12


def test_heun_on_edms_clock():
    """azula steps in sigma / alpha; so do we under the process whose sigma is proportional to t."""
    grid = karras(EDM, 32)[:-1]
    assert both(EDM, grid, heun, azula.HeunSampler(Theirs(EDM), silent=True)) < 1e-9
    flow = PROCESSES["flow"]  # and not under another clock
    grid = at_logsnr(flow, [-7.0, -3.0, 1.0, 5.0])
    assert both(flow, grid, heun, azula.HeunSampler(Theirs(flow), silent=True)) > 1e-3


def unmended(order, split):
    """`adams` as textbooks start it: lower orders first, none of them corrected."""

    def step(process, denoise, x_t, t, s, rng, memory):
        past = memory.history(t, order - 1) if memory else []
        x_s, left = adams(len(past) + 1, split)(process, denoise, x_t, t, s, rng, memory)
        return x_s, left.after(past)

    return step


@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("name, split", [("xEAB", DATA), ("zEAB", NOISE), ("zAB", NATURAL)])
def test_adams(name, split, order):
    affine = PROCESSES["ve"]
    grid = level_grid(affine, 32)
    maker = type("OnGrid", (getattr(azula, f"{name}Sampler"),), {"timesteps": torch.tensor(grid, dtype=torch.float64)})
    start = starts(affine, grid[0])
    theirs = maker(Theirs(affine), order=order, silent=True)(start)
    mine, _ = sample(affine, on_mixture(affine), start, grid, torch.Generator(), unmended(order, split))
    assert (mine - theirs).abs().max() < 1e-9
    mended, _ = sample(affine, on_mixture(affine), start, grid, torch.Generator(), adams(order, split))
    assert order == 2 or 1e-9 < (mended - theirs).abs().max() < 1e-3  # only the start differs
