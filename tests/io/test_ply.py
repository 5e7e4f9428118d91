"""PLY: what the header declares is read, all of it, in either byte order; what it does not hold is refused."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scigen.errors import InputError
from scigen.io.clouds import read_cloud, read_shape, write_ply
from scigen.io.meshes import read_mesh, write_mesh
from scigen.io.ply import decode_ply
from scigen.io.shape import Cloud, Mesh
from tests.io import shape_seeds
from tests.io.shape_seeds import NORMALS, POINTS, PYRAMID, TRIANGLES

COORDINATES = {
    np.float32: st.floats(-(2.0**50), 2.0**50, width=32),
    np.float64: st.floats(-1e18, 1e18),
}


def ascii_ply(body: str, count: int = 2, extra: str = "") -> bytes:
    head = f"ply\nformat ascii 1.0\nelement vertex {count}\nproperty float x\nproperty float y\nproperty float z\n"
    return f"{head}{extra}end_header\n{body}".encode()


@pytest.mark.parametrize("data", [shape_seeds.text_ply(), shape_seeds.binary_ply("<"), shape_seeds.binary_ply(">")])
def test_three_encodings_hold_the_same_mesh(data: bytes) -> None:
    mesh = decode_ply(data)
    assert np.array_equal(mesh.vertices, PYRAMID)
    # A square is a fan of two triangles, and its label is that of both.
    assert mesh.faces.tolist() == [[0, 3, 2], [0, 2, 1], [0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]
    assert mesh.faces.dtype == np.int32
    if b"binary" in data:
        assert mesh.part.tolist() == [0, 0, 1, 2, 3, 4] and mesh.part.dtype == np.int16


def test_cloud_with_normals_and_colours() -> None:
    cloud = decode_ply(shape_seeds.cloud_ply())
    assert np.array_equal(cloud.points, POINTS.astype(np.float32)) and cloud.points.dtype == np.float64
    assert np.array_equal(cloud.normals, NORMALS) and cloud.normals.dtype == np.float32


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_round_trip_is_bitwise(kind: type, tmp_path: Path) -> None:
    path = tmp_path / "cloud.ply"

    @settings(max_examples=50, deadline=None)
    @given(arrays(kind, st.tuples(st.integers(1, 9), st.just(3)), elements=COORDINATES[kind]))
    def check(points: np.ndarray) -> None:
        write_ply(path, Cloud(points))
        assert read_cloud(path).points.tobytes() == points.astype(np.float64).tobytes()

    check()


def test_map_coordinates_survive(tmp_path: Path) -> None:
    points = np.array([[500_000.001, 4_649_776.002, 93.003], [500_000.002, 4_649_776.001, 93.004], [5e5, 4.6e6, 93]])
    write_ply(tmp_path / "utm.ply", Cloud(points))
    assert np.array_equal(read_cloud(tmp_path / "utm.ply").points, points)


def test_extra_columns_keep_their_types_and_trimesh_reads_them(tmp_path: Path) -> None:
    extra = {"uncertainty": np.linspace(0, 1, len(POINTS)), "red": np.arange(len(POINTS), dtype=np.uint8)}
    write_ply(tmp_path / "cloud.ply", Cloud(POINTS, NORMALS), extra)
    loaded = trimesh.load(tmp_path / "cloud.ply")
    assert np.array_equal(loaded.vertices, POINTS)
    raw = loaded.metadata["_ply_raw"]["vertex"]["data"]
    assert np.array_equal(raw["uncertainty"].ravel(), extra["uncertainty"])
    assert np.array_equal(raw["red"].ravel(), extra["red"]) and raw["red"].dtype == np.uint8
    assert np.array_equal(read_cloud(tmp_path / "cloud.ply").normals, NORMALS)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_reads_what_trimesh_writes(tmp_path: Path, encoding: str) -> None:
    torus = trimesh.creation.torus(2.0, 0.5, major_sections=12, minor_sections=6)
    torus.export(tmp_path / "torus.ply", encoding=encoding, vertex_normal=True)
    mesh = read_mesh(tmp_path / "torus.ply")
    assert np.array_equal(mesh.faces, torus.faces)
    assert np.allclose(mesh.vertices, torus.vertices, atol=1e-6)


def test_mesh_round_trip_keeps_parts(tmp_path: Path) -> None:
    mesh = Mesh(PYRAMID, TRIANGLES.astype(np.int32), np.arange(6, dtype=np.int16))
    write_mesh(tmp_path / "mesh.ply", mesh, colour=np.array([1, 2, 3], np.uint8))
    back = read_mesh(tmp_path / "mesh.ply")
    assert np.array_equal(back.vertices, mesh.vertices)
    assert np.array_equal(back.faces, mesh.faces) and np.array_equal(back.part, mesh.part)


def test_a_bare_return_ends_header_lines_and_the_body_may_begin_with_a_line_feed() -> None:
    head = b"ply\rformat binary_little_endian 1.0\relement vertex 1\rproperty uchar x\rproperty uchar y\r"
    assert decode_ply(head + b"property uchar z\rend_header\r" + b"\n\x0b\x0c").points.tolist() == [[10, 11, 12]]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (ascii_ply("0 0 0\n"), "2 records of `vertex` are declared, and 1 are there"),
        (ascii_ply("0 0 0\n1 1 1\n2 2 2\n"), "3 numbers follow the last declared record"),
        (ascii_ply("0 0 0\n1 x 1\n"), "row 2: `x` is not a number"),
        (ascii_ply("0 0 0\nnan 1 1\n"), "1 of 2 points are not finite, the first at index 1"),
        (ascii_ply("0 0 0\n1 1e300 1\n"), "1e\\+300 is beyond 1e\\+18"),
        (ascii_ply("", count=0), "no points"),
        (ascii_ply("0 0 0\n1 1 1\n", extra="property float x\n"), "named twice"),
        (ascii_ply("0 0 0\n1 1 1\n", extra="element vertex 3\nproperty int a\n"), "two elements have the same name"),
        (ascii_ply("0 0 0\n1 1 1\n", extra="property quad w\n"), "line 7: `property quad w` is not `property"),
        (ascii_ply("0 0 0\n1 1 1\n").replace(b"float z", b"float w"), "no properties x, y, z"),
        (ascii_ply("0 0 0\n1 1 1\n").replace(b"end_header", b"end"), "no `end_header`"),
        (ascii_ply("0 0 0\n1 1 1\n").replace(b"ascii", b"binary"), "is not `format ascii"),
        (ascii_ply("0 0 0\n1 1 1\n").replace(b"format ascii 1.0\n", b""), "no `format` line"),
        (shape_seeds.cloud_ply()[:-1], "10 records of `vertex` are declared, and 9 are there"),
        (shape_seeds.cloud_ply() + b"\0", "1 bytes follow the last declared record"),
    ],
)
def test_lies_are_named(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "bad.ply"
    path.write_bytes(data)
    with pytest.raises(InputError, match=sentence):
        read_shape(path)


@pytest.mark.parametrize(
    ("face", "sentence"),
    [
        ("2 0 1", "the face 0 has 2 corners"),
        ("3 0 1 2", "names the vertex 2, and there are 2"),
        ("3 0 1 -1", "names the vertex -1"),
        ("3 0 1 0.5", "names the vertex 0.5"),
        ("1e9 0 1 1", "has the length 1e\\+09"),
        ("-3 0 1 1", "has the length -3"),
    ],
)
def test_broken_faces(face: str, sentence: str) -> None:
    extra = "element face 1\nproperty list uchar int vertex_indices\n"
    with pytest.raises(ValueError, match=sentence):
        decode_ply(ascii_ply(f"0 0 0\n1 1 1\n{face}\n", extra=extra))


def test_triangle_strips_are_refused_and_not_read_as_a_cloud() -> None:
    extra = "element tristrips 1\nproperty list int int vertex_indices\n"
    with pytest.raises(ValueError, match="strips"):
        decode_ply(ascii_ply("0 0 0\n1 1 1\n3 0 1 1\n", extra=extra))


@pytest.mark.parametrize("count", [10**12, 10**17])
@pytest.mark.parametrize("order", ["ascii", "binary_little_endian"])
def test_a_header_of_a_trillion_points_costs_nothing(count: int, order: str) -> None:
    data = ascii_ply("0 0 0\n1 1 1\n", count=count).replace(b"ascii", order.encode())
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(ValueError, match=f"{count} records of `vertex` are declared, and [12] are there"):
        decode_ply(data)
    assert time.perf_counter() - start < 1 and tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_normals_are_unit_vectors_or_refused() -> None:
    normals = "property float nx\nproperty float ny\nproperty float nz\n"
    cloud = decode_ply(ascii_ply("0 0 0 2 0 0\n1 1 1 0 0 -3\n", extra=normals))
    assert cloud.normals.tolist() == [[1, 0, 0], [0, 0, -1]]
    with pytest.raises(ValueError, match="1 of 2 normals have no direction, the first at index 1"):
        decode_ply(ascii_ply("0 0 0 1 0 0\n1 1 1 0 0 0\n", extra=normals))


@pytest.mark.parametrize(
    ("cloud", "extra"),
    [
        (Cloud(np.zeros((0, 3))), {}),
        (Cloud(np.full((2, 3), np.inf)), {}),
        (Cloud(POINTS), {"x": POINTS[:, 0]}),
        (Cloud(POINTS), {"two words": POINTS[:, 0]}),
        (Cloud(POINTS), {"short": POINTS[1:, 0]}),
        (Cloud(POINTS), {"long": np.arange(len(POINTS))}),
    ],
)
def test_what_cannot_be_written_leaves_no_file(tmp_path: Path, cloud: Cloud, extra: dict) -> None:
    with pytest.raises(ValueError):
        write_ply(tmp_path / "cloud.ply", cloud, extra)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_five_million_points_take_seconds(tmp_path: Path) -> None:
    points = np.random.default_rng(0).normal(size=(5_000_000, 3)).astype(np.float32)
    write_ply(tmp_path / "big.ply", Cloud(points, points))
    start = time.process_time()
    cloud = read_cloud(tmp_path / "big.ply")
    assert time.process_time() - start < 10
    assert np.array_equal(cloud.points, points)
