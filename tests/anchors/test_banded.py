"""Two solvers in one run: which move is whose, what it costs, the order, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.process.product import Product
from scigen.solver import dpm_solver, euler, heun, in_band, sample
from scigen.solver.grids import uniform
from scigen.state import State
from tests.anchors.problems import PROCESSES, SHARED, count, fitted, level_grid, on_mixture, path_ends, starts

FLOW = PROCESSES["flow"]
BAND = (0.24, 4.1)  # under flow: moves that end between t = 0.194 and 0.804


def moved(solver, t, s):
    return solver(FLOW, on_mixture(FLOW), starts(FLOW, t), t, s, torch.Generator(), None)[0]


@pytest.mark.parametrize("t, s, inner", [(1.0, 0.81, euler), (0.9, 0.79, heun), (0.4, 0.21, heun), (0.3, 0.19, euler)])
def test_the_level_a_move_ends_at_decides(t, s, inner):
    assert (moved(in_band(BAND, heun, euler), t, s) == moved(inner, t, s)).all()
    assert (moved(heun, t, s) != moved(euler, t, s)).any()


def test_evaluations_are_those_of_the_moves_made():
    denoise = count(on_mixture(FLOW))
    solver = in_band(BAND, heun, euler)
    sample(FLOW, denoise, starts(FLOW, 1.0), uniform(10), torch.Generator(), solver)
    assert denoise.calls == 10 + 7  # of 0.9, 0.8 ... 0.1, 0 seven end within the band
    assert solver.evaluations == 2


@pytest.mark.parametrize("inside, outside", [(heun, euler), (heun, dpm_solver(2))])
def test_order_is_the_lower_one(inside, outside):
    affine, steps, errors = PROCESSES["vp"], (16, 32, 64, 128), []
    solver = in_band((0.3, 3.0), inside, outside)
    for n in steps:
        grid = level_grid(affine, n)
        x, _ = sample(affine, on_mixture(affine), starts(affine, grid[0]), grid, torch.Generator(), solver)
        errors.append(float((x / affine.alpha(grid[-1]) - path_ends(*SHARED)).norm(dim=1).mean()))
    slope = fitted(steps, errors)
    print(f"slope {slope:.2f}, last error {errors[-1]:.2e}")
    assert solver.order == min(inside.order, outside.order)
    assert abs(slope + solver.order) < 0.25  # the grid meets the band elsewhere in each run


def test_what_is_refused():
    for band in ((0.5, 0.5), (1.0, 0.2), (-1.0, 1.0), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="`band` must rise"):
            in_band(band, heun, euler)
    mixed = Product({"a": FLOW, "b": PROCESSES["vp"]})
    x = State({name: torch.zeros(1, 2, 3) for name in "ab"}, torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="one affine process"):
        in_band(BAND, heun, euler)(mixed, None, x, 0.5, 0.4, torch.Generator(), None)
