"""Strict OBJ files: vertices and polygons. Materials, groups and lines are skipped, and no other file is opened.

Format: Wavefront Technologies, "Object Files (.obj)", version 3.0.
"""

from __future__ import annotations

import re

import numpy as np

from scigen.io.raw import parse_rows, parse_stream
from scigen.io.shape import Cloud, Mesh
from scigen.io.sound import fan, sound_cloud, sound_mesh

__all__ = ["decode_obj", "encode_obj", "looks_like_obj"]

_SKIPPED = {b"vt", b"vp", b"g", b"o", b"s", b"mg", b"l", b"p", b"usemtl", b"mtllib", b"usemap", b"maplib", b"lod"}
_SKIPPED |= {b"bevel", b"c_interp", b"d_interp", b"shadow_obj", b"trace_obj"}
_BESIDE = re.compile(rb"/[^ \n]*")  # the texture and normal numbers of a corner


def looks_like_obj(data: bytes) -> bool:
    """Whether the first line that is no comment, group or material is a vertex, a normal, a texture point or a face."""
    for line in data[:100_000].removeprefix(b"\xef\xbb\xbf").splitlines():
        word, *rest = line.split(None, 1) or [b"#"]
        if word in (b"v", b"vn", b"vt", b"f"):
            return bool(rest) and rest[0][:1] in b"-+.0123456789"
        if not word.startswith(b"#") and word not in _SKIPPED:
            return False
    return False


def decode_obj(data: bytes) -> Cloud | Mesh:
    """The mesh of an OBJ file, polygons as fans; without faces the cloud of its vertices, with normals if as many.

    Numbers after the third of a vertex (weight, colour) are skipped. Raises ValueError with the row where a line
    is broken, for faces that name missing vertices, and for free-form curves and surfaces.
    """
    if b"\0" in data:
        raise ValueError("it holds a NUL byte; this is a binary file of another kind")
    rows, seen = _by_keyword(data)
    vertices = _triples(rows[b"v"], "v")
    if not len(vertices):
        raise ValueError("it holds no vertices")
    if rows[b"f"]:
        corners, counts = _corners(rows[b"f"], seen)
        return sound_mesh(vertices, fan(corners, counts, len(vertices)))
    same = len(rows[b"vn"]) == len(vertices)
    return sound_cloud(vertices, _triples(rows[b"vn"], "vn") if same else None)


def encode_obj(mesh: Mesh, colours: np.ndarray | None = None) -> bytes:
    """An OBJ of the mesh with the digits that bring its coordinates back; `colours [V, 3]`, uint8, become 0 to 1."""
    style = "%.9g" if mesh.vertices.dtype == np.float32 else "%.17g"
    rows, line = mesh.vertices.tolist(), "v " + " ".join([style] * 3)
    if colours is not None:
        rows = [[*row, *colour] for row, colour in zip(rows, (colours / 255.0).tolist())]
        line += " %.6g %.6g %.6g"
    vertices = [line % tuple(row) for row in rows]
    faces = [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return ("\n".join(vertices + faces) + "\n").encode("ascii")


def _by_keyword(data: bytes) -> tuple[dict[bytes, list[bytes]], list[int]]:
    """What follows `v`, `vn` and `f`, line by line, and for each face how many vertices came before it."""
    rows: dict[bytes, list[bytes]] = {b"v": [], b"vn": [], b"f": []}
    seen: list[int] = []
    data = re.sub(rb"\\\r?\n", b" ", data.removeprefix(b"\xef\xbb\xbf")).replace(b"\t", b" ")
    for number, line in enumerate(data.splitlines(), start=1):
        word, _, rest = line.strip().partition(b" ")
        if word in rows:
            rows[word].append(rest.partition(b"#")[0])
            if word == b"f":
                seen.append(len(rows[b"v"]))
        elif word and not word.startswith(b"#") and word not in _SKIPPED:
            raise ValueError(
                f"line {number}: `{word[:20].decode('ascii', 'replace')}` is not read; export polygons only"
            )
    return rows, seen


def _triples(rows: list[bytes], word: str) -> np.ndarray:
    table = parse_rows(b"\n".join(rows))
    if len(table) != len(rows) or (len(rows) and table.shape[1] < 3):
        raise ValueError(f"{len(rows)} lines `{word}`, and {len(table)} rows of {table.shape[1]} numbers")
    return table[:, :3]


def _corners(rows: list[bytes], seen: list[int]) -> tuple[np.ndarray, np.ndarray]:
    counts = np.array([len(row.split()) for row in rows])
    corners = parse_stream(_BESIDE.sub(b"", b"\n".join(rows)))
    if len(corners) != counts.sum() or not len(corners):
        raise ValueError(f"{len(rows)} faces of {counts.sum()} corners, and {len(corners)} numbers")
    if (corners == 0).any():
        raise ValueError("a face names the vertex 0, and vertices are counted from 1 on")
    # Negative numbers count back from the vertices read so far.
    before = np.repeat(np.array(seen), counts)
    return np.where(corners > 0, corners - 1, before + corners), counts
