"""The divergence of a vector field, sum_i d f_i / d x_i: exactly, or by random probes.

Rows of a batch must not see each other. The results carry gradients to the parameters of f where gradients are on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from scigen.state import Rng, normal

__all__ = ["Divergence", "Field", "exact", "hutchinson", "rademacher"]

Field: TypeAlias = Callable[[Tensor], Tensor]
Divergence: TypeAlias = Callable[[Field, Tensor], tuple[Tensor, Tensor]]  # (f, x) -> f(x) and div f(x) [B]


def exact(f: Field, x: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) and the trace of its Jacobian `[B]`, one backward pass per coordinate: for small dimensions."""

    def trace(y: Tensor, u: Tensor, keep: bool) -> Tensor:
        rows = (_pull(column.sum(), u, keep).flatten(1)[:, i] for i, column in enumerate(y.flatten(1).unbind(1)))
        return torch.stack(list(rows)).sum(0)

    return _with_graph(f, x, trace)


def hutchinson(probes: Tensor) -> Divergence:
    """The mean of e' J e over `probes [K, B, ...]` with E[e e'] = I: unbiased, one backward pass a probe.

    The probes stay as given, so that an adaptive integrator meets one smooth field (FFJORD, arXiv:1810.01367). With
    signs (`rademacher`) the variance is 2 sum of squares off the diagonal of the symmetric part, never more than with
    normal draws. Raises ValueError unless the probes have x's shape.
    """

    def estimate(f: Field, x: Tensor) -> tuple[Tensor, Tensor]:
        if probes.shape[1:] != x.shape:
            raise ValueError(f"`probes` must be [K, *x.shape] = [K, {tuple(x.shape)}], got {tuple(probes.shape)}.")

        def trace(y: Tensor, u: Tensor, keep: bool) -> Tensor:
            return torch.stack([(_pull((y * e).sum(), u, keep) * e).flatten(1).sum(1) for e in probes.to(y)]).mean(0)

        return _with_graph(f, x, trace)

    return estimate


def rademacher(like: Tensor, count: int, rng: Rng) -> Tensor:
    """Independent signs, `[count, *like.shape]`."""
    return torch.stack([torch.where(normal(like, rng) < 0, -1.0, 1.0).to(like) for _ in range(count)])


def _with_graph(f: Field, x: Tensor, trace: Callable[[Tensor, Tensor, bool], Tensor]) -> tuple[Tensor, Tensor]:
    wanted = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        u = x if wanted and x.requires_grad else x.detach().clone().requires_grad_()
        y = f(u) + 0 * u  # a constant field has a divergence too
        divergence = trace(y, u, wanted)
    return (y, divergence) if wanted else (y.detach(), divergence.detach())


def _pull(scalar: Tensor, u: Tensor, keep: bool) -> Tensor:
    return torch.autograd.grad(scalar, u, retain_graph=True, create_graph=keep)[0]
