"""The names of the scores of reconstructions and what each is (no heavy import: the CLI reads it)."""

from __future__ import annotations

from scigen.domains.points.catalogue import Entry

__all__ = ["mesh_catalogue", "views_catalogue"]


def mesh_catalogue(tau: float) -> tuple[Entry, ...]:
    """Scores of meshes against the true one: means over references."""
    first, best = (
        "of the first of a reference's meshes: `reconstruct` ranks them",
        "of the best of a reference's meshes",
    )
    return (
        Entry("readable", "share", "files given as generated that could be used as a mesh"),
        Entry("closed", "share", "watertight and oriented, so that there is an inside"),
        Entry("iou", "share", "volume of the intersection over that of the union; 0 where the generated mesh is open"),
        Entry("iou_first", "share", f"iou {first}"),
        Entry("iou_best", "share", f"iou {best}"),
        Entry("chamfer_l1", "", "(mean a + mean b) / 2 between points of both surfaces, in diameters"),
        Entry("chamfer_l1_first", "", f"chamfer_l1 {first}"),
        Entry("chamfer_l1_best", "", f"chamfer_l1 {best}"),
        Entry(f"f_score@{tau:g}", "share", f"harmonic mean of the shares of a and of b below {tau:g}"),
        Entry("normal_consistency", "share", "mean |n . n'| at nearest points, both ways averaged"),
    )


def views_catalogue() -> tuple[Entry, ...]:
    """Scores of imagined views against renders of the true mesh: means over references."""
    return (
        Entry("mask_iou", "share", "of the outlines, mean over views"),
        Entry("normal_angle", "", "degrees between normals where both show the object, mean over views"),
        Entry("depth_mae", "", "mean error of depth in the true outline, in diameters, mean over views"),
    )
