"""From a cloud to a few latent points: each stands on the surface and tells of the surface around it.

K points, picked by farthest-point sampling or given, gather the same share of the cloud each, whatever its density, and
read it with a small PointNet (arXiv:1612.00593) relative to themselves; then they tell each other what they found.
Latent points with features: SLIDE (arXiv:2303.07938). Only displacements are read, so latents move with the cloud.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scigen.nn.attention import full
from scigen.nn.neighbours import farthest, gather, knn
from scigen.nn.point_attention import PointAttention, RelativeBias
from scigen.state import State

__all__ = ["CodecShape", "Patches", "PointEncoder", "gather_patches"]

_REACH = 0.1  # how far a latent point may move off the point it was picked at
_RADIUS = 0.15  # of a patch, about: neighbours enter in units of this
_DENSITY = 2048  # points of the cloud that `CodecShape.neighbours` counts in


@dataclass(frozen=True)
class CodecShape:
    """Shape of encoder and decoder; the defaults are the shipped one."""

    latents: int = 32  # K
    feature: int = 32  # F, numbers per latent point beside its position
    neighbours: int = 64  # points a latent gathers from a cloud of 2,048, and in proportion from others
    width: int = 192
    heads: int = 6
    encoder_layers: int = 2
    decoder_layers: int = 4
    point_width: int = 64  # hidden width per point, on both ends


@dataclass(frozen=True)
class Patches:
    """The cloud around each latent: `center [B, K, 3]`, and its k nearest points by their offset from it and normal."""

    center: Tensor
    offset: Tensor  # [B, K, k, 3]
    normal: Tensor  # [B, K, k, 3], zero where `oriented [B]` is false
    oriented: Tensor
    mask: Tensor | None  # [B, 1, k], true on real neighbours; None where all are


@torch.no_grad()
def gather_patches(
    points: Tensor,
    normals: Tensor | None,
    shape: CodecShape,
    mask: Tensor | None = None,
    oriented: Tensor | None = None,
    center: Tensor | None = None,
) -> Patches:
    """Pick the latents' places in `points [B, P, 3]`, or take `center [B, K, 3]`, and gather their neighbourhoods.

    `mask [B, P]` is true on real points, `oriented [B]` where the normals `[B, P, 3]` may be read. A cloud of n points
    gives each latent its round(n neighbours / 2048) nearest. Raises `ValueError` for fewer points than latents.
    """
    sizes = torch.full((len(points),), points.shape[1], device=points.device) if mask is None else mask.sum(1)
    if int(sizes.min()) < shape.latents:
        raise ValueError(
            f"a cloud of {int(sizes.min())} points for {shape.latents} latent points; give at least those."
        )
    counts = (sizes * shape.neighbours / _DENSITY).round().long().clamp(min=min(8, shape.latents))
    k = int(counts.max())
    if center is None:
        center = gather(points, farthest(points, shape.latents, mask))
    if mask is not None:  # padding goes far away, so that a small cloud may stand beside a large one
        points = points.masked_fill(~mask[..., None], 10 * float(points.abs().max()) + 1)
    index = knn(center, points, k)[1]
    if oriented is None:
        oriented = torch.full((len(points),), normals is not None, device=points.device)
    offset = gather(points, index) - center[:, :, None]
    normal = torch.zeros_like(offset) if normals is None else gather(normals, index) * oriented[:, None, None, None]
    real = torch.arange(k, device=points.device) < counts[:, None]
    return Patches(center, offset, normal, oriented, None if int(counts.min()) == k else real[:, None])


class PointEncoder(nn.Module):
    """`Patches` to latent points: a `State` of `pos [B, K, 3]` and `feat [B, K, F]` of unit RMS over F."""

    def __init__(self, c: CodecShape) -> None:
        super().__init__()
        self.feature = c.feature
        self.point_in = nn.Sequential(nn.Linear(8, c.point_width), nn.SiLU(), nn.Linear(c.point_width, c.point_width))
        self.around = nn.Linear(c.point_width, c.point_width, bias=False)
        self.point_out = nn.Linear(c.point_width, c.point_width)
        self.token = nn.Linear(2 * c.point_width, c.width)
        self.bias = RelativeBias(c.encoder_layers, c.heads)
        self.layers = nn.ModuleList(PointAttention(c.width, c.heads) for _ in range(c.encoder_layers))
        self.norm = nn.LayerNorm(c.width)
        self.head = nn.Linear(c.width, c.feature + 3)

    def forward(self, x: Patches) -> State:
        h = self.token(self.pooled(x))
        for layer, bias in zip(self.layers, self.bias(x.center), strict=True):
            h = layer(h, x.center, bias)
        feat, move = full(self.head(self.norm(h))).split([self.feature, 3], -1)
        # A fixed scale instead of a KL term: nothing to tune, and a prior finds unit variance.
        feat = nn.functional.layer_norm(feat, (self.feature,))
        pos = x.center + _REACH * move.tanh()
        return State({"pos": pos, "feat": feat}, torch.ones(pos.shape[:2], dtype=torch.bool, device=pos.device))

    def pooled(self, x: Patches) -> Tensor:
        """Largest and mean feature over the neighbours, `[B, K, 2 point_width]`, in any order of them."""
        rim = x.offset.square().sum(-1, keepdim=True).sqrt()
        flag = x.oriented[:, None, None, None].expand(rim.shape)
        h = self.point_in(torch.cat([x.offset / _RADIUS, rim / _RADIUS, x.normal, flag.to(rim.dtype)], -1))
        around = self.around(_largest(h, x.mask))[:, :, None]
        h = nn.functional.silu(self.point_out(nn.functional.silu(h)) + around)
        return torch.cat([_largest(h, x.mask), _mean(h, x.mask)], -1)


def _largest(h: Tensor, mask: Tensor | None) -> Tensor:
    # `max` rather than `amax`: its gradient goes to one point, in half the time.
    return (h if mask is None else h.masked_fill(~mask[..., None], -1e4)).max(2).values


def _mean(h: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return h.mean(2)
    return (h * mask[..., None]).sum(2) / mask.sum(2)[..., None]
