"""Few-step methods against closed forms on the Gaussian and the mixture: float64, exact moments where they exist."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from scigen.coupling import from_model
from scigen.distill.consistency import boundary, consistency_loss, skip_and_out
from scigen.distill.ddgan import discriminator_loss, drawn, generator_loss, latent, steps_of
from scigen.distill.guided import at_weight, guided_loss
from scigen.distill.progressive import progressive, progressive_loss, student_target, two_step_target
from scigen.distill.reflow import one_step_loss, reflow_loss, straightness
from scigen.distill.truncated import diffused, truncated
from scigen.guidance.free import cfg
from scigen.oracle import gaussian, gaussian_path, gaussian_variance, mixture_covariance
from scigen.process.affine import rectified, vp
from scigen.solver import ancestral, ddim, sample
from scigen.solver.fewstep import renoise
from scigen.solver.grids import uniform
from scigen.solver.loop import Memory
from tests.anchors.problems import (
    COVARIANCES,
    EDM,
    MEAN,
    MEANS,
    PROCESSES,
    VAR,
    WEIGHTS,
    level_grid,
    marginal_moments,
    moments,
    on_gaussian,
    on_mixture,
    starts,
)

every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)
GAN_GRID = [1.0, 0.6, 0.35, 0.15, 1e-3]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def minimum(loss, shape):
    """Where a quadratic loss of a few parameters is least: one Newton step from zero."""
    zero = torch.zeros(shape, dtype=torch.float64)
    gradient = torch.autograd.functional.jacobian(loss, zero).reshape(-1)
    hessian = torch.autograd.functional.hessian(loss, zero).reshape(len(gradient), -1)
    return -torch.linalg.solve(hessian, gradient).reshape(shape)


def data(count, rng):
    return MEAN + math.sqrt(VAR) * torch.randn(count, 1, dtype=torch.float64, generator=rng)


def perfect(process):
    """The student that training tends to: at every point, whatever its two teacher steps ask for."""

    def fit(teacher, grid):
        middle = {t: (m, s) for t, m, s in zip(grid[:-2:2], grid[1:-1:2], grid[2::2])}

        def student(x_t, t, previous=None):
            return two_step_target(process, teacher, x_t, t, *middle[t], seeded())

        return student

    return fit


# --- progressive distillation -----------------------------------------------------------------------------------------


@every_process
@pytest.mark.parametrize("times", [(1.0, 0.8, 0.6), (0.5, 0.49, 0.48), (0.3, 0.1, 0.0), (1.0, 0.5, 0.0)])
def test_one_student_step_is_two_teacher_steps(affine, times):
    t, m, s = times
    teacher, x_t = on_mixture(affine), starts(affine, t)
    x_s, _ = sample(affine, teacher, x_t, times, seeded(), ddim())
    target = two_step_target(affine, teacher, x_t, t, m, s, seeded())
    one, _ = sample(affine, lambda *_: target, x_t, [t, s], seeded(), ddim())
    assert target.isfinite().all()
    assert (one - x_s).abs().max() < 5e-15 * (1 + float(affine.sigma(t)))
    naive = teacher(x_t, t)
    assert (sample(affine, lambda *_: naive, x_t, [t, s], seeded(), ddim())[0] - x_s).abs().max() > 1e-6


@every_process
def test_halving_to_one_step_keeps_the_sixteen_step_end(affine):
    teacher, grid = on_mixture(affine), level_grid(affine, 16)
    x = starts(affine, grid[0])
    want, _ = sample(affine, teacher, x, grid, seeded(), ddim())
    lengths = []
    for student, times in progressive(teacher, grid, perfect(affine)):
        lengths.append(len(times) - 1)
        got, _ = sample(affine, student, x, times, seeded(), ddim())
        assert (got - want).abs().max() < 2e-14
    assert lengths == [8, 4, 2, 1]


def test_a_trained_student_reaches_its_target():
    """On the Gaussian the target is affine in x: two numbers per starting time, fitted by the loss alone."""
    affine, grid = rectified(), uniform(4)
    teacher = on_gaussian(affine)

    def student(table):
        def denoise(x_t, t, previous=None):
            row = table[(torch.as_tensor(t, dtype=torch.float64).expand(len(x_t)) < 0.75).long()]
            return row[:, :1] + row[:, 1:] * x_t

        return denoise

    def loss(table):
        rng = seeded()
        return progressive_loss(affine, student(table), teacher, data(64, rng), grid, rng)

    table, rng = minimum(loss, (2, 2)), seeded(1)
    assert float(loss(table)) < 1e-25
    x = starts(affine, 1.0)[:, :1]
    got, _ = sample(affine, student(table), x, grid[::2], rng, ddim())
    want, _ = sample(affine, teacher, x, grid, rng, ddim())
    assert (got - want).abs().max() < 1e-12
    assert (sample(affine, teacher, x, grid[::2], rng, ddim())[0] - want).abs().max() > 0.05


def test_student_target_in_float32():
    affine = vp()
    x = starts(affine, 0.9)
    x_s, _ = sample(affine, on_mixture(affine), x, [0.9, 0.85, 0.8], seeded(), ddim())
    exact = student_target(affine, x, x_s, 0.9, 0.8)
    assert (student_target(affine, x.float(), x_s.float(), 0.9, 0.8) - exact).abs().max() < 1e-4


# --- guided distillation ----------------------------------------------------------------------------------------------


def test_a_guided_student_learns_the_family_of_weights():
    """Gaussians of one variance: guidance at weight w is the Gaussian of mean mu_u + w (mu_c - mu_u)."""
    affine = vp()
    c, u = gaussian(affine, 2.0, VAR), gaussian(affine, -1.0, VAR)
    exact = torch.tensor([-1.0, 3.0], dtype=torch.float64)

    def student(line):
        def guided(x_t, t, w):
            return gaussian(affine, (line[0] + line[1] * torch.as_tensor(w)).reshape(-1, 1), VAR)(x_t, t)

        return guided

    def loss(line):
        rng = seeded()
        t, w = torch.rand(2, 64, dtype=torch.float64, generator=rng)
        return guided_loss(affine, student(line), c, u, data(64, rng), t, 4 * w, rng).mean()

    assert loss(exact) < 1e-28
    assert (minimum(loss, 2) - exact).abs().max() < 1e-13
    x, w = starts(affine, 0.9)[:, :1], torch.linspace(0, 4, 64, dtype=torch.float64)
    want, _ = sample(affine, cfg(c, u, affine, w), x, [0.9, 0.5, 0.1], seeded(), ddim())
    got, _ = sample(affine, at_weight(student(exact), w), x, [0.9, 0.5, 0.1], seeded(), ddim())
    assert (got - want).abs().max() < 1e-14


# --- consistency models -----------------------------------------------------------------------------------------------


def end_of(affine, t_min):
    """The consistency function of G: the path's point at t_min, over alpha there."""
    return lambda x_t, t, previous=None: _ends(affine, x_t, t, t_min)


