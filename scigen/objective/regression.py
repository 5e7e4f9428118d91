"""The regression losses: a weighted squared error of x0, and the two moments a learned schedule needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.likelihood.elbo import affine_fields, unit_noise
from scigen.process.affine import Affine
from scigen.process.free import field_of
from scigen.process.product import Product
from scigen.state import Rng, Time

__all__ = ["denoising_loss", "second_moment"]


def denoising_loss(
    process: Affine | Product, denoise: Denoiser, x0: Any, t: Time, rng: Rng, weight: Callable[[Tensor], Tensor]
) -> Tensor:
    """weight(logsnr) |x0 - x0hat|^2 per independent number of the affine fields, `[B]`; `weights.snr` gives L_simple.

    Its minimiser is E[x0 | x_t] whatever the weight. Tokens have losses of their own, `objective.discrete`.
    Ho et al. 2020, arXiv:2006.11239.
    """
    x_t = process.noise(x0, unit_noise(process, x0, rng), t, rng)
    belief = denoise(x_t, t)
    errors, count = [], []
    for name, affine, x, dim in affine_fields(process, x0):
        square = (x - field_of(belief, name)).square().flatten(1).sum(1)
        errors.append(weight(affine.logsnr(t)).to(x) * square)
        count.append(dim)
    return torch.stack(errors).sum(0) / torch.stack(count).sum(0).clamp(min=1)


def second_moment(bound: Tensor) -> Tensor:
    """The mean of the squared estimates `bound [B]`: what the inside of a learned schedule minimises.

    Their mean does not depend on the inside, so this is their variance up to a constant. arXiv:2107.00630, section 5.1
    """
    return bound.square().mean()
