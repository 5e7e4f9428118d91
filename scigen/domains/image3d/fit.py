"""Views without depth to a closed mesh: a grid of signed distances, begun as the visual hull and fitted to the views.

Along the ray of a pixel, samples phi_i of the grid have the opacity

    a_i = max(S(k phi_i) - S(k phi_{i+1}), 0) / S(k phi_i),    w_i = a_i prod_{j<i} (1 - a_j)

with S the logistic function (NeuS, arXiv:2106.10689), so sum w_i is what the pixel shows of the object and
sum w_i grad phi_i the normal it shows.
The loss is cross-entropy of the first with the mask, 1 - cos of the second with the normal of which the worst pixels
are dropped (imagined views contradict each other), (|grad phi| - 1)^2 and |laplace phi| near the surface, weighted as
in Wonder3D (arXiv:2310.15008).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, cosine_similarity, grid_sample

from scigen.domains.image3d.carve import hull_field, zero_level
from scigen.domains.image3d.views import Views
from scigen.io.shape import Mesh
from scigen.nn.poisson import HALF

__all__ = ["Fitting", "fit", "fitted_field"]

_CLOSE = 1e-4


@dataclass(frozen=True)
class Fitting:
    """Nodes along a side of the grid, steps of Adam, rays a step, samples a ray, and the weights of the loss.

    `outliers` is the share of normals that is dropped; `sharp` is k at the end, in nodes, begun at a quarter of it.
    """

    size: int = 64
    steps: int = 150
    rays: int = 1536
    samples: int = 72
    lr: float = 2e-3
    mask: float = 1.0
    normal: float = 1.0
    eikonal: float = 0.2
    smooth: float = 0.1
    outliers: float = 0.1
    sharp: float = 3.0


def fit(views: Views, how: Fitting = Fitting(), seed: int = 0) -> Mesh:
    """The closed mesh in the unit frame that shows these masks and, where there are any, these normals.

    Raises NumericError when nothing is left.
    """
    return zero_level(fitted_field(views, how, seed))


def fitted_field(views: Views, how: Fitting = Fitting(), seed: int = 0) -> np.ndarray:
    """The field of `fit`, `[size, size, size]` float32, negative inside; nodes as of `carve.grid_nodes`."""
    rng = torch.Generator().manual_seed(seed)
    phi = torch.from_numpy(hull_field(views, how.size)).clamp(-0.2, 0.2).requires_grad_()
    rays = _Rays.of(views)
    adam, spacing = torch.optim.Adam([phi], lr=how.lr, betas=(0.9, 0.99)), 2 * HALF / how.size
    for step in range(how.steps):
        done = step / how.steps
        rows = torch.randint(len(rays.mask), (how.rays,), generator=rng)
        jitter = torch.rand(how.rays, 1, generator=rng)
        loss = _loss(phi, rays, rows, jitter, how, how.sharp * (0.25 + 0.75 * done) / spacing)
        adam.zero_grad()
        loss.backward()
        adam.step()
        for group in adam.param_groups:
            group["lr"] = how.lr * (1 - 0.9 * done)
    return phi.detach().numpy()


@dataclass(frozen=True)
class _Rays:
    """Rays through every pixel: where they begin, their directions, and what the pixel shows; all `[P, ...]`."""

    start: Tensor
    along: Tensor
    mask: Tensor
    normal: Tensor | None  # in the object's axes, zero where the pixel shows none

    @classmethod
    def of(cls, views: Views) -> _Rays:
        """Rays begin where the sphere of the grid's half width does."""
        poses = views.rig.poses(views.pixels, views.seen)
        along = np.concatenate([pose.rays() for pose in poses])
        start = np.concatenate([pose.starts() for pose in poses])
        start = start - ((start * along).sum(1, keepdims=True) + HALF) * along
        normal = None
        if views.normal is not None:
            normal = (views.world_normals() * views.solid[..., None]).reshape(-1, 3)
        tensors = (None if x is None else torch.from_numpy(x).float() for x in (start, along, views.mask.reshape(-1)))
        first, second, third = tensors
        assert first is not None and second is not None and third is not None
        return cls(first, second, third, None if normal is None else torch.from_numpy(normal).float())


def _loss(phi: Tensor, rays: _Rays, rows: Tensor, jitter: Tensor, how: Fitting, sharp: float) -> Tensor:
    spacing = 2 * HALF / how.size
    gradient = _gradient(phi, spacing)
    t = 2 * HALF * (torch.arange(how.samples) + jitter) / how.samples
    x = rays.start[rows, None] + t[..., None] * rays.along[rows, None]  # [R, S, 3]
    seen = _sampled(torch.cat([phi[None], gradient]), x)
    weight = _weights(seen[0], sharp)
    shown = weight.sum(-1).clamp(_CLOSE, 1 - _CLOSE)
    loss = how.mask * binary_cross_entropy(shown, rays.mask[rows].clamp(0, 1))
    if rays.normal is not None:
        wanted = rays.normal[rows]
        off = 1 - cosine_similarity((weight * seen[1:]).sum(-1).T, wanted, dim=-1, eps=1e-4)
        off = off[wanted.any(-1)].sort().values
        loss = loss + how.normal * off[: max(1, int(len(off) * (1 - how.outliers)))].mean()
    near = phi.detach().abs() < 3 * spacing
    length = (gradient.square().sum(0) + 1e-8).sqrt()
    bend = sum(phi.roll(s, d) for d in range(3) for s in (1, -1)) - 6 * phi
    return loss + how.eikonal * (length[near] - 1).square().mean() + how.smooth * (bend[near] / spacing).abs().mean()


def _weights(phi: Tensor, sharp: float) -> Tensor:
    """w_i of samples `[R, S]` along rays; the last sees nothing behind it."""
    s = torch.sigmoid(sharp * phi)
    opacity = ((s[:, :-1] - s[:, 1:]) / s[:, :-1].clamp(min=1e-6)).clamp(0, 1)
    through = torch.cumprod(torch.cat([torch.ones_like(s[:, :1]), 1 - opacity[:, :-1]], 1), 1)
    return torch.nn.functional.pad(opacity * through, (0, 1))


def _gradient(phi: Tensor, spacing: float) -> Tensor:
    """Central differences, `[3, R, R, R]`."""
    return torch.stack(torch.gradient(phi, spacing=spacing))


def _sampled(grid: Tensor, x: Tensor) -> Tensor:
    """Trilinear values `[C, R, S]` of a grid `[C, X, Y, Z]` at points `[R, S, 3]`; the border's outside."""
    size = grid.shape[-1]
    at = (x / HALF + 1) * size / (size - 1) - 1  # node size - 1 is at 1
    return grid_sample(grid[None], at.flip(-1)[None, None], align_corners=True, padding_mode="border")[0, :, 0]
