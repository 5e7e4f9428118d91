"""Entropic optimal transport: Sinkhorn's plan, and pairs drawn from it.

The static Schroedinger bridge of Brownian motion with standard deviation `scale` at time 1 is the plan that minimises
sum P |x0 - x1|^2 + reg sum P log P under its two marginals, with reg = 2 scale^2 (reg = scale^2 on half the cost).
Cuturi 2013, arXiv:1306.0895; Tong et al. 2023, arXiv:2307.03672.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scigen.coupling.pairs import Coupling
from scigen.coupling.transport import squared_distances
from scigen.state import State

__all__ = ["sinkhorn", "sinkhorn_plan"]


def sinkhorn(scale: float, rng: torch.Generator, field: str = "pos") -> Coupling:
    """For each x0_i an x1_j drawn with probability P_ij / sum_j P_ij, P the plan of the batch at reg = 2 scale^2.

    Drawn, not assigned: an assignment gives optimal transport, whatever the plan. Over growing batches the pairs tend
    to the Schroedinger bridge of `Brownian(scale)`; an x1 may serve twice or not at all. Masks as in `batch_transport`.
    Raises ValueError for a scale that is not positive.
    """
    if not scale > 0:
        raise ValueError(f"`scale` must be positive, got {scale}; at 0 use `batch_transport`.")

    def couple(x0: Any, x1: Any) -> Any:
        plan = sinkhorn_plan(squared_distances(x0, x1, field), 2 * scale**2, tolerance=1e-6)
        chosen = torch.multinomial(plan.to(rng.device), 1, generator=rng)[:, 0]
        return x1.map(lambda x: x[chosen.to(x.device)]) if isinstance(x1, State) else x1[chosen.to(x1.device)]

    return couple


def sinkhorn_plan(
    cost: Tensor,
    reg: float,
    weights0: Tensor | None = None,
    weights1: Tensor | None = None,
    tolerance: float = 1e-9,
    iterations: int = 10_000,
) -> Tensor:
    """P_ij = exp((f_i + g_j - cost_ij) / reg), `[n, m]`, with row sums `weights0 [n]`, column sums `weights1 [m]`.

    Weights are uniform unless given, and sum to one. Iterated on the logarithms, so a small `reg` costs time and never
    an underflow; columns are exact, rows to `tolerance` in total variation. Raises ValueError when `iterations` do not
    get there.
    """
    if not reg > 0:
        raise ValueError(f"`reg` must be positive, got {reg}; for a bridge it is 2 scale^2.")
    kernel = -cost.double() / reg
    log0, log1 = (
        torch.full((n,), 1 / n, dtype=torch.float64, device=cost.device).log() if w is None else w.double().log()
        for n, w in zip(cost.shape, (weights0, weights1), strict=True)
    )
    g = torch.zeros_like(log1)
    rows = torch.logsumexp(kernel, 1)
    for _ in range(iterations):
        f = log0 - rows
        g = log1 - torch.logsumexp(kernel + f[:, None], 0)
        rows = torch.logsumexp(kernel + g, 1)  # also what the next round needs
        if float((log0.exp() - (f + rows).exp()).abs().sum()) <= 2 * tolerance:
            return (kernel + f[:, None] + g).exp()
    raise ValueError(
        f"Sinkhorn is not within {tolerance} after {iterations} iterations at reg={reg}; raise any of the three."
    )
