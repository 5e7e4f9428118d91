"""Blurring on a graph: its posterior by conditioning of the joint Gaussian, its chains in closed form, and gDDIM."""

from __future__ import annotations

import math

import pytest
import torch

from scigen import oracle
from scigen.process.affine import Affine, cosine, rectified, vp
from scigen.process.blurring import Blurring, laplacian_modes, path_modes
from scigen.process.categorical import Categorical, keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ancestral, ddim, sample
from scigen.solver.gddim import gddim
from scigen.solver.grids import uniform
from scigen.state import State
from tests.anchors.chain import law_of_run
from tests.anchors.problems import fitted

N, D = 6, 2
BASES = {
    "path": path_modes(N),
    "ring": laplacian_modes(torch.eye(N).roll(1, 0) + torch.eye(N).roll(-1, 0)),
}
SPREAD = torch.tensor([4.0, 1.0, 0.5, 0.2, 0.1, 0.05], dtype=torch.float64)  # data variance of each mode


def blurring(affine=None, blur=2.0, basis="path"):
    return Blurring(affine or vp(), *BASES[basis], blur)


def blurs(process, *times):
    """Blurs alpha e^(-tau L) `[N, N]` at the given times, by matrix exponentials of the Laplacian itself."""
    basis, rates = process.basis, process.rates
    laplacian = basis @ torch.diag(rates) @ basis.T
    return [
        float(process.affine.alpha(t))
        * torch.linalg.matrix_exp(-laplacian * process.blur**2 / 2 * math.sin(math.pi * t / 2) ** 2)
        for t in times
    ]


def test_modes_are_those_of_the_laplacian():
    """The chain's closed form against the eigenvectors of its own matrix, and the ring's known spectrum."""
    chain = torch.diag(torch.ones(N - 1), 1)
    basis, rates = laplacian_modes(chain + chain.T)
    assert (rates - path_modes(N)[1]).abs().max() < 1e-14
    assert ((basis.T @ path_modes(N)[0]).abs() - torch.eye(N)).abs().max() < 1e-13
    ring = sorted(2 - 2 * math.cos(2 * math.pi * k / N) for k in range(N))
    assert (BASES["ring"][1] - torch.tensor(ring, dtype=torch.float64)).abs().max() < 1e-14


@pytest.mark.parametrize("basis", BASES)
def test_noise_is_the_heat_equation(basis, rng):
    """x_t is alpha e^(-tau L) x0 + sigma x1, by the matrix exponential of the Laplacian itself."""
    process = blurring(basis=basis)
    x0, x1 = torch.randn(2, 3, N, D, dtype=torch.float64, generator=rng)
    for t in (0.0, 0.3, 1.0):
        (heat,) = blurs(process, t)
        assert (process.noise(x0, x1, t) - heat @ x0 - float(process.affine.sigma(t)) * x1).abs().max() < 1e-13
    per_sample = process.noise(x0, x1, torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64))
    assert (per_sample[1] - process.noise(x0, x1, 0.3)[1]).abs().max() == 0


