"""The two targets every anchor is measured on, the processes, and their exact paths and moments (all float64)."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from scipy.integrate import solve_ivp

from scigen.oracle import gaussian, mixture
from scigen.process.affine import Affine, cosine, rectified, subvp, ve, vp
from scigen.solver.grids import at_logsnr

MEAN, VAR = 0.7, 0.49  # the target G
WEIGHTS = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)  # the target M, in two dimensions
MEANS = torch.tensor([[-1.5, 0.3], [1.2, 1.0], [0.2, -1.4]], dtype=torch.float64)
COVARIANCES = torch.tensor(
    [[[0.3, 0.1], [0.1, 0.2]], [[0.15, -0.05], [-0.05, 0.4]], [[0.25, 0.0], [0.0, 0.1]]], dtype=torch.float64
)

PROCESSES = {"vp": vp(), "subvp": subvp(), "ve": ve(), "cosine": cosine(), "flow": rectified()}
RAW = Affine(torch.zeros_like, torch.log)  # sigma = t itself, not bounded by 1
EDM = Affine(torch.zeros_like, lambda t: (80 * t).log())  # EDM's clock: sigma proportional to t
SHARED = (-7.0, 9.0)  # log-SNR levels that every process reaches


def on_gaussian(affine):
    return gaussian(affine, MEAN, VAR)


def on_mixture(affine):
    return mixture(affine, WEIGHTS, MEANS, COVARIANCES)


def count(denoise):
    """The same denoiser, with its number of evaluations in `.calls`."""

    def counted(x_t, t, previous=None):
        counted.calls += 1
        return denoise(x_t, t, previous)

    counted.calls = 0
    return counted


def level_grid(affine, steps, low=SHARED[0], high=SHARED[1]):
    """Equal steps of log-SNR, ends included."""
    return at_logsnr(affine, np.linspace(low, high, steps + 1))


def uneven_grid(affine, steps, low=SHARED[0], high=SHARED[1]):
    """Steps of log-SNR that alternate 1 : 2, so that a multistep rule must weigh its history rightly."""
    widths = np.resize([1.0, 2.0], steps).cumsum()
    return at_logsnr(affine, low + (high - low) * np.concatenate([[0], widths / widths[-1]]))


def starts(affine, t, count=64):
    """Points of the marginal's spread at time t, the same for every process up to its scale."""
    z = torch.randn(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return z * affine.scale(t)


@cache
def path_ends(low=SHARED[0], high=SHARED[1]):
    """Ends of the probability-flow paths of M from `starts`, between two log-SNR levels, divided by alpha: `[64, 2]`.

    SciPy's DOP853 in y = x / alpha with rho = sigma / alpha as clock, dy / d log rho = rho eps = y - x0: one answer for
    every process, and nothing of ours but the belief.
    """
    denoise = on_mixture(RAW)
    first = math.exp(-low / 2)

    def slope(log_rho, y):
        y = torch.from_numpy(y).reshape(-1, 2)
        return (y - denoise(y, math.exp(log_rho))).reshape(-1).numpy()

    y = starts(RAW, first).reshape(-1).numpy()
    out = solve_ivp(slope, (-low / 2, -high / 2), y, method="DOP853", rtol=1e-12, atol=1e-13)
    return torch.from_numpy(out.y[:, -1]).reshape(-1, 2)


def fitted(steps, errors):
    """Slope of log error against log steps."""
    return float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


def law_of_move(solver, process, denoise, t, s, draws):
    """A move that is affine in x, as (A, c, noise variance): x_s = A x_t + c + sum_i n_i z_i, with no Monte Carlo.

    Rows of one batch: two that differ in x alone, and enough seeds at x = 0 to solve for c and the n_i.
    """
    seeds = [0, *range(draws + 1)]
    x = torch.zeros(len(seeds), 1, dtype=torch.float64)
    x[0] = 1.0
    rngs = [torch.Generator().manual_seed(seed) for seed in seeds]
    out, _ = solver(process, denoise, x, t, s, rngs, None)
    z = torch.stack([_normals(seed, draws) for seed in range(draws + 1)])
    unknown = torch.linalg.solve(torch.cat([torch.ones(draws + 1, 1, dtype=torch.float64), z], 1), out[1:, 0])
    return float(out[0, 0] - out[1, 0]), float(unknown[0]), float((unknown[1:] ** 2).sum())


def moments(solver, process, denoise, grid, mean, var, draws=1):
    """Mean and variance at the end of a chain started at N(mean, var), exactly."""
    for t, s in zip(grid, grid[1:]):
        a, c, noise = law_of_move(solver, process, denoise, t, s, draws)
        mean, var = a * mean + c, a**2 * var + noise
    return mean, var


def marginal_moments(affine, t):
    """Mean and variance of x_t when x0 is G."""
    return float(affine.alpha(t)) * MEAN, float(affine.alpha(t) ** 2 * VAR + affine.sigma(t) ** 2)


def _normals(seed, draws):
    """The `draws` successive single normals that a row's generator yields (not one draw of a vector)."""
    rng = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn((1,), dtype=torch.float64, generator=rng)[0] for _ in range(draws)])
