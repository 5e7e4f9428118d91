"""New shapes from one that is given: noised part of the way and drawn anew, with some of its latent points held.

x_t = alpha_t x0 + sigma_t z at the level of `strength`, then the sampler's own way down (SDEdit, arXiv:2108.01073).
What is held is inpainted, every level walked twice so that the rest meets it (RePaint, arXiv:2201.09865).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scigen.domains.points.process import shape_process
from scigen.domains.points.sampler import Plan, guided
from scigen.guidance.inpaint import inpaint, jumps
from scigen.solver.grids import shared
from scigen.solver.loop import sample
from scigen.state import Rng, State, normal

__all__ = ["Original", "varied_belief", "way_down"]

_FIELDS = ("pos", "feat")
_WALKS = 2  # of every level, where something is held


@dataclass(frozen=True)
class Original:
    """A shape (a batch of one, stored units) to begin from: the share `strength` of the way to noise, in (0, 1].

    `keep` holds latent points: a boolean mask `[K]` for `pos`, `feat` or both. A strength of 1 forgets what is not
    held.
    """

    shape: State
    strength: float = 1.0
    keep: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise ValueError(f"`strength` must lie in (0, 1], got {self.strength}; 0.4 keeps the whole of a shape.")


@torch.inference_mode()
def varied_belief(network: Any, plan: Plan, x0: State, original: Original, rng: Rng) -> State:
    """Draws around `x0`: `original.shape` in units of variance one, once for each sample, under its condition."""
    process = shape_process(plan.affine)
    denoise = guided(network, process, plan.guidance if "category" in x0 else 1.0)
    grid = way_down(plan, original.strength)
    if original.strength == 1:
        x = process.source(x0, rng)
    else:
        z = process.each(lambda name, part: normal(x0[name], rng), x0)
        x = process.noise(x0, z, grid[0], rng)
    where = {name: mask.to(x0.mask.device) & x0.mask for name, mask in original.keep.items()}
    if where:
        _, belief = inpaint(process, denoise, x, jumps(grid, _WALKS), rng, x0, where, plan.solver)
    else:
        _, belief = sample(process, denoise, x, grid, rng, plan.solver)
    return process.project(x0.replace(**{name: belief[name] for name in _FIELDS}))


def way_down(plan: Plan, strength: float = 1.0) -> list[float]:
    """Times of `plan.affine` at the levels of rectified flow's `plan.grid` from t = `strength` down, as dense as it is.

    Rectified flow's t is the share of noise, so a strength means the same under every process.
    """
    grid = plan.grid(max(1, round(plan.steps * strength)))
    if strength == 1:
        return shared(plan.affine, grid)
    return shared(plan.affine, [1.0, *(strength * t for t in grid)])[1:]
