"""How far one belief is from another, and the noised points at which students meet their teachers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief
from scigen.process.affine import Affine
from scigen.process.categorical import Categorical
from scigen.process.free import field_of, free_entries, parts_of
from scigen.process.product import Product
from scigen.process.protocol import FieldProcess
from scigen.state import Rng, Time, normal

__all__ = ["batch_of", "certain", "intervals", "mismatch", "noised", "unit_source"]


def mismatch(process: Any, belief: Belief, target: Belief, like: Any, huber: float = 0.0) -> Tensor:
    """Distance of two beliefs about `like`, summed over fields, `[B]`; zero where they agree.

    Continuous fields: d = mean |target - belief|^2 over free entries, or sqrt(d + c^2) - c when `huber` c > 0 (the
    pseudo-Huber distance of arXiv:2310.14189, c = 0.00054 there). Tokens: mean KL(target | belief).
    Raises ValueError for a negative `huber`.
    """
    if huber < 0:
        raise ValueError(f"`huber` must be 0 (squared error) or positive, got {huber}; 0.00054 is usual.")
    total = torch.zeros(())
    for name, part in parts_of(process).items():
        free, b, y = free_entries(process, like, name), field_of(belief, name), field_of(target, name)
        categorical = isinstance(part, Categorical)
        each = _divergence(y, b) if categorical else (y - b).square()
        d = free.total(each) / free.count.clamp(min=1).to(each)
        total = total + (d if categorical or huber == 0 else (d + huber**2).sqrt() - huber)
    return total


def certain(process: Any, x0: Any) -> Belief:
    """The belief that knows x0: the values of continuous fields, one-hot tokens."""
    sure = {name: _sure(part, field_of(x0, name)) for name, part in parts_of(process).items()}
    return sure if isinstance(process, Product) else sure[""]


def unit_source(process: Any, like: Any, rng: Rng) -> Any:
    """x1 as `Process.noise` wants it: unit-variance noise on affine fields, source tokens on the others."""

    def one(name: str, part: FieldProcess) -> Tensor:
        field = field_of(like, name)
        return normal(field, rng) if isinstance(part, Affine) else part.source(field, rng)

    return process.each(one, like) if isinstance(process, Product) else one("", process)


def noised(process: Any, x0: Any, t: Time, rng: Rng) -> Any:
    """x_t given x0 in the independent coupling; `t` is a number or one time per sample."""
    return process.noise(x0, unit_source(process, x0, rng), t, rng)


def batch_of(x: Any) -> int:
    """Samples in a tensor or a state."""
    return len(x) if isinstance(x, Tensor) else len(x.mask)


def intervals(grid: Sequence[float], stride: int, count: int, rng: torch.Generator) -> list[Any]:
    """A random run of `stride` intervals of a falling grid for each of `count` samples: `stride + 1` times `[B]`.

    Runs start at multiples of `stride`. Typed as what a solver takes: its rules broadcast one time per sample.
    Raises ValueError when the grid is not a whole number of runs.
    """
    steps = len(grid) - 1
    if steps < stride or steps % stride:
        raise ValueError(f"`grid` must hold a multiple of {stride} intervals, got {steps}; add or drop times.")
    start = stride * torch.randint(steps // stride, (count,), generator=rng, device=rng.device)
    times = torch.tensor(grid, dtype=torch.float64, device=rng.device)
    return [times[start + k] for k in range(stride + 1)]


def _sure(part: FieldProcess, x0: Tensor) -> Tensor:
    if not isinstance(part, Categorical):
        return x0
    return torch.nn.functional.one_hot(x0, len(part.m)).to(torch.get_default_dtype())


def _divergence(target: Tensor, belief: Tensor) -> Tensor:
    """KL over the last axis; a belief of exactly zero counts as the smallest number, so gradients stay finite."""
    floor = torch.finfo(belief.dtype).tiny
    return (torch.xlogy(target, target) - target * belief.clamp(min=floor).log()).sum(-1)