@pytest.mark.parametrize("affine", [vp(), cosine(), rectified()], ids=["vp", "cosine", "flow"])
@pytest.mark.parametrize("t, s", [(1.0, 0.9), (0.6, 0.3), (0.2, 1e-3), (0.5, 0.0)])
def test_step_is_conditioning_of_the_joint_gaussian(affine, t, s):
    """(x_s, x_t) given x0 is Gaussian with Cov = H sigma_s^2, H = H_t H_s^-1 the blur between: condition it on x_t."""
    process = blurring(affine, blur=1.0)
    h_t, h_s = blurs(process, t, s)
    sigma_t, sigma_s = (float(affine.sigma(u)) for u in (t, s))
    between = h_t @ torch.linalg.inv(h_s)
    eye = torch.eye(N, dtype=torch.float64)
    upper = torch.cat([sigma_s**2 * eye, sigma_s**2 * between.T], 1)
    joint = torch.cat([upper, torch.cat([sigma_s**2 * between, sigma_t**2 * eye], 1)])
    x0, x_t = torch.randn(2, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    observed = torch.arange(2 * N) >= N
    mean, covariance = oracle.condition(torch.cat([h_s @ x0, h_t @ x0]), joint, observed, x_t)
    known = lambda *_: x0.reshape(1, N, 1)  # noqa: E731
    got, spread = law_of_run(ancestral, process, known, [t, s], x_t.reshape(1, N, 1), 0.0, (1, N, 1))
    assert (got.flatten() - mean).abs().max() < 1e-12
    assert (spread.flatten() - covariance.diagonal()).abs().max() < 1e-12


def exact(process):
    """The belief of data N(1, SPREAD) in the modes: linear, mode by mode."""

    def denoise(x_t, t, previous=None):
        a, s, v = process.alpha(t)[:, None], process.sigma(t)[:, None], SPREAD[:, None]
        u = process.modes(x_t)
        return process.points(1 + a * v / (a**2 * v + s**2) * (u - a))

    return denoise


def in_modes(process, t):
    a = process.alpha(t)
    return a, a**2 * SPREAD + process.sigma(t) ** 2


def run_in_modes(solver, process, grid):
    """Mean and variance of every mode at the end of a chain that starts on its marginal, by exact propagation."""
    mean, var = in_modes(process, grid[0])

    def rotated(p, d, u, t, s, rng, memory):  # the same chain, its state written in the modes
        x, left = solver(p, d, p.points(u), t, s, rng, memory)
        return p.modes(x), left

    end = law_of_run(rotated, process, exact(process), grid, mean.reshape(1, N, 1), var.reshape(1, N, 1), (1, N, 1))
    return [y.flatten() for y in end]


@pytest.mark.parametrize("basis", BASES)
def test_chain_loses_the_variance_that_theory_says(basis):
    """Two moves of any length: each loses c_k^2 Var[u_k | u_t] in its mode, carried on by the moves after it."""
    process, grid = blurring(basis=basis), [0.9, 0.5, 0.1]
    mean, var = run_in_modes(ancestral, process, grid)
    expected = in_modes(process, grid[0])[1]
    for t, s in zip(grid, grid[1:]):
        (a_t, var_t), (a_s, var_s) = in_modes(process, t), in_modes(process, s)
        sigma_t, sigma_s = float(process.sigma(t)), float(process.sigma(s))
        keep = sigma_s**2 * a_t / (a_s * sigma_t**2)  # weight of u_t in the posterior mean
        c = a_s - keep * a_t
        gain = a_t * SPREAD / var_t
        missing = c**2 * SPREAD * sigma_t**2 / var_t
        expected = var_s - missing + (keep + c * gain) ** 2 * (expected - var_t)
    assert (mean - in_modes(process, grid[-1])[0]).abs().max() < 1e-13
    assert (var - expected).abs().max() < 1e-13


def test_chains_converge_to_every_mode():
    process, steps, errors = blurring(), (60, 120), {"ancestral": [], "gddim": []}
    for n in steps:
        grid = [1 - (1 - 0.05) * i / n for i in range(n + 1)]
        for name, solver in {"ancestral": ancestral, "gddim": gddim()}.items():
            var = run_in_modes(solver, process, grid)[1]
            errors[name].append(float((var / in_modes(process, grid[-1])[1] - 1).abs().max()))
    for name, error in errors.items():
        print(name, error, fitted(steps, error))
        assert abs(fitted(steps, error) + 1) < 0.15


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("t, s", [(0.9, 0.7), (0.3, 0.05), (0.5, 0.0)])
def test_gddim_without_blur_is_ddim(eta, t, s):
    """At eta_ddim^2 = (1 - e^(-2 eta^2 h)) / (1 - e^(-2 h)), bare and in its modes, with the same noise."""
    affine, x = vp(), torch.randn(4, N, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    h = float(affine.half_logsnr(s) - affine.half_logsnr(t))
    same = math.sqrt(math.expm1(-2 * eta**2 * min(h, 300.0)) / math.expm1(-2 * h))
    ends = []
    for process, solver in ((affine, ddim(same)), (affine, gddim(eta)), (blurring(affine, 0.0), gddim(eta))):
        rng = torch.Generator().manual_seed(2)
        ends.append(solver(process, oracle.gaussian(affine, 0.7, 0.49), x, t, s, rng, None)[0])
    assert (ends[1] - ends[0]).abs().max() < 1e-14
    assert (ends[2] - ends[0]).abs().max() < 2e-14


def test_gddim_with_blur_is_the_posterior_draw_at_eta_one_and_not_ddim():
    process, x = blurring(), torch.randn(4, N, D, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one, two = (
        s(process, exact(process), x, 0.6, 0.4, torch.Generator().manual_seed(2), None)[0]
        for s in (gddim(1.0), ancestral)
    )
    assert (one - two).abs().max() < 2e-14
    scalar = ddim()(process.affine, exact(process), x, 0.6, 0.4, torch.Generator(), None)[0]
    assert (gddim()(process, exact(process), x, 0.6, 0.4, torch.Generator(), None)[0] - scalar).abs().max() > 1e-2


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 2.0])
def test_gddim_carries_a_still_belief_exactly(eta):
    """One data point: every mode keeps N(alpha_k u0, sigma^2) over steps of any length."""
    process, grid = blurring(), [0.95, 0.5, 0.02]
    still = process.points(torch.ones(1, N, 1, dtype=torch.float64))
    start, end = ((process.points(process.alpha(t)[None, :, None]), float(process.sigma(t)) ** 2) for t in (0.95, 0.02))
    mean, var = law_of_run(gddim(eta), process, lambda *_: still, grid, *start, (1, N, 1))
    assert (mean - end[0]).abs().max() < 1e-13 and (var / end[1] - 1).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("solver", [ancestral, gddim(), gddim(0.5)], ids=["ancestral", "ode", "sde"])
@pytest.mark.parametrize("affine", [vp(), cosine(), rectified()], ids=["vp", "cosine", "flow"])
def test_whole_runs_are_finite_and_end_on_the_belief(affine, solver, dtype):
    process, rng = blurring(affine, blur=20.0), torch.Generator().manual_seed(0)  # alpha_k down to e^-800
    x = process.source(torch.zeros(3, N, D, dtype=dtype), rng)
    x, belief = sample(process, lambda x, t, previous=None: torch.tanh(x), x, uniform(10), rng, solver)
    assert x.dtype == dtype and x.isfinite().all()
    assert (x - belief).abs().max() < (1e-12 if dtype == torch.float64 else 1e-5)


def test_inverse_heat_dissipation_is_the_case_of_constant_noise(rng):
    """alpha = 1, sigma = 0.01: the mean (mode 0) is never lost, so the start is blurred data and mode 0 is carried."""
    process = Blurring(Affine(torch.zeros_like, lambda t: torch.full_like(t, math.log(0.01))), *path_modes(N), 5.0)
    x0 = torch.randn(2, N, D, dtype=torch.float64, generator=rng)
    with pytest.raises(ValueError, match="blur samples of the data"):
        process.source(x0, rng)
    start = process.noise(x0, torch.zeros_like(x0), 1.0)
    end, _ = sample(process, lambda *_: x0, start, uniform(5), rng, gddim())
    assert (end.mean(1) - x0.mean(1)).abs().max() < 1e-12
    assert start.var() < 0.8 * x0.var() and (end - x0).abs().max() < 0.05


def test_in_a_product_each_field_has_its_own_move(rng):
    affine = cosine()
    process = Product({"pos": blurring(affine), "feat": affine, "atom": uniform_tokens(3, keep_of(affine))})
    assert isinstance(process.parts["atom"], Categorical)
    fields = {
        "pos": torch.zeros(2, N, D).double(),
        "feat": torch.zeros(2, N, 1).double(),
        "atom": torch.zeros(2, N).long(),
    }
    x = process.source(State(fields, torch.ones(2, N, dtype=torch.bool)), rng)

    def denoise(x_t, t, previous=None):
        even = torch.full((2, N, 3), 1 / 3, dtype=torch.float64)
        return {"pos": torch.ones(2, N, D).double(), "feat": x_t["feat"] / 2, "atom": even}

    end, _ = sample(process, denoise, x, uniform(4), rng, gddim())
    assert (end["pos"] - 1).abs().max() < 1e-12 and end["atom"].max() < 3
    alone, _ = sample(affine, lambda x, t, previous=None: x / 2, x["feat"], uniform(4), rng, ddim())
    assert (alone - end["feat"]).abs().max() < 1e-14


def test_bad_graphs_and_settings_are_told():
    with pytest.raises(ValueError, match="orthonormal columns"):
        Blurring(vp(), torch.ones(3, 3), torch.zeros(3))
    with pytest.raises(ValueError, match="must not be negative, got -1"):
        Blurring(vp(), *path_modes(3), -1.0)
    with pytest.raises(ValueError, match="symmetric"):
        laplacian_modes(torch.triu(torch.ones(3, 3)))
    with pytest.raises(ValueError, match="`eta` must be at least 0"):
        gddim(-0.1)
    tokens = uniform_tokens(3, keep_of(vp()))
    with pytest.raises(ValueError, match="needs a blurring or an affine field, Categorical"):
        gddim()(tokens, lambda *_: None, None, 0.5, 0.4, torch.Generator(), None)