def _ends(affine, x_t, t, t_min):
    return gaussian_path(affine, MEAN, VAR, x_t, t, t_min) / affine.alpha(t_min)


@every_process
@pytest.mark.parametrize("t_min", [0.0, 0.01])
def test_boundary_is_exact_whatever_the_network(affine, t_min):
    f = boundary(lambda x_t, t, previous: torch.sin(7 * x_t) + 3, affine, t_min, std=0.5)
    x = starts(affine, 1.0)
    assert (f(x, t_min) - x / affine.alpha(t_min)).abs().max() < 1e-14 * (1 + x.abs().max())
    assert f(x, 1.0).isfinite().all() and (f(x, 0.5) - x).abs().max() > 0.1


def test_boundary_curves_are_the_papers_in_sigma():
    sigma = torch.tensor([0.002, 0.1, 1.0, 80.0], dtype=torch.float64)
    skip, out = skip_and_out(EDM, sigma / 80, 0.002 / 80, std=0.5)
    assert (skip - 0.25 / ((sigma - 0.002) ** 2 + 0.25)).abs().max() < 1e-15
    assert (out - 0.5 * (sigma - 0.002) / (sigma**2 + 0.25).sqrt()).abs().max() < 1e-15


def test_the_gaussian_function_is_constant_along_the_flow():
    """Along SciPy's own path of the probability-flow ODE, sigma from 80 to 0.002."""
    slope = lambda log_sigma, x: x - on_gaussian(EDM)(torch.from_numpy(x)[None], math.exp(log_sigma) / 80)[0].numpy()  # noqa: E731
    x = np.linspace(-150, 150, 7)
    levels = np.linspace(math.log(80), math.log(0.002), 9)
    path = solve_ivp(slope, (levels[0], levels[-1]), x, "DOP853", levels, rtol=1e-13, atol=1e-13).y
    ends = [end_of(EDM, 0.002 / 80)(torch.from_numpy(y), math.exp(v) / 80) for y, v in zip(path.T, levels)]
    assert max(float((e - ends[-1]).abs().max()) for e in ends) < 2e-12
    sd = math.sqrt((VAR + 0.002**2) / (VAR + 80**2))
    assert (ends[0] - (MEAN + sd * (torch.from_numpy(x) - MEAN))).abs().max() < 1e-13


