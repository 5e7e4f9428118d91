"""Strict STL files, binary and text: the declared triangles are all there, and corners at one place become one vertex.

Format: 3D Systems, StereoLithography Interface Specification (1989).
"""

from __future__ import annotations

import re
import struct

import numpy as np

from scigen.io.raw import parse_rows
from scigen.io.shape import Mesh
from scigen.io.sound import sound_cloud, sound_mesh

__all__ = ["decode_stl", "encode_stl", "is_binary_stl"]

_RECORD = np.dtype([("normal", "<f4", (3,)), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_START = 84  # 80 bytes of text and the number of triangles
_FACET = re.compile(rb"^[ \t]*facet[ \t]+normal\b", re.MULTILINE)
_VERTEX = re.compile(rb"^[ \t]*vertex[ \t]+(.*)$", re.MULTILINE)
_END_FACET = re.compile(rb"^[ \t]*endfacet\b", re.MULTILINE)


def is_binary_stl(data: bytes) -> bool:
    """Whether the size is exactly what the count at byte 80 asks for; text that begins with `solid` never is."""
    return len(data) >= _START and len(data) == _START + _RECORD.itemsize * struct.unpack_from("<I", data, 80)[0]


def decode_stl(data: bytes) -> Mesh:
    """The triangles of an STL file; corners that are equal bit for bit are one vertex, in the order they appear.

    Several solids of a text file are one mesh; stored normals and attributes are not used. Raises ValueError with
    what was expected and what was found.
    """
    if data.lstrip()[:5].lower() == b"solid" and not is_binary_stl(data):
        corners = _text(data)
    else:
        corners = _binary(data)
    if not len(corners):
        raise ValueError("it holds no triangles")
    return sound_mesh(*_merge(sound_cloud(corners.reshape(-1, 3)).points))


def encode_stl(mesh: Mesh) -> bytes:
    """A binary STL of the mesh: float32 corners and unit normals, no colours, no parts."""
    table = np.zeros(len(mesh.faces), dtype=_RECORD)
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    table["normal"] = np.divide(normal, length, out=np.zeros_like(normal), where=length > 0)
    table["corners"] = corners
    return b"binary STL".ljust(80) + struct.pack("<I", len(table)) + table.tobytes()


def _binary(data: bytes) -> np.ndarray:
    if len(data) < _START:
        raise ValueError(f"{len(data)} bytes are less than the {_START} of a header; it was cut")
    (count,) = struct.unpack_from("<I", data, 80)
    if not is_binary_stl(data):
        held = (len(data) - _START) / _RECORD.itemsize
        raise ValueError(
            f"{count} triangles are declared, and {len(data)} bytes hold {held:g}; it was cut or is no STL"
        )
    return np.frombuffer(data, _RECORD, count, _START)["corners"]


def _text(data: bytes) -> np.ndarray:
    data = data.lower().replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    last = data.rstrip().rsplit(b"\n", 1)[-1].split()
    if not last or last[0] != b"endsolid":
        raise ValueError("the last line is not `endsolid`; it was cut")
    facets = np.array([hit.start() for hit in _FACET.finditer(data)], dtype=np.int64)
    vertices = [(hit.start(), hit[1]) for hit in _VERTEX.finditer(data)]
    ends = sum(1 for _ in _END_FACET.finditer(data))
    before = np.searchsorted(np.array([at for at, _ in vertices], dtype=np.int64), facets)
    if len(vertices) != 3 * len(facets) or ends != len(facets) or (before != 3 * np.arange(len(facets))).any():
        raise ValueError(f"{len(facets)} facets, {len(vertices)} vertices and {ends} ends; a facet has three vertices")
    rows = parse_rows(b"\n".join(row for _, row in vertices))
    if rows.shape != (3 * len(facets), 3) and len(facets):
        raise ValueError(f"{len(vertices)} vertices, and {len(rows)} rows of {rows.shape[1]} numbers")
    return rows


def _merge(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices `[V, 3]` in the order of their first appearance, and the faces of corners `[3 F, 3]`."""
    corners = corners + 0.0  # -0 becomes 0, or the two would be different vertices
    order = np.lexsort(corners.T)  # stable: of equal corners the first comes first
    ranked = corners[order]
    fresh = np.ones(len(corners), dtype=bool)
    fresh[1:] = (ranked[1:] != ranked[:-1]).any(axis=1)
    firsts = order[fresh]
    label = np.empty(len(corners), dtype=np.int64)
    label[order] = np.cumsum(fresh) - 1
    by_appearance = np.argsort(firsts)
    place = np.empty_like(by_appearance)
    place[by_appearance] = np.arange(len(firsts))
    return corners[firsts[by_appearance]], place[label].reshape(-1, 3)
