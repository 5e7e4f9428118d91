"""DDIM inversion: the sampler's own rule walked from data to noise, and editing by it. arXiv:2010.02502, section 4.3.

The noise that a sample came from, found under one belief, makes a related sample under another: a condition, a
guidance weight, a second model (DDIB, arXiv:2203.08382).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.solver.integral import DATA, Split, level
from scigen.solver.lift import adjust, at_data, refuse_tokens
from scigen.solver.loop import Memory, sample
from scigen.solver.multistep import adams

__all__ = ["edit", "invert"]


def invert(
    process: Affine | Product,
    denoise: Denoiser,
    x: Any,
    grid: Sequence[float],
    order: int = 1,
    split: Split = DATA,
) -> Any:
    """The x at grid[-1] whose path down leads to `x` at grid[0], along a grid that rises.

    Every move is that of `adams(order, split)`, DDIM at order 1, taken upwards; sampling on the reversed grid then
    returns to `x` up to an error of that order. From sigma = 0, where the state is the data and eps is 0 / 0, the first
    move takes eps from the belief one level up, at alpha_s x: right to first order.
    Raises ValueError for a grid that does not rise in [0, 1] and for tokens, whose draws have no inverse.
    """
    refuse_tokens(process)
    _check(grid)
    memory: Memory | None = None
    for t, s in pairwise(float(u) for u in grid):
        if at_data(process, t):
            x = _leave_data(process, denoise, x, s)
        else:
            x, memory = adams(order, split)(process, denoise, x, t, s, torch.Generator(), memory)
    return x


def edit(
    process: Affine | Product,
    source: Denoiser,
    target: Denoiser,
    x: Any,
    grid: Sequence[float],
    order: int = 1,
    split: Split = DATA,
) -> tuple[Any, Belief]:
    """`x` carried up the falling `grid` under `source` and down it under `target`: the state and the last belief.

    With target = source it is the round trip. A grid from t < 1 keeps more of `x`. Raises as `invert`.
    """
    noise = invert(process, source, x, grid[::-1], order, split)
    return sample(process, target, noise, grid, torch.Generator(), adams(order, split))


def _leave_data(process: Affine | Product, denoise: Denoiser, x: Any, s: float) -> Any:
    def blur(affine: Affine, x: Tensor, belief: Tensor) -> Tensor:
        return level(affine, s).alpha * x

    def rule(affine: Affine, faded: Tensor, x0: Tensor, x: Tensor) -> Tensor:
        return faded + (faded - level(affine, s).alpha * x0)  # alpha x + sigma eps, eps = (alpha x - alpha x0) / sigma

    faded = adjust(process, blur, x, x)
    return adjust(process, rule, faded, denoise(faded, s), x)


def _check(grid: Sequence[float]) -> None:
    if len(grid) < 2 or not all(0 <= t < s <= 1 for t, s in pairwise(grid)):
        raise ValueError(f"`grid` must rise within [0, 1] from the data to the source, got {list(grid)[:4]} ...")
