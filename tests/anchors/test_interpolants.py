"""Stochastic interpolants between Gaussians: one law under every epsilon, the ODE, the SDEs, and alpha-blending."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from scigen.denoiser import epsilon as noise_of
from scigen.oracle import Joint, bridge_ends, bridge_marginal
from scigen.process.affine import rectified
from scigen.process.brownian import Brownian, symmetric
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.interpolant import Ends, Interpolant, carry, linear, score, trigonometric, velocity
from scigen.process.product import Product
from scigen.solver import ancestral, euler, sample
from scigen.solver.bridge import bridge_ode
from scigen.solver.grids import uniform
from scigen.solver.interpolant import interpolate
from scigen.solver.record import recorded
from scigen.state import State, center
from tests.anchors.problems import count, fitted, moments, on_mixture, starts

JOINT = Joint(
    torch.tensor([0.7, -0.2], dtype=torch.float64),
    torch.tensor([-0.4, 0.9], dtype=torch.float64),
    torch.tensor([[0.5, 0.2], [0.2, 0.4]], dtype=torch.float64),
    torch.tensor([[1.2, -0.3], [-0.3, 0.6]], dtype=torch.float64),
    torch.tensor([[0.3, -0.1], [0.2, 0.25]], dtype=torch.float64),
)
SCALAR = Joint(*(torch.tensor(v, dtype=torch.float64) for v in ([0.7], [-0.4], [[0.49]], [[1.3]], [[0.3]])))
PROCESSES = {"linear": linear(1.0), "trigonometric": trigonometric(0.8), "bridge": symmetric(0.05, 2.0)}
every_process = pytest.mark.parametrize("name", PROCESSES)


def field(process, t, epsilon):
    """Matrix and offset of the backward drift b - epsilon score, from its values at the origin and the unit vectors."""
    x = torch.cat([torch.zeros(1, 2), torch.eye(2)]).double()
    ends = bridge_ends(process, JOINT)(x, t)
    drift = velocity(process, x, ends, t)
    if epsilon:
        drift = drift - epsilon * score(process, x, ends, t)
    return (drift[1:] - drift[0]).mT.numpy(), drift[0].numpy()


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
@pytest.mark.parametrize("name, last", [("linear", 1e-3), ("trigonometric", 0.1)])
def test_every_epsilon_has_the_same_marginals(name, last, epsilon):
    """The moment equations of dx = (b - epsilon score) dt + sqrt(2 epsilon) dW, run from 1 - last to `last` by SciPy.

    They must carry mean and covariance of the interpolant to those of the interpolant, whatever epsilon. (Where gamma
    vanishes like t^2 a constant epsilon makes them stiff, so there the ends are left out.)
    """
    process, first = PROCESSES[name], 1 - last

    def slope(t, y):
        matrix, offset = field(process, t, epsilon)
        cov = y[2:].reshape(2, 2)
        change = matrix @ cov + cov @ matrix.T - 2 * epsilon * np.eye(2)
        return np.concatenate([matrix @ y[:2] + offset, change.ravel()])

    mean, cov = bridge_marginal(process, JOINT, first)
    start = torch.cat([mean, cov.ravel()]).numpy()
    out = solve_ivp(slope, (first, last), start, method="DOP853", rtol=1e-10, atol=1e-12).y[:, -1]
    mean, cov = bridge_marginal(process, JOINT, last)
    gap = np.abs(out - torch.cat([mean, cov.ravel()]).numpy()).max()
    print(f"{name} epsilon {epsilon}: {gap:.1e}")
    assert gap < 1e-10


@every_process
@pytest.mark.parametrize("rate", [0.0, 2.0])
def test_solver_is_of_first_order_from_end_to_end(name, rate):
    """Mean and variance of x0 from the law of x1, exactly propagated; t = 1 and t = 0 themselves included.

    A gamma that goes like sqrt(t) has h log(1/h) instead, a slope near -0.8 at these steps.
    """
    process, steps, errors = PROCESSES[name], (16, 32, 64), []
    denoise = bridge_ends(process, SCALAR)
    for n in steps:
        mean, var = moments(interpolate(rate), process, denoise, uniform(n), -0.4, 1.3)
        assert abs(mean - 0.7) < 1e-12
        errors.append(abs(var - 0.49))
    slope = fitted(steps, errors)
    print(f"{name} rate {rate}: {[f'{e:.2e}' for e in errors]}, slope {slope:.2f}")
    assert -0.9 < slope < -0.7 if name == "linear" else abs(slope + 1) < 0.15


def test_backward_drift_of_a_bridge_is_that_of_its_sde(rng):
    """At epsilon = scale^2 / 2, b - epsilon score = (x - E[x0 | x]) / t: the belief about x0 is enough (1e-14)."""
    process, x = Brownian(0.8), torch.randn(9, 2, dtype=torch.float64, generator=rng)
    for t in (0.1, 0.5, 0.9):
        ends = bridge_ends(process, JOINT)(x, t)
        drift = velocity(process, x, ends, t) - 0.32 * score(process, x, ends, t)
        assert (drift - (x - ends.x0) / t).abs().max() < 1e-13


def test_velocity_is_the_rate_of_the_mean_move(rng):
    """carry, over a small step, and for known ends over any: x moves along its own curve I(t) + gamma(t) z."""
    process = trigonometric(0.8)
    x0, x1, z = (torch.randn(7, 2, dtype=torch.float64, generator=rng) for _ in range(3))

    def curve(t):
        t = torch.tensor(t, dtype=torch.float64)
        return process.alpha(t) * x0 + process.beta(t) * x1 + process.gamma(t) * z

    ends, h = Ends(x0, x1), 1e-4
    for t, s in ((0.9, 0.3), (0.5, 0.0), (0.4, 0.39)):
        assert (carry(process, curve(t), ends, t, s) - curve(s)).abs().max() < 1e-13
    path = []
    sample(process, lambda *_: ends, curve(0.9), [0.9, 0.5, 0.2, 0.0], rng, recorded(ancestral, path))
    assert [t for t, _ in path] == [0.9, 0.5, 0.2, 0.0]
    assert all((x - curve(t)).abs().max() < 1e-13 for t, x in path)
    assert (velocity(process, curve(0.3), ends, 0.3) - (curve(0.3 + h) - curve(0.3 - h)) / (2 * h)).abs().max() < 1e-6
    with torch.inference_mode():
        assert velocity(process, curve(0.3), ends, 0.3).isfinite().all()
    assert (score(process, curve(0.3), ends, 0.3) + z / process.gamma(torch.tensor(0.3))).abs().max() < 1e-6


def test_ancestral_is_the_ode(rng):
    process, denoise = linear(0.7), bridge_ends(linear(0.7), JOINT)
    x = torch.randn(6, 2, dtype=torch.float64, generator=rng)
    ode, chain = (sample(process, denoise, x, uniform(8), rng, solver)[0] for solver in (interpolate(), ancestral))
    assert torch.equal(ode, chain)


def test_without_noise_it_is_rectified_flow(rng):
    """gamma = 0: the straight line of `bridge_ode`, for the same belief about x0."""
    bridge, x = Brownian(0.0), torch.randn(6, 2, dtype=torch.float64, generator=rng)

    def x0_of(x_t, t, previous=None):
        return bridge_ends(bridge, JOINT)(x_t, t).x0

    for t, s in ((1.0, 0.6), (0.5, 0.4), (0.2, 0.0)):
        ours = interpolate()(bridge, bridge_ends(bridge, JOINT), x, t, s, rng, None)[0]
        assert (ours - bridge_ode(bridge, x0_of, x, t, s, rng, None)[0]).abs().max() < 1e-14


def test_alpha_blending_is_euler_on_rectified_flow(rng):
    """x_(a + h) = x_a + h d(x_a, a), a = 1 - t the share of data, d the belief about x0 - x1. arXiv:2305.03486"""
    flow, denoise = rectified(), on_mixture(rectified())
    x, grid = starts(flow, 1.0), uniform(16)
    ours, _ = sample(flow, denoise, x, grid, rng, euler)
    a = 0.0
    for blend in [1 - t for t in grid[1:]]:
        x0 = denoise(x, 1 - a)
        x, a = x + (blend - a) * (x0 - noise_of(flow, x, x0, 1 - a)), blend
    assert (ours - x).abs().max() < 1e-13


def test_whole_states(rng):
    """Coordinates by the interpolant's rule, tokens by their exact draw, zero centre of mass kept."""
    mask = torch.tensor([[True, True, True], [True, True, False]])
    pos = [center(torch.randn(2, 3, 3, dtype=torch.float64, generator=rng), mask) for _ in range(2)]
    parts = {"pos": linear(0.5), "atom": uniform_tokens(2, keep_of(rectified()))}
    process = Product(parts, lambda x: x.replace(pos=center(x["pos"], x.mask)))
    atom = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], dtype=torch.float64).expand(2, 3, 2)
    denoise = count(lambda x, t, previous=None: {"pos": Ends(pos[0], pos[1]), "atom": atom})
    for solver in (interpolate(), interpolate(0.3), ancestral):
        start = State({"pos": pos[1], "atom": torch.zeros(2, 3).long()}, mask)
        x, _ = sample(process, denoise, start, uniform(5), rng, solver)
        assert (x["pos"] - pos[0]).abs().max() < 1e-12 and torch.equal(x["atom"], atom.argmax(-1))


