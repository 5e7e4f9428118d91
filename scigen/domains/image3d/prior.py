"""Priors over views: what the other sides of an object in a picture may look like. The true ones, and two baselines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from scigen.domains.image3d.render import render
from scigen.domains.image3d.rig import AHEAD, CUBE, CameraRig, Viewpoint
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.views import Views
from scigen.domains.image3d.viewset import ViewSet
from scigen.errors import InputError
from scigen.io.shape import Mesh

__all__ = ["MeanPrior", "MultiViewPrior", "OraclePrior", "RetrievalPrior"]

_SHADE = 0.1  # weight of shading beside the outline
_LESS = 2  # pixels a side averaged for comparing


class MultiViewPrior(Protocol):
    """`k` samples of the views of an object by the cameras of `rig`; sample i of a seed does not depend on k.

    `pixels` is a side of the picture it takes. A prior that knows but one answer gives it once, whatever k.
    """

    @property
    def rig(self) -> CameraRig: ...
    @property
    def pixels(self) -> int: ...
    def sample(self, subject: Subject, k: int = 1, seed: int = 0) -> list[Views]: ...


@dataclass(frozen=True)
class OraclePrior:
    """The true views of a mesh in the unit frame, whatever the picture: the ceiling of a rig and a reconstructor."""

    mesh: Mesh
    rig: CameraRig = CUBE
    pixels: int = 48
    seen: Viewpoint = AHEAD

    def sample(self, subject: Subject, k: int = 1, seed: int = 0) -> list[Views]:
        """The one set of true views."""
        return [render(self.mesh, self.rig, self.pixels, self.seen)]


@dataclass(frozen=True)
class RetrievalPrior:
    """The true views of the training shapes whose pictures come closest to the one given; the baseline to beat.

    The distance is the squared difference of outlines, and a hundredth of that of shading: grey values with mean 0 and
    variance 1 over the object, so that neither paint nor exposure decides. A shape counts by the best of its pictures.
    """

    views: ViewSet
    rows: np.ndarray  # shapes to choose from
    _pictures: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not len(self.rows):
            raise InputError(f"'{self.views.name}' has no training shapes to retrieve from.")
        of = [[_signature(self.views.subject(k, i)) for i in range(self.views.azimuth.shape[1])] for k in self.rows]
        object.__setattr__(self, "_pictures", np.array(of, np.float32))  # [R, I, D]

    @property
    def rig(self) -> CameraRig:
        """That of the training views."""
        return self.views.rig

    @property
    def pixels(self) -> int:
        """That of the training pictures."""
        return self.views.picture.shape[2]

    def nearest(self, subject: Subject, k: int = 1) -> list[int]:
        """The `k` nearest shapes, nearest first. Raises InputError for a picture of another size."""
        mark = _signature(subject)
        if len(mark) != self._pictures.shape[-1]:
            raise InputError(
                f"a picture of {subject.mask.shape[0]} pixels a side cannot be compared with the"
                f" {self.views.picture.shape[2]} of '{self.views.name}'; frame it at that size."
            )
        distance = ((self._pictures - mark) ** 2).sum(-1).min(1)
        return [int(self.rows[i]) for i in np.argsort(distance, kind="stable")[:k]]

    def others(self, k: int) -> np.ndarray:
        """For each picture of each shape the `k` nearest of the other shapes, `[R, I, k]`, nearest first.

        Raises InputError where there are fewer.
        """
        count, pictures, size = self._pictures.shape
        if count <= k:
            raise InputError(f"'{self.views.name}' has {count} training shapes; {k} neighbours of each need more.")
        flat = self._pictures.reshape(-1, size)
        square, found = (flat**2).sum(1), []
        for shape in range(count):
            # |a - b|^2 without |a|^2, which orders nothing.
            apart = (square - 2 * self._pictures[shape] @ flat.T).reshape(pictures, count, pictures).min(-1)
            apart[:, shape] = np.inf
            first = np.argpartition(apart, k - 1, axis=1)[:, :k]
            order = np.take_along_axis(apart, first, 1).argsort(1, kind="stable")
            found.append(self.rows[np.take_along_axis(first, order, 1)])
        return np.stack(found)

    def sample(self, subject: Subject, k: int = 1, seed: int = 0) -> list[Views]:
        """The views of the `k` nearest shapes, nearest first."""
        return [self.views.views(row) for row in self.nearest(subject, k)]


@dataclass(frozen=True)
class MeanPrior:
    """The mean of all training views, whatever the picture: outlines cut so that they cover the mean area."""

    views: ViewSet
    rows: np.ndarray

    @property
    def rig(self) -> CameraRig:
        """That of the training views."""
        return self.views.rig

    @property
    def pixels(self) -> int:
        """That of the training pictures."""
        return self.views.picture.shape[2]

    def sample(self, subject: Subject, k: int = 1, seed: int = 0) -> list[Views]:
        """The one mean. Raises InputError without training shapes."""
        if not len(self.rows):
            raise InputError(f"'{self.views.name}' has no training shapes to take the mean of.")
        square = self.views.depth.shape[1:]
        mask, normal, depth = np.zeros(square), np.zeros((*square, 3)), np.zeros(square)
        for row in self.rows:
            one = self.views.views(int(row))
            assert one.normal is not None and one.depth is not None
            mask += one.mask
            normal += one.mask[..., None] * one.normal
            depth += one.mask * one.depth
        depth = np.where(mask > 0, depth / np.maximum(mask, 1e-9), self.rig.radius)
        normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
        mask /= len(self.rows)
        solid = np.stack([one >= np.quantile(one, 1 - min(one.mean(), 1.0)) for one in mask]) & (mask > 0)
        off = ~solid
        normal[off], depth[off] = 0, self.rig.radius
        outline, facing, forward = (x.astype(np.float32) for x in (solid, normal, depth))
        return [Views(self.rig, outline, facing, forward)]


def _signature(subject: Subject) -> np.ndarray:
    """Outline and shading at half the size, `[2 (N / 2)^2]`."""
    inside = subject.mask > 0.5
    grey = subject.rgb.mean(-1)
    grey = (grey - grey[inside].mean()) / (grey[inside].std() + 0.05) if inside.any() else grey
    n = len(grey) // _LESS * _LESS
    planes = np.stack([subject.mask, _SHADE * grey * inside])[:, :n, :n]
    return planes.reshape(2, n // _LESS, _LESS, n // _LESS, _LESS).mean((2, 4)).reshape(-1)
