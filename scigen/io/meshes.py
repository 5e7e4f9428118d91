"""Triangle meshes in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scigen.errors import InputError
from scigen.io.atomic import write_bytes
from scigen.io.gltf import encode_glb
from scigen.io.obj import encode_obj
from scigen.io.ply_write import write_mesh_ply
from scigen.io.recognise import read_shape
from scigen.io.shape import Mesh
from scigen.io.stl import encode_stl

__all__ = ["read_mesh", "write_mesh"]

_STL_LOSS = 1e-4  # of the size of the mesh; float32 far from the origin rounds details away


def read_mesh(path: str | Path) -> Mesh:
    """Read the triangles of a GLB, glTF, OBJ, PLY, STL or NPZ file, whatever its suffix.

    Polygons become fans, the meshes of a scene one mesh, equal corners of an STL one vertex; vertices are float64 in
    the file's own units and place. Raises InputError for a file without faces and what `read_shape` refuses,
    ResourceError.
    """
    shape = read_shape(path)
    if not isinstance(shape, Mesh):
        raise InputError(
            f"`{path}` holds {len(shape)} points and no faces; give a mesh, or make one of the points first."
        )
    return shape


def write_mesh(path: str | Path, mesh: Mesh, colour: np.ndarray | None = None) -> None:
    """Write a mesh atomically as .glb, .obj, .stl (binary) or .ply (binary); a path without suffix becomes `.glb`.

    `colour`, uint8, is one `[3]` or one of each vertex `[V, 3]`; STL has no place for it. Only .ply keeps `part`.
    Vertices keep their precision in .ply and .obj; a .glb holds float32 about the middle of the mesh and its place in
    float64; an .stl holds float32. Raises ValueError for another suffix, an empty or infinite mesh, faces that
    name missing vertices, and a place where the float32 of STL would move vertices by more than 1e-4 of the size;
    ResourceError when the file cannot be written.
    """
    path = Path(path)
    path, suffix = (path, path.suffix.lower()) if path.suffix else (path.with_suffix(".glb"), ".glb")
    _check(mesh)
    colours = None if colour is None else _colours(colour, len(mesh.vertices))
    if suffix == ".glb":
        write_bytes(path, encode_glb(mesh, colours))
    elif suffix == ".obj":
        write_bytes(path, encode_obj(mesh, colours))
    elif suffix == ".stl":
        _check_rounding(mesh.vertices)
        write_bytes(path, encode_stl(mesh))
    elif suffix == ".ply":
        write_mesh_ply(path, mesh, colours)
    else:
        raise ValueError(f"`{path}`: meshes are written as .glb, .obj, .stl or .ply, not `{suffix}`.")


def _check(mesh: Mesh) -> None:
    if not len(mesh.faces) or not np.isfinite(mesh.vertices).all():
        raise ValueError(f"a mesh of {len(mesh.faces)} triangles, or NaN or infinite vertices; write a whole mesh.")
    low, high = int(mesh.faces.min()), int(mesh.faces.max())
    if low < 0 or high >= len(mesh.vertices):
        raise ValueError(f"faces name the vertices {low} to {high}, and there are {len(mesh.vertices)}; mend the mesh.")


def _colours(colour: np.ndarray, count: int) -> np.ndarray:
    if colour.dtype != np.uint8 or colour.shape not in ((3,), (count, 3)):
        raise ValueError(f"`colour` is {colour.dtype} {colour.shape}; give uint8 [3] or [{count}, 3].")
    return np.broadcast_to(colour, (count, 3))


def _check_rounding(vertices: np.ndarray) -> None:
    moved = float(np.abs(vertices.astype(np.float32) - vertices.astype(np.float64)).max())
    size = float(np.ptp(vertices, axis=0).max())
    if moved > _STL_LOSS * size:
        raise ValueError(
            f"float32 in STL would move vertices by {moved:.3g} in a mesh of {size:.3g}; write .ply or .glb."
        )
