"""Is a mesh the surface of a solid? Closedness, orientation, manifoldness, pieces, genus, self-intersections, form.

All is decided on the mesh as it is indexed, or, where that is not closed, with corners at equal places taken for one
vertex, since files that keep a normal or texture for each corner split vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scigen.metrics.self_intersection import self_intersections

__all__ = ["Anatomy", "examine"]

_DEGENERATE = 1e-6  # smallest height over longest edge: less than what float32 coordinates resolve
_SLIVER = 1e-2


@dataclass(frozen=True)
class Anatomy:
    """What `examine` found; lengths in units of the mesh.

    watertight       every edge belongs to an even number of faces: the mesh separates inside from outside
    oriented         where faces meet at an edge, as many run along it one way as the other (at most one over)
    manifold         no edge of more than two faces, the faces around each vertex are one fan
    solid            manifold3d accepts it as the boundary of a solid (NoError): closed, oriented, edges pair up
    open_edges       edges of an odd number of faces
    components       pieces connected through vertices
    genus            sum over pieces of 1 - (V - E + F) / 2, handles; None unless watertight, oriented and manifold
    volume           by the divergence theorem, positive when wound outwards; None unless watertight and oriented
    degenerate       share of faces with a corner twice or a smallest height below 1e-6 of the longest edge
    sliver           share of faces with a smallest height below 1e-2 of the longest edge, degenerate ones left out
    intersections    pairs of faces that cross or overlap, by `scigen.metrics.self_intersection`
    intersecting     share of faces in such a pair; degenerate faces are in none
    """

    faces: int
    watertight: bool
    oriented: bool
    manifold: bool
    solid: bool
    open_edges: int
    components: int
    genus: int | None
    volume: float | None
    area: float
    degenerate: float
    sliver: float
    intersections: int
    intersecting: float


@dataclass(frozen=True)
class _Edges:
    """Undirected edges `[E]`: `use` counts faces, `excess` is the difference between the two ways of running along."""

    use: np.ndarray
    excess: np.ndarray
    of: np.ndarray  # the edge of each half-edge 3 f + c, from corner c of face f to the next, [3 F]


def examine(vertices: np.ndarray, faces: np.ndarray) -> Anatomy:
    """The anatomy of a mesh of `vertices [V, 3]` and `faces [F, 3]`.

    Raises `ValueError` for no faces, faces that name missing vertices and vertices that are not finite.
    """
    x, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
    if not len(faces) or faces.min() < 0 or faces.max() >= len(x) or not np.isfinite(x).all():
        raise ValueError(f"a mesh of {len(faces)} faces over {len(x)} vertices, or NaN; give faces of finite vertices.")
    ratio, area = _form(x[faces])
    whole, edges = _closed_indexing(x, faces)
    watertight = bool((edges.use % 2 == 0).all() and len(whole))
    oriented = bool((np.abs(edges.excess) <= edges.use % 2).all())
    manifold = bool((edges.use <= 2).all()) and _one_fan(whole, edges)
    sound = watertight and oriented
    components, used = _pieces(whole)
    genus = components - (used - len(edges.use) + len(whole)) // 2 if sound and manifold else None
    flat = ratio < _DEGENERATE
    pairs = self_intersections(x[faces[~flat]])
    return Anatomy(
        faces=len(faces), watertight=watertight, oriented=oriented, manifold=manifold, solid=_solid(x, whole),
        open_edges=int((edges.use % 2).sum()), components=components, genus=genus,
        volume=_volume(x[whole]) if sound else None, area=float(area.sum()),
        degenerate=float(flat.mean()), sliver=float(((ratio < _SLIVER) & ~flat).mean()),
        intersections=len(pairs), intersecting=len(np.unique(pairs)) / len(faces),
    )  # fmt: skip


def _form(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smallest height over longest edge (0 without an edge), and area, of `[F, 3, 3]`."""
    edge = np.roll(corners, -1, 1) - corners
    longest = (edge**2).sum(-1).max(1)
    twice = np.linalg.norm(np.cross(edge[:, 0], edge[:, 1]), axis=1)
    return np.where(longest > 0, twice / np.where(longest > 0, longest, 1), 0.0), twice / 2


def _closed_indexing(x: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, _Edges]:
    """The faces with three corners, as indexed if that is closed, else by places; and their edges."""
    as_given = _proper(faces)
    edges = _edges(as_given)
    if len(as_given) and (edges.use % 2 == 0).all():
        return as_given, edges
    first, place = np.unique(x, axis=0, return_index=True, return_inverse=True)[1:]
    welded = _proper(first[place.reshape(-1)][faces])
    return welded, _edges(welded)


def _proper(faces: np.ndarray) -> np.ndarray:
    return faces[(faces != np.roll(faces, 1, 1)).all(1)]


def _edges(faces: np.ndarray) -> _Edges:
    start, end = faces.reshape(-1), np.roll(faces, -1, 1).reshape(-1)
    names = int(faces.max(initial=0)) + 1
    of = np.unique(np.minimum(start, end) * names + np.maximum(start, end), return_inverse=True)[1]
    use = np.bincount(of)
    forward = np.bincount(of, start < end, len(use)).astype(np.int64)
    return _Edges(use, 2 * forward - use, of)


def _one_fan(faces: np.ndarray, edges: _Edges) -> bool:
    """Whether the corners at each vertex hang together through the edges between their faces."""
    half = np.argsort(edges.of, kind="stable")
    both = np.flatnonzero(edges.of[half][1:] == edges.of[half][:-1])
    one, other = half[both], half[both + 1]
    following = np.arange(faces.size).reshape(-1, 3)[:, [1, 2, 0]].reshape(-1)
    vertex = faces.reshape(-1)
    same_way = vertex[one] == vertex[other]
    corner = np.concatenate([one, following[one]])
    met = np.concatenate([np.where(same_way, other, following[other]), np.where(same_way, following[other], other)])
    return _count(corner, met, faces.size)[0] == len(np.unique(vertex))


def _pieces(faces: np.ndarray) -> tuple[int, int]:
    """Components connected through vertices, and the number of vertices that have a face."""
    used, compact = np.unique(faces, return_inverse=True)
    compact = compact.reshape(-1, 3)
    return _count(compact[:, [0, 1]].reshape(-1), compact[:, [1, 2]].reshape(-1), len(used))[0], len(used)


def _count(start: np.ndarray, end: np.ndarray, nodes: int) -> tuple[int, np.ndarray]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(start), np.int8), (start, end)), shape=(nodes, nodes))
    return connected_components(graph, directed=False)


def _volume(corners: np.ndarray) -> float:
    a, b, c = np.moveaxis(corners - corners.mean((0, 1)), 1, 0)
    return float((a * np.cross(b, c)).sum()) / 6


def _solid(x: np.ndarray, faces: np.ndarray) -> bool:
    import manifold3d

    mesh = manifold3d.Mesh64(np.ascontiguousarray(x), np.ascontiguousarray(faces, np.uint64))
    solid = manifold3d.Manifold(mesh)
    return solid.status() == manifold3d.Error.NoError and not solid.is_empty()
