"""Dual diffusion implicit bridges on Gaussians: the Monge map, the way back, and what is refused."""

from __future__ import annotations

import pytest
import torch

from scigen.bridge import ddib
from scigen.oracle import gaussian, gaussian_path, schroedinger
from scigen.process.affine import rectified, ve, vp
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ddim, euler, heun
from scigen.solver.grids import uniform
from scigen.state import State
from tests.anchors.problems import fitted

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


@pytest.mark.parametrize("solver", [ddim(), euler, heun], ids=["ddim", "euler", "heun"])
def test_solvers_follow_both_paths_at_their_order(solver):
    affine, steps, errors = vp(), (25, 50, 100), []
    grid = [[1 - (1 - 1e-3) * i / n for i in range(n + 1)] for n in steps]
    up = gaussian_path(affine, MEANS[0], VARS[0], POINTS, 1e-3, 1.0)
    exact = gaussian_path(affine, MEANS[1], VARS[1], up, 1.0, 1e-3)
    for times in grid:
        errors.append(float((ddib(affine, *models(affine), POINTS, times, solver) - exact).abs().max()))
    print(solver, [f"{e:.1e}" for e in errors], f"slope {fitted(steps, errors):.2f}")
    assert fitted(steps, errors) < -solver.order + 0.25


def test_there_and_back():
    """The way back is the same walk with the models exchanged, and its error that of the solver."""
    affine, there = ve(1e-2, 100.0), models(ve(1e-2, 100.0))
    grid = uniform(150)
    y = ddib(affine, *there, POINTS, grid)
    back = ddib(affine, *there[::-1], y, grid)
    print(f"cycle {(back - POINTS).abs().max():.1e}, moved {(y - POINTS).abs().max():.1e}")
    assert (back - POINTS).abs().max() < 5e-3 and (y - monge(POINTS)).abs().max() < 5e-2


def test_a_state_goes_whole_and_float32_stays(rng):
    affine = ve(1e-2, 50.0)
    mask = torch.ones(4, 2, dtype=torch.bool)
    state = State({"pos": torch.randn(4, 2, 2, generator=rng), "atom": torch.ones(4, 2).long()}, mask)
    lifted = [lambda x, t, previous=None, f=f: {"pos": f(x["pos"], t)} for f in models(affine)]
    out = ddib(Product({"pos": affine}), *lifted, state, uniform(20))
    assert out["pos"].dtype == torch.float32 and out["atom"] is state["atom"]
    alone = ddib(affine, *models(affine), state["pos"], uniform(20))
    assert torch.equal(out["pos"], alone)


def test_refusals():
    x = POINTS
    with pytest.raises(ValueError, match="end at 1e-3"):
        ddib(vp(), *models(vp()), x, uniform(4))
    with pytest.raises(ValueError, match="must fall"):
        ddib(ve(), *models(ve()), x, [0.0, 0.5, 1.0])
    tokens = Product({"pos": rectified(), "atom": uniform_tokens(3, keep_of(rectified()))})
    with pytest.raises(ValueError, match="tokens do not have"):
        ddib(tokens, *models(rectified()), x, [1.0, 0.5])
