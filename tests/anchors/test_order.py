"""Every public solver converges at the order it declares, measured; a solver without a measurement fails here."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
import torch

import scigen.solver
from scigen.solver import ancestral, ddim, dpmpp_2m, euler, euler_maruyama, heun, predictor_corrector, sample
from scigen.solver.loop import Memory
from tests.anchors.problems import (
    PROCESSES,
    VAR,
    count,
    fitted,
    level_grid,
    marginal_moments,
    moments,
    on_gaussian,
    on_mixture,
    path_ends,
    starts,
    uneven_grid,
)

ALONG_PATHS = {"ddim": ddim(), "euler": euler, "heun": heun, "dpmpp_2m": dpmpp_2m}
IN_LAW = {  # at the usual snr of 0.16 the predictor's and the corrector's errors have opposite signs and cross
    "ancestral": ancestral,
    "euler_maruyama": euler_maruyama,
    "predictor_corrector": predictor_corrector(ddim(), snr=0.5),
}
STEPS = (16, 32, 64, 128)


def path_errors(solver, affine, grid, steps=STEPS):
    """Mean distance to the exact path ends (in units of alpha), and the evaluations of the longest run."""
    errors, rng = [], torch.Generator()
    for n in steps:
        times, denoise = grid(affine, n), count(on_mixture(affine))
        x, _ = sample(affine, denoise, starts(affine, times[0]), times, rng, solver)
        errors.append(float((x / affine.alpha(times[-1]) - path_ends()).norm(dim=1).mean()))
    return errors, denoise.calls


@pytest.mark.parametrize("grid", [level_grid, uneven_grid])
@pytest.mark.parametrize("process", ["vp", "flow"])
@pytest.mark.parametrize("name", ALONG_PATHS)
def test_order_along_paths(name, process, grid):
    solver = ALONG_PATHS[name]
    errors, calls = path_errors(solver, PROCESSES[process], grid)
    slope = fitted(STEPS, errors)
    print(f"{name} {process} {grid.__name__}: slope {slope:.2f}, last error {errors[-1]:.2e}, {calls} evaluations")
    assert calls == solver.evaluations * STEPS[-1]
    assert abs(slope + solver.order) < 0.15


def test_a_wrong_history_weight_loses_the_order():
    """h / h_previous taken as 1: right on equal steps, of first order on uneven ones. The measurement can fail."""

    def unweighted(process, denoise, x_t, t, s, rng, memory):
        belief = denoise(x_t, t)
        if memory is None:
            return dpmpp_2m(process, denoise, x_t, t, s, rng, None)
        ell = [float(process.half_logsnr(u)) for u in (memory.t, t, s)]
        undo = (ell[1] - ell[0]) / (ell[2] - ell[1])
        skewed = Memory(belief + undo * (memory.belief - belief), memory.t)
        x_s, _ = dpmpp_2m(process, lambda *_: belief, x_t, t, s, rng, skewed)
        return x_s, Memory(belief, t)

    flow = PROCESSES["flow"]
    assert fitted(STEPS, path_errors(unweighted, flow, level_grid)[0]) < -1.85
    assert fitted(STEPS, path_errors(unweighted, flow, uneven_grid)[0]) > -1.3


LAW_STEPS = (100, 200, 400, 800)


@pytest.mark.parametrize("name", IN_LAW)
def test_order_in_law(name):
    """Error of the variance on the Gaussian, propagated exactly."""
    solver, affine, errors = IN_LAW[name], PROCESSES["cosine"], []
    for n in LAW_STEPS:
        grid = level_grid(affine, n)
        first, last = marginal_moments(affine, grid[0]), marginal_moments(affine, grid[-1])
        _, var = moments(solver, affine, on_gaussian(affine), grid, *first, draws=solver.evaluations)
        errors.append(abs(var - last[1]))
    slope = fitted(LAW_STEPS, errors)
    print(f"{name}: slope {slope:.2f}, last variance error {errors[-1]:.2e} of {VAR}")
    assert abs(slope + solver.order) < 0.15


def test_every_public_solver_is_measured():
    """A solver is what carries an order, or is annotated to make one."""
    found = set()
    for module in pkgutil.iter_modules(scigen.solver.__path__, "scigen.solver."):
        names = vars(importlib.import_module(module.name))
        for name in names.get("__all__", []):
            makes = getattr(names[name], "__annotations__", {}).get("return") == "Solver"
            if hasattr(names[name], "order") or makes:
                found.add(name)
    assert found == {*ALONG_PATHS, *IN_LAW}
    assert found <= set(scigen.solver.__all__)
