"""Schroedinger bridges between Gaussians: closed form, Sinkhorn, proportional and Markovian fitting, and small fits."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import nn

from scigen.bridge import ends_loss, from_start, imf, linear_fit, matching_loss, moments, regression, residual_denoiser
from scigen.coupling import sinkhorn_plan
from scigen.oracle import Joint, bridge_belief, bridge_ends, bridge_marginal, fit_marginals, markovian, schroedinger
from scigen.process.affine import rectified
from scigen.process.brownian import Brownian, symmetric
from scigen.process.interpolant import velocity
from scigen.solver import euler, sample
from scigen.solver.bridge import bridge_ode, bridge_sde
from scigen.solver.grids import quadratic, uniform
from scigen.solver.interpolant import interpolate

SCALE = 0.8
S0 = torch.tensor([[0.5, 0.2], [0.2, 0.4]], dtype=torch.float64)
S1 = torch.tensor([[1.2, -0.3], [-0.3, 0.6]], dtype=torch.float64)
ZERO = torch.zeros(2, dtype=torch.float64)


def scalar(x):
    return torch.tensor([[float(x)]], dtype=torch.float64)


def bridge_of(s0, s1, scale):
    """The Gaussian law of pairs of the Schroedinger bridge."""
    zero = torch.zeros(len(s0), dtype=torch.float64)
    return Joint(zero, zero, s0, s1, schroedinger(s0, s1, scale))


def test_closed_form_is_the_fixed_point_of_proportional_fitting():
    """From x1 = x0 + scale z, the reference itself: 30 rounds reach it (2e-16), by factors and not at once."""
    joint = Joint(ZERO, ZERO, S0, S0 + SCALE**2 * torch.eye(2, dtype=torch.float64), S0)
    target, errors = schroedinger(S0, S1, SCALE), []
    for _ in range(30):
        joint = fit_marginals(joint, S0, S1)
        errors.append(float((joint.cross - target).abs().max()))
    print("proportional fitting:", [f"{e:.1e}" for e in errors[:8]], f"last {errors[-1]:.1e}")
    assert errors[0] > 1e-2 and errors[-1] < 5e-15
    assert (joint.cov1 - S1).abs().max() < 5e-15


def test_closed_form_is_optimal_transport_without_noise():
    """At scale 0, x0 = A x1 with A symmetric and A S1 A = S0: the Monge map."""
    monge = torch.linalg.solve(S1, schroedinger(S0, S1, 0.0), left=False)
    assert (monge - monge.mT).abs().max() < 1e-14 and (monge @ S1 @ monge.mT - S0).abs().max() < 1e-14
    assert (schroedinger(S0, S1, 100.0)).abs().max() < 1e-3  # and independence under much


def test_sinkhorn_is_the_bridge_at_twice_the_variance():
    """reg = 2 scale^2 on |x0 - x1|^2, two Gaussians by quadrature on a grid: E[x0 x1] (trap: not scale^2)."""
    s0, s1 = 1.0, 0.5
    x = torch.linspace(-6, 6, 121, dtype=torch.float64)
    w0, w1 = (torch.exp(-(x**2) / (2 * s)) / torch.exp(-(x**2) / (2 * s)).sum() for s in (s0, s1))
    cost, truth = (x[:, None] - x) ** 2, float(schroedinger(scalar(s0), scalar(s1), SCALE))
    crosses = [float(x @ sinkhorn_plan(cost, k * SCALE**2, w0, w1) @ x) for k in (2, 1)]
    print(f"sinkhorn {abs(crosses[0] - truth):.1e}, at half the reg {abs(crosses[1] - truth):.1e}")
    assert abs(crosses[0] - truth) < 1e-7 < 1e-2 < abs(crosses[1] - truth)


def test_markovian_fitting_contracts_by_a_factor():
    """From independent pairs, one dimension, s0 = 1, s1 = 1/2, scale 0.8: the error falls about 11 times a round."""
    known = (5.18e-2, 4.78e-3, 4.32e-4, 3.89e-5, 3.51e-6, 3.16e-7)
    target, zero = schroedinger(scalar(1), scalar(0.5), SCALE), torch.zeros(1, dtype=torch.float64)
    joint, errors = Joint(zero, zero, scalar(1), scalar(0.5), scalar(0)), []
    for _ in known:
        joint = markovian(joint, SCALE, steps=200)
        errors.append(float((joint.cross - target).abs()))
    print("Markovian fitting:", [f"{e:.2e}" for e in errors])
    assert all(abs(e / k - 1) < 0.01 for e, k in zip(errors, known))


def test_the_bridge_is_a_fixed_point_of_markovian_fitting_and_nothing_else_is():
    joint = bridge_of(S0, S1, SCALE)
    assert (markovian(joint, SCALE).cross - joint.cross).abs().max() < 1e-12
    other = replace(joint, cross=0.9 * joint.cross)
    assert (markovian(other, SCALE).cross - other.cross).abs().max() > 1e-3
    assert (
        markovian(replace(joint, cross=schroedinger(S0, S1, 0.0)), 0.0).cross - schroedinger(S0, S1, 0.0)
    ).abs().max() < 1e-10


def test_markovian_projection_is_what_the_chain_makes():
    """`markovian` against the chain itself: the matrix that carries x1 to E[x0 | x1] in many small moves."""
    joint, bridge = Joint(ZERO, ZERO, S0, S1, torch.zeros(2, 2, dtype=torch.float64)), Brownian(SCALE)
    denoise, phi = bridge_belief(bridge, joint), torch.eye(2, dtype=torch.float64)
    gaps = []
    for n in (100, 200):
        grid, x = uniform(n), phi
        for t, s in zip(grid, grid[1:]):
            x0 = denoise(x, t)
            x = x0 + s / t * (x - x0)
        gaps.append(float((x.mT @ S1 - markovian(joint, SCALE).cross).abs().max()))
    assert gaps[1] < 0.6 * gaps[0] < 0.01


def test_drift_transports_one_end_to_the_other():
    """The bridge's own ODE carries S1 to S0, here by SciPy from 1 - 1e-4 to 1e-4 (and mean with it)."""
    bridge, joint = Brownian(SCALE), replace(bridge_of(S0, S1, SCALE), mean0=torch.tensor([0.7, -0.2]).double())

    def slope(t, y):
        x = torch.cat([torch.zeros(1, 2), torch.eye(2)]).double()
        u = velocity(bridge, x, bridge_ends(bridge, joint)(x, t), t)
        matrix, cov = (u[1:] - u[0]).mT.numpy(), y[2:].reshape(2, 2)
        return np.concatenate([matrix @ y[:2] + u[0].numpy(), (matrix @ cov + cov @ matrix.T).ravel()])

    (mean, cov), last = bridge_marginal(bridge, joint, 1 - 1e-4), bridge_marginal(bridge, joint, 1e-4)
    out = solve_ivp(slope, (1 - 1e-4, 1e-4), torch.cat([mean, cov.ravel()]).numpy(), method="DOP853", rtol=1e-10)
    gap = float(np.abs(out.y[:, -1] - torch.cat([last[0], last[1].ravel()]).numpy()).max())
    print(f"drift: {gap:.1e}")
    assert gap < 1e-8


