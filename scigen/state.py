"""State: named tensors of a padded batch, with a mask.

Node fields are `[B, N, ...]` (`pos`, `atom`, `feat`), pair fields `[B, N, N, ...]` (`bond`); `mask [B, N]` is true on
real nodes. Everything that draws random numbers takes an `Rng`: one generator for the batch, or one per sample so that
a sample never depends on the batch around it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = [
    "Rng", "State", "Streams", "Time", "as_time", "center", "expand", "generator", "mirror", "normal", "pair_mask",
    "uniform",
]  # fmt: skip

Time: TypeAlias = float | Tensor  # a number, or one per sample [B]


@dataclass(frozen=True)
class Streams:
    """One generator per sample and each sample's number of nodes: neither the batch nor its padding shows in a draw."""

    generators: Sequence[torch.Generator]
    sizes: Sequence[int]


Rng: TypeAlias = torch.Generator | Sequence[torch.Generator] | Streams


@dataclass(frozen=True)
class State:
    """Fields by name and the mask of real nodes `[B, N]`."""

    fields: Mapping[str, Tensor] = field(default_factory=dict)
    mask: Tensor = field(default_factory=lambda: torch.ones(0, 0, dtype=torch.bool))

    def __getitem__(self, name: str) -> Tensor:
        return self.fields[name]

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    @property
    def sizes(self) -> Tensor:
        """Real nodes per sample, `[B]`."""
        return self.mask.sum(1)

    def replace(self, **fields: Tensor) -> State:
        """The same state with some fields exchanged."""
        return State({**self.fields, **fields}, self.mask)

    def map(self, f: Callable[[Tensor], Tensor]) -> State:
        """`f` applied to every field and to the mask (move to a device, index the batch ...)."""
        return State({name: f(x) for name, x in self.fields.items()}, f(self.mask))


def generator(seed: int, *index: int) -> torch.Generator:
    """The generator of sample `index` (and of a draw of it ...) under `seed`, wherever and however it is batched."""
    digest = hashlib.sha256(" ".join(["scigen", *map(str, (seed, *index))]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def as_time(t: Time) -> Tensor:
    """`t` as a tensor; a number in float64, whatever the fields' type: curves are steep at the ends."""
    return t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64)


def expand(t: Time, like: Tensor) -> Tensor:
    """`t`, a number or `[B]`, shaped `[B, 1, ...]` to multiply `like [B, ...]` and cast to its type."""
    t = torch.as_tensor(t, dtype=like.dtype if like.is_floating_point() else torch.float32, device=like.device)
    return t.reshape(-1, *[1] * (like.dim() - 1)) if t.dim() else t


def pair_mask(mask: Tensor) -> Tensor:
    """Pairs of two different real nodes, `[B, N, N]`."""
    off_diagonal = ~torch.eye(mask.shape[1], dtype=torch.bool, device=mask.device)
    return mask[:, :, None] & mask[:, None, :] & off_diagonal


def center(pos: Tensor, mask: Tensor) -> Tensor:
    """Project `pos [B, N, D]` onto zero centre of mass over real nodes, and zero elsewhere."""
    weight = mask[..., None].to(pos.dtype)
    mean = (pos * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)
    return (pos - mean) * weight


def mirror(x: Tensor) -> Tensor:
    """Copy the upper triangle of `[B, N, N, ...]` onto the lower one and zero the diagonal.

    Applied to independent draws it gives symmetric draws of the same law.
    """
    n = x.shape[1]
    upper = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1).reshape(1, n, n, *[1] * (x.dim() - 3))
    kept = torch.where(upper, x, torch.zeros_like(x))
    return kept + kept.transpose(1, 2)


def normal(like: Tensor, rng: Rng) -> Tensor:
    """Standard normal draws shaped like `like [B, N, ...]`, row i from generator i if there are several.

    Raises `ValueError` when there are several generators and not one per sample.
    """
    return _draw(torch.randn, like.shape, 1, like.dtype, like.device, rng)


def uniform(shape: torch.Size, device: torch.device, rng: Rng) -> Tensor:
    """Uniform draws on [0, 1), one per token of `[B, N]` or `[B, N, N]`, row i from generator i if there are several.

    Raises `ValueError` when there are several generators and not one per sample.
    """
    return _draw(torch.rand, shape, len(shape) - 1, torch.float32, device, rng)


def _draw(
    law: Callable[..., Tensor], shape: torch.Size, node_axes: int, dtype: torch.dtype, device: torch.device, rng: Rng
) -> Tensor:
    """`node_axes` axes after the batch count nodes: `Streams` draws a row at its own size and pads it with zeros."""
    if isinstance(rng, torch.Generator):
        return law(shape, generator=rng, dtype=dtype, device=rng.device).to(device)
    generators = rng.generators if isinstance(rng, Streams) else rng
    if len(generators) != shape[0]:
        raise ValueError(f"`rng` holds {len(generators)} generators for a batch of {shape[0]}; give one per sample.")
    out = torch.zeros(shape, dtype=dtype)
    for k, g in enumerate(generators):
        n = rng.sizes[k] if isinstance(rng, Streams) else shape[1] if len(shape) > 1 else 0
        own = out[k][(slice(n),) * node_axes] if len(shape) > 1 else out[k]
        own.copy_(law(own.shape, generator=g, dtype=dtype, device=g.device))
    return out.to(device)
