"""Guidance at some noise levels only: early it loses variety, late it changes nothing and costs an evaluation.

Kynkaanniemi et al. 2024, arXiv:2404.07724.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.process.affine import Affine
from scigen.state import Time

__all__ = ["interval"]


def interval(
    guided: Denoiser, plain: Denoiser, affine: Affine, low: float = -math.inf, high: float = math.inf
) -> Denoiser:
    """`guided` where low < logsnr(t) < high, `plain` (for `cfg` the conditional) elsewhere; one of them is called.

    A level sigma of the paper is log-SNR -2 log sigma, a time of any process is `affine.logsnr(t)`. The bounds are
    open: the pure source of a flow, log-SNR -inf, is never guided. With one t per sample both are called where
    levels on both sides are asked for. Raises ValueError unless low < high.
    """
    if not low < high:
        raise ValueError(f"`low` must be below `high`, got {low} and {high}; log-SNR grows towards the data.")

    def denoise(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        logsnr = affine.logsnr(t)
        inside = (low < logsnr) & (logsnr < high)
        if bool(inside.all()):
            return guided(x_t, t, previous)
        if not bool(inside.any()):
            return plain(x_t, t, previous)
        return _choose(inside, guided(x_t, t, previous), plain(x_t, t, previous))

    return denoise


def _choose(rows: Tensor, a: Belief, b: Belief) -> Belief:
    if isinstance(a, Tensor):
        return torch.where(rows.to(a.device).reshape(-1, *[1] * (a.dim() - 1)), a, b)
    return {name: _choose(rows, a[name], b[name]) for name in a}
