"""Recorded runs: every state, and nothing changed."""

from __future__ import annotations

import torch

from scigen.process.brownian import Brownian
from scigen.solver import ancestral, heun, sample
from scigen.solver.grids import uniform
from scigen.solver.record import recorded


def test_the_path_is_the_run():
    bridge, x1, grid, path = Brownian(0.5), torch.ones(3, 2), uniform(5), []

    def denoise(x_t, t, previous=None):
        return 0.5 * x_t

    solver = recorded(ancestral, path)
    x, _ = sample(bridge, denoise, x1, grid, torch.Generator().manual_seed(1), solver)
    plain, _ = sample(bridge, denoise, x1, grid, torch.Generator().manual_seed(1))
    assert torch.equal(x, plain)
    assert [t for t, _ in path] == grid and path[0][1] is x1 and path[-1][1] is x
    for (t, x_t), (s, x_s) in zip(path, path[1:]):  # each state is one move from the one before
        assert (x_s - 0.5 * x_t - s / t * 0.5 * x_t).abs().max() < 5 * 0.5 * (s * (t - s) / t) ** 0.5 + 1e-6


def test_it_claims_what_the_solver_claims():
    solver = recorded(heun, [])
    assert (solver.order, solver.evaluations) == (heun.order, heun.evaluations)