def test_noise_has_its_law_at_both_ends(rng):
    x0, x1 = (torch.randn(4, 2, dtype=torch.float64, generator=rng) for _ in range(2))
    for process in (linear(1.0), trigonometric(0.8)):
        assert (process.noise(x0, x1, 0.0, rng) - x0).abs().max() < 1e-15
        assert (process.noise(x0, x1, 1.0, rng) - x1).abs().max() < 1e-15
    many = linear(0.6).noise(torch.zeros(20_000, 1), torch.ones(20_000, 1), 0.25, rng)
    assert abs(float(many.mean()) - 0.25) < 0.008 and abs(float(many.std()) - 0.6 * 0.1875**0.5) < 0.008


def test_single_precision_follows_double():
    x = torch.randn(32, 1, generator=torch.Generator().manual_seed(2))
    for process in PROCESSES.values():
        denoise = bridge_ends(process, SCALAR)
        single, double = (
            sample(process, denoise, y, uniform(30), torch.Generator(), interpolate())[0] for y in (x, x.double())
        )
        assert single.dtype == torch.float32 and (single.double() - double).abs().max() < 1e-4


def test_refusals(rng):
    x = torch.zeros(2, 1, dtype=torch.float64)
    ends = bridge_ends(linear(1.0), SCALAR)
    with pytest.raises(ValueError, match="rate.*-1"):
        interpolate(-1.0)
    with pytest.raises(ValueError, match="pass the points x1"):
        linear(1.0).source(x, rng)
    with pytest.raises(ValueError, match="use `interpolate\\(\\)`"):
        interpolate(0.1)(Brownian(0.0), ends, x, 0.5, 0.4, rng, None)
    with pytest.raises(ValueError, match="both ends"):
        interpolate()(linear(1.0), lambda *_: x, x, 0.5, 0.4, rng, None)
    with pytest.raises(ValueError, match="needs a bridge and Affine has none"):
        interpolate()(rectified(), ends, x, 0.5, 0.4, rng, None)
    with pytest.raises(ValueError, match="use `ancestral`"):
        euler(linear(1.0), ends, x, 0.5, 0.4, rng, None)


def test_curves_are_whatever_one_likes(rng):
    """A process of three lambdas: the law of x_t is their weighted sum."""
    process = Interpolant(lambda t: (1 - t) ** 2, lambda t: t**3, lambda t: 0 * t)
    x0, x1 = torch.ones(1, 1).double(), 2 * torch.ones(1, 1).double()
    assert abs(float(process.noise(x0, x1, 0.5, rng)) - 0.5) < 1e-15