def gaussian_points(rng, cov, mean, count):
    """Points with exactly these two moments."""
    z = torch.randn(count, len(cov), dtype=torch.float64, generator=rng)
    z = z - z.mean(0)
    white = torch.linalg.solve(torch.linalg.cholesky(z.mT @ z / count), z.mT).mT
    return mean + white @ torch.linalg.cholesky(cov).mT


def test_fitting_on_samples_finds_the_bridge(rng):
    """`imf` with linear fits on 10 000 points: both ends' laws and the coupling of the bridge, in three rounds."""
    bridge, means = symmetric(0.3, 0.9), (torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, -1.0]).double())
    x0, x1 = gaussian_points(rng, S0, means[0], 10_000), gaussian_points(rng, S1, means[1], 10_000)
    *_, last = islice(imf(bridge, x0, x1, (linear_fit, linear_fit), quadratic(30), rng, bridge_sde), 3)
    made, target = moments(last.x0, last.x1), schroedinger(S0, S1, bridge.scale)
    assert torch.equal(last.x0, x0)
    print("fitted", (made.cross - target).abs().max(), (made.cov1 - S1).abs().max())
    assert (made.cross - target).abs().max() < 0.03 and (made.cov1 - S1).abs().max() < 0.05
    assert (made.mean1 - means[1]).abs().max() < 0.03
    back = moments(*from_start(bridge, last.to_x0, x1, quadratic(30), rng, bridge_sde))
    assert (back.cov0 - S0).abs().max() < 0.05 and (back.cross - target).abs().max() < 0.03
    flow, _ = sample(bridge, last.ends, x1, uniform(30), rng, interpolate())
    assert (moments(flow, x1).cov0 - S0).abs().max() < 0.05


def test_reflow_of_a_gaussian_needs_one_step(rng):
    """Pairs made by the flow lie on a line, so a fit to them is exact, and one Euler step carries x1 all the way."""
    flow = Brownian(0.0)
    x0, x1 = (gaussian_points(rng, scalar(v), m, 500) for v, m in ((0.49, 0.7), (1.0, 0.0)))
    first = linear_fit(flow, x0, x1, rng)
    assert (sample(flow, first, x1, uniform(1), rng, bridge_ode)[0] - (0.7 + 0.7 * x1)).abs().max() > 0.1
    pairs = from_start(rectified(), first, x1, uniform(64), rng, euler)
    again = linear_fit(flow, *pairs, rng)
    assert (sample(flow, again, x1, uniform(1), rng, bridge_ode)[0] - pairs[0]).abs().max() < 1e-12
    line = Joint(ZERO[:1] + 0.7, ZERO[:1], scalar(0.49), scalar(1.0), scalar(0.7))
    one = bridge_ode(flow, bridge_belief(flow, line), x1, 1.0, 0.0, rng, None)[0]
    print(f"one step: {float((one - (0.7 + 0.7 * x1)).abs().max()):.1e}")
    assert (one - (0.7 + 0.7 * x1)).abs().max() < 2e-15


