"""Denoising diffusion GAN: few large steps, each with a *drawn* x0 in place of the posterior mean.

x_s ~ q(x_s | x_t, x0) with x0 ~ G(x_t, z, t). The true reverse step is many-modal when it is long; a draw of x0 has
those modes where the mean has none. A discriminator on (x_s, x_t, t) trains G. Xiao et al. 2021, arXiv:2112.07804.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import softplus

from scigen.denoiser import Belief, Denoiser
from scigen.distill.match import batch_of, certain, intervals, noised
from scigen.process.affine import Affine
from scigen.process.free import parts_of
from scigen.state import Rng, Streams, Time, normal

__all__ = ["Discriminator", "Generator", "Steps", "discriminator_loss", "drawn", "generator_loss", "latent", "steps_of"]

Generator: TypeAlias = Callable[[Any, Time, Rng], Any]  # (x_t, t, rng) -> a draw of x0, its latent z from rng
Discriminator: TypeAlias = Callable[[Any, Any, Time], Tensor]  # (x_s, x_t, t) -> logits [B], high for real


def latent(x_t: Tensor, width: int, rng: Rng) -> Tensor:
    """z ~ N(0, I), `[B, width]`, in the type of x_t; row i from generator i if there are several."""
    # The row is no list of nodes, so a stream's number of nodes must not cut it.
    return normal(x_t.new_zeros(len(x_t), width), rng.generators if isinstance(rng, Streams) else rng)


def drawn(generator: Generator, rng: Rng) -> Denoiser:
    """A `Denoiser` whose belief is a draw of x0: with the `ancestral` solver it is the GAN's sampler.

    With draws from the true p(x0 | x_t) the chain has the exact law at any number of steps.
    """

    def denoise(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        return generator(x_t, t, rng)

    return denoise


@dataclass(frozen=True)
class Steps:
    """Real and generated reverse steps from the same x_t, tensors or states, at times t `[B]`."""

    real: Any
    fake: Any
    x_t: Any
    t: Tensor


def steps_of(process: Any, generator: Generator, x0: Any, grid: Sequence[float], rng: torch.Generator) -> Steps:
    """One random interval t > s per sample: x_s ~ q(x_s | x_t, x0) with the true x0, and with the generator's.

    Gradients reach the generator through `fake`. Raises ValueError for a process with tokens, whose draw passes none.
    """
    if not all(isinstance(part, Affine) for part in parts_of(process).values()):
        raise ValueError("a token's draw passes no gradient to a generator; train it on affine fields alone.")
    t, s = intervals(grid, 1, batch_of(x0), rng)
    x_t = noised(process, x0, t, rng)
    guess = generator(x_t, t, rng)
    real = process.step(x_t, certain(process, x0), t, s, rng)
    return Steps(real, process.step(x_t, guess, t, s, rng), x_t, t)


def generator_loss(discriminate: Discriminator, steps: Steps) -> Tensor:
    """The non-saturating loss: mean softplus(-D(fake))."""
    return softplus(-discriminate(steps.fake, steps.x_t, steps.t)).mean()


def discriminator_loss(discriminate: Discriminator, steps: Steps, r1: float = 0.0) -> Tensor:
    """Mean softplus(-D(real)) + softplus(D(fake)), plus (r1 / 2) |grad D(real)|^2 with respect to the real x_s.

    At the optimum D = log q(x_s | x_t) - log p(x_s | x_t), and 2 log 2 when the two agree. The R1 penalty
    (arXiv:1801.04406) keeps D flat on the data, without which the game does not settle. Raises ValueError for r1 < 0.
    """
    if r1 < 0:
        raise ValueError(f"`r1` must be at least 0, got {r1}; 0.05 is the paper's on images.")
    real, leaves = _leaves(steps.real)
    logits, fake = discriminate(real, steps.x_t, steps.t), _leaves(steps.fake)[0]
    loss = (softplus(-logits) + softplus(discriminate(fake, steps.x_t, steps.t))).mean()
    if r1 == 0:
        return loss
    slopes = torch.autograd.grad(logits.sum(), leaves, create_graph=True, allow_unused=True)
    square = sum((g.square().flatten(1).sum(1) for g in slopes if g is not None), torch.zeros(()))
    return loss + r1 / 2 * square.mean()


def _leaves(x: Any) -> tuple[Any, list[Tensor]]:
    """`x` cut from what made it, and the tensors in it that a gradient can be taken of."""
    if isinstance(x, Tensor):
        leaf = x.detach().requires_grad_()
        return leaf, [leaf]
    fields = {name: y.detach().requires_grad_(y.is_floating_point()) for name, y in x.fields.items()}
    return x.replace(**fields), [y for y in fields.values() if y.requires_grad]
