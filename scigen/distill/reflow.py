"""Straightening a flow on its own pairs (reflow), and the one-step student that straight paths allow.

Pairs (x0, x1) join each source point to where the model carries it; on them the paths of rectified flow cross less and
less. Liu et al. 2022, arXiv:2209.03003. All of it is for rectified flow, x_t = (1 - t) x0 + t x1, and raises
ValueError for another process.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.distill.match import certain, mismatch
from scigen.process.affine import Affine
from scigen.process.free import field_of, free_entries, parts_of
from scigen.state import Rng

__all__ = ["one_step_loss", "reflow_loss", "straightness"]


def reflow_loss(process: Any, student: Denoiser, x0: Any, x1: Any, t: Tensor, rng: Rng) -> Tensor:
    """Distance `[B]` of the belief at x_t from x0, for given pairs and times `[B]`; tokens by KL.

    The velocity's error on a pair is (student - x0) / t: t^2 times the paper's loss, with the same minimiser
    E[x0 | x_t] at every t.
    """
    _rectified(process)
    x_t = process.noise(x0, x1, t, rng)
    return mismatch(process, student(x_t, t), certain(process, x0), x_t)


def one_step_loss(process: Any, student: Denoiser, x0: Any, x1: Any, rng: Rng) -> Tensor:
    """Distance `[B]` of student(x1, 1) from x0, the other end of the pair: the whole flow in a single step.

    After reflow the student starts near its goal: on straight paths the flow's own first step already ends on x0.
    """
    _rectified(process)
    start = process.noise(x0, x1, 1.0, rng)
    return mismatch(process, student(start, 1.0), certain(process, x0), start)


def straightness(process: Any, denoise: Denoiser, x0: Any, x1: Any, t: Tensor, rng: Rng) -> Tensor:
    """|velocity(x_t, t) - (x1 - x0)|^2 per free coordinate, `[B]`: zero when paths are straight and none cross.

    Its mean over pairs and uniform t is S(Z) of the paper, O(1/k) after k reflows. Affine fields only, times in (0, 1].
    """
    names = _rectified(process)
    x_t = process.noise(x0, x1, t, rng)
    belief = denoise(x_t, t)
    total = torch.zeros_like(t)
    for name in names:
        free, error = free_entries(process, x_t, name), field_of(belief, name) - field_of(x0, name)
        total = total.to(error) + free.total(error.square()) / free.count.clamp(min=1) / t.to(error) ** 2
    return total


def _rectified(process: Any) -> list[str]:
    """The fields that rectified flow moves."""
    affine = {name: part for name, part in parts_of(process).items() if isinstance(part, Affine)}
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    if not affine or not all(torch.allclose(part.alpha(t), 1 - t) for part in affine.values()):
        raise ValueError("reflow straightens the paths of rectified flow; give its pairs a `rectified()` process.")
    return list(affine)