def test_flow_map_of_a_gaussian():
    """The ODE of rectified flow on independent pairs, by SciPy: x0 = 0.7 + 0.7 x1."""
    zero = torch.zeros(1, dtype=torch.float64)
    joint = Joint(zero + 0.7, zero, scalar(0.49), scalar(1.0), scalar(0.0))
    flow = Brownian(0.0)
    x1 = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]

    def slope(t, y):
        x = torch.from_numpy(y)[:, None]
        return velocity(flow, x, bridge_ends(flow, joint)(x, t), t)[:, 0].numpy()

    end = solve_ivp(slope, (1.0, 0.0), x1[:, 0].numpy(), method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    gap = np.abs(end - (0.7 + 0.7 * x1[:, 0].numpy())).max()
    print(f"flow map: {gap:.1e}")
    assert gap < 4e-11


def test_matching_loss_is_least_at_the_exact_belief(rng):
    """Its value there is the mean of Var[x0 | x_t] / w, and any other belief costs its own squared error more."""
    bridge, joint = Brownian(0.6), Joint(ZERO[:1], ZERO[:1], scalar(0.49), scalar(1.3), scalar(0.4))
    law = torch.linalg.cholesky(torch.tensor([[0.49, 0.4], [0.4, 1.3]], dtype=torch.float64))
    pairs = torch.randn(100_000, 2, dtype=torch.float64, generator=rng) @ law.mT
    x0, x1 = pairs[:, :1], pairs[:, 1:]
    exact = bridge_belief(bridge, joint)

    def network(x, w):
        return (x - exact(x, w)) / w.sqrt()[:, None]

    assert (residual_denoiser(bridge, network)(x0, 0.4) - exact(x0, 0.4)).abs().max() < 1e-14
    w = (torch.arange(2000, dtype=torch.float64) + 0.5)[:, None, None] / 2000
    _, cov = bridge_marginal(bridge, joint, w[:, 0, 0])
    known = (0.49 - ((1 - w) * 0.49 + w * 0.4) ** 2 / cov) / w
    best = float(matching_loss(bridge, network, x0, x1, rng))
    worse = float(matching_loss(bridge, lambda x, w: network(x, w) + 0.2, x0, x1, rng))
    assert abs(best - float(known.mean())) < 0.01 and abs(worse - best - 0.04) < 0.01
    left = float((known * w).mean() + (1.3 - ((1 - w) * 0.4 + w * 1.3) ** 2 / cov).mean())
    assert abs(float(ends_loss(bridge, bridge_ends(bridge, joint), x0, x1, rng)) - left) < 0.01


class Small(nn.Module):
    """A perceptron in (x, w), for plane shapes."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))

    def forward(self, x, w):
        w = w[:, None]
        return self.layers(torch.cat([x, w, (3 * math.pi * w).sin(), (3 * math.pi * w).cos()], 1))


def ring(rng, count):
    angle = 2 * math.pi * torch.rand(count, generator=rng)
    return torch.stack([angle.cos(), angle.sin()], 1) + 0.05 * torch.randn(count, 2, generator=rng)


def corners(rng, count):
    return 2.0 * torch.randint(0, 2, (count, 2), generator=rng) - 1 + 0.1 * torch.randn(count, 2, generator=rng)


def energy(x, y):
    """Energy distance of two point sets."""
    return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())


def test_small_networks_find_short_bridges(rng):
    """Ring and four corners: after two rounds both laws are met, and pairs lie far closer than independent ones."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = Small(), Small()
    bridge, x0, x1 = Brownian(0.4), ring(rng, 1000), corners(rng, 1000)
    fits = tuple(regression(network, 150, 256, 3e-3) for network in networks)
    rounds = list(islice(imf(bridge, x0, x1, fits, uniform(20), rng), 2))
    cost = [float((r.x0 - r.x1).square().sum(1).mean()) for r in rounds]
    apart, near = energy(rounds[-1].x1, corners(rng, 1000)), energy(x0, corners(rng, 1000))
    print(f"cost {float((x0 - x1).square().sum(1).mean()):.2f} -> {cost}, energy {apart:.3f} of {near:.3f}")
    assert cost[-1] < 0.5 * float((x0 - x1).square().sum(1).mean())
    assert apart < 0.06 < near
