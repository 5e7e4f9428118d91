"""A file of points or triangles, whatever its name says: the content decides how it is read."""

from __future__ import annotations

from pathlib import Path

from scigen.errors import InputError, ResourceError
from scigen.io.arrays import decode_npy, decode_npz
from scigen.io.gltf import decode_gltf
from scigen.io.obj import decode_obj, looks_like_obj
from scigen.io.pcd import decode_pcd
from scigen.io.ply import decode_ply
from scigen.io.points_text import decode_points, looks_like_points
from scigen.io.raw import read_raw
from scigen.io.shape import Cloud, Mesh
from scigen.io.stl import decode_stl, is_binary_stl

__all__ = ["read_shape"]

_KNOWN = "PLY, PCD, STL, OBJ, GLB, glTF, NPY, NPZ or a text table of points"


def read_shape(path: str | Path) -> Cloud | Mesh:
    """Read the mesh in `path` where it has faces, else the cloud: PLY, PCD, STL, OBJ, GLB, glTF, NPY, NPZ, text tables.

    The content decides, not the suffix. Coordinates are float64 in the file's own units and place; nothing is
    centred, scaled, dropped or repaired. Files of more than 2 GB are refused before they are read, and declared counts
    before they are believed. Raises InputError with what is wrong and what was expected, ResourceError when the
    memory is not enough.
    """
    path = Path(path)
    data = read_raw(path)
    name = _name(data, path.suffix.lower())
    try:
        return _decode(name, data, path)
    except ValueError as error:
        raise InputError(f"`{path}` is not a readable {name} file: {error}.") from error
    except MemoryError as error:
        raise ResourceError(f"`{path}` needs more memory than there is; thin it out first.") from error


def _name(data: bytes, suffix: str) -> str:
    start = data[:1000].removeprefix(b"\xef\xbb\xbf").lstrip()
    if data[:4] in (b"ply\n", b"ply\r", b"ply ", b"ply\t"):
        return "PLY"
    if data[:4] == b"glTF" or start[:1] == b"{":
        return "glTF"
    if data[:6] == b"\x93NUMPY":
        return "NPY"
    if data[:2] == b"PK":
        return "NPZ"
    if is_binary_stl(data) or start[:5].lower() == b"solid":
        return "STL"
    if start.startswith((b"# .PCD", b"VERSION", b"FIELDS")):
        return "PCD"
    if looks_like_obj(data):
        return "OBJ"
    if looks_like_points(data):
        return "points"
    return _by_suffix(suffix)


def _by_suffix(suffix: str) -> str:
    """The format that a file without any of its marks claims to be; its reader then says what is missing."""
    if suffix in (".ply", ".pcd", ".stl", ".obj", ".npy", ".npz"):
        return suffix[1:].upper()
    if suffix in (".glb", ".gltf"):
        return "glTF"
    return "points" if suffix in (".xyz", ".txt", ".pts", ".asc", ".csv") else "shape"


def _decode(name: str, data: bytes, path: Path) -> Cloud | Mesh:
    if name == "PLY":
        return decode_ply(data)
    if name == "glTF":
        return decode_gltf(data, path.parent)
    if name == "NPY":
        return decode_npy(path)
    if name == "NPZ":
        return decode_npz(path)
    if name == "STL":
        return decode_stl(data)
    if name == "PCD":
        return decode_pcd(data)
    if name == "OBJ":
        return decode_obj(data)
    if name == "points":
        return decode_points(data)
    raise ValueError(f"it is none of {_KNOWN}")
