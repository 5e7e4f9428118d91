"""Meshes: every format brings the same triangles back, trimesh agrees in both directions, and lies are named."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from scigen.errors import InputError
from scigen.io.clouds import read_shape
from scigen.io.meshes import read_mesh, write_mesh
from scigen.io.obj import decode_obj
from scigen.io.shape import Cloud, Mesh
from scigen.io.stl import decode_stl
from tests.io import shape_seeds
from tests.io.shape_seeds import PYRAMID, TRIANGLES, soup

SUFFIXES = [".glb", ".obj", ".stl", ".ply"]
HERE = Path("no folder at all")


def torus(kind: type = np.float32, offset: float = 0.0) -> Mesh:
    body = trimesh.creation.torus(2.0, 0.5, major_sections=12, minor_sections=6)
    return Mesh((body.vertices + offset).astype(kind), body.faces.astype(np.int32))


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
