"""Imagined views against true ones, and meshes made of them against the true mesh."""

from __future__ import annotations

import numpy as np

from scigen.domains.image3d.views import Views
from scigen.domains.shapes.surface import sample_surface, surface_area
from scigen.io.shape import Mesh
from scigen.metrics.chamfer import Indexed, chamfer_l1, f_score, match
from scigen.metrics.floor import chamfer_l1_floor
from scigen.metrics.mesh_pairs import indexed_surface, normal_consistency, volume_overlap
from scigen.metrics.views import depth_error, mask_iou, normal_angle

__all__ = ["score_mesh", "score_views"]


def score_views(found: Views, true: Views) -> dict[str, float]:
    """Means over the views of one object; what a prior does not provide is left out.

    mask_iou       of the outlines
    normal_angle   degrees, where both show the object
    depth_mae      in diameters, where the true view shows it; a view that shows nothing there counts with the depth of
                   the object's middle

    Raises ValueError for views of other rigs or sizes.
    """
    if found.rig != true.rig or found.mask.shape != true.mask.shape:
        raise ValueError(f"views of {found.mask.shape} against {true.mask.shape}; score those of one rig and size.")
    row = {"mask_iou": float(np.mean([mask_iou(a, b) for a, b in zip(found.solid, true.solid)]))}
    if found.normal is not None and true.normal is not None:
        angles = [normal_angle(*one) for one in zip(found.normal, true.normal, found.solid & true.solid)]
        row["normal_angle"] = _mean(angles)
    if found.depth is not None and true.depth is not None:
        depth = np.where(found.solid, found.depth, found.rig.radius)
        row["depth_mae"] = _mean([depth_error(*one) for one in zip(depth, true.depth, true.solid)])
    return row


def score_mesh(
    found: Mesh, true: Mesh, rng: np.random.Generator, points: int = 10_000, tau: float = 0.02
) -> dict[str, float]:
    """One mesh against the true one, both in the true one's unit frame and not aligned: lengths in diameters.

    iou                 volumes on 128^2 columns (`metrics.mesh_pairs.volume_overlap`); both must be closed
    chamfer_l1          (mean a + mean b) / 2 between `points` of either surface; `chamfer_l1_floor` is what two
                        samplings of the true one score
    f_score@tau, normal_consistency   as for meshes elsewhere
    """
    (a, n_a), (b, n_b) = (_indexed(mesh, points, rng) for mesh in (found, true))
    m = match(a, b)
    return {
        "iou": volume_overlap((found.vertices, found.faces), (true.vertices, true.faces)).iou,
        "chamfer_l1": chamfer_l1(m),
        "chamfer_l1_floor": chamfer_l1_floor(surface_area(true), points),
        f"f_score@{tau:g}": f_score(m, tau),
        "normal_consistency": normal_consistency(m, n_a, n_b),
    }


def _indexed(mesh: Mesh, points: int, rng: np.random.Generator) -> tuple[Indexed, np.ndarray]:
    cloud, _ = sample_surface(mesh, points, rng)
    assert cloud.normals is not None
    return indexed_surface(cloud.points, cloud.normals)


def _mean(values: list[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")
