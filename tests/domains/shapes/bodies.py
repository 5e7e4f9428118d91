"""Small shapes with known answers, for the tests of this folder."""

from __future__ import annotations

import numpy as np

from scigen.domains.shapes.corpora.corpus import Corpus
from scigen.domains.shapes.sets import SPLITS
from scigen.io.shape import Mesh


def box(half=(0.5, 0.5, 0.5), center=(0.0, 0.0, 0.0)) -> Mesh:
    """A box of 12 triangles, wound outwards."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))]
    vertices = (corners * half + center).astype(np.float32)
    return Mesh(vertices, np.array(faces, dtype=np.int32))


def ball(radius=0.5, center=(0.0, 0.0, 0.0), rings=24) -> Mesh:
    """A sphere of latitude and longitude, wound outwards; its vertices lie on the sphere."""
    theta = np.linspace(0, np.pi, rings + 1)[1:-1]
    phi = np.arange(2 * rings) * np.pi / rings
    t, p = np.meshgrid(theta, phi, indexing="ij")
    middle = np.stack([np.sin(t) * np.sin(p), np.cos(t), np.sin(t) * np.cos(p)], -1).reshape(-1, 3)
    vertices = np.concatenate([[[0, 1, 0]], middle, [[0, -1, 0]]]) * radius + center
    n, rows, faces = 2 * rings, rings - 1, []
    for j in range(n):
        k = (j + 1) % n
        faces.append((0, 1 + j, 1 + k))
        faces.append((len(vertices) - 1, 1 + (rows - 1) * n + k, 1 + (rows - 1) * n + j))
        for i in range(rows - 1):
            a, b, c, d = (1 + (i + di) * n + m for di, m in ((0, j), (1, j), (1, k), (0, k)))
            faces += [(a, b, c), (a, c, d)]
    return Mesh(vertices.astype(np.float32), np.array(faces, dtype=np.int32))


def joined(*meshes: Mesh) -> Mesh:
    """Several meshes as one."""
    offsets = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.faces + offset for m, offset in zip(meshes, offsets)]).astype(np.int32),
    )


def volume(mesh: Mesh) -> float:
    """Signed volume by the divergence theorem: positive when the faces are wound outwards."""
    a, b, c = np.moveaxis(mesh.vertices.astype(float)[mesh.faces], 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def is_closed(mesh: Mesh) -> bool:
    """Every edge is walked as often one way as the other."""
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    there, n = edges[:, 0].astype(np.int64), len(mesh.vertices)
    return np.array_equal(np.sort(there * n + edges[:, 1]), np.sort(edges[:, 1] * np.int64(n) + there))


def splits(corpus: Corpus) -> dict[str, str]:
    """Split of each id."""
    return {i: SPLITS[s] for i, s in zip(corpus.ids.tolist(), corpus.split.tolist())}


def categories(corpus: Corpus) -> dict[str, str]:
    """Category of each id."""
    return {i: corpus.categories[c] for i, c in zip(corpus.ids.tolist(), corpus.category.tolist())}


def tall(size: int, height: int) -> np.ndarray:
    """A post: narrow in x and z, `height` voxels in y."""
    voxels = np.zeros((size, size, size), bool)
    voxels[4:7, 1 : 1 + height, 9:12] = True
    return voxels
