"""ModelNet (arXiv:1406.5670): packed points of ModelNet10 and of ModelNet40 airplanes, and folders of OFF meshes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from scigen.domains.shapes.corpora.arrays import read_rows
from scigen.domains.shapes.corpora.corpus import Corpus, Entry, corpus_of, turn_z_up
from scigen.domains.shapes.corpora.files import files_corpus
from scigen.domains.shapes.corpora.off import read_off
from scigen.domains.shapes.identity import fingerprint
from scigen.errors import InputError
from scigen.io.shape import Cloud, Mesh

__all__ = ["load_modelnet10", "load_modelnet40", "load_modelnet40_airplane", "thin_out"]

LICENCE = "ModelNet: academic use"
_SHEET = 0.01  # of the diameter; the distance under which two points are the two faces of one sheet


def load_modelnet10(source: Path) -> Corpus:
    """4,899 objects of 10 categories, official train / test, 1,024 points each with the near-coincident ones thinned.

    `source` is an NPZ of `points [M, N, 3]` in the unit sphere with z up, `label`, `split`, `id`, `center [M, 3]` and
    `radius [M]` in the units of the model, or a folder with `modelnet10_points1024.npz`.
    """
    path = source / "modelnet10_points1024.npz" if source.is_dir() else source
    arrays = read_rows(path, ("points", "label", "split", "id", "center", "radius"))
    points, center, radius = _points(arrays["points"], path), arrays["center"], arrays["radius"]

    def shape(k: int) -> Cloud | Mesh:
        thinned = thin_out(points[k].astype(np.float64), 2 * _SHEET)
        return turn_z_up(Cloud(center[k] + radius[k] * thinned))

    return _listed("modelnet10", arrays, shape)


def load_modelnet40_airplane(source: Path) -> Corpus:
    """726 airplanes of 2,048 points with normals, official train / test.

    `source` is an NPZ of `points [M, N, 3]` with y up, `normals_i8`, `label`, `split`, `id`, or a folder with
    `modelnet40_airplane_bathtub_points2048.npz`.
    """
    path = source / "modelnet40_airplane_bathtub_points2048.npz" if source.is_dir() else source
    arrays = read_rows(path, ("points", "normals_i8", "label", "split", "id"))
    rows = arrays["label"] == "airplane"
    arrays = {key: array[rows] for key, array in arrays.items()}
    points, normals = _points(arrays["points"], path), _points(arrays["normals_i8"], path)

    def shape(k: int) -> Cloud:
        direction = normals[k].astype(np.float32)
        return Cloud(points[k].astype(np.float32), direction / np.linalg.norm(direction, axis=1, keepdims=True))

    return _listed("modelnet40-airplane", arrays, shape)


def load_modelnet40(source: Path) -> Corpus:
    """The folder as published, `<category>/<train|test>/<id>.off`: meshes with z up."""
    found = [
        (Entry(path.stem, path.parent.parent.name, path.parent.name), path)
        for path in sorted(source.glob("*/*/*.off"))
        if path.parent.name in ("train", "test")
    ]
    return files_corpus("modelnet40", LICENCE, found, lambda path: turn_z_up(read_off(path)))


def thin_out(points: np.ndarray, least: float) -> np.ndarray:
    """A subset in which no two points are closer than `least`, and that none could join: Poisson disk by elimination.

    Scanned in the order given, so a farthest-point order keeps its head.
    """
    from scipy.spatial import cKDTree

    kept = np.ones(len(points), bool)
    pairs = cKDTree(points).query_pairs(least, output_type="ndarray")
    for i, j in pairs[np.lexsort(pairs.T[::-1])].tolist():  # i < j, so i is settled when its pairs come
        if kept[i]:
            kept[j] = False
    return points[kept]


def _listed(name: str, arrays: dict[str, np.ndarray], shape: Callable[[int], Cloud | Mesh]) -> Corpus:
    listed = zip(arrays["id"].tolist(), arrays["label"].tolist(), arrays["split"].tolist())
    corpus = corpus_of(name, LICENCE, [Entry(*row) for row in listed], shape)
    return corpus.without_copies([fingerprint(row) for row in arrays["points"]])


def _points(array: np.ndarray, path: Path) -> np.ndarray:
    if array.ndim != 3 or array.shape[2] != 3:
        raise InputError(f"`{path}`: points of shape {array.shape}; [M, N, 3] is needed.")
    return array