def exact_move(process, denoise, x_t, t, s, rng, memory):
    return gaussian_path(process, MEAN, VAR, x_t, t, s), Memory(x_t, t)


@every_process
def test_consistency_loss_is_zero_for_the_exact_function_only(affine):
    t_min, grid = 0.01, [1.0, 0.7, 0.4, 0.2, 0.01]
    exact, x0 = end_of(affine, t_min), MEAN + math.sqrt(VAR) * torch.randn(256, 1, dtype=torch.float64)
    loss = consistency_loss(affine, exact, exact, x0, grid, seeded(), on_gaussian(affine), exact_move)
    assert loss < 1e-24
    mean = on_gaussian(affine)
    assert consistency_loss(affine, mean, mean, x0, grid, seeded(), mean, exact_move) > 1e-3
    c = 0.00054  # near zero the pseudo-Huber distance is d^2 / 2c, far away |d|
    assert consistency_loss(affine, exact, lambda x, s: exact(x, s) + 1.0, x0, grid, seeded(), mean, exact_move, c) < 1
    far = consistency_loss(affine, exact, lambda x, s: exact(x, s) + 1.0, x0, grid, seeded(), mean, exact_move, c)
    assert abs(far - (math.sqrt(1 + c**2) - c)) < 1e-6


@pytest.mark.parametrize("taught, tolerance", [(True, 1e-10), (False, 0.1)], ids=["distillation", "training"])
def test_a_trained_linear_model_is_the_teachers_ddim_and_tends_to_the_closed_form(taught, tolerance):
    """F affine in x, two numbers at each of 12 times. Its optimum is DDIM on the grid, at first order from the flow."""
    affine, t_min, count = rectified(), 0.02, 12
    grid = [1.0, *torch.linspace(0.9, t_min, count - 1, dtype=torch.float64).tolist()]
    times, mean = torch.tensor(grid, dtype=torch.float64), on_gaussian(affine)

    def function(table):
        def network(x_t, t, previous):
            row = table[(torch.as_tensor(t, dtype=torch.float64).reshape(-1, 1) - times).abs().argmin(1)]
            return row[:, :1] + row[:, 1:] * x_t

        return boundary(network, affine, t_min, math.sqrt(VAR))

    def loss(table, frozen):
        rng = seeded()
        x0 = data(1000 if taught else 8_000, rng)
        teach = consistency_loss(affine, function(table), frozen, x0, grid, rng, mean if taught else None)
        return teach + table[-1].square().sum()  # nothing asks for F at t_min

    table = torch.zeros(count, 2, dtype=torch.float64)
    for _ in range(count - 1):  # a fixed target at a time: each sweep carries the boundary one interval further up
        frozen = function(table)
        table = minimum(lambda new, frozen=frozen: loss(new, frozen), (count, 2))
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    got, truth = function(table)(x, 1.0), end_of(affine, t_min)(x, 1.0)
    steps = sample(affine, mean, x, grid, seeded(), ddim())[0] / affine.alpha(t_min)
    print(f"taught {taught}: {(got - steps).abs().max():.1e} from DDIM, {(got - truth).abs().max():.2f} from the flow")
    assert (got - steps).abs().max() < tolerance
    assert (got - truth).abs().max() < 0.3 < 1 < (mean(x, 1.0) - truth).abs().max()


