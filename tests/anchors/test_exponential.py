"""Exponential integrators: exact on polynomial beliefs, equal to the published formulas where those are exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

from scigen.oracle import gaussian
from scigen.process.categorical import absorbing, keep_of
from scigen.process.product import Product
from scigen.solver import DATA, NATURAL, NOISE, adams, ddim, dpm_solver, heun, sample, unipc
from scigen.solver.grids import uniform
from scigen.solver.integral import level, moments, time_at
from scigen.solver.loop import Memory
from scigen.state import State, center
from tests.anchors.problems import PROCESSES, level_grid, on_mixture, path_ends, starts

FLOW, VP = PROCESSES["flow"], PROCESSES["vp"]
TIMES = (0.80, 0.71, 0.64, 0.52, 0.33)  # uneven: three moves behind, then from .52 to .33
SPLITS = {"data": DATA, "noise": NOISE, "natural": NATURAL}


@pytest.mark.parametrize("growth", [-40.0, -5.1, -1.0, -1e-3, 0.0, 1e-9, 0.5, 4.9, 30.0])
def test_moments(growth):
    for k, value in enumerate(moments(growth, 5)):
        exact = quad(lambda u, k=k: math.exp(growth * (1 - u)) * u**k, 0, 1, epsabs=0, epsrel=1e-13)[0]
        assert abs(value / exact - 1) < 1e-13


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("low, high", [(0.1, 0.3), (1e-4, 0.9), (1e-6, 1e-5)])
def test_times_of_levels(name, low, high):
    affine = PROCESSES[name]
    ell = torch.linspace(level(affine, high).ell, level(affine, low).ell, 9, dtype=torch.float64)
    t = time_at(affine, ell, low, high)
    assert (affine.half_logsnr(t) - ell).abs().max() < 1e-12
    assert abs(t[0] - high) + abs(t[-1] - low) < 1e-12 * high


def cubic(u):
    return 0.3 - 0.7 * u + 0.2 * u**2 + 0.05 * u**3


def polynomial_history(split, affine):
    """Memory of beliefs whose interpolated quantity is a cubic of the clock, whatever the state."""

    def belief(x, t):
        at = level(affine, t)
        value = cubic(split.clock(at))
        return torch.full_like(x, value) if split is DATA else (x - at.sigma * value) / at.alpha

    memory, x = None, torch.ones(2, 3, dtype=torch.float64)
    for t in TIMES[:3]:
        memory = Memory(belief(t * x, t), t, t * x, memory)
    return belief, memory


@pytest.mark.parametrize("process", ["vp", "flow"])
@pytest.mark.parametrize("name", SPLITS)
def test_polynomials_are_integrated_exactly(name, process):
    affine, split, (t, s) = PROCESSES[process], SPLITS[name], TIMES[3:]
    belief, memory = polynomial_history(split, affine)
    x = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)
    out, _ = adams(4, split)(affine, lambda y, u, previous=None: belief(y, u), x, t, s, torch.Generator(), memory)
    at, end = level(affine, t), level(affine, s)
    if split is DATA:
        exact = x / at.sigma + quad(lambda u: math.exp(u) * cubic(u), at.ell, end.ell)[0]
        exact = end.sigma * exact
    elif split is NOISE:
        exact = end.alpha * (x / at.alpha - quad(lambda u: math.exp(-u) * cubic(u), at.ell, end.ell)[0])
    else:
        exact = end.alpha * (x / at.alpha + quad(cubic, at.rho, end.rho)[0])
    assert (out - exact).abs().max() < 1e-12
    lower, _ = adams(3, split)(affine, lambda y, u, previous=None: belief(y, u), x, t, s, torch.Generator(), memory)
    assert (lower - exact).abs().max() > 1e-5


def test_third_order_is_the_taylor_form_with_half_its_second_derivative():
    """DPM-Solver++(3M) in its usual code takes D2, half the second derivative, for the whole of it, which is of second
    order. With 2 D2 it is `adams(3, DATA)`."""
    belief, memory = on_mixture(VP), None
    for u in TIMES[1:3]:
        x = starts(VP, u)
        memory = Memory(belief(x, u), u, x, memory)
    t, s = TIMES[3:]
    x = starts(VP, t)
    out, _ = adams(3, DATA)(VP, belief, x, t, s, torch.Generator(), memory)
    ells = [level(VP, u).ell for u in (s, t, *TIMES[2:0:-1])]
    h, r0, r1 = ells[0] - ells[1], (ells[1] - ells[2]) / (ells[0] - ells[1]), (ells[2] - ells[3]) / (ells[0] - ells[1])
    m0, m1, m2 = belief(x, t), memory.belief, memory.before.belief
    d10, d11 = (m0 - m1) / r0, (m1 - m2) / r1
    d1, d2 = d10 + r0 / (r0 + r1) * (d10 - d11), (d10 - d11) / (r0 + r1)

    def taylor(factor):
        alpha, ratio, e = level(VP, s).alpha, level(VP, s).sigma / level(VP, t).sigma, math.expm1(-h)
        return ratio * x - alpha * (e * m0 - (e / h + 1) * d1 + ((e + h) / h**2 - 0.5) * factor * d2)

    assert (out - taylor(2)).abs().max() < 1e-12
    assert (out - taylor(1)).abs().max() > 1e-4


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("make", [adams, dpm_solver])
def test_first_order_is_ddim(make, name):
    for t, s in [(1.0, 0.9), (0.6, 0.4), (0.05, 0.0)]:
        x, rng = starts(FLOW, t), torch.Generator()
        one, other = (
            solver(FLOW, on_mixture(FLOW), x, t, s, rng, None)[0] for solver in (make(1, SPLITS[name]), ddim())
        )
        assert (one - other).abs().max() < 1e-14


def published(x, t, s, order):
    """DPM-Solver-2 and 3, algorithms 4 and 5 of arXiv:2206.00927, r1 = 1/2; r1, r2 = 1/3, 2/3."""

    def eps(y, u):
        at = level(VP, u)
        return (y - at.alpha * on_mixture(VP)(y, u)) / at.sigma

    def exponential(u, r):
        at = level(VP, u)
        return at.alpha / level(VP, t).alpha * x - at.sigma * math.expm1(r * h) * first, at.sigma

    h, first = level(VP, s).ell - level(VP, t).ell, eps(x, t)
    ell = torch.tensor([level(VP, t).ell + r * h for r in (1 / 2, 1 / 3, 2 / 3)], dtype=torch.float64)
    middle, u1, u2 = VP.time_of_logsnr(2 * ell).tolist()
    if order == 2:
        second = eps(exponential(middle, 1 / 2)[0], middle)
        base, sigma = exponential(s, 1)
        return base - sigma * math.expm1(h) * (second - first)
    d1 = eps(exponential(u1, 1 / 3)[0], u1) - first
    base, sigma = exponential(u2, 2 / 3)
    y2 = base - sigma * 2 * (math.expm1(2 * h / 3) / (2 * h / 3) - 1) * d1
    base, sigma = exponential(s, 1)
    return base - sigma * 1.5 * (math.expm1(h) / h - 1) * (eps(y2, u2) - first)


@pytest.mark.parametrize("order", [2, 3])
def test_singlestep_is_the_published_rule(order):
    for t, s in [(1.0, 0.9), (0.6, 0.4), (0.1, 0.01)]:
        x = starts(VP, t)
        out, _ = dpm_solver(order)(VP, on_mixture(VP), x, t, s, torch.Generator(), None)
        assert (out - published(x, t, s, order)).abs().max() < 1e-11


def test_correction_solves_the_papers_system():
    """UniC-2: B a = R^-1 phi, of the differences at r_m = (ell_m - ell_start) / h. arXiv:2302.04867, theorem 3.1."""
    x, beliefs = starts(VP, TIMES[2]), []

    def denoise(y, u, previous=None):
        beliefs.append(on_mixture(VP)(y, u))
        return beliefs[-1]

    memory, solver = None, unipc(2, DATA)
    for t, s in zip(TIMES[:3], TIMES[1:4]):
        x, memory = solver(VP, denoise, x, t, s, torch.Generator(), memory)
    new = on_mixture(VP)(x, TIMES[3])
    start, end, earlier = (level(VP, TIMES[i]) for i in (2, 3, 1))
    h, r = end.ell - start.ell, (earlier.ell - start.ell) / (end.ell - start.ell)
    m0, old = beliefs[2], beliefs[1]
    phi = [quad(lambda u, k=k: h * math.exp(-h * (1 - u)) * u**k, 0, 1)[0] for k in (1, 2)]
    a = np.linalg.solve([[r, 1.0], [r**2, 1.0]], phi)
    corrected = end.alpha * (a[0] * (old - m0) + a[1] * (new - m0))
    predicted = end.alpha * phi[0] / r * (old - m0)
    mended = x + corrected - predicted
    expected = adams(2, DATA)(
        VP, lambda *_: new, mended, TIMES[3], TIMES[4], torch.Generator(), Memory(m0, TIMES[2], x)
    )
    out, _ = solver(VP, lambda *_: new, x, TIMES[3], TIMES[4], torch.Generator(), memory)
    assert (out - expected[0]).abs().max() < 1e-12
    assert (corrected - predicted).abs().max() > 1e-5


@pytest.mark.parametrize("solver, held", [(adams(1), 1), (adams(2), 1), (adams(4), 3), (unipc(3), 4)])
def test_memory_is_bounded(solver, held):
    x, memory, grid = starts(FLOW, 1.0, 2), None, uniform(12)
    for t, s in zip(grid, grid[1:]):
        x, memory = solver(FLOW, on_mixture(FLOW), x, t, s, torch.Generator(), memory)
    assert len(memory.history(0.0, 99)) == held


def test_histories_of_other_solvers_do_not_mislead():
    """Heun leaves a belief from t itself and ancestral no state: the next move is DDIM's."""
    t, s, rng = 0.5, 0.4, torch.Generator()
    x, after_heun = heun(FLOW, on_mixture(FLOW), starts(FLOW, 0.6), 0.6, t, rng, None)
    plain = ddim()(FLOW, on_mixture(FLOW), x, t, s, rng, None)[0]
    for memory in (after_heun, Memory(after_heun.belief, 0.6)):
        for solver in (adams(3), unipc(3)):
            assert (solver(FLOW, on_mixture(FLOW), x, t, s, rng, memory)[0] - plain).abs().max() < 1e-14


