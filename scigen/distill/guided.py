"""Guided distillation: one evaluation of a student that knows the guidance weight, for a teacher's two.

The student answers cfg's belief for every weight in a range; bound to weights it is a `Denoiser`, which progressive
distillation then halves as any other. Meng et al. 2022, arXiv:2210.03142, whose w is ours less one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.distill.match import mismatch, noised
from scigen.guidance.free import cfg
from scigen.state import Rng, Time

__all__ = ["Guided", "at_weight", "guided_loss"]

Guided: TypeAlias = Callable[[Any, Time, float | Tensor], Belief]  # (x_t, t, w) -> belief


def at_weight(student: Guided, weight: float | Tensor) -> Denoiser:
    """The student at one guidance weight, or at one per sample `[B]`."""

    def denoise(x_t: Any, t: Time, previous: Belief | None = None) -> Belief:
        return student(x_t, t, weight)

    return denoise


def guided_loss(
    process: Any,
    student: Guided,
    conditional: Denoiser,
    unconditional: Denoiser,
    x0: Any,
    t: Tensor,
    weight: Tensor,
    rng: Rng,
) -> Tensor:
    """Distance `[B]` of student(x_t, t, w) from u + w (c - u), at times and weights `[B]` of the caller's law.

    Means by squared error, tokens by KL from p_u^(1-w) p_c^w. Per sample, so that the caller may weigh by t: the
    paper's weight is max(SNR, 1).
    """
    x_t = noised(process, x0, t, rng)
    with torch.no_grad():
        target = cfg(conditional, unconditional, process, weight)(x_t, t)
    return mismatch(process, student(x_t, t, weight), target, x_t)
