"""Few-step methods against closed forms on the Gaussian and the mixture: float64, exact moments where they exist."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.coupling import from_model
from scigen.distill.guided import at_weight, guided_loss
from scigen.distill.progressive import progressive, progressive_loss, student_target, two_step_target
from scigen.distill.reflow import one_step_loss, reflow_loss, straightness
from scigen.guidance.free import cfg
from scigen.oracle import gaussian, gaussian_path, gaussian_variance
from scigen.process.affine import rectified, vp
from scigen.solver import ddim, sample
from scigen.solver.grids import uniform
from tests.anchors.problems import (
    MEAN,
    PROCESSES,
    VAR,
    level_grid,
    on_gaussian,
    on_mixture,
    starts,
)

every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)


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
