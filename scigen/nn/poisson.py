"""Oriented points to an implicit surface: the Poisson equation solved by FFT on a periodic grid, differentiable.

With outward normals n_i and the area w_i of surface that each point stands for, V = sum_i w_i n_i delta(x - x_i) is
minus the gradient of the solid's indicator, and chi with

    laplace(chi) = div(V)    chi^(k) = -i (k . V^(k)) / (2 pi |k|^2 / L) exp(-2 sigma^2 |k|^2 / R^2),    chi^(0) = 0

is minus the indicator itself, blurred. k are whole numbers, L is the side of the grid, R its number of cells; the
Gaussian has a standard deviation of sigma / pi cells. Peng et al. 2021, "Shape As Points", arXiv:2106.03452.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["HALF", "indicator", "interpolate", "splat"]

HALF = 0.5625  # half the side of the grid: the unit sphere of radius 0.5, and a margin of 3.5 cells in 64
_RIM = 1  # cells at the border that no point enters


def indicator(
    points: Tensor, normals: Tensor, weights: Tensor | None = None, size: int = 64, sigma: float = 2.0
) -> Tensor:
    """chi `[B, R, R, R]`, R = `size`, of `points [B, N, 3]` with outward `normals [B, N, 3]`: below 0 inside.

    Node (i, j, k) stands at x = `HALF` (2 (i, j, k) / R - 1), and chi is shifted so that its weighted mean over the
    points is 0: the surface is the zero level. Where `weights [B, N]` are the areas that the points stand for, chi
    jumps by 1 across the surface, about from -1/2 to 1/2; by default all are 1 / N, and it jumps by 1 / area. Points of
    weight 0 are padding. The grid repeats itself, so points are held 1 cell inside its border, where they get no
    gradient; the unit sphere is clear of that from R = 18 on.
    Raises `ValueError` for shapes that do not fit, an odd `size` or one below 8, and a negative `sigma`.
    """
    if points.ndim != 3 or points.shape[-1] != 3 or normals.shape != points.shape:
        raise ValueError(f"points {list(points.shape)} and normals {list(normals.shape)}; give both as [B, N, 3].")
    if size < 8 or size % 2 or sigma < 0:
        raise ValueError(f"`size` {size} and `sigma` {sigma}; give an even size of 8 or more and no negative sigma.")
    if weights is None:
        weights = points.new_full(points.shape[:2], 1 / points.shape[1])
    field = splat(points, weights[..., None] * normals, size) * (size / (2 * HALF)) ** 3
    chi = _solve(field, sigma)
    level = (weights * interpolate(chi[..., None], points)[..., 0]).sum(1) / weights.sum(1)
    return chi - level[:, None, None, None]


def splat(points: Tensor, values: Tensor, size: int) -> Tensor:
    """`values [B, N, C]` shared out trilinearly to the 8 nodes around each of `points [B, N, 3]`: `[B, R, R, R, C]`."""
    batch, _, channels = values.shape
    node, share = _corners(points, size)
    node = node + size**3 * torch.arange(batch, device=points.device)[:, None, None]
    given = (share[..., None] * values[:, :, None]).reshape(-1, channels)
    grid = values.new_zeros(batch * size**3, channels).index_add(0, node.reshape(-1), given)
    return grid.reshape(batch, size, size, size, channels)


def interpolate(grid: Tensor, points: Tensor) -> Tensor:
    """`grid [B, R, R, R, C]` at `points [B, N, 3]`, trilinearly, `[B, N, C]`: the adjoint of `splat`."""
    batch, size, channels = len(grid), grid.shape[1], grid.shape[-1]
    node, share = _corners(points, size)
    row = node.reshape(batch, -1, 1).expand(-1, -1, channels)
    near = grid.reshape(batch, size**3, channels).gather(1, row)
    return (share[..., None] * near.reshape(*share.shape, channels)).sum(2)


def _corners(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The 8 nodes around each point and the point's share in each, both `[B, N, 8]`."""
    at = ((points / HALF + 1) * (size / 2)).clamp(_RIM, size - _RIM)
    low = at.detach().floor()
    offset = torch.cartesian_prod(*[torch.arange(2, device=points.device)] * 3)
    share = torch.where(offset == 1, (at - low)[:, :, None], 1 - (at - low)[:, :, None]).prod(-1)
    x, y, z = ((low.long()[:, :, None] + offset) % size).unbind(-1)
    return (x * size + y) * size + z, share


def _solve(field: Tensor, sigma: float) -> Tensor:
    """chi of the vector field `[B, R, R, R, 3]` on the grid."""
    size = field.shape[1]
    real = field.dtype
    spectrum = torch.fft.rfftn(field.movedim(-1, 0), dim=(-3, -2, -1))  # [3, B, R, R, R/2 + 1]
    k = torch.fft.fftfreq(size, 1 / size, dtype=real, device=field.device)
    last = k[: size // 2 + 1].abs()
    square = k[:, None, None] ** 2 + k[:, None] ** 2 + last**2
    # The frequency R/2 is its own mirror image and has no direction: a derivative there would single one out.
    odd = torch.where(k.abs() == size / 2, 0, k)
    odd_last = torch.where(last == size / 2, 0, last)
    along = odd[:, None, None] * spectrum[0] + odd[:, None] * spectrum[1] + odd_last * spectrum[2]
    damped = torch.exp(-2 * sigma**2 / size**2 * square) * HALF / (torch.pi * square.clamp(min=1))
    return torch.fft.irfftn(torch.complex(along.imag * damped, -along.real * damped), s=(size,) * 3, dim=(-3, -2, -1))
