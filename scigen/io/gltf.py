"""glTF scenes (.glb, .gltf) in and .glb out: trimesh reads and writes what was checked first.

Format: Khronos Group, glTF 2.0 (ISO/IEC 12113). Positions are float32; a scene's transforms are not.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from scigen.io.gltf_tree import geometry_only, pack_glb, read_tree
from scigen.io.shape import Mesh
from scigen.io.sound import sound_mesh

__all__ = ["decode_gltf", "encode_glb"]


def decode_gltf(data: bytes, folder: Path) -> Mesh:
    """All triangles that the scene of a .glb or .gltf file shows, moved to where it shows them, as one mesh.

    Materials, textures, skins and animations are skipped, and so are points and lines. Raises ValueError with what was
    expected and what was found, InputError when a buffer in `folder` cannot be read.
    """
    import trimesh

    try:
        tree, binary = read_tree(data, folder)
        tree, expected = geometry_only(tree)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"its JSON does not hold together: {type(error).__name__} {str(error)[:80]}") from error
    try:
        with np.errstate(all="ignore"):  # vertices that are not finite are counted below
            scene = trimesh.load_scene(io.BytesIO(pack_glb(tree, binary)), file_type="glb", process=False)
            vertices, faces = _joined(scene)
    except Exception as error:  # what trimesh raises on a broken scene is whatever its code runs into
        raise ValueError(f"its scene cannot be built: {type(error).__name__} {str(error)[:80]}") from error
    if len(faces) != expected:
        raise ValueError(f"it declares {expected} triangles, and {len(faces)} were read")
    return sound_mesh(vertices, faces)


def encode_glb(mesh: Mesh, colours: np.ndarray | None = None) -> bytes:
    """A .glb of the mesh, one node; `colours [V, 3]`, uint8, become vertex colours.

    glTF positions are float32. A float64 mesh is stored around its own middle and a node moves it back, so that an
    offset like that of map coordinates costs no precision.
    """
    import trimesh

    middle = np.zeros(3)
    if mesh.vertices.dtype != np.float32:
        middle = (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
    body = trimesh.Trimesh(mesh.vertices - middle, mesh.faces, vertex_colors=colours, process=False)
    move = np.eye(4)
    move[:3, 3] = middle
    scene = trimesh.Scene()
    scene.add_geometry(body, node_name="mesh", geom_name="mesh", transform=move)
    return scene.export(file_type="glb", include_normals=False)


def _joined(scene: Any) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of all nodes; a node that mirrors turns its triangles round, so that outside stays outside."""
    vertices, faces, count = [], [], 0
    for name in scene.graph.nodes_geometry:
        move, key = scene.graph.get(name)
        body = scene.geometry[key]
        vertices.append(np.asarray(body.vertices, dtype=np.float64) @ move[:3, :3].T + move[:3, 3])
        faces.append((body.faces if np.linalg.det(move[:3, :3]) >= 0 else body.faces[:, ::-1]) + count)
        count += len(body.vertices)
    return np.concatenate(vertices), np.concatenate(faces)
