"""Brownian bridges: their law, their solvers on paired Gaussians, and whole states with carried fields."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import quad

from scigen.oracle import Joint, bridge_belief, bridge_marginal, gaussian_path
from scigen.process.affine import rectified
from scigen.process.brownian import Brownian, symmetric
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ancestral, ddim, dpmpp_2m, euler, heun, sample
from scigen.solver.bridge import bridge_ode, bridge_sde, given_start
from scigen.solver.grids import uniform
from scigen.state import State, center, normal
from tests.anchors.problems import fitted, level_grid, moments

BRIDGES = {"plain": Brownian(0.8), "symmetric": symmetric(1e-4, 0.3), "reversed": symmetric(0.1, 0.4).reverse()}
every_bridge = pytest.mark.parametrize("name", BRIDGES)


def scalar(x):
    return torch.tensor([[float(x)]], dtype=torch.float64)


def pairs(s0=0.49, s1=1.3, rho=0.5, mean0=0.0, mean1=0.0):
    """A Gaussian law of pairs in one dimension, by variances and correlation."""
    cross = rho * math.sqrt(s0 * s1)
    return Joint(scalar(mean0)[0], scalar(mean1)[0], scalar(s0), scalar(s1), scalar(cross))


def exactly(x0):
    """A belief that knows x0."""
    return lambda x_t, t, previous=None: torch.full_like(x_t, x0)


@every_bridge
def test_chain_of_steps_is_the_direct_marginal(name):
    """From x1 down to s in any steps, given x0: mean and variance of `noise` at s (1.1e-16)."""
    bridge, x0, x1 = BRIDGES[name], 0.7, -1.1
    for grid in ([1.0, 0.3], [1.0, 0.9, 0.55, 0.3], [1.0, 0.31, 0.3, 1e-3, 0.0]):
        mean, var = moments(ancestral, bridge, exactly(x0), grid, x1, 0.0)
        s = grid[-1]
        assert abs(mean - float(bridge.alpha(s) * x0 + bridge.beta(s) * x1)) < 1e-15
        assert abs(var - float(bridge.gamma(s)) ** 2) < 1e-15


@every_bridge
def test_pinned_at_both_ends_and_reversible(name, rng):
    bridge = BRIDGES[name]
    x0, x1 = (torch.randn(5, 2, dtype=torch.float64, generator=rng) for _ in range(2))
    assert torch.equal(bridge.noise(x0, x1, 0.0, rng), x0) and torch.equal(bridge.noise(x0, x1, 1.0, rng), x1)
    t = torch.linspace(0, 1, 21, dtype=torch.float64)
    back = bridge.reverse()
    assert (back.alpha(t) - bridge.beta(1 - t)).abs().max() < 1e-15
    assert (back.gamma(t) - bridge.gamma(1 - t)).abs().max() < 1e-14
    assert bridge.beta(t).diff().min() > 0


def test_symmetric_clock_is_the_integral_of_its_diffusion():
    low, high = 0.04, 0.5
    bridge = symmetric(low, high)

    def beta(t):
        return (math.sqrt(low) + (math.sqrt(high) - math.sqrt(low)) * (1 - abs(1 - 2 * t))) ** 2

    total = 2 * quad(beta, 0, 0.5)[0]
    assert abs(bridge.scale**2 - total) < 1e-14
    for t in (0.1, 0.3, 0.5, 0.62, 0.95):
        w = quad(beta, 0, t, points=[0.5])[0] / total
        assert abs(float(bridge.beta(t)) - w) < 1e-14
        assert abs(float(bridge.reverse().beta(t)) - w) < 1e-14  # its own mirror image


def variance_errors(solver, bridge, joint, steps, process=None):
    """Error of var(x0) at the end of a chain from the law of x1, exactly propagated."""
    denoise, start = bridge_belief(bridge, joint), (float(joint.mean1), float(joint.cov1))
    ends = [moments(solver, process or bridge, denoise, uniform(n), *start) for n in steps]
    assert all(abs(mean - float(joint.mean0)) < 1e-12 for mean, _ in ends)
    return [abs(var - float(joint.cov0)) for _, var in ends]


def test_ancestral_on_pairs_has_its_known_error():
    """8.11e-2 to 1.92e-2 at N = 25 to 200: h log(1/h), because a mean for x0 forgets Var[x0 | x_t] = O(t)."""
    steps, known = (25, 50, 100, 200), (8.11e-2, 5.18e-2, 3.20e-2, 1.92e-2)
    errors = variance_errors(ancestral, Brownian(1.0), pairs(mean0=0.7, mean1=-0.2), steps)
    print("ancestral", [f"{e:.3e}" for e in errors], f"slope {fitted(steps, errors):.2f}")
    assert all(abs(e - k) < 1e-4 for e, k in zip(errors, known))
    assert -0.75 < fitted(steps, errors) < -0.6


def test_reverse_sde_is_of_clean_first_order():
    """Where `ancestral` is of order 0.7: the noise that it forgets is the noise that this one adds."""
    steps = (25, 50, 100)
    errors = variance_errors(bridge_sde, Brownian(1.0), pairs(mean0=0.7, mean1=-0.2), steps)
    print("bridge_sde", [f"{e:.3e}" for e in errors], f"slope {fitted(steps, errors):.2f}")
    assert abs(fitted(steps, errors) + 1) < 0.15


def test_chain_reproduces_every_marginal():
    """Not only the end: the variance at s = 0.4 approaches that of the mixture of bridges, whatever the clock."""
    joint, errors = pairs(), []
    for bridge in BRIDGES.values():
        denoise, exact = bridge_belief(bridge, joint), float(bridge_marginal(bridge, joint, 0.4)[1])
        for n in (12, 24):
            grid = [1 - 0.6 * i / n for i in range(n + 1)]
            errors.append(abs(moments(bridge_sde, bridge, denoise, grid, 0.0, 1.3)[1] - exact))
        assert errors[-1] < 0.6 * errors[-2] < 0.05


def test_mean_only_is_euler_on_rectified_flow(rng):
    """On a bridge of scale 0 the two processes are one, so every affine solver serves I2SB's OT-ODE."""
    flow, bridge, joint = rectified(), Brownian(0.0), pairs()
    denoise, x = bridge_belief(bridge, joint), torch.randn(20, 1, dtype=torch.float64, generator=rng)
    for t, s in ((1.0, 0.8), (0.5, 0.49), (0.1, 0.0)):
        ours = bridge_ode(bridge, denoise, x, t, s, rng, None)[0]
        assert (ours - euler(flow, denoise, x, t, s, rng, None)[0]).abs().max() < 1e-15
        assert torch.equal(ours, ancestral(bridge, denoise, x, t, s, rng, None)[0])


