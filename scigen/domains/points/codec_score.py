"""What a codec loses: shapes through their latent points and back, beside what a second sample of them would score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scigen.domains.points.codec import CloudCodec
from scigen.domains.shapes.pack import PackedShapes
from scigen.io.shape import Cloud
from scigen.nn.chamfer import chamfer_loss, nearest
from scigen.nn.neighbours import gather, knn

__all__ = ["Reconstruction", "reconstruct"]


@dataclass(frozen=True)
class Reconstruction:
    """One value per shape, `[M]`; distances in units of the bounding sphere's diameter.

    `cd` is CD-L1 from the decoded cloud to a sample of the shape that the encoder did not see, `floor` from the
    encoder's input, as large a sample, to the same: what two samples of one surface are apart, 0.5 sqrt(area / n) on
    average. `normal` is the mean of n . n' at the nearest points, `spread` the mean distance between decoded points and
    their nearest fellows as a multiple of the input's: above 1 they are spread more evenly than a random sample.
    """

    cd: np.ndarray
    floor: np.ndarray
    normal: np.ndarray
    spread: np.ndarray

    @property
    def ratio(self) -> np.ndarray:
        """cd / floor: 1 is as good as another sample; an exact and perfectly even cloud gets 0.88."""
        return self.cd / self.floor


def reconstruct(codec: CloudCodec, shapes: PackedShapes, rng: np.random.Generator) -> Reconstruction:
    """Encode and decode one sample of `codec.points` points of every shape, and compare it with another.

    Raises `ValueError` for shapes that do not hold two samples or have no normals.
    """
    n = codec.points
    clouds = [shapes.cloud(k, 2 * n, rng) for k in range(len(shapes))]
    if shapes.size.min(initial=2 * n) < 2 * n or any(cloud.normals is None for cloud in clouds):
        raise ValueError(f"two samples of {n} points with normals are compared; '{shapes.name}' has shapes without.")
    decoded = codec.decode(codec.encode_all([Cloud(c.points[:n], _normals(c)[:n]) for c in clouds]))
    made, normals = _tensor([c.points for c in decoded]), _tensor([_normals(c) for c in decoded])
    seen, target = _tensor([c.points[:n] for c in clouds]), _tensor([c.points[n:] for c in clouds])
    met = nearest(made, target)[1]
    agreement = (normals * gather(_tensor([_normals(c)[n:] for c in clouds]), met)).sum(-1).mean(1)
    values = _chamfer_l1(made, target), _chamfer_l1(seen, target), agreement, _apart(made) / _apart(seen)
    return Reconstruction(*(x.numpy() for x in values))


def _chamfer_l1(a: Tensor, b: Tensor) -> Tensor:
    return chamfer_loss(a, b, power=1) / 2


def _apart(x: Tensor) -> Tensor:
    return knn(x, x, 2)[0][..., 1].mean(1)


def _normals(cloud: Cloud) -> np.ndarray:
    return np.zeros_like(cloud.points) if cloud.normals is None else cloud.normals


def _tensor(rows: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.float32))