@every_process
@pytest.mark.parametrize("grid", [[1.0, 0.02], [1.0, 0.5, 0.02], [1.0, 0.8, 0.3, 0.1, 0.02]], ids=len)
def test_multistep_sampling_keeps_the_law_with_few_steps(affine, grid):
    t_min = 0.02
    level = float(affine.sigma(t_min) / affine.alpha(t_min))
    first, last = marginal_moments(affine, 1.0), marginal_moments(affine, t_min)
    mean, var = moments(renoise(level), affine, end_of(affine, t_min), grid, *first)
    assert abs(mean - last[0]) < 3e-14 and abs(var - last[1]) < 3e-14
    assert moments(renoise(), affine, on_gaussian(affine), grid, *first)[1] < 0.9 * last[1]


# --- reflow -----------------------------------------------------------------------------------------------------------


def carried(x1):
    """Where the exact flow takes x1: the monotone map of Gaussians."""
    return MEAN + math.sqrt(VAR) * x1


def straight(x_t, t, previous=None):
    """E[x0 | x_t] on the flow's own pairs: x_t determines x1, hence x0."""
    t = torch.as_tensor(t, dtype=torch.float64).reshape(-1, 1)
    return carried((x_t - (1 - t) * MEAN) / ((1 - t) * math.sqrt(VAR) + t))


def test_reflow_of_the_gaussian_is_exact_in_one_step():
    affine, rng = rectified(), seeded()
    drawn = torch.randn(2000, 1, dtype=torch.float64, generator=rng)
    x0, t = carried(drawn), 0.05 + 0.95 * torch.rand(len(drawn), dtype=torch.float64, generator=rng)
    x1 = from_model(lambda x0: gaussian_path(affine, MEAN, VAR, x0, 0.0, 1.0))(x0, drawn)
    got, _ = sample(affine, straight, x1, [1.0, 0.0], rng, ddim())
    assert (got - x0).abs().max() < 1e-15
    assert reflow_loss(affine, straight, x0, x1, t, rng).max() < 1e-29
    assert one_step_loss(affine, straight, x0, x1, rng).max() < 1e-29
    assert straightness(affine, straight, x0, x1, t, rng).max() < 1e-26
    once, _ = sample(affine, on_gaussian(affine), x1, [1.0, 0.0], rng, ddim())  # before reflow: the mean of everything
    assert (once - MEAN).abs().max() < 1e-15


def test_straightness_of_independent_pairs_is_the_posterior_variance():
    affine, rng, t = rectified(), seeded(), torch.full((50_000,), 0.6, dtype=torch.float64)
    x0, x1 = torch.randn(2, len(t), 1, dtype=torch.float64, generator=rng)
    x0 = carried(x0)
    got = float(straightness(affine, on_gaussian(affine), x0, x1, t, rng).mean())
    assert abs(got / (float(gaussian_variance(affine, VAR, 0.6)) / 0.36) - 1) < 4 * math.sqrt(2 / len(t))


# --- denoising diffusion GAN ------------------------------------------------------------------------------------------