def test_mean_only_follows_the_flow_of_a_coupling():
    """Straight lines between correlated Gaussians: the end's variance is s0, to first order."""
    joint, steps = pairs(), (16, 32, 64)
    for solver, process in ((bridge_ode, Brownian(0.0)), (heun, rectified())):
        errors = variance_errors(solver, Brownian(0.0), joint, steps, process)
        print(solver, [f"{e:.3e}" for e in errors], f"slope {fitted(steps, errors):.2f}")
        assert abs(fitted(steps, errors) + solver.order) < 0.15


def test_seen_from_its_start_a_bridge_is_a_diffusion():
    """x_t = w x1 + sqrt(1 - w) y_t: the same mean and variance given both ends, whatever the clock."""
    x0, x1 = 0.7, -1.1
    for bridge in BRIDGES.values():
        affine, _ = given_start(bridge, exactly(x0), scalar(x1))
        t = torch.linspace(0, 1, 11, dtype=torch.float64)
        shrink = bridge.alpha(t).sqrt()
        line = bridge.alpha(t) * x0 + bridge.beta(t) * x1
        assert (bridge.beta(t) * x1 + shrink * affine.alpha(t) * x0 - line).abs().max() < 1e-15
        assert (shrink * affine.sigma(t) - bridge.gamma(t)).abs().max() < 1e-15
    assert ((given_start(Brownian(1.0), exactly(x0), None)[0].scale(t)) - 1).abs().max() < 1e-15


