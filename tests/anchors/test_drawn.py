"""Beliefs that are draws: denoising diffusion GANs, and chains truncated to start from a generator."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.distill.ddgan import discriminator_loss, drawn, generator_loss, latent, steps_of
from scigen.distill.truncated import diffused, truncated
from scigen.oracle import gaussian_variance, mixture_covariance
from scigen.process.affine import vp
from scigen.solver import ancestral, sample
from tests.anchors.problems import (
    COVARIANCES,
    MEANS,
    VAR,
    WEIGHTS,
    level_grid,
    marginal_moments,
    moments,
    on_gaussian,
    on_mixture,
)
from tests.anchors.test_distill import every_process, seeded

GAN_GRID = [1.0, 0.6, 0.35, 0.15, 1e-3]


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
