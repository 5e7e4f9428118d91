"""Optimal transport: within each sample (points onto points) or across the batch (samples onto samples)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from scigen.coupling.pairs import Coupling
from scigen.state import State

__all__ = ["batch_transport", "optimal_transport", "squared_distances"]


def optimal_transport(field: str = "pos", rotate: bool = True) -> Coupling:
    """Optimal transport within each sample: permute, then rotate the noise points onto the data points.

    argmin over permutations P of |x0 - P x1|^2 (Hungarian), then over rotations R of |x0 - P x1 R|^2 (Kabsch,
    det R = 1). Points `[B, N, D]` are taken as centred; padding stays. Over data in every orientation and order
    each x1 keeps its law; where orientation means something (aligned shapes) take `rotate=False`, which keeps it over
    data in every order. Song et al. 2023, arXiv:2312.07168; Klein et al. 2023, arXiv:2306.15030.
    """

    def couple(x0: State, x1: State) -> State:
        data, noise = (x[field].detach().double().cpu().numpy() for x in (x0, x1))
        ordered = _permute(data, noise, x0.sizes.tolist())
        return x1.replace(**{field: torch.from_numpy(_rotate(data, ordered) if rotate else ordered).to(x1[field])})

    return couple


def batch_transport(field: str = "pos") -> Coupling:
    """Optimal transport across the batch: whole samples of x1 are dealt to those of x0, nothing inside them moves.

    argmin over permutations of the batch of sum |x0_i - x1_p(i)|^2, exact (Hungarian). x1 keeps its law, and over
    growing batches the pairs tend to the optimal transport between the laws. Samples change hands only with others of
    the same mask. On tensors `[B, ...]` `field` has no meaning. Tong et al. 2023, arXiv:2302.00482.
    """

    def couple(x0: Any, x1: Any) -> Any:
        cost = squared_distances(x0, x1, field).cpu().numpy()
        order = torch.from_numpy(linear_sum_assignment(cost)[1])
        return x1.map(lambda x: x[order.to(x.device)]) if isinstance(x1, State) else x1[order.to(x1.device)]

    return couple


def squared_distances(x0: Any, x1: Any, field: str) -> Tensor:
    """|x0_i - x1_j|^2 in float64, `[B, B]`; infinite between samples of different masks."""
    rows, columns = ((x[field] if isinstance(x, State) else x).detach().double().flatten(1) for x in (x0, x1))
    cost = torch.cdist(rows, columns, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    if isinstance(x0, State):
        other = (x0.mask[:, None] != x1.mask[None]).any(-1)
        cost = cost.masked_fill(other, torch.inf)
    return cost


def _permute(data: NDArray[np.float64], noise: NDArray[np.float64], sizes: list[int]) -> NDArray[np.float64]:
    """Noise rows in the order of their data rows; |x0_i - x1_j|^2 is -2 x0_i . x1_j up to terms no order changes."""
    cost = -data @ noise.swapaxes(1, 2)
    order = np.tile(np.arange(data.shape[1]), (len(data), 1))
    for row, pairs, n in zip(order, cost, sizes):
        row[:n] = linear_sum_assignment(pairs[:n, :n])[1]
    return np.take_along_axis(noise, order[..., None], axis=1)


def _rotate(data: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Noise turned onto the data: noise' data = U S V', R = U diag(1, ..., det U V') V'."""
    u, _, vt = np.linalg.svd(noise.swapaxes(1, 2) @ data)
    u[..., -1] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return noise @ (u @ vt)