def exact_gaussian_draw(affine):
    def generator(x_t, t, rng):
        sd = gaussian_variance(affine, VAR, t).sqrt().reshape(-1, 1)
        return on_gaussian(affine)(x_t, t) + sd * latent(x_t, 1, rng)

    return generator


def gan_move(process, generator, x_t, t, s, rng, memory):
    return ancestral(process, drawn(generator, rng), x_t, t, s, rng, memory)


@every_process
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_drawn_beliefs_keep_the_gaussian_at_any_number_of_steps(affine, steps):
    grid = level_grid(affine, steps)
    first, last = marginal_moments(affine, grid[0]), marginal_moments(affine, grid[-1])
    mean, var = moments(gan_move, affine, exact_gaussian_draw(affine), grid, *first, draws=2)
    assert abs(mean - last[0]) < 2e-14 and abs(var / last[1] - 1) < 2e-14
    assert moments(ancestral, affine, on_gaussian(affine), grid, *first)[1] < 0.9 * last[1]


def test_drawn_beliefs_keep_the_mixture_in_four_steps_and_the_mean_does_not():
    affine, rng, count = vp(), seeded(), 40_000

    def generator(x_t, t, rng):
        """p(x0 | x_t), one component after another: enough that the mean and the covariance are the posterior's."""
        a, s = float(affine.alpha(t)), float(affine.sigma(t))
        c = a**2 * COVARIANCES + s**2 * torch.eye(2, dtype=torch.float64)
        d = x_t[:, None] - a * MEANS
        gain = a * COVARIANCES @ torch.linalg.inv(c)
        log_r = WEIGHTS.log() - torch.logdet(c) / 2 - torch.einsum("bki,kij,bkj->bk", d, torch.linalg.inv(c), d) / 2
        k = torch.multinomial(log_r.softmax(1), 1, generator=rng)[:, 0]
        root = torch.linalg.cholesky(COVARIANCES - a * gain @ COVARIANCES)
        centre = MEANS[k] + torch.einsum("bij,bj->bi", gain[k], d[torch.arange(len(k)), k])
        return centre + torch.einsum("bij,bj->bi", root[k], latent(x_t, 2, rng))

    k = torch.multinomial(WEIGHTS, count, replacement=True, generator=rng)
    z = torch.randn(2, count, 2, dtype=torch.float64, generator=rng)
    x0 = MEANS[k] + torch.einsum("bij,bj->bi", torch.linalg.cholesky(COVARIANCES)[k], z[0])
    start = affine.noise(x0, z[1], 1.0)
    truth = (WEIGHTS @ MEANS, mixture_covariance(affine, WEIGHTS, MEANS, COVARIANCES, torch.zeros(1, 2).double(), 1.0))
    spread = MEANS - truth[0]
    covariance = (WEIGHTS[:, None, None] * (COVARIANCES + spread[:, :, None] * spread[:, None])).sum(0)

    def errors(x):
        return float((x.mean(0) - truth[0]).abs().max()), float((torch.cov(x.T) - covariance).abs().max())

    good = errors(sample(affine, drawn(generator, rng), start, GAN_GRID, rng, ancestral)[0])
    bad = errors(sample(affine, on_mixture(affine), start, GAN_GRID, rng, ancestral)[0])
    print(f"drawn: mean {good[0]:.1e}, covariance {good[1]:.1e}; the mean as belief: covariance {bad[1]:.3f}")
    assert good[0] < 3e-2 and good[1] < 5e-2 and bad[1] > 0.5


def test_adversarial_losses_at_points_that_are_known():
    affine, rng = vp(), seeded()
    x0 = torch.randn(64, 2, dtype=torch.float64, generator=rng)
    steps = steps_of(affine, lambda x, t, rng: x0, x0, GAN_GRID, rng)
    blind = lambda x_s, x_t, t: (0 * x_s).sum(1)  # noqa: E731
    assert abs(float(discriminator_loss(blind, steps).detach()) - 2 * math.log(2)) < 1e-15
    assert abs(float(generator_loss(blind, steps)) - math.log(2)) < 1e-15
    tilt = torch.tensor([3.0, 4.0], dtype=torch.float64)
    linear = lambda x_s, x_t, t: x_s @ tilt  # noqa: E731
    penalty = discriminator_loss(linear, steps, r1=0.1) - discriminator_loss(linear, steps)
    assert abs(float(penalty.detach()) - 0.1 / 2 * 25) < 1e-13


