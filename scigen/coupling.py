"""Couplings: which source point is paired with which data point.

A coupling takes data x0 and independent unit-variance noise x1 and returns the x1 to use. Only the independent one
keeps E[x0 | x_t] a function of (x_t / scale, logsnr), hence one network usable under every affine process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from scigen.state import State

__all__ = ["Coupling", "independent", "optimal_transport"]

Coupling: TypeAlias = Callable[[State, State], State]


def independent(x0: State, x1: State) -> State:
    """x1 as drawn."""
    return x1


def optimal_transport(field: str = "pos") -> Coupling:
    """Equivariant optimal transport within each sample: permute, then rotate the noise points onto the data points.

    argmin over permutations P of |x0 - P x1|^2 (Hungarian), then over rotations R of |x0 - P x1 R|^2 (Kabsch,
    det R = 1). Points `[B, N, D]` are taken as centred; padding stays. Over data in every orientation and order
    each x1 keeps its law. Song et al. 2023, arXiv:2312.07168; Klein et al. 2023, arXiv:2306.15030.
    """

    def couple(x0: State, x1: State) -> State:
        data, noise = (x[field].detach().double().cpu().numpy() for x in (x0, x1))
        paired = _rotate(data, _permute(data, noise, x0.sizes.tolist()))
        return x1.replace(**{field: torch.from_numpy(paired).to(x1[field])})

    return couple


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