@pytest.mark.parametrize("solver, order", [(ddim(), 1), (dpmpp_2m, 2), (heun, 2)])
def test_affine_solvers_sample_a_bridge_from_its_start(solver, order, rng):
    """x0 | x1 of the paired Gaussians: the end of the exact flow, at the solver's own order."""
    joint, bridge = pairs(), Brownian(0.9)
    x1 = torch.randn(32, 1, dtype=torch.float64, generator=rng)
    slope, errors, steps = float(joint.cross / joint.cov1), [], (16, 32, 64)
    mean, var = slope * x1, float(joint.cov0) - slope * float(joint.cross)

    def knowing(x_t, t, previous=None):
        """E[x0 | x_t, x1]: a conditional Gaussian seen through (1 - w) x0 + gamma z."""
        w, a, c = bridge.beta(t), bridge.alpha(t), bridge.gamma(t)
        gain = a * var / (a**2 * var + c**2) if a > 0 else 0.0
        return mean + gain * (x_t - w * x1 - a * mean)

    affine, denoise = given_start(bridge, knowing, x1)
    for n in steps:
        grid = level_grid(affine, n)
        y = torch.randn(32, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * affine.scale(grid[0])
        exact = gaussian_path(affine, mean, var, y, grid[0], grid[-1])
        errors.append(float((sample(affine, denoise, y, grid, rng, solver)[0] - exact).abs().mean()))
    print(solver, [f"{e:.2e}" for e in errors], f"slope {fitted(steps, errors):.2f}")
    assert abs(fitted(steps, errors) + order) < 0.15
    y = affine.source(x1, rng)
    exact, grid = gaussian_path(affine, mean, var, y, 1.0, 0.0), [1.0, *level_grid(affine, 64), 0.0]
    # From t = 1 to t = 0 themselves; d alpha / dt is infinite at 1, where Heun cannot start.
    assert solver is heun or (sample(affine, denoise, y, grid, rng, solver)[0] - exact).abs().max() < 0.1


def molecules(bridge):
    """Centred positions on a bridge, atoms redrawn, and a carried start field that no part moves."""
    parts = {"pos": bridge, "atom": uniform_tokens(3, keep_of(rectified()))}
    return Product(parts, lambda x: x.replace(pos=center(x["pos"], x.mask)))


def batch(rng, sizes=(5, 3)):
    mask = torch.arange(max(sizes))[None] < torch.tensor(sizes)[:, None]
    pos, start = (center(torch.randn(*mask.shape, 3, dtype=torch.float64, generator=rng), mask) for _ in range(2))
    bond = torch.randint(0, 4, (*mask.shape, max(sizes)), generator=rng)
    return State({"pos": start, "start": start, "atom": torch.zeros(mask.shape).long(), "bond": bond}, mask), pos


@pytest.mark.parametrize("solver, scale", [(ancestral, 0.3), (bridge_sde, 0.3), (bridge_ode, 0.0), (ancestral, 0.0)])
def test_whole_states(solver, scale, rng):
    """Positions end on the belief with zero centre of mass, tokens are drawn, everything else is carried."""
    x1, pos = batch(rng)
    process = molecules(Brownian(scale))
    atom = torch.nn.functional.one_hot(torch.arange(5) % 3, 3).double().expand(2, 5, 3)

    def denoise(x, t, previous=None):
        assert x["pos"].sum(1).abs().max() < 1e-12 and torch.equal(x["start"], x1["start"])
        return {"pos": pos, "atom": atom}

    x, belief = sample(process, denoise, x1, uniform(6), rng, solver)
    assert x["pos"].sum(1).abs().max() < 1e-12 and not x["pos"][~x.mask].any()
    assert x["bond"] is x1["bond"] and x["start"] is x1["start"]
    assert torch.equal(x["atom"], atom.argmax(-1))
    assert solver is bridge_sde or (x["pos"] - pos).abs().max() < 1e-12


def test_a_state_may_start_from_a_field_it_carries(rng):
    """`given_start` on a state: DDIM on the centred field, tokens and carried fields as ever."""
    x1, pos = batch(rng)
    affine, denoise = given_start(Brownian(0.5), lambda x, t, previous=None: {"pos": 0.5 * (pos + x["start"])}, x1)
    process = Product({"pos": affine}, lambda x: x.replace(pos=center(x["pos"], x.mask)))
    x, _ = sample(process, denoise, process.source(x1, rng), uniform(5), rng, ddim())
    assert (x["pos"] - 0.5 * (pos + x1["start"])).abs().max() < 1e-12


@pytest.mark.parametrize("solver", [ancestral, bridge_sde])
def test_turned_start_gives_the_turned_sample(solver, rng, monkeypatch):
    """sample(R x1, R z) = R sample(x1, z) for a belief that turns with its argument."""
    bridge, turn = Brownian(0.4), torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=rng))[0]
    x1 = torch.randn(4, 3, dtype=torch.float64, generator=rng)

    def denoise(x, t, previous=None):
        return x / (1 + x.norm(dim=-1)[:, None])

    def run(start):
        rng = torch.Generator().manual_seed(1)
        return sample(bridge, denoise, start, uniform(9), rng, solver)[0]

    plain = run(x1)
    for module in ("process.brownian", "solver.bridge"):
        monkeypatch.setattr(f"scigen.{module}.normal", lambda like, rng: normal(like, rng) @ turn)
    assert (run(x1 @ turn) - plain @ turn).abs().max() < 1e-13
    assert (run(x1) - plain).abs().max() > 1e-3


