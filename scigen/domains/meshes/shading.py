"""How meshes look: small shaded pictures from fixed sides, and how far two sets of them are apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scigen.domains.meshes.catalogue import LOOKS
from scigen.domains.shapes.picture import view_rotation
from scigen.domains.shapes.rays import Pose, trace_all
from scigen.domains.shapes.unit import unit_shape
from scigen.io.shape import Mesh
from scigen.metrics.cloud_sets import Estimate, halves, neighbour_accuracy
from scigen.metrics.score import Score
from scigen.metrics.views import frechet_distance

__all__ = ["SIDES", "shaded", "shading_scores"]

SIDES = tuple((60.0 * k, 25.0 if k % 2 else -25.0) for k in range(6))  # azimuth and elevation in degrees
_PIXELS, _TRIED = 24, 3  # of a picture's side, and rays along the side of a pixel
_DARK = 0.25  # a surface seen from its edge, so that outlines count
_SPLITS = 20  # random halvings of the reference


def shaded(mesh: Mesh) -> np.ndarray:
    """Grey pictures `[6, 576]` of a mesh in its unit frame, from `SIDES`, by parallel rays and a light at the eye.

    A ray that meets the surface at an angle theta to its normal sees 1/4 + 3/4 cos theta, whichever way that is wound,
    and nothing is 0; a pixel is the mean of nine rays.
    """
    unit = unit_shape(mesh)[0]
    assert isinstance(unit, Mesh)
    poses = []
    for side in SIDES:
        right, up, towards = view_rotation(*side)
        poses.append(Pose(towards, np.stack([right, up, -towards]), _PIXELS * _TRIED, 0.52, parallel=True))
    pictures = np.zeros((len(SIDES), (_PIXELS * _TRIED) ** 2))
    for picture, pose, hits in zip(pictures, poses, trace_all(unit, poses)):
        assert hits.normals is not None
        picture[hits.pixel] = _DARK + (1 - _DARK) * np.abs(hits.normals @ pose.axes[2])
    fine = pictures.reshape(len(SIDES), _PIXELS, _TRIED, _PIXELS, _TRIED)
    return fine.mean((2, 4)).reshape(len(SIDES), -1).astype(np.float32)


def shading_scores(gen: Sequence[np.ndarray], ref: Sequence[np.ndarray], seed: int) -> list[Score]:
    """The scores of `LOOKS` from pictures as `shaded` makes them, of a generated and of a reference set.

    `data` is the mean over random halvings of the reference, one half scored against the other: as the distance falls
    with the size of a set, it is that of sets half as large.
    """
    few = min(len(gen), len(ref)) < 2
    found = {} if few else _measured(np.stack(gen), np.stack(ref))
    rng, runs = np.random.default_rng([seed, 11]), []
    for _ in range(_SPLITS if len(ref) >= 4 else 0):
        first, second = halves(len(ref), rng)
        runs.append(_measured(np.stack(ref)[first], np.stack(ref)[second]))
    scores = []
    for entry in LOOKS:
        one = found.get(entry.name)
        value, interval, n = (one.value, one.interval, one.n) if one else (None, None, 0)
        data = float(np.mean([run[entry.name].value for run in runs])) if runs else None
        note = "" if one else "not applicable: needs two meshes or more in each set"
        scores.append(Score(entry.name, value, interval, n, entry.definition, data, unit=entry.unit, note=note))
    return scores


def _measured(gen: np.ndarray, ref: np.ndarray) -> dict[str, Estimate]:
    """Both scores of pictures `[N, 6, P]` and `[M, 6, P]`; distances per pixel, so that 1 is white against black."""
    from scipy.spatial.distance import cdist

    size = gen.shape[-1] ** 0.5
    apart = float(np.mean([frechet_distance(gen[:, k], ref[:, k]) for k in range(gen.shape[1])])) / size
    every = np.concatenate([gen, ref]).reshape(len(gen) + len(ref), -1)
    near = neighbour_accuracy(cdist(every, every), len(gen))["acc"]
    return {"shading_distance": Estimate(apart, None, len(gen)), "1nna_shading": near}
