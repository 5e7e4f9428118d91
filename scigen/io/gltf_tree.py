"""The JSON of a glTF 2.0 scene: its containers, its buffers, and the part of it that is geometry, checked.

Nothing outside the folder of the file is opened, nothing is fetched. Format: Khronos Group, glTF 2.0, ISO/IEC 12113.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from scigen.io.raw import MAX_BYTES, read_raw

__all__ = ["Tree", "geometry_only", "pack_glb", "read_tree"]

Tree = dict[str, Any]

_JSON, _BIN = b"JSON", b"BIN\0"
_SIZES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_FLOAT, _INDICES = 5126, (5121, 5123, 5125)
_TRIANGLES = 4
_HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_")  # these change looks, not shapes
_MAX_SHOWN = 100_000_000  # triangles, and vertices: a mesh of a small file may be shown many times


def read_tree(data: bytes, folder: Path) -> tuple[Tree, bytes]:
    """The JSON of a .glb or .gltf file and all its buffers, one after the other, as buffer 0.

    Buffers may be inside the file, data URIs, or files inside `folder`. Raises ValueError, InputError.
    """
    text, binary = _chunks(data) if data[:4] == b"glTF" else (data, None)
    try:
        tree = json.loads(text.rstrip(b"\0").decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its JSON cannot be read: {str(error)[:80]}") from error
    if not isinstance(tree, dict) or str(tree.get("asset", {}).get("version", "")).split(".")[0] != "2":
        raise ValueError("it is not glTF 2")
    needed = [name for name in tree.get("extensionsRequired", []) if not str(name).startswith(_HARMLESS)]
    if needed:
        raise ValueError(f"it needs the extension `{str(needed[0])[:60]}`; export it without compression")
    total = sum(_whole(buffer, "byteLength") for buffer in tree.get("buffers", []))
    if total > MAX_BYTES:
        raise ValueError(f"its buffers have {total / 1e9:.1f} GB, and {MAX_BYTES / 1e9:.0f} GB are read")
    blocks = [_buffer(buffer, binary if i == 0 else None, folder) for i, buffer in enumerate(tree.get("buffers", []))]
    for view in tree.get("bufferViews", []):
        at, size, block = _whole(view, "byteOffset", 0), _whole(view, "byteLength"), _whole(view, "buffer")
        if at + size > len(blocks[block]):
            raise ValueError(
                f"a view of {size} bytes from {at} on leaves the buffer of {len(blocks[block])}; it was cut"
            )
        view["byteOffset"], view["buffer"] = at + sum(map(len, blocks[:block])), 0
    return tree, b"".join(blocks)


def geometry_only(tree: Tree) -> tuple[Tree, int]:
    """The nodes, meshes and accessors that the scene shows, without looks, and how many triangles they are.

    Points and lines are left out. Raises ValueError for a graph that is no tree, triangle strips and fans, sparse
    or cut accessors, and a scene without triangles.
    """
    roots = _roots(tree)
    nodes = [tree["nodes"][i] for i in _reach(tree, roots)]
    shown = [_whole(node, "mesh") for node in nodes if "mesh" in node]
    meshes = {i: _triangles(tree["meshes"][i]) for i in set(shown)}
    sizes = {i: [_size(tree, primitive) for primitive in mesh] for i, mesh in meshes.items()}
    total = sum(triangles for i in shown for triangles, _ in sizes[i])
    vertices = sum(vertices for i in shown for _, vertices in sizes[i])
    if not 0 < total <= _MAX_SHOWN or vertices > _MAX_SHOWN:
        raise ValueError(f"its scene shows {total} triangles of {vertices} vertices, and 1 to {_MAX_SHOWN} are read")
    return _slim(tree, roots, {i: mesh for i, mesh in meshes.items() if mesh}), total


def pack_glb(tree: Tree, binary: bytes) -> bytes:
    """A .glb container of `tree` with one buffer."""
    text = json.dumps(tree | {"buffers": [{"byteLength": len(binary)}]}).encode()
    chunks = b""
    for kind, block, fill in ((_JSON, text, b" "), (_BIN, binary, b"\0")):
        block += fill * (-len(block) % 4)
        chunks += struct.pack("<I", len(block)) + kind + block
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    if len(data) < 20:
        raise ValueError(f"{len(data)} bytes are less than a header; it was cut")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2 or length != len(data):
        raise ValueError(
            f"version {version} of {length} bytes is declared, and {len(data)} bytes are there; it was cut"
        )
    found: list[tuple[bytes, bytes]] = []
    at = 12
    while at < len(data):
        size, kind = struct.unpack_from("<I4s", data, at) if at + 8 <= len(data) else (len(data), b"")
        if at + 8 + size > len(data):
            raise ValueError(f"a chunk of {size} bytes at {at} leaves the file of {len(data)}")
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    if not found or found[0][0] != _JSON:
        raise ValueError("its first chunk is not JSON")
    return found[0][1], next((block for kind, block in found[1:] if kind == _BIN), None)


def _buffer(buffer: Tree, binary: bytes | None, folder: Path) -> bytes:
    size, uri = _whole(buffer, "byteLength"), buffer.get("uri")
    if uri is None:
        block = binary
    elif uri.startswith("data:"):
        try:
            block = base64.b64decode(uri.partition(",")[2], validate=True)
        except binascii.Error as error:
            raise ValueError(f"a data URI is not base64: {error}") from error
    else:
        block = _neighbour(unquote(uri), folder)
    if block is None or not size <= len(block):
        raise ValueError(f"a buffer of {size} bytes is declared, and {len(block or b'')} are there; it was cut")
    return block[:size]


def _neighbour(name: str, folder: Path) -> bytes:
    path = (folder / name).resolve()
    if ":" in name or "\\" in name or not path.is_relative_to(folder.resolve()):
        raise ValueError(f"it refers to `{name[:80]}`; only files in its own folder are opened")
    return read_raw(path)


def _roots(tree: Tree) -> list[int]:
    scenes = tree.get("scenes", [])
    if scenes:
        return scenes[_whole(tree, "scene", 0)].get("nodes", [])
    children = {child for node in tree.get("nodes", []) for child in node.get("children", [])}
    return [i for i in range(len(tree.get("nodes", []))) if i not in children]


def _reach(tree: Tree, roots: list[int]) -> list[int]:
    """All nodes below the roots; every node has one parent, so none may be met twice."""
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        i = waiting.pop()
        if not isinstance(i, int) or not 0 <= i < len(tree["nodes"]) or i in found:
            raise ValueError(f"the node {str(i)[:20]} does not exist or is met twice")
        found.add(i)
        waiting += tree["nodes"][i].get("children", [])
    return sorted(found)


def _triangles(mesh: Tree) -> list[Tree]:
    """The accessors of the primitives of a mesh that are triangles: `POSITION` and, where they have them, `indices`."""
    kept = []
    for primitive in mesh["primitives"]:
        mode = _whole(primitive, "mode", _TRIANGLES)
        if mode > _TRIANGLES:
            raise ValueError("its triangles are stored as strips or fans; export plain triangles")
        if mode == _TRIANGLES:
            found = {"POSITION": _whole(primitive["attributes"], "POSITION")}
            kept.append(found | ({"indices": _whole(primitive, "indices")} if "indices" in primitive else {}))
    return kept


def _slim(tree: Tree, roots: list[int], meshes: dict[int, list[Tree]]) -> Tree:
    """A scene of these meshes alone; whatever else the file holds, trimesh does not see."""
    keys = ("children", "matrix", "translation", "rotation", "scale")
    used = sorted({accessor for mesh in meshes.values() for primitive in mesh for accessor in primitive.values()})
    accessor, place = {old: i for i, old in enumerate(used)}, {old: i for i, old in enumerate(meshes)}
    nodes = [{k: node[k] for k in keys if k in node} for node in tree["nodes"]]
    for node, slim in zip(tree["nodes"], nodes):
        slim |= {"mesh": place[node["mesh"]]} if node.get("mesh") in place else {}
    primitives = [
        [
            {"attributes": {"POSITION": accessor[p["POSITION"]]}, "mode": _TRIANGLES}
            | ({"indices": accessor[p["indices"]]} if "indices" in p else {})
            for p in mesh
        ]
        for mesh in meshes.values()
    ]
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": roots}],
        "nodes": nodes,
        "meshes": [{"primitives": mesh} for mesh in primitives],
        "accessors": [tree["accessors"][i] for i in used],
        "bufferViews": tree["bufferViews"],
    }


def _size(tree: Tree, primitive: Tree) -> tuple[int, int]:
    """How many triangles and vertices a primitive has, its accessors checked."""
    vertices = corners = _accessor(tree, primitive["POSITION"], (_FLOAT,), "VEC3")
    if "indices" in primitive:
        corners = _accessor(tree, primitive["indices"], _INDICES, "SCALAR")
    if corners % 3:
        raise ValueError(f"{corners} corners are not a whole number of triangles")
    return corners // 3, vertices


def _accessor(tree: Tree, index: int, kinds: tuple[int, ...], shape: str) -> int:
    """Check that an accessor is dense, of the right type and inside its view; return its count."""
    accessor = tree["accessors"][index]
    if "sparse" in accessor or "bufferView" not in accessor:
        raise ValueError(f"the accessor {index} is sparse; export it dense")
    kind, count = accessor.get("componentType"), _whole(accessor, "count")
    if kind not in kinds or accessor.get("type") != shape:
        raise ValueError(f"the accessor {index} is {str(accessor.get('type'))[:20]} of {str(kind)[:20]}, not {shape}")
    view = tree["bufferViews"][_whole(accessor, "bufferView")]
    width = _SIZES[kind] * _WIDTHS[shape]
    stride = _whole(view, "byteStride", width)
    held = view["byteLength"] - _whole(accessor, "byteOffset", 0)
    if stride < width or count < 1 or stride * (count - 1) + width > held:
        raise ValueError(f"the accessor {index} has {count} entries of {width} bytes, and its view {held} bytes")
    return count


def _whole(table: Tree, key: str, default: int | None = None) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_BYTES:
        raise ValueError(f"`{key}` is {str(value)[:20]}, and a whole number is needed")
    return value