def test_refusals(rng):
    bridge, x = Brownian(0.5), torch.zeros(2, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="pass the points x1"):
        bridge.source(x, rng)
    with pytest.raises(ValueError, match="scale.*-1"):
        Brownian(-1.0)
    with pytest.raises(ValueError, match="low"):
        symmetric(0.5, 0.1)
    with pytest.raises(ValueError, match="use `bridge_ode`"):
        bridge_sde(Brownian(0.0), exactly(0.0), x, 0.5, 0.4, rng, None)
    with pytest.raises(ValueError, match="use `bridge_ode`"):
        given_start(Brownian(0.0), exactly(0.0), x)
    with pytest.raises(ValueError, match="use `ancestral`"):
        bridge_ode(bridge, exactly(0.0), x, 0.5, 0.4, rng, None)
    for solver in (heun, dpmpp_2m, ddim(), euler):
        with pytest.raises(ValueError, match="use `ancestral`"):
            solver(bridge, exactly(0.0), x, 0.5, 0.4, rng, None)
    for solver in (bridge_ode, bridge_sde):
        with pytest.raises(ValueError, match="needs a bridge and Affine has none"):
            solver(rectified(), exactly(0.0), x, 0.5, 0.4, rng, None)


@pytest.mark.parametrize("solver, scale", [(ancestral, 0.7), (bridge_sde, 0.7), (bridge_ode, 0.0)])
def test_single_precision_follows_double(solver, scale, monkeypatch):
    """Whole runs from 1 to 0 on the same draws, within rounding of points of size one."""
    for module in ("process.brownian", "solver.bridge"):
        monkeypatch.setattr(
            f"scigen.{module}.normal", lambda like, rng: torch.randn(like.shape, generator=rng).to(like)
        )
    bridge, joint = Brownian(scale), pairs()
    x1 = torch.randn(64, 1, generator=torch.Generator().manual_seed(2))
    single, double = (
        sample(bridge, bridge_belief(bridge, joint), x, uniform(40), torch.Generator().manual_seed(3), solver)[0]
        for x in (x1, x1.double())
    )
    assert single.dtype == torch.float32
    assert (single.double() - double).abs().max() < 1e-5
