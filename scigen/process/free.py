"""Which entries of a field are drawn by themselves, and which are fixed by padding, symmetry or a projection.

A density or a mean error over a batch of padded molecules must count every independent number once: real nodes, one
triangle of a symmetric pair field, and D directions fewer where the centre of mass is held at zero. All of it is read
off the process's own `project`, so no second description of the constraints can contradict the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scigen.process.categorical import Categorical
from scigen.process.product import Product
from scigen.process.protocol import FieldProcess
from scigen.state import State

__all__ = ["Free", "field_of", "free_entries", "parts_of"]


@dataclass(frozen=True)
class Free:
    """`entries` like the field, true where counted; `lost` directions of each sample that the projection removes."""

    entries: Tensor
    lost: int = 0

    @property
    def count(self) -> Tensor:
        """Independent numbers per sample, `[B]`."""
        return (self.entries.flatten(1).sum(1) - self.lost).clamp(min=0)

    def total(self, x: Tensor) -> Tensor:
        """Sum of `x`, shaped like the field, over the counted entries: `[B]`."""
        return torch.where(self.entries, x, torch.zeros_like(x)).flatten(1).sum(1)


def parts_of(process: Any) -> Mapping[str, FieldProcess]:
    """The processes of a `Product` by field; a process of one bare tensor is its own only part, under ""."""
    return process.parts if isinstance(process, Product) else {"": process}


def field_of(x: Any, name: str) -> Any:
    """`x[name]` of a state or belief; `x` itself under the name "" of `parts_of`."""
    return x[name] if name else x


def free_entries(process: Any, x: Any, name: str) -> Free:
    """The entries of field `name` of `x` (a state, or a bare tensor with name "") that are drawn by themselves.

    Zero centre of mass is recognised by the constant field it annihilates, symmetry by a triangle it copies.
    """
    if not isinstance(process, Product):
        return Free(torch.ones_like(x, dtype=torch.bool))
    y, mask = x[name], x.mask
    support = process.project(x.replace(**{name: torch.ones_like(y)}))[name] != 0
    if y.dim() > 2 and y.shape[1] == y.shape[2] and _mirrored(process, x, name):
        return Free(support & _upper(y) & _real(mask[:, :, None] & mask[:, None], y))
    if isinstance(process.parts[name], Categorical) and y.dim() == 3:
        return Free(support & _real(mask[:, :, None] & mask[:, None], y))
    real = _real(mask, y)
    if (support & real).any():
        return Free(support & real)
    return Free(real, lost=y[0, 0].numel())


def _mirrored(process: Product, x: State, name: str) -> bool:
    y = process.project(x.replace(**{name: _upper(x[name]).to(x[name])}))[name]
    return bool(y.any()) and torch.equal(y, y.transpose(1, 2))


def _upper(y: Tensor) -> Tensor:
    """True strictly above the diagonal of the two node axes of `y [B, N, N, ...]`."""
    n = y.shape[1]
    upper = torch.ones(n, n, dtype=torch.bool, device=y.device).triu(1)
    return upper.reshape(1, n, n, *[1] * (y.dim() - 3)).expand_as(y)


def _real(mask: Tensor, y: Tensor) -> Tensor:
    return mask.reshape(*mask.shape, *[1] * (y.dim() - mask.dim())).expand_as(y)
