"""Meshes: every format brings the same triangles back, trimesh agrees in both directions, and lies are named."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from scigen.errors import InputError
from scigen.io.clouds import read_shape
from scigen.io.gltf import decode_gltf
from scigen.io.gltf_tree import pack_glb
from scigen.io.meshes import read_mesh, write_mesh
from scigen.io.obj import decode_obj
from scigen.io.shape import Cloud, Mesh
from scigen.io.stl import decode_stl
from tests.io import shape_seeds
from tests.io.shape_seeds import PYRAMID, TRIANGLES

SUFFIXES = [".glb", ".obj", ".stl", ".ply"]
HERE = Path("no folder at all")


def torus(kind: type = np.float32, offset: float = 0.0) -> Mesh:
    body = trimesh.creation.torus(2.0, 0.5, major_sections=12, minor_sections=6)
    return Mesh((body.vertices + offset).astype(kind), body.faces.astype(np.int32))


def soup(mesh: Mesh) -> np.ndarray:
    return mesh.vertices[mesh.faces]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_round_trip_is_bitwise(tmp_path: Path, suffix: str) -> None:
    mesh = torus()
    write_mesh(tmp_path / f"torus{suffix}", mesh)
    back = read_mesh(tmp_path / f"torus{suffix}")
    assert back.vertices.dtype == np.float64 and back.faces.dtype == np.int32
    assert np.array_equal(soup(back).astype(np.float32), soup(mesh))
    assert len(back.vertices) == len(mesh.vertices)
    if suffix != ".stl":  # which has no order of vertices
        assert np.array_equal(back.faces, mesh.faces)


@pytest.mark.parametrize(("suffix", "error"), [(".ply", 0), (".obj", 0), (".glb", 2.5 * 2**-24)])
def test_map_coordinates_survive(tmp_path: Path, suffix: str, error: float) -> None:
    mesh = torus(np.float64, offset=4_649_776.123)
    write_mesh(tmp_path / f"utm{suffix}", mesh)
    assert np.abs(read_mesh(tmp_path / f"utm{suffix}").vertices - mesh.vertices).max() <= error + 1e-9 * (error > 0)


def test_stl_refuses_to_round_details_away(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="write .ply or .glb"):
        write_mesh(tmp_path / "utm.stl", torus(np.float64, offset=4_649_776.123))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("coloured", [False, True])
def test_trimesh_reads_what_is_written(tmp_path: Path, suffix: str, coloured: bool) -> None:
    mesh = torus()
    colours = np.arange(3 * len(mesh.vertices)).reshape(-1, 3).astype(np.uint8)
    write_mesh(tmp_path / f"torus{suffix}", mesh, colours if coloured else None)
    other = trimesh.load_mesh(tmp_path / f"torus{suffix}", process=False)
    assert np.allclose(other.triangles, soup(mesh), atol=1e-7)
    assert other.volume == pytest.approx(trimesh.creation.torus(2, 0.5, 12, 6).volume, rel=1e-5)
    if coloured and suffix != ".stl":
        assert np.array_equal(other.visual.vertex_colors[:, :3], colours)


@pytest.mark.parametrize("kind", ["glb", "gltf", "obj", "ply", "stl", "stl_ascii"])
def test_reads_what_trimesh_writes(tmp_path: Path, kind: str) -> None:
    body = trimesh.creation.icosphere(2, radius=7.5)
    if kind == "gltf":  # a scene and its buffers, file by file
        for name, data in trimesh.Scene(body).export(file_type="gltf").items():
            (tmp_path / name).write_bytes(data)
        path = tmp_path / "model.gltf"
    else:
        path = tmp_path / f"sphere.{kind}"
        body.export(path, file_type=kind)
    mesh = read_mesh(path)
    assert len(mesh.vertices) == len(body.vertices) == 162
    assert np.allclose(soup(mesh), body.triangles, atol=1e-6)


def test_a_scene_is_one_mesh_where_it_stands() -> None:
    mesh = decode_gltf(shape_seeds.glb(), HERE)
    assert mesh.faces.shape == (12, 3)
    mirrored = PYRAMID * [-1, 1, 1] + [10, 20, 30]
    assert {tuple(v) for v in mesh.vertices} == {tuple(v) for v in np.concatenate([PYRAMID, mirrored])}
    # Mirrored triangles are turned round: both copies enclose a positive volume.
    corners = soup(mesh)
    volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volumes[:6].sum() == pytest.approx(4) and volumes[6:].sum() == pytest.approx(4)


def test_gltf_with_buffers_inside_and_beside(tmp_path: Path) -> None:
    expected = np.array([[[1, 2, 3], [2, 2, 3], [1, 3, 3]]])
    assert np.array_equal(soup(decode_gltf(shape_seeds.gltf(), HERE)), expected)
    (tmp_path / "a b.bin").write_bytes(shape_seeds.triangle_buffer())
    assert np.array_equal(soup(decode_gltf(shape_seeds.gltf("a%20b.bin"), tmp_path)), expected)


@pytest.mark.parametrize(
    "uri", ["../secret.bin", "/etc/hostname", "http://x.org/a.bin", "file:///etc/hostname", "..%2Fsecret.bin"]
)
def test_gltf_opens_nothing_outside_its_folder(tmp_path: Path, uri: str) -> None:
    (tmp_path / "secret.bin").write_bytes(shape_seeds.triangle_buffer())
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="only files in its own folder"):
        decode_gltf(shape_seeds.gltf(uri), tmp_path / "folder")


def test_gltf_follows_no_link_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(shape_seeds.triangle_buffer())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(ValueError, match="only files in its own folder"):
        decode_gltf(shape_seeds.gltf("link.bin"), tmp_path / "folder")


def edited(**changes: object) -> bytes:
    return json.dumps(json.loads(shape_seeds.gltf()) | changes).encode()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scenes": []}, None),
        ({"extensionsUsed": ["KHR_materials_unlit"], "extensionsRequired": ["KHR_materials_unlit"]}, None),
        ({"materials": [{}], "images": [{"uri": "http://x.org/a.png"}], "textures": [{"source": 0}]}, None),
        ({"asset": {"version": "1.0"}}, "not glTF 2"),
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "needs the extension `KHR_draco"),
        ({"scenes": [{"nodes": []}]}, "shows 0 triangles"),
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "met twice"),
        ({"nodes": [{"mesh": 5}]}, "IndexError"),
        ({"scenes": [{"nodes": [0] * 2}]}, "met twice"),
        ({"buffers": [{"byteLength": 2_000_000_000, "uri": "a.bin"}] * 9}, "its buffers have 18.0 GB"),
        ({"nodes": 7}, "TypeError"),
        ({"nodes": [{"mesh": 0, "translation": [1e999, 0, 0]}]}, "3 of 3 vertices are not finite"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "mode": 1}]}]}, "shows 0 triangles"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "mode": 5}]}]}, "strips or fans"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 1, "TEXCOORD_0": 99}}]}]}, None),
        ({"bufferViews": [{"buffer": 0, "byteLength": 600}]}, "leaves the buffer of 44"),
        ({"buffers": [{"byteLength": 45, "uri": "data:;base64,AAAA"}]}, "45 bytes is declared, and 3 are there"),
        ({"buffers": [{"byteLength": 44, "uri": "data:;base64,%"}]}, "not base64"),
    ],
)
def test_gltf_trees(changes: dict, sentence: str | None) -> None:
    if sentence is None:
        assert len(decode_gltf(edited(**changes), HERE).faces) == 1
        return
    with pytest.raises(ValueError, match=sentence):
        decode_gltf(edited(**changes), HERE)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("count", 4, "4 entries of 2 bytes, and its view 6 bytes"),
        ("count", 2, "2 corners are not a whole number"),
        ("count", 10**9, "1000000000 entries"),
        ("count", -3, "`count` is -3"),
        ("byteOffset", 2, "its view 4 bytes"),
        ("type", "VEC2", "is VEC2 of 5123, not SCALAR"),
        ("sparse", {}, "sparse"),
    ],
)
def test_gltf_accessors(key: str, value: object, sentence: str) -> None:
    tree = json.loads(shape_seeds.gltf())
    tree["accessors"][0][key] = value
    with pytest.raises(ValueError, match=sentence):
        decode_gltf(json.dumps(tree).encode(), HERE)


def test_gltf_shown_too_often() -> None:
    """Many nodes show one small mesh as more vertices than are read."""
    tree = json.loads(shape_seeds.gltf())
    del tree["meshes"][0]["primitives"][0]["indices"]
    tree["buffers"] = [{"byteLength": 36 * 1000, "uri": "data:;base64," + base64.b64encode(bytes(36_000)).decode()}]
    tree["bufferViews"] = [{"buffer": 0, "byteLength": 36_000}] * 2
    tree["accessors"][1]["count"] = 3000
    tree["nodes"] = [{"mesh": 0}] * 40_000
    tree["scenes"] = [{"nodes": list(range(40_000))}]
    with pytest.raises(ValueError, match="40000000 triangles of 120000000 vertices"):
        decode_gltf(json.dumps(tree).encode(), HERE)


def test_gltf_meshes_that_are_not_shown_are_not_read() -> None:
    tree = json.loads(shape_seeds.gltf())
    tree["meshes"].insert(0, {"primitives": [{"attributes": {"POSITION": 77}}]})
    tree["accessors"].insert(0, {"componentType": 5126, "count": 10**12, "type": "VEC3"})  # zeros, by the standard
    tree["meshes"][1]["primitives"][0] = {"attributes": {"POSITION": 2, "NORMAL": 0}, "indices": 1}
    tree["nodes"][0]["mesh"] = 1
    assert soup(decode_gltf(json.dumps(tree).encode(), HERE))[0, 1].tolist() == [2, 2, 3]


def test_gltf_index_beyond_the_vertices() -> None:
    tree = json.loads(shape_seeds.gltf())
    block = b"\x07" + shape_seeds.triangle_buffer()[1:]
    del tree["buffers"][0]["uri"]
    with pytest.raises(ValueError, match="names the vertex 7, and there are 3"):
        decode_gltf(pack_glb(tree, block), HERE)


def test_several_buffers_become_one() -> None:
    tree = json.loads(shape_seeds.gltf())
    block = shape_seeds.triangle_buffer()
    uris = [base64.b64encode(part).decode() for part in (block[:6], block[8:])]
    tree["buffers"] = [{"byteLength": n, "uri": f"data:;base64,{uri}"} for n, uri in zip((6, 36), uris)]
    tree["bufferViews"][1] = {"buffer": 1, "byteLength": 36}
    assert np.array_equal(soup(decode_gltf(json.dumps(tree).encode(), HERE))[0, 1], [2, 2, 3])


def test_glb_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "cut.glb"
    path.write_bytes(shape_seeds.glb()[:-7])
    with pytest.raises(
        InputError, match=f"of {len(shape_seeds.glb())} bytes is declared, and {len(shape_seeds.glb()) - 7}"
    ):
        read_mesh(path)


def test_stl_merges_corners_that_are_equal_bit_for_bit() -> None:
    for data in (shape_seeds.stl(), shape_seeds.stl(text=True)):
        mesh = decode_stl(data)
        assert len(mesh.vertices) == 5
        assert np.array_equal(soup(mesh), PYRAMID[TRIANGLES])
        assert mesh.faces[0].tolist() == [0, 1, 2]  # in the order they appear
    corners = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0]], [[-0.0, 0, 0], [0, 1, 0], [np.nextafter(1, 2), 0, 0]]])
    text = "".join(
        "facet normal 0 0 0\nouter loop\n"
        + "".join(f"vertex {x!r} {y!r} {z!r}\n" for x, y, z in tri)
        + "endloop\nendfacet\n"
        for tri in corners.tolist()
    )
    assert len(decode_stl(f"solid a\n{text}endsolid a\n".encode()).vertices) == 4  # -0 is 0, the next number is not 1


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (shape_seeds.stl()[:-1], "6 triangles are declared, and 383 bytes hold 5.98"),
        (shape_seeds.stl()[:80] + struct.pack("<I", 2**32 - 1) + shape_seeds.stl()[84:], "4294967295 triangles"),
        (shape_seeds.stl()[:80] + bytes(4), "no triangles"),
        (shape_seeds.stl()[:50], "50 bytes are less than the 84"),
        (shape_seeds.stl(text=True).rstrip()[:-12], "not `endsolid`"),
        (b"solid empty\nendsolid empty\n", "no triangles"),
        (shape_seeds.stl(text=True).replace(b"vertex", b"vortex", 1), "6 facets, 17 vertices"),
        (shape_seeds.stl(text=True).replace(b"endfacet", b"", 1), "and 5 ends"),
    ],
)
def test_stl_lies_are_named(data: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        decode_stl(data)


def test_obj_polygons_and_relative_numbers() -> None:
    mesh = decode_obj(shape_seeds.obj())
    assert np.array_equal(mesh.vertices, PYRAMID)
    assert np.array_equal(mesh.faces, TRIANGLES)


def test_obj_relative_numbers_count_from_where_they_stand() -> None:
    one = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\n"
    assert decode_obj(f"{one}{one}".encode()).faces.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_obj_without_faces_is_a_cloud(tmp_path: Path) -> None:
    (tmp_path / "scan.obj").write_text("vn 0 0 1\nv 0 0 0 0.5 0.5 0.5\nvn 0 1 0\nv 1 2 3 0.5 0.5 0.5\n")
    cloud = read_shape(tmp_path / "scan.obj")
    assert isinstance(cloud, Cloud) and cloud.points[1].tolist() == [1, 2, 3] and cloud.normals[1].tolist() == [0, 1, 0]
    with pytest.raises(InputError, match="holds 2 points and no faces"):
        read_mesh(tmp_path / "scan.obj")


@pytest.mark.parametrize(
    ("tail", "sentence"),
    [
        ("f 1 2 4", "names the vertex 3, and there are 3, from 0 on"),
        ("f 1 2 0", "names the vertex 0"),
        ("f 1 2 -4", "names the vertex -1"),
        ("f 1 2", "the face 0 has 2 corners"),
        ("f 1 2 x", "`x` is not a number"),
        ("f 1/1 2/1 /3", "3 corners, and 2 numbers"),
        ("f", "no triangles|0 corners"),
        ("f 1 2 3\nv 1 2", "row 4 has 2 columns"),
        ("f 1 2 3\nsurf 0 1 0 1 1 2 3", "line 5: `surf` is not read"),
        ("f 1 2 3\n\0", "NUL byte"),
    ],
)
def test_obj_lies_are_named(tail: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        decode_obj(f"v 0 0 0\nv 1 0 0\nv 0 1 0\n{tail}\n".encode())


def test_mesh_archives(tmp_path: Path) -> None:
    (tmp_path / "mesh.npz").write_bytes(shape_seeds.npz())
    mesh = read_mesh(tmp_path / "mesh.npz")
    assert np.array_equal(mesh.vertices, PYRAMID) and mesh.part.tolist() == [0, 1, 2, 3, 4, 5]
    for part in (np.arange(5), np.full(6, 70_000), np.arange(6.0)):
        np.savez(tmp_path / "bad.npz", vertices=PYRAMID, faces=TRIANGLES, part=part)
        with pytest.raises(InputError, match="part"):
            read_mesh(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("mesh", "colour"),
    [
        (Mesh(PYRAMID, TRIANGLES[:0]), None),
        (Mesh(PYRAMID + np.nan, TRIANGLES), None),
        (Mesh(PYRAMID, TRIANGLES + 1), None),
        (Mesh(PYRAMID, TRIANGLES - 1), None),
        (Mesh(PYRAMID, TRIANGLES), np.zeros(3)),
        (Mesh(PYRAMID, TRIANGLES), np.zeros((4, 3), np.uint8)),
    ],
)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_cannot_be_written_leaves_no_file(tmp_path: Path, mesh: Mesh, colour: np.ndarray, suffix: str) -> None:
    with pytest.raises(ValueError):
        write_mesh(tmp_path / f"mesh{suffix}", mesh, colour)
    assert not list(tmp_path.iterdir())


def test_glb_is_the_default_and_other_suffixes_are_refused(tmp_path: Path) -> None:
    write_mesh(tmp_path / "mesh", torus())
    assert [p.name for p in tmp_path.iterdir()] == ["mesh.glb"]
    with pytest.raises(ValueError, match="not `.dae`"):
        write_mesh(tmp_path / "mesh.dae", torus())
