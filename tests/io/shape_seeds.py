"""Small whole files of points and triangles in every format that is read, written here by hand or by trimesh."""

from __future__ import annotations

import base64
import io
import json
import struct

import numpy as np
import trimesh

from scigen.io.shape import Mesh

POINTS = np.random.default_rng(5).normal(size=(10, 3))
NORMALS = (POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)).astype(np.float32)
# A pyramid with a square base: polygons of different sizes.
PYRAMID = np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [1, 1, 3]], dtype=np.float64)
POLYGONS = ((0, 3, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4))
TRIANGLES = np.array([(0, 3, 2), (0, 2, 1), (0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4)])


def text_ply() -> bytes:
    """Polygons, comments, elements before and after those that matter, and the line ends of Windows."""
    lines = ["ply", "format ascii 1.0", "comment by hand", "element camera 2", "property list uchar float view"]
    lines += [f"element vertex {len(PYRAMID)}", "property double x", "property float y", "property float z"]
    lines += [f"element face {len(POLYGONS)}", "property uchar red", "property list uchar int vertex_indices"]
    lines += ["element edge 1", "property int a", "property int b", "end_header", "3 1 2 3", "0"]
    lines += [" ".join(f"{c:g}" for c in row) for row in PYRAMID]
    lines += [" ".join(map(str, (7, len(face), *face))) for face in POLYGONS] + ["0 1", ""]
    return "\r\n".join(lines).encode()


def binary_ply(order: str) -> bytes:
    """The same mesh with labelled faces, binary of either byte order."""
    name = "little" if order == "<" else "big"
    head = f"ply\nformat binary_{name}_endian 1.0\nobj_info x\nelement vertex {len(PYRAMID)}\n"
    head += "property float x\nproperty float y\nproperty uchar red\nproperty double z\n"
    head += f"element face {len(POLYGONS)}\nproperty list ushort uint vertex_index\nproperty short part\n"
    head += "element extra 2\nproperty list uchar double values\nproperty int8 tail\nend_header\n"
    body = b"".join(struct.pack(order + "ffBd", x, y, 9, z) for x, y, z in PYRAMID)
    for i, face in enumerate(POLYGONS):
        body += struct.pack(f"{order}H{len(face)}Ih", len(face), *face, i)
    return head.encode() + body + struct.pack(order + "Bddb", 2, 0.5, 1.5, -1) + struct.pack(order + "Bb", 0, 1)


def cloud_ply() -> bytes:
    table = np.zeros(len(POINTS), dtype=[(n, "<f4") for n in ("x", "y", "z", "nx", "ny", "nz")] + [("red", "u1")])
    for i, name in enumerate("xyz"):
        table[name], table["n" + name] = POINTS[:, i], NORMALS[:, i]
    kinds = "".join(f"property {'uchar' if n == 'red' else 'float'} {n}\n" for n in table.dtype.names)
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(POINTS)}\n{kinds}end_header\n"
    return head.encode() + table.tobytes()


def pcd(data: str) -> bytes:
    """Points with normals between a colour and padding, as PCL writes them."""
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("normal_x", "<f4"), ("normal_y", "<f4")]
    fields += [("normal_z", "<f4"), ("_", "<u1", (5,))]
    table = np.zeros(len(POINTS), dtype=fields)
    for i, name in enumerate("xyz"):
        table[name], table["normal_" + name] = POINTS[:, i], NORMALS[:, i]
    head = "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z rgb normal_x normal_y normal_z _\n"
    head += "SIZE 4 4 4 4 4 4 4 1\nTYPE F F F U F F F U\nCOUNT 1 1 1 1 1 1 1 5\n"
    head += f"WIDTH {len(POINTS) // 2}\nHEIGHT 2\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(POINTS)}\nDATA {data}\n"
    if data == "ascii":
        rows = [[*row[:7], 0, 0, 0, 0, 0] for row in table.tolist()]
        return (head + "\n".join(" ".join(f"{v:.9g}" for v in row) for row in rows) + "\n").encode()
    if data == "binary":
        return head.encode() + table.tobytes()
    plain = b"".join(np.ascontiguousarray(table[name]).tobytes() for name in table.dtype.names)
    packed = lzf(plain)
    return head.encode() + struct.pack("<II", len(packed), len(plain)) + packed


