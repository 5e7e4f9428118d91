"""Dual diffusion implicit bridges (arXiv:2203.08382) on Gaussians: up under one model and down under another.

In the limit of a wide source the two halves make the Monge map, when the covariances have common axes.
"""

from __future__ import annotations

import pytest
import torch

from scigen.coupling import from_model
from scigen.oracle import gaussian, gaussian_path, schroedinger
from scigen.process.affine import rectified, ve, vp
from scigen.solver.grids import late, uniform
from scigen.solver.inversion import edit, invert
from tests.anchors.problems import fitted, level_grid

MEANS = torch.tensor([0.7, -0.4], dtype=torch.float64), torch.tensor([-1.0, 0.5], dtype=torch.float64)
VARS = torch.tensor([0.49, 1.2], dtype=torch.float64), torch.tensor([0.8, 0.3], dtype=torch.float64)
POINTS = torch.tensor([[0.0, 0.0], [1.0, -2.0], [0.7, 0.9], [2.5, 1.0]], dtype=torch.float64)


def models(affine):
    return tuple(gaussian(affine, m, v) for m, v in zip(MEANS, VARS))


def monge(x):
    """The optimal map between two Gaussians of common axes, from the closed form of transport itself."""
    s0, s1 = (torch.diag(v) for v in (VARS[1], VARS[0]))
    return MEANS[1] + (x - MEANS[0]) @ torch.linalg.solve(s1, schroedinger(s0, s1, 0.0), left=False).mT


@pytest.mark.parametrize("sigma_max, bound", [(10.0, 2e-1), (1e3, 2e-3)])
def test_exact_halves_make_the_monge_map_up_to_the_source(sigma_max, bound):
    """Two exact paths through a source of width sigma_max: 6e-4 at 1e3, and back again to rounding."""
    affine = ve(1e-4, sigma_max)

    def through(x, there, back):
        up = gaussian_path(affine, MEANS[there], VARS[there], x, 0.0, 1.0)
        return gaussian_path(affine, MEANS[back], VARS[back], up, 1.0, 0.0)

    y = through(POINTS, 0, 1)
    gap, cycle = (y - monge(POINTS)).abs().max(), (through(y, 1, 0) - POINTS).abs().max()
    print(f"sigma_max {sigma_max}: Monge {gap:.1e}, cycle {cycle:.1e}")
    assert bound / 20 < gap < bound and cycle < 3e-15 * sigma_max


@pytest.mark.parametrize("order", [1, 2, 3])
def test_edit_follows_both_paths_at_its_order(order):
    affine, steps, errors = vp(), (25, 50, 100), []
    last = 1e-2
    up = gaussian_path(affine, MEANS[0], VARS[0], POINTS, last, 1.0)
    exact = gaussian_path(affine, MEANS[1], VARS[1], up, 1.0, last)
    low, high = (float(affine.logsnr(t)) for t in (1.0, last))
    for n in steps:
        y, _ = edit(affine, *models(affine), POINTS, level_grid(affine, n, low, high), order)
        errors.append(float((y - exact).abs().max()))
    print(f"order {order}:", [f"{e:.1e}" for e in errors], f"slope {fitted(steps, errors):.2f}")
    assert fitted(steps, errors) < -order + 0.3  # the two halves' leading errors may cancel


def test_there_and_back():
    """The way back is the same walk with the models exchanged, and its error that of the solver."""
    affine = ve(1e-2, 100.0)
    there, grid = models(affine), uniform(100)
    y, _ = edit(affine, *there, POINTS, grid, order=2)
    back, _ = edit(affine, *there[::-1], y, grid, order=2)
    print(f"cycle {(back - POINTS).abs().max():.1e}, Monge {(y - monge(POINTS)).abs().max():.1e}")
    assert (back - POINTS).abs().max() < 1e-3 and (y - monge(POINTS)).abs().max() < 5e-2
    assert (y - POINTS).abs().max() > 1


def test_a_model_pairs_data_with_its_own_noise():
    """The coupling `from_model` of an inverted flow: on a Gaussian, x1 = (x0 - mean) / std."""
    flow = rectified()
    couple = from_model(lambda x0: invert(flow, gaussian(flow, 0.7, 0.49), x0, late(40)[::-1], order=2))
    x0 = torch.linspace(-1, 2, 7, dtype=torch.float64)[:, None]
    assert (couple(x0, None) - (x0 - 0.7) / 0.7).abs().max() < 0.02
