"""Clouds: every format brings the same points back, the content decides, and nothing is dropped in silence."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest

from scigen.errors import InputError, ResourceError
from scigen.io import raw
from scigen.io.clouds import read_cloud, read_shape, write_cloud
from scigen.io.pcd import decode_pcd
from scigen.io.points_text import decode_points
from scigen.io.shape import Cloud, Mesh
from tests.io import shape_seeds
from tests.io.shape_seeds import NORMALS, POINTS, PYRAMID


@pytest.mark.parametrize("name", shape_seeds.CLOUDS)
def test_seeds_hold_the_same_points(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(shape_seeds.CLOUDS[name])
    cloud = read_cloud(tmp_path / name)
    assert cloud.points.dtype == np.float64
    assert np.array_equal(cloud.points.astype(np.float32), POINTS.astype(np.float32))
    if name != "counted.csv":
        assert np.array_equal(cloud.normals, NORMALS)


@pytest.mark.parametrize("suffix", [".ply", ".npz", ".xyz"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_round_trip_is_bitwise(tmp_path: Path, suffix: str, kind: type, scale: float) -> None:
    points = (POINTS * scale + 4e6 * (scale > 1)).astype(kind)
    for normals in (None, NORMALS):
        write_cloud(tmp_path / f"cloud{suffix}", Cloud(points, normals))
        cloud = read_cloud(tmp_path / f"cloud{suffix}")
        assert np.array_equal(cloud.points.astype(kind), points)
        assert (cloud.normals is None) if normals is None else np.array_equal(cloud.normals, normals)


@pytest.mark.parametrize("name", [*shape_seeds.CLOUDS, *shape_seeds.MESHES])
@pytest.mark.parametrize("suffix", [".ply", ".glb", ".xyz", ""])
def test_a_wrong_suffix_does_not_matter(tmp_path: Path, name: str, suffix: str) -> None:
    data = {**shape_seeds.CLOUDS, **shape_seeds.MESHES}[name]
    (tmp_path / name).write_bytes(data)
    (tmp_path / f"other{suffix}").write_bytes(data)
    right, wrong = read_shape(tmp_path / name), read_shape(tmp_path / f"other{suffix}")
    assert type(right) is type(wrong)
    key = "points" if isinstance(right, Cloud) else "vertices"
    assert np.array_equal(getattr(right, key), getattr(wrong, key))


def test_the_cloud_of_a_mesh_is_its_vertices(tmp_path: Path) -> None:
    (tmp_path / "mesh.ply").write_bytes(shape_seeds.text_ply())
    assert isinstance(read_shape(tmp_path / "mesh.ply"), Mesh)
    cloud = read_cloud(tmp_path / "mesh.ply")
    assert np.array_equal(cloud.points, PYRAMID) and cloud.normals is None


@pytest.mark.parametrize("count", [1, 3])
def test_few_or_equal_points_are_read_as_they_are(tmp_path: Path, count: int) -> None:
    write_cloud(tmp_path / "few.ply", Cloud(np.ones((count, 3))))
    assert np.array_equal(read_cloud(tmp_path / "few.ply").points, np.ones((count, 3)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 0\n1 2 3\n", 2),
        ("0\t0\t0\r\n1\t2\t3", 2),
        ("0,0,0\n1,2,3\n", 2),
        ("0; 0; 0\n1; 2; 3\n", 2),
        ("2\n0 0 0\n1 2 3\n", 2),
        ("x y z\n0 0 0\n1 2 3\n", 2),
        ("//X,Y,Z,Intensity\n0,0,0,9\n1,2,3,9\n", 2),
        ("# scan of a chair\n\n0 0 0\n# in between\n1 2 3\n", 2),
        ("0 0 0 17\n1 2 3 18\n", 2),
        ("0 0 0 255 128 0\n1 2 3 0 0 0\n", 2),
        ("2\n0 0 0 -1 255 128 0\n1 2 3 -2 0 0 0\n", 2),
    ],
)
def test_tables_of_points(text: str, expected: int) -> None:
    cloud = decode_points(text.encode())
    assert len(cloud) == expected and cloud.points[1].tolist() == [1, 2, 3] and cloud.normals is None


def test_named_columns_may_come_in_any_order() -> None:
    cloud = decode_points(b"nz label z ny y nx x\n1 7 3 0 2 0 1\n")
    assert cloud.points.tolist() == [[1, 2, 3]] and cloud.normals.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("3\n0 0 0\n1 2 3\n", "3 points are declared, and 2 are there"),
        ("0 0 0\n1 2\n", "row 2 has 2 columns, and the first row has 3"),
        ("0 0 0\n1 2 three\n", "row 2: `three` is not a number"),
        ("0 0\n1 2\n", "2 columns of unknown meaning"),
        ("0 0 0 1 2 -3\n1 2 3 4 5 6\n", "6 columns of unknown meaning"),
        ("1,5 2,5 3,5\n", "separated in two ways"),
        ("1,5;2,5;3,5\n", "separated in two ways"),
        ("x y z w\n0 0 0\n", "names 4 columns, and a row has 3"),
        ("3\nwater\nO 0 0 0\nH 1 0 0\nH 0 1 0\n", "this is a molecule"),
        ("0 0 0\n1 inf 3\n", "1 of 2 points are not finite"),
        ("# x y z\n", "no points"),
        ("0 0 0\n\0\n", "NUL byte"),
    ],
)
def test_tables_that_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        decode_points(text.encode())


@pytest.mark.parametrize("line", ["# c\n", "\n", " ", "9", "x"])
def test_endless_headers_are_read_in_linear_time(tmp_path: Path, line: str) -> None:
    path = tmp_path / "endless.xyz"
    path.write_bytes(line.encode() * (400_000 // len(line)))
    with pytest.raises(InputError):
        read_shape(path)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (b"POINTS 10", b"POINTS 11", "WIDTH x HEIGHT is 5 x 2, and POINTS is 11"),
        (b"WIDTH 5\nHEIGHT 2\n", b"", None),
        (b"POINTS 10\n", b"", None),
        (b"WIDTH 5", b"WIDTH 500000000000", "WIDTH x HEIGHT"),
        (b"SIZE 4", b"SIZE 3", "F3"),
        (b"COUNT 1", b"COUNT 0", "none may be 0"),
        (b"FIELDS x", b"FIELDS u", "x, y and z are needed"),
        (b"DATA binary", b"DATA zipped", "none of ascii"),
        (b"VIEWPOINT", b"VIEW", "`VIEW` is out of place"),
        (b"TYPE F F F U F F F U", b"TYPE F F", "8 FIELDS, 8 SIZE, 2 TYPE"),
    ],
)
def test_pcd_headers(before: bytes, after: bytes, sentence: str | None) -> None:
    data = shape_seeds.pcd("binary")
    assert before in data
    if sentence is None:
        assert np.array_equal(decode_pcd(data.replace(before, after)).points, POINTS.astype(np.float32))
        return
    with pytest.raises(ValueError, match=sentence):
        decode_pcd(data.replace(before, after))


def test_pcd_that_was_cut() -> None:
    with pytest.raises(ValueError, match="10 points of 33 bytes are declared, and 329 bytes are there, 9 points"):
        decode_pcd(shape_seeds.pcd("binary")[:-1])
    with pytest.raises(ValueError, match="10 points of 12 numbers are declared, 9 of 12 are there"):
        decode_pcd(b"\n".join(shape_seeds.pcd("ascii").split(b"\n")[:-2]))


def test_pcd_bomb_is_refused_before_it_unpacks() -> None:
    head = b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 300000000\nDATA binary_compressed\n"
    with pytest.raises(ValueError, match="100 compressed bytes cannot hold 3600000000"):
        decode_pcd(head + struct.pack("<II", 100, 3_600_000_000) + bytes(100))


def test_lzf_copies_that_overlap_their_output() -> None:
    """A run of equal bytes is one literal and a copy from one byte before."""
    points = np.zeros((100, 3), dtype="<f4")
    head = b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 100\nDATA binary_compressed\n"
    packed = shape_seeds.lzf(points.tobytes())
    assert len(packed) < 20
    assert np.array_equal(decode_pcd(head + struct.pack("<II", len(packed), 1200) + packed).points, points)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((4, 16, 3)), "float64 \\(4, 16, 3\\)"),
        (np.zeros((5, 4)), "\\[N, 3\\] or \\[N, 6\\]"),
        (np.zeros((0, 3)), "."),
        (np.zeros((5, 3), dtype=complex), "complex"),
        (np.array([[1, 2, np.nan]]), "1 of 1 points are not finite"),
    ],
)
def test_arrays_of_other_shapes(tmp_path: Path, array: np.ndarray, sentence: str) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", points=array)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match=sentence):
            read_cloud(tmp_path / name)


def test_npy_that_lies_or_holds_objects(tmp_path: Path) -> None:
    handle = io.BytesIO()
    np.lib.format.write_array_header_1_0(handle, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    (tmp_path / "lie.npy").write_bytes(handle.getvalue() + bytes(240))
    np.save(tmp_path / "objects.npy", np.array([[{}, 1, 2]], dtype=object), allow_pickle=True)
    np.save(tmp_path / "long.npy", POINTS)
    with open(tmp_path / "long.npy", "ab") as out:
        out.write(b"more")
    for name in ("lie.npy", "objects.npy", "long.npy"):
        with pytest.raises(InputError, match=name):
            read_cloud(tmp_path / name)


def test_archives_without_points(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=POINTS, b=POINTS)
    with pytest.raises(InputError, match="its arrays are a, b; `points`"):
        read_cloud(tmp_path / "two.npz")
    np.savez(tmp_path / "uneven.npz", points=POINTS, normals=NORMALS[1:])
    with pytest.raises(InputError, match="10 points and 9 normals"):
        read_cloud(tmp_path / "uneven.npz")
    np.savez(tmp_path / "one.npz", anything=POINTS)
    assert np.array_equal(read_cloud(tmp_path / "one.npz").points, POINTS)


@pytest.mark.parametrize("content", [b"", b"hello world", bytes(1000), b"\xff\xd8\xff\xe0 a picture", b"<xml/>"])
@pytest.mark.parametrize("suffix", [".ply", ".xyz", ".glb", ".stl", ".obj", ".npz", ".npy", ".pcd", ".docx"])
def test_files_of_other_kinds(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="other"):
        read_shape(path)


def test_missing_and_oversized_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_cloud(tmp_path / "none.ply")
    with pytest.raises(InputError, match="not a regular file"):
        read_cloud(tmp_path)
    (tmp_path / "big.ply").write_bytes(shape_seeds.cloud_ply())
    monkeypatch.setattr(raw, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="thin it out"):
        read_cloud(tmp_path / "big.ply")


def test_writing_refuses_what_reading_would(tmp_path: Path) -> None:
    for name in ("c.ply", "c.npz", "c.xyz"):
        for points in (np.zeros((0, 3)), np.full((1, 3), np.nan)):
            with pytest.raises(ValueError, match="finite points"):
                write_cloud(tmp_path / name, Cloud(points))
    with pytest.raises(ValueError, match="not `.las`"):
        write_cloud(tmp_path / "c.las", Cloud(POINTS))
    with pytest.raises(ResourceError):
        write_cloud(tmp_path / "missing" / "c.ply", Cloud(POINTS))
    assert not list(tmp_path.iterdir())
