"""Strict PLY files, text and binary of both byte orders: what the header declares is there, and nothing else.

Text is turned into numbers once and then read as if it were a binary file of doubles. Format: Turk 1994.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from scigen.io.ply_header import Element, Property, parse_header
from scigen.io.raw import parse_stream
from scigen.io.shape import Cloud, Mesh
from scigen.io.sound import fan, sound_cloud, sound_mesh

__all__ = ["decode_ply"]

_STRUCT = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "f4": "f", "f8": "d"}
_CORNERS = ("vertex_indices", "vertex_index")


@dataclass(frozen=True)
class _Lists:
    """A list property of all records: how many values each has, and the values one after the other."""

    counts: np.ndarray
    values: np.ndarray


_Columns = dict[str, np.ndarray | _Lists]


def decode_ply(data: bytes) -> Cloud | Mesh:
    """The mesh of a PLY file that has faces, the cloud of one that has none; other elements and colours are skipped.

    Points and vertices are the properties x, y, z of `vertex`; normals nx, ny, nz are read for clouds, the labels
    `part` of faces for meshes; polygons become fans. Raises ValueError with what was expected and what was found.
    """
    header = parse_header(data)
    body, order = memoryview(data)[header.end :], header.order
    if not order:
        body, order = memoryview(parse_stream(bytes(body)).astype("<f8").tobytes()), "<"
    columns: dict[str, _Columns] = {}
    at = 0
    for element in header.elements:
        element = element if header.order else _as_doubles(element)
        columns[element.name], at = _read(body, at, element, order)
    _check_end(body, at, bool(header.order))
    if "vertex" not in columns:
        raise ValueError("it has no element `vertex`")
    counts = {element.name: element.count for element in header.elements}
    if counts.get("tristrips"):
        raise ValueError("its triangles are stored as strips; save it with faces")
    vertices = _vectors(columns["vertex"], ("x", "y", "z"))
    if vertices is None:
        raise ValueError("its vertices have no properties x, y, z")
    if counts.get("face"):
        return _mesh(vertices, columns["face"])
    return sound_cloud(vertices, _vectors(columns["vertex"], ("nx", "ny", "nz")))


def _as_doubles(element: Element) -> Element:
    properties = tuple(Property(p.name, "f8", p.count and "f8") for p in element.properties)
    return Element(element.name, element.count, properties)


def _read(body: memoryview, at: int, element: Element, order: str) -> tuple[_Columns, int]:
    """The columns of an element that begins at byte `at`, and where it ends. Nothing is allocated on trust."""
    if not element.count:
        return {}, at
    least = _record(element, order, [0] * len(element.properties)).itemsize
    if element.count * least > len(body) - at:
        raise ValueError(_short(element, (len(body) - at) // least))
    sizes, _, _ = _walk(body, at, element, order, 0)
    record = _record(element, order, sizes)
    end = at + element.count * record.itemsize
    if end <= len(body):
        table = np.frombuffer(body, record, element.count, at)
        if all((table[f"n{i}"] == sizes[i]).all() for i, p in enumerate(element.properties) if p.count):
            return _uniform(table, element, sizes), end
    return _ragged(body, at, element, order)


def _record(element: Element, order: str, sizes: list[int]) -> np.dtype:
    """One record whose lists have the lengths `sizes`: `n3` is the length and `v3` the values of property 3."""
    fields: list[tuple] = []
    for i, p in enumerate(element.properties):
        if p.count:
            fields += [(f"n{i}", order + p.count), (f"v{i}", order + p.kind, (sizes[i],))]
        else:
            fields.append((f"v{i}", order + p.kind))
    return np.dtype(fields)


def _walk(body: memoryview, at: int, element: Element, order: str, index: int) -> tuple[list[int], list[int], int]:
    """For each property of the record at byte `at` how many values it has and where they begin; where it ends."""
    sizes, starts = [], []
    for p in element.properties:
        size = 1
        if p.count:
            if at + int(p.count[1]) > len(body):
                raise ValueError(_short(element, index))
            (size,) = struct.unpack_from(order + _STRUCT[p.count], body, at)
            if not 0 <= size <= len(body) or size != int(size):
                raise ValueError(f"the list `{p.name}` of `{element.name}` {index} has the length {size:g}")
            at += int(p.count[1])
        sizes.append(int(size))
        starts.append(at)
        at += int(size) * int(p.kind[1])
        if at > len(body):
            raise ValueError(_short(element, index))
    return sizes, starts, at


def _uniform(table: np.ndarray, element: Element, sizes: list[int]) -> _Columns:
    columns: _Columns = {}
    for i, p in enumerate(element.properties):
        values = table[f"v{i}"]
        columns[p.name] = _Lists(np.full(len(table), sizes[i]), values.reshape(-1)) if p.count else values
    return columns


def _ragged(body: memoryview, at: int, element: Element, order: str) -> tuple[_Columns, int]:
    """Records of different lengths: found one by one, then gathered property by property."""
    sizes = np.zeros((element.count, len(element.properties)), dtype=np.int64)
    starts = np.zeros_like(sizes)
    for index in range(element.count):
        sizes[index], starts[index], at = _walk(body, at, element, order, index)
    columns: _Columns = {}
    for i, p in enumerate(element.properties):
        values = _gather(body, starts[:, i], sizes[:, i], np.dtype(order + p.kind))
        columns[p.name] = _Lists(sizes[:, i], values) if p.count else values
    return columns, at


def _gather(body: memoryview, starts: np.ndarray, sizes: np.ndarray, kind: np.dtype) -> np.ndarray:
    """`sizes[i]` values from byte `starts[i]` on, for every i."""
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first = np.repeat(starts, sizes) + within * kind.itemsize
    return np.frombuffer(body, np.uint8)[first[:, None] + np.arange(kind.itemsize)].view(kind)[:, 0]


def _short(element: Element, found: int) -> str:
    return f"{element.count} records of `{element.name}` are declared, and {found} are there; it was cut"


def _check_end(body: memoryview, at: int, binary: bool) -> None:
    rest = len(body) - at
    if binary and body[at:] in (b"", b"\n", b"\r\n"):
        return
    if rest:
        what = f"{rest} bytes" if binary else f"{rest // 8} numbers"
        raise ValueError(f"{what} follow the last declared record; the counts of the header are wrong")


def _vectors(columns: _Columns, names: tuple[str, str, str]) -> np.ndarray | None:
    found = [columns.get(name) for name in names]
    if not columns:
        return np.zeros((0, 3))
    if not all(isinstance(column, np.ndarray) for column in found):
        return None
    with np.errstate(invalid="ignore"):  # of a signalling NaN; all NaN are counted later
        return np.stack([np.asarray(column, dtype=np.float64) for column in found], axis=1)


def _mesh(vertices: np.ndarray, columns: _Columns) -> Mesh:
    corners = next((columns[name] for name in _CORNERS if name in columns), None)
    if not isinstance(corners, _Lists):
        raise ValueError("its faces have no list `vertex_indices`")
    part = columns.get("part")
    if isinstance(part, np.ndarray):
        part = np.repeat(part, np.maximum(corners.counts - 2, 0))
    faces = fan(corners.values, corners.counts, len(vertices))
    return sound_mesh(vertices, faces, part if isinstance(part, np.ndarray) else None)
