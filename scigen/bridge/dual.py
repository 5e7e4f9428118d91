"""Dual diffusion implicit bridges: from one data set to another through the noise that two models share.

x -> the source model's probability-flow ODE up -> the target model's down. Each half transports optimally in the limit
of a wide source when the laws are Gaussians with common axes: the Monge map up to O(1 / sigma(1)). No pairs are needed,
and the way back is the same walk with the models exchanged. Su et al. 2022, arXiv:2203.08382.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.solver.lift import at_data
from scigen.solver.loop import Memory, Solver
from scigen.solver.ode import heun

__all__ = ["ddib"]


@torch.no_grad()
def ddib(
    process: Affine | Product,
    source: Denoiser,
    target: Denoiser,
    x: Any,
    grid: Sequence[float],
    solver: Solver = heun,
) -> Any:
    """Points of the target law for points x of the source law, tensors `[B, ...]` or a `State`.

    `grid` falls from 1 to a time where noise is left; x and the answer belong to that last time. Takes solvers that
    draw nothing and step either way: `euler`, `heun`, `ddim()`. Raises ValueError for a grid that does not fall or ends
    where sigma = 0, and for tokens, which no ODE moves.
    """
    parts = process.parts.values() if isinstance(process, Product) else [process]
    if not all(isinstance(part, Affine) for part in parts):
        raise ValueError("`ddib` follows ODEs, which tokens do not have; translate the affine fields alone.")
    if len(grid) < 2 or any(t <= s for t, s in pairwise(grid)) or at_data(process, grid[-1]):
        raise ValueError(f"`grid` must fall and end where noise is left, got {list(grid)}; end at 1e-3 instead of 0.")
    rng = torch.Generator()  # never drawn from
    for denoise, times in ((source, list(reversed(grid))), (target, list(grid))):
        memory: Memory | None = None
        for t, s in pairwise(times):
            x, memory = solver(process, denoise, x, t, s, rng, memory)
    return x
