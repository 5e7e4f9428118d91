"""Every public solver converges at the order it declares, measured; a solver without a measurement fails here."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest
import torch

import scigen.solver
from scigen.solver import (
    DATA,
    NATURAL,
    NOISE,
    adams,
    ancestral,
    churn,
    ddim,
    dpm_solver,
    dpmpp_2m,
    euler,
    euler_maruyama,
    heun,
    predictor_corrector,
    sample,
    unipc,
)
from scigen.solver.loop import Memory
from tests.anchors.problems import (
    PROCESSES,
    SHARED,
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

ALONG_PATHS = {
    "ddim": ddim(),
    "euler": euler,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "adams(2, DATA)": adams(2, DATA),
    "dpm_solver(2, NOISE)": dpm_solver(2, NOISE),
    "dpm_solver(2, DATA)": dpm_solver(2, DATA),
    "unipc(1, DATA)": unipc(1, DATA),
}
HIGH = {  # their powers of h show at smaller steps, on a shorter run
    "adams(3, DATA)": adams(3, DATA),
    "adams(3, NATURAL)": adams(3, NATURAL),
    "adams(4, DATA)": adams(4, DATA),
    "adams(4, NOISE)": adams(4, NOISE),
    "adams(4, NATURAL)": adams(4, NATURAL),
    "dpm_solver(3, NOISE)": dpm_solver(3, NOISE),
    "dpm_solver(3, DATA)": dpm_solver(3, DATA),
    "unipc(2, NOISE)": unipc(2, NOISE),
    "unipc(3, DATA)": unipc(3, DATA),
    "unipc(3, NOISE)": unipc(3, NOISE),
    "unipc(4, DATA)": unipc(4, DATA),
    "unipc(4, NOISE)": unipc(4, NOISE),
}
IN_LAW = {  # at the usual snr of 0.16 the predictor's and the corrector's errors have opposite signs and cross
    "ancestral": ancestral,
    "euler_maruyama": euler_maruyama,
    "predictor_corrector": predictor_corrector(ddim(), snr=0.5),
}
STEPS, HIGH_STEPS = (16, 32, 64, 128), (64, 128, 256)
ENDS, HIGH_ENDS = SHARED, (-7.0, 3.0)


def path_errors(solver, affine, grid, steps=STEPS, ends=ENDS):
    """Mean distance to the exact path ends (in units of alpha), and the evaluations of the longest run."""
    errors, rng = [], torch.Generator()
    for n in steps:
        times, denoise = grid(affine, n, *ends), count(on_mixture(affine))
        x, _ = sample(affine, denoise, starts(affine, times[0]), times, rng, solver)
        errors.append(float((x / affine.alpha(times[-1]) - path_ends(*ends)).norm(dim=1).mean()))
    return errors, denoise.calls


@pytest.mark.parametrize("process, grid", [("vp", level_grid), ("flow", uneven_grid)])
@pytest.mark.parametrize("name", ALONG_PATHS)
def test_order_along_paths(name, process, grid):
    solver = ALONG_PATHS[name]
    errors, calls = path_errors(solver, PROCESSES[process], grid)
    slope = fitted(STEPS, errors)
    print(f"{name} {process} {grid.__name__}: slope {slope:.2f}, last error {errors[-1]:.2e}, {calls} evaluations")
    assert calls == solver.evaluations * STEPS[-1]
    assert abs(slope + solver.order) < 0.15


@pytest.mark.parametrize("process, grid", [("vp", level_grid), ("flow", uneven_grid)])
@pytest.mark.parametrize("name", HIGH)
def test_high_order_along_paths(name, process, grid):
    solver = HIGH[name]
    steps = [n // solver.evaluations for n in HIGH_STEPS]
    errors, calls = path_errors(solver, PROCESSES[process], grid, steps, HIGH_ENDS)
    slope = fitted(steps, errors)
    print(f"{name} {process} {grid.__name__}: slope {slope:.2f}, last error {errors[-1]:.2e}, {calls} evaluations")
    assert calls == solver.evaluations * steps[-1]
    assert abs(slope + solver.order) < 0.2


def test_without_its_start_a_fourth_order_method_is_of_second():
    """One first-order move is enough. The history is kept too long for the start to be mended."""

    def unmended(process, denoise, x_t, t, s, rng, memory):
        length = len(memory.history(t, 4)) if memory else 0
        x_s, left = adams(min(length + 1, 4), DATA)(process, denoise, x_t, t, s, rng, memory)
        return x_s, left.after(memory.history(t, 3) if memory else [])

    ends, flow = (-2.0, 3.0), PROCESSES["flow"]
    assert fitted(HIGH_STEPS, path_errors(unmended, flow, level_grid, HIGH_STEPS, ends)[0]) > -2.3
    assert fitted(HIGH_STEPS, path_errors(adams(4, DATA), flow, level_grid, HIGH_STEPS, ends)[0]) < -2.9


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


def test_order_in_law_with_churn():
    """The amount is held while the steps shrink, so that every run takes the same noise in all."""
    affine, steps, errors = PROCESSES["cosine"], (50, 100, 200), []
    for n in steps:
        grid = level_grid(affine, n)
        first, last = marginal_moments(affine, grid[0]), marginal_moments(affine, grid[-1])
        errors.append(abs(moments(churn(n, amount=5.0), affine, on_gaussian(affine), grid, *first)[1] - last[1]))
    slope = fitted(steps, errors)
    print(f"churn: slope {slope:.2f}, last variance error {errors[-1]:.2e} of {VAR}")
    assert abs(slope + churn(1).order) < 0.15


def test_every_public_solver_is_measured():
    """A solver is what carries an order, or is annotated to make one. Some are measured by other files here."""
    found = set()
    for module in pkgutil.iter_modules(scigen.solver.__path__, "scigen.solver."):
        names = vars(importlib.import_module(module.name))
        for name in names.get("__all__", []):
            makes = getattr(names[name], "__annotations__", {}).get("return") == "Solver"
            if hasattr(names[name], "order") or makes:
                found.add(name)
    here = {name.split("(")[0] for name in (*ALONG_PATHS, *HIGH, *IN_LAW, "churn")}
    assert here <= found <= here | _named_by_the_anchors()
    assert here <= set(scigen.solver.__all__)


def _named_by_the_anchors() -> set[str]:
    trees = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in nodes if (node.module or "").startswith("scigen.solver") for alias in node.names}
