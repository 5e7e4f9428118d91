"""Random household objects: 999 meshes of Bullet's random_urdfs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scigen.domains.shapes.corpora.arrays import read_rows
from scigen.domains.shapes.corpora.corpus import Corpus, Entry, corpus_of
from scigen.domains.shapes.identity import fingerprint
from scigen.errors import InputError
from scigen.io.shape import Mesh

__all__ = ["load_random_objects"]


def load_random_objects(source: Path) -> Corpus:
    """Meshes, most of them watertight, split by the hash of the id; units and up axis are unknown and stay.

    `source` is an NPZ of `vertices`, `faces` (numbered within each object), their `vertex_start`, `face_start [M + 1]`,
    `id` and `watertight [M]`, or a folder with `random_objects_meshes.npz`. The category says whether the source calls
    a mesh watertight. Raises `InputError`.
    """
    path = source / "random_objects_meshes.npz" if source.is_dir() else source
    names = ("vertices", "faces", "vertex_start", "face_start", "id", "watertight")
    arrays = read_rows(path, names, rows=("id", "watertight"))
    vertices, faces, corner, face = (arrays[name] for name in names[:4])
    if not (_spans(corner, len(vertices), len(arrays["id"])) and _spans(face, len(faces), len(arrays["id"]))):
        raise InputError(f"`{path}`: the starts do not fit the arrays; pack it again.")

    def shape(k: int) -> Mesh:
        mesh = Mesh(vertices[corner[k] : corner[k + 1]], faces[face[k] : face[k + 1]])
        if not len(mesh.faces) or mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices):
            raise InputError(f"`{path}`: the faces of object {k} name vertices it does not have.")
        return mesh

    kinds = np.where(arrays["watertight"], "watertight", "open").tolist()
    entries = [Entry(model, kind) for model, kind in zip(arrays["id"].tolist(), kinds)]
    corpus = corpus_of("random-objects", "zlib (bullet3)", entries, shape)
    parts = (corpus.source(k) for k in range(len(corpus)))
    return corpus.without_copies([fingerprint(m.vertices, m.faces) for m in parts if isinstance(m, Mesh)])


def _spans(start: np.ndarray, end: int, count: int) -> bool:
    return start.shape == (count + 1,) and start[0] == 0 and start[-1] == end and bool((np.diff(start) >= 0).all())
