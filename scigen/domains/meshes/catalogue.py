"""The names of the scores of meshes and what each is (no heavy import: the CLI reads it)."""

from __future__ import annotations

from scigen.domains.points.catalogue import Entry
from scigen.domains.points.catalogue import set_catalogue as cloud_sets

__all__ = ["FORM", "LOOKS", "VALIDITY", "pair_catalogue", "set_catalogue"]

READABLE = Entry("readable", "share", "files given as generated that could be used as a mesh")

# Shares of meshes.
VALIDITY = (
    Entry("valid", "share", "watertight, oriented, manifold, solid and without self-intersections"),
    Entry("watertight", "share", "every edge belongs to an even number of faces: nothing is open"),
    Entry("oriented", "share", "faces that meet at an edge run along it in opposite ways"),
    Entry("manifold", "share", "no edge of more than two faces, one fan of faces around each vertex"),
    Entry("solid", "share", "manifold3d takes it for the boundary of a solid (NoError)"),
    Entry("outward", "share", "of the watertight and oriented ones: wound outwards, the volume is positive"),
    Entry("not_self_intersecting", "share", "no two faces cross or overlap; touching is allowed"),
    Entry("one_piece", "share", "a single component"),
)
# Means over meshes.
FORM = (
    Entry("intersecting_faces", "share", "faces that cross or overlap another, mean over meshes"),
    Entry(
        "degenerate_faces", "share", "faces with a smallest height below 1e-6 of their longest edge, mean over meshes"
    ),
    Entry("sliver_faces", "share", "faces with a smallest height below 1e-2 of their longest edge, the rest of them"),
    Entry("components", "", "pieces connected through vertices"),
    Entry("genus", "", "handles, of the meshes that are watertight, oriented and manifold"),
    Entry("volume", "", "of watertight and oriented meshes, the bounding sphere having diameter 1 (its volume: 0.524)"),
    Entry("area", "", "the bounding sphere having diameter 1 (its area: 3.14)"),
    Entry("faces", "", "triangles of a mesh"),
)

# Of pictures, from six sides, of each mesh in its own unit frame.
LOOKS = (
    Entry("shading_distance", "", "Fréchet distance of shaded pictures, mean over six sides; grey values from 0 to 1"),
    Entry("1nna_shading", "share", "1-NNA by the distance of all six shaded pictures; one half for one law"),
)

_SAMPLING = ("readable", "spacing_spread", "stray_share")  # of clouds; a sampled surface has none of its own


def set_catalogue(emd_points: int) -> tuple[Entry, ...]:
    """Scores of a set of meshes against a reference set; those of EMD are left out for `emd_points` 0."""
    law = tuple(entry for entry in cloud_sets(emd_points) if entry.name not in _SAMPLING)
    return (READABLE, *VALIDITY, *FORM, *law, *LOOKS)


def pair_catalogue(tau: float) -> tuple[Entry, ...]:
    """Scores of meshes against the reference of their name: means over references."""
    return (
        READABLE,
        *VALIDITY,
        *FORM,
        Entry("iou", "share", "volume of the intersection over that of the union, of pairs of closed meshes"),
        Entry("chamfer_l1", "", "(mean a + mean b) / 2 between points of both surfaces; PoinTr's CD-L1 / 1000"),
        Entry("chamfer_l2", "", "mean a² + mean b²; PoinTr's CD-L2 / 1000"),
        Entry("chamfer_l1_over_floor", "", "chamfer_l1 over what two samplings of the reference score; 1 is perfect"),
        Entry(f"f_score@{tau:g}", "share", f"harmonic mean of the shares of a and of b below {tau:g}"),
        Entry("normal_consistency", "share", "mean |n . n'| at nearest points, both ways averaged"),
    )