def test_fields_share_one_process_where_a_middle_is_needed():
    state = State({"a": torch.zeros(1, 2, 3), "b": torch.zeros(1, 2, 3)}, torch.ones(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="one affine process"):
        sample(
            Product({"a": VP, "b": FLOW}), lambda x, *_: x.fields, state, [0.9, 0.5], torch.Generator(), dpm_solver()
        )


@pytest.mark.parametrize("make", [lambda: adams(0), lambda: adams(5), lambda: unipc(5), lambda: dpm_solver(4)])
def test_orders_that_do_not_exist(make):
    with pytest.raises(ValueError, match="must be"):
        make()


def test_noise_is_better_than_data_at_few_steps():
    """Which quantity is interpolated changes the error, not the order: both stay on offer."""
    grid = level_grid(FLOW, 16)
    ends = [
        sample(FLOW, on_mixture(FLOW), starts(FLOW, grid[0]), grid, torch.Generator(), unipc(3, split))[0]
        for split in (NOISE, DATA)
    ]
    noise, data = (float((x / FLOW.alpha(grid[-1]) - path_ends()).norm(dim=1).mean()) for x in ends)
    assert noise < data


@pytest.mark.parametrize("solver", [adams(3), unipc(2), dpm_solver(3)])
def test_tokens_beside_coordinates(solver):
    """A belief that ignores the tokens moves the coordinates as if alone; the tokens take their own draws."""
    mask = torch.ones(4, 5, dtype=torch.bool)
    process = Product(
        {"pos": FLOW, "atom": absorbing(3, keep_of(FLOW))}, lambda x: x.replace(pos=center(x["pos"], mask))
    )
    rng = torch.Generator().manual_seed(0)
    pos = center(torch.randn(4, 5, 3, dtype=torch.float64, generator=rng), mask)
    x = State({"pos": pos, "atom": torch.full((4, 5), 3)}, mask)
    belief = gaussian(FLOW, 0.0, 0.3)

    def both(y, t, previous=None):
        return {"pos": belief(y["pos"], t), "atom": torch.tensor([0.2, 0.8, 0.0, 0.0]).expand(4, 5, 4)}

    out, _ = sample(process, both, x, uniform(9), rng, solver)
    alone, _ = sample(FLOW, belief, pos, uniform(9), rng, solver)
    assert (out["pos"] - alone).abs().max() < 1e-12 and out["pos"].sum(1).abs().max() < 1e-12
    assert set(out["atom"].unique().tolist()) == {0, 1}
