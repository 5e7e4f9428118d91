"""Clouds and meshes in NPY and NPZ files.

A cloud is an array `points [N, 3]`, with `normals [N, 3]` beside it or as columns 3 to 5 of an `[N, 6]`; a mesh is
`vertices [V, 3]` and `faces [F, 3]`, with `part [F]` where it is known.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np

from scigen.io.lines import input_size
from scigen.io.npz import read_npz, write_npz
from scigen.io.shape import Cloud, Mesh
from scigen.io.sound import sound_cloud, sound_mesh

__all__ = ["decode_npy", "decode_npz", "write_cloud_npz"]

_BROKEN = (
    OSError,
    OverflowError,
    EOFError,
    SyntaxError,
    LookupError,
    TypeError,
    MemoryError,
    RecursionError,
    TokenError,
)


def decode_npy(path: Path) -> Cloud:
    """The cloud in an NPY file: one array `[N, 3]`, or `[N, 6]` with normals.

    Raises ValueError for any other shape or type, and for a file whose size is not what its header declares.
    """
    try:
        # A map is checked against the size of the file before anything is read.
        array = np.load(path, mmap_mode="r", allow_pickle=False, max_header_size=10_000)
        held, declared = input_size(path) - array.offset, array.nbytes
    except (*_BROKEN, AttributeError) as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    if held != declared:
        raise ValueError(f"{array.dtype} {array.shape} is declared, {declared} bytes, and {held} are there")
    return _cloud(array, None)


def decode_npz(path: Path) -> Cloud | Mesh:
    """The mesh or the cloud in an NPZ archive; an archive of a single array needs no name.

    Raises ValueError when it holds neither, InputError when it is no archive.
    """
    arrays = read_npz(path, allow_nan=True)
    if {"vertices", "faces"} <= set(arrays):
        return _mesh(arrays["vertices"], arrays["faces"], arrays.get("part"))
    if "points" in arrays:
        return _cloud(arrays["points"], arrays.get("normals"))
    if len(arrays) == 1:
        return _cloud(next(iter(arrays.values())), None)
    raise ValueError(f"its arrays are {', '.join(arrays)[:80]}; `points`, or `vertices` and `faces`, are needed")


def write_cloud_npz(path: str | Path, cloud: Cloud) -> None:
    """Write `points` and, where they are known, `normals`, uncompressed and atomically. Raises ResourceError."""
    arrays = {"points": cloud.points} | ({} if cloud.normals is None else {"normals": cloud.normals})
    write_npz(path, arrays, compress=False)


def _cloud(points: np.ndarray, normals: np.ndarray | None) -> Cloud:
    _check(points, "points", (3, 6))
    if points.shape[1] == 6 and normals is None:
        points, normals = points[:, :3], points[:, 3:]
    if normals is not None:
        _check(normals, "normals", (3,))
        if len(normals) != len(points):
            raise ValueError(f"{len(points)} points and {len(normals)} normals")
    return sound_cloud(points[:, :3], normals)


def _mesh(vertices: np.ndarray, faces: np.ndarray, part: np.ndarray | None) -> Mesh:
    _check(vertices, "vertices", (3,))
    _check(faces, "faces", (3,))
    if part is not None and (part.shape != (len(faces),) or part.dtype.kind not in "iu"):
        raise ValueError(
            f"`part` is {part.dtype} {part.shape}, and one whole number for each of {len(faces)} faces is needed"
        )
    return sound_mesh(vertices, faces, part)


def _check(array: np.ndarray, name: str, widths: tuple[int, ...]) -> None:
    if array.dtype.kind not in "iuf" or array.ndim != 2 or array.shape[1] not in widths:
        wanted = " or ".join(f"[N, {width}]" for width in widths)
        raise ValueError(f"`{name}` is {array.dtype} {array.shape}, and numbers of the shape {wanted} are needed")
