"""Value-weighted objectives: imitate the better data more, or climb a learned value through the chain.

Advantage-weighted regression (Peng et al. 2019, arXiv:1910.00177) has the tilted law p exp(A / beta) as its optimum;
diffusion-QL (Wang et al. 2022, arXiv:2208.06193) adds a value's gradient to imitation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.distill.match import certain, mismatch, noised
from scigen.process.affine import Affine
from scigen.process.free import parts_of
from scigen.solver.dpm import ddim
from scigen.solver.loop import sample
from scigen.state import Rng

__all__ = ["tilt_weights", "value_loss", "weighted_loss"]


def tilt_weights(advantage: Tensor, beta: float, cap: float = 20.0) -> Tensor:
    """min(exp(A / beta), cap), `[B]`; the cap keeps one sample from being the whole batch, and bends the tilt there.

    Raises ValueError unless beta and cap are positive.
    """
    if not (beta > 0 and cap > 0):
        raise ValueError(f"`beta` and `cap` must be positive, got {beta}, {cap}; a larger beta stays nearer the data.")
    return (advantage / beta).exp().clamp(max=cap)


def weighted_loss(process: Any, denoise: Denoiser, x0: Any, weight: Tensor, t: Tensor, rng: Rng) -> Tensor:
    """Mean of weight |x0 - belief(x_t)|^2 at times t `[B]` (tokens: -weight log belief).

    Its minimiser at every x_t is the posterior mean of the law p(x0) weight(x0), normalised.
    """
    x_t = noised(process, x0, t, rng)
    return (weight * mismatch(process, denoise(x_t, t), certain(process, x0), x_t)).mean()


def value_loss(
    process: Any, denoise: Denoiser, x: Any, grid: Iterable[float], rng: Rng, value: Callable[[Any], Tensor]
) -> Tensor:
    """-E value(x0) / E |value(x0)| over DDIM samples x0 from starts `x`, with the gradient through the whole chain.

    The scale is held constant, so that one weight against imitation serves values of any size. Affine fields only:
    raises ValueError for tokens, whose draws pass no gradient (use `ddpo_loss`).
    """
    if not all(isinstance(part, Affine) for part in parts_of(process).values()):
        raise ValueError("the gradient of a value does not pass a token's draw; use `ddpo_loss` on tokens.")
    _, x0 = sample(process, denoise, x, grid, rng, ddim())
    values = value(x0)
    return -values.mean() / values.detach().abs().mean()
