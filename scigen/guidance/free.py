"""Classifier-free guidance: past the conditional belief, away from the unconditional one.

w = 0 is unconditional, w = 1 conditional, w > 1 exaggerates; the other convention in use writes w - 1 for our w.
Autoguidance (arXiv:2406.02507) is the same function with a weaker model of the same condition in the unconditional's
place. Ho and Salimans 2022, arXiv:2207.12598.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.process.categorical import Categorical
from scigen.process.product import Product
from scigen.state import State, Time, center, expand

__all__ = ["cfg", "geometric"]


def cfg(
    conditional: Denoiser,
    unconditional: Denoiser,
    process: Any,
    weight: float | Tensor,
    rescale: float = 0.0,
) -> Denoiser:
    """u + w (c - u) for the means of continuous fields, `geometric` for the probabilities of categorical ones.

    On Gaussians of equal variance the guided flow is that of N(mu_u + w (mu_c - mu_u), var), and on one token the chain
    is that of p_u^(1-w) p_c^w; otherwise it follows no such law. `weight` is one number or one per sample. A
    guided mean is multiplied by 1 - rescale + rescale std(c) / std(guided), over each sample: at 1 it has the
    conditional's spread again (arXiv:2305.08891). Fields without a process keep the conditional belief. Two
    evaluations. Raises ValueError for a `rescale` outside [0, 1].
    """
    if not 0 <= rescale <= 1:
        raise ValueError(f"`rescale` must lie in [0, 1], got {rescale}; 0 leaves the guided belief, 0.7 is usual.")

    def mix(part: Any, c: Tensor, u: Tensor, x_t: Any) -> Tensor:
        if isinstance(part, Categorical):
            return geometric(c, u, weight)
        guided = u + expand(weight, u) * (c - u)
        return _rescaled(guided, c, rescale, x_t) if rescale else guided

    def denoise(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        c, u = conditional(x_t, t, previous), unconditional(x_t, t, previous)
        if not isinstance(process, Product):
            return mix(process, c, u, x_t)
        return {**c, **{name: mix(part, c[name], u[name], x_t) for name, part in process.parts.items()}}

    return denoise


def geometric(conditional: Tensor, unconditional: Tensor, weight: float | Tensor) -> Tensor:
    """p ∝ p_u^(1 - w) p_c^w over the last axis; a class that neither believes in stays at zero.

    Normalised, it changes what is drawn and not how fast: the same mixture of jump rates (arXiv:2406.01572) also
    multiplies the rates by its sum, which unmasks tokens too early (arXiv:2507.08965).
    """
    tiny = torch.finfo(conditional.dtype).tiny
    log_c, log_u = (p.clamp(min=tiny).log() for p in (conditional, unconditional))
    impossible = (conditional == 0) & (unconditional == 0)
    return (log_u + expand(weight, log_u) * (log_c - log_u)).masked_fill(impossible, -torch.inf).softmax(-1)


def _rescaled(guided: Tensor, conditional: Tensor, share: float, x_t: Any) -> Tensor:
    """Each sample's guided mean scaled towards the conditional's standard deviation, over real nodes of a `State`."""
    wide, wanted = (_spread(x, x_t) for x in (guided, conditional))
    ratio = torch.where(wide > 0, wanted / torch.where(wide > 0, wide, 1.0), 1.0)
    return expand(1 - share + share * ratio, guided) * guided


def _spread(x: Tensor, x_t: Any) -> Tensor:
    """`[B]`: deviation from the sample's mean; of a `State`'s nodes from their centre, so that no rotation shows."""
    if isinstance(x_t, State):
        x = center(x, x_t.mask)
    else:
        x = x - x.flatten(1).mean(1).reshape(-1, *[1] * (x.dim() - 1))
    return x.square().flatten(1).mean(1).sqrt()
