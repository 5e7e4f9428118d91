"""PLY files out: binary little endian, the points in the precision they have in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scigen.io.atomic import atomic_file
from scigen.io.shape import Cloud, Mesh

__all__ = ["write_mesh_ply", "write_ply"]

_NAMES = {"i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint"}
_NAMES |= {"f4": "float", "f8": "double"}


def write_ply(path: str | Path, cloud: Cloud, extra: Mapping[str, np.ndarray] | None = None) -> None:
    """Write a cloud, its normals if it has them, and scalar columns `name -> [N]` beside them, atomically.

    Every column keeps its type: float32 becomes `float`, float64 `double`, uint8 `uchar` (colours are the columns
    red, green, blue of uint8). Raises ValueError for an empty or infinite cloud or a column that PLY cannot hold,
    ResourceError when the file cannot be written.
    """
    columns = _xyz(cloud.points)
    if cloud.normals is not None:
        columns |= dict(zip(("nx", "ny", "nz"), cloud.normals.T))
    twice = set(columns) & set(extra or {})
    if twice:
        raise ValueError(f"the columns {sorted(twice)} are those of the cloud itself; name yours differently.")
    vertex = _table(columns | dict(extra or {}))
    with atomic_file(path) as handle:
        handle.write(_header([_element("vertex", vertex)]) + vertex.tobytes())


def write_mesh_ply(path: str | Path, mesh: Mesh, colours: np.ndarray | None = None) -> None:
    """Write a mesh atomically, with the labels `part` of its faces and `colours [V, 3]`, uint8, where they are given.

    Raises ValueError for an empty or infinite mesh, ResourceError when the file cannot be written.
    """
    columns = _xyz(mesh.vertices)
    if colours is not None:
        columns |= dict(zip(("red", "green", "blue"), colours.T))
    vertex = _table(columns)
    fields: list[tuple] = [("count", "u1"), ("corners", "<i4", (3,))]
    fields += [] if mesh.part is None else [("part", "<i2")]
    face = np.empty(len(mesh.faces), dtype=np.dtype(fields))
    face["count"], face["corners"] = 3, mesh.faces
    lines = [f"element face {len(face)}", "property list uchar int vertex_indices"]
    if mesh.part is not None:
        face["part"] = mesh.part
        lines.append("property short part")
    with atomic_file(path) as handle:
        handle.write(_header([_element("vertex", vertex), "\n".join(lines)]) + vertex.tobytes() + face.tobytes())


def _xyz(points: np.ndarray) -> dict[str, np.ndarray]:
    if not len(points) or not np.isfinite(points).all():
        raise ValueError(f"{len(points)} points, finite: {bool(np.isfinite(points).all())}; write finite points.")
    return dict(zip(("x", "y", "z"), points.T))


def _table(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    size = len(columns["x"])
    for name, column in columns.items():
        known = isinstance(column, np.ndarray) and column.dtype.str[1:] in _NAMES
        if not known or column.shape != (size,) or not name.isascii() or len(name.split()) != 1:
            got = f"{column.dtype} {column.shape}" if isinstance(column, np.ndarray) else type(column).__name__
            raise ValueError(f"the column `{name}` is {got}; a PLY column is one word and {size} int32 or floats.")
    table = np.empty(size, dtype=[(name, "<" + column.dtype.str[1:]) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table


def _element(name: str, table: np.ndarray) -> str:
    lines = [f"property {_NAMES[field[1][1:]]} {field[0]}" for field in table.dtype.descr]
    return "\n".join([f"element {name} {len(table)}", *lines])


def _header(elements: list[str]) -> bytes:
    return "\n".join(["ply", "format binary_little_endian 1.0", *elements, "end_header\n"]).encode("ascii")