def lzf(plain: bytes) -> bytes:
    """Pack the slow, plain way: the longest earlier match of at least three bytes, overlapping ones too."""
    out, literals, at = bytearray(), bytearray(), 0

    def flush() -> None:
        for start in range(0, len(literals), 32):
            piece = literals[start : start + 32]
            out.extend(bytes([len(piece) - 1]) + piece)
        literals.clear()

    while at < len(plain):
        best, back = 0, 0
        for distance in range(1, min(at, 8192) + 1):
            size = 0
            while size < 264 and at + size < len(plain) and plain[at - distance + size] == plain[at + size]:
                size += 1
            if size > best:
                best, back = size, distance - 1
        if best < 3:
            literals.append(plain[at])
            at += 1
            continue
        flush()
        length = best - 2
        out.extend([(min(length, 7) << 5) | (back >> 8)] + ([length - 7] if length >= 7 else []) + [back & 255])
        at += best
    flush()
    return bytes(out)


def points_text() -> bytes:
    rows = np.concatenate([POINTS, NORMALS], axis=1)
    return ("# x y z nx ny nz\n" + "\n".join(" ".join(f"{v:.17g}" for v in row) for row in rows) + "\n").encode()


def points_counted() -> bytes:
    return (f"{len(POINTS)}\n" + "\n".join(", ".join(f"{v:.17g}" for v in row) for row in POINTS) + "\n").encode()


def npy() -> bytes:
    handle = io.BytesIO()
    np.save(handle, np.concatenate([POINTS, NORMALS], axis=1))
    return handle.getvalue()


def npz() -> bytes:
    handle = io.BytesIO()
    np.savez(handle, vertices=PYRAMID, faces=TRIANGLES, part=np.arange(6))
    return handle.getvalue()


def obj() -> bytes:
    lines = ["# by hand", "mtllib /etc/passwd", "o pyramid"] + ["v " + " ".join(map(str, row)) for row in PYRAMID]
    lines += ["vt 0 0", "vn 0 0 1", "usemtl red", "s off"]
    lines += ["f " + " ".join(f"{i + 1}/1/1" for i in POLYGONS[0]), "f 1//1 2//1 5//1", "f 2/1 3/1 5/1"]
    lines += ["f -3 -2 -1", "f 4 1 \\", "5", ""]
    return "\n".join(lines).encode()


def pyramid() -> trimesh.Trimesh:
    return trimesh.Trimesh(PYRAMID, TRIANGLES, process=False)


def stl(text: bool = False) -> bytes:
    data = pyramid().export(file_type="stl_ascii" if text else "stl")
    return data.encode() if text else data


def glb() -> bytes:
    """A scene: the pyramid where it is, and once more, mirrored, under a moved parent."""
    scene = trimesh.Scene()
    scene.add_geometry(pyramid(), node_name="a", geom_name="pyramid")
    move, mirror = np.eye(4), np.diag([-1.0, 1, 1, 1])
    move[:3, 3] = 10, 20, 30
    scene.graph.update("parent", matrix=move)
    scene.graph.update("b", "parent", matrix=mirror, geometry="pyramid")
    return scene.export(file_type="glb")


def gltf(uri: str | None = None) -> bytes:
    """One triangle; its buffer is a data URI unless `uri` names a file."""
    block = triangle_buffer()
    uri = uri or "data:application/octet-stream;base64," + base64.b64encode(block).decode()
    tree = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "translation": [1, 2, 3]}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "indices": 0}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5123, "count": 3, "type": "SCALAR"},
            {"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC3"},
        ],
        "bufferViews": [{"buffer": 0, "byteLength": 6}, {"buffer": 0, "byteOffset": 8, "byteLength": 36}],
        "buffers": [{"byteLength": len(block), "uri": uri}],
    }
    return json.dumps(tree).encode()


def triangle_buffer() -> bytes:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4")
    return np.arange(3, dtype="<u2").tobytes() + b"\0\0" + corners.tobytes()


CLOUDS = {
    "cloud.ply": cloud_ply(),
    "text.pcd": pcd("ascii"),
    "binary.pcd": pcd("binary"),
    "packed.pcd": pcd("binary_compressed"),
    "named.xyz": points_text(),
    "counted.csv": points_counted(),
    "cloud.npy": npy(),
}
MESHES = {
    "text.ply": text_ply(),
    "little.ply": binary_ply("<"),
    "big.ply": binary_ply(">"),
    "mesh.npz": npz(),
    "mesh.obj": obj(),
    "binary.stl": stl(),
    "text.stl": stl(text=True),
    "scene.glb": glb(),
    "triangle.gltf": gltf(),
}


def soup(mesh: Mesh) -> np.ndarray:
    return mesh.vertices[mesh.faces]