@pytest.mark.slow
def test_a_small_gan_learns_two_modes_in_four_steps():
    affine, rng = vp(), seeded(1)
    torch.manual_seed(0)

    def net(inputs, outputs):
        layers = [torch.nn.Linear(inputs, 64), torch.nn.SiLU(), torch.nn.Linear(64, 64), torch.nn.SiLU()]
        return torch.nn.Sequential(*layers, torch.nn.Linear(64, outputs))

    make, judge = net(4, 1), net(3, 1)

    def features(*columns, t):
        t = torch.as_tensor(t, dtype=torch.float32).expand(len(columns[0]))[:, None]
        return torch.cat([*columns, t], 1)

    def generator(x_t, t, rng):
        return make(features(x_t, latent(x_t, 2, rng), t=t))

    def discriminate(x_s, x_t, t):
        return judge(features(x_s, x_t, t=t))[:, 0]

    def data(count):
        side = torch.randint(2, (count, 1), generator=rng) * 2.0 - 1
        return side + 0.2 * torch.randn(count, 1, generator=rng)

    optimisers = [torch.optim.Adam(n.parameters(), lr=1e-3, betas=(0.5, 0.9)) for n in (judge, make)]
    for _ in range(2500):
        for optimiser, loss in zip(
            optimisers, (lambda d: discriminator_loss(discriminate, d, 0.05), lambda d: generator_loss(discriminate, d))
        ):
            optimiser.zero_grad()
            loss(steps_of(affine, generator, data(256), GAN_GRID, rng)).backward()
            optimiser.step()
    with torch.no_grad():
        x, _ = sample(affine, drawn(generator, rng), torch.randn(20_000, 1, generator=rng), GAN_GRID, rng, ancestral)
    share, width = float((x > 0).float().mean()), float((x.abs() - 1).std())
    print(f"share of the right mode {share:.3f}, width {width:.3f}")
    assert abs(share - 0.5) < 0.1 and abs(float(x.abs().mean()) - 1) < 0.1 and 0.1 < width < 0.4


# --- truncated diffusion ----------------------------------------------------------------------------------------------


@every_process
def test_a_truncated_chain_is_exact_from_the_marginal(affine):
    grid = truncated(level_grid(affine, 6), 0.35)
    first, last = marginal_moments(affine, 0.35), marginal_moments(affine, grid[-1])
    mean, var = moments(gan_move, affine, exact_gaussian_draw(affine), grid, *first, draws=2)
    assert abs(mean - last[0]) < 2e-14 and abs(var / last[1] - 1) < 2e-14
    wrong, _ = moments(gan_move, affine, exact_gaussian_draw(affine), grid, first[0] + 1, first[1], draws=2)
    # A start that is off by 1 ends off by the correlation of x_t and x_s, whatever the steps between.
    t, s = 0.35, grid[-1]
    rate = float(affine.alpha(t) * affine.alpha(s) * VAR + affine.sigma(s) ** 2 * affine.alpha(t) / affine.alpha(s))
    assert abs((wrong - last[0]) - rate / first[1]) < 1e-12


@every_process
def test_a_generators_mistakes_enter_scaled_by_alpha(affine):
    x0 = torch.linspace(-1, 1, 8, dtype=torch.float64)[:, None]
    off = diffused(affine, x0 + 1, 0.5, seeded()) - diffused(affine, x0, 0.5, seeded())
    assert (off - affine.alpha(0.5)).abs().max() < 1e-14 * (1 + float(affine.sigma(0.5)))
