"""Reading anybody's shapes: what a draw depends on, and what the reference's fingerprint sees."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.points.collect import collect, fingerprint
from scigen.domains.points.floors import chamfer_floor, emd_floor
from scigen.domains.points.pairs import pair_up
from scigen.errors import InputError
from scigen.io.clouds import write_cloud
from scigen.io.meshes import write_mesh
from scigen.io.npz import write_npz
from scigen.io.shape import Cloud, Mesh
from scigen.metrics.chamfer import indexed

SQUARE = Mesh(
    np.array([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]], np.float32), np.array([[0, 1, 2], [0, 2, 3]], np.int32)
)


@pytest.fixture
def folder(tmp_path, numpy_rng):
    path = tmp_path / "shapes"
    path.mkdir()
    write_mesh(path / "square.obj", SQUARE)
    write_cloud(path / "cloud.ply", Cloud(numpy_rng.random((300, 3)).astype(np.float32)))
    return path


def test_a_draw_depends_on_seed_name_and_role_alone(folder, numpy_rng):
    first = collect(folder, 200, 0, 0)
    assert [item.id for item in first.items] == ["cloud", "square"] and [len(i.points) for i in first.items] == [
        200
    ] * 2
    write_cloud(folder / "another.ply", Cloud(numpy_rng.random((250, 3)).astype(np.float32)))
    again = {item.id: item.points for item in collect(folder, 200, 0, 0).items}
    for item in first.items:
        assert np.array_equal(again[item.id], item.points)
    for role, seed in ((1, 0), (0, 1)):
        other = {item.id: item.points for item in collect(folder, 200, role, seed).items}
        assert not any(np.array_equal(other[item.id], item.points) for item in first.items)


def test_the_fingerprint_sees_points_and_names(folder):
    items = collect(folder, 200, 1, 0).items
    assert fingerprint(items) == fingerprint(collect(folder, 200, 1, 0).items)
    assert len({fingerprint(x) for x in (items, items[:1], items[::-1], collect(folder, 200, 1, 1).items)}) == 4


def test_smaller_clouds_stay_where_size_is_free(folder):
    assert [len(item.points) for item in collect(folder, 1000, 2, 0, exact=False).items] == [300, 1000]
    strict = collect(folder, 1000, 1, 0)
    assert [item.id for item in strict.items] == ["square"] and strict.records == 2
    assert strict.errors[0]["record"] == "cloud" and "300 points and 1000" in strict.errors[0]["reason"]


def test_two_files_of_one_name_are_both_left_out(folder):
    write_mesh(folder / "square.ply", SQUARE)
    found = collect(folder, 100, 0, 0)
    assert [item.id for item in found.items] == ["cloud"] and len(found.errors) == 2


def test_the_floor_of_a_mesh_is_its_areas_and_of_a_cloud_its_own(folder):
    cloud, square = collect(folder, 250, 1, 0).items
    assert square.area == pytest.approx(4.0) and cloud.area is None
    scale = 2.0  # the square has area 1 in a frame where two units are one
    assert chamfer_floor(square, indexed(square.points / scale), scale)["chamfer_l1"] == pytest.approx(0.5 / 250**0.5)
    own = chamfer_floor(cloud, indexed(cloud.points), 1.0)
    table = np.linalg.norm(cloud.points[:, None] - cloud.points, axis=-1) + 9 * np.eye(250)
    assert own["chamfer_l1"] == pytest.approx(table.min(1).mean())


def test_the_floor_of_transport_needs_twice_its_points(numpy_rng):
    points = numpy_rng.random((64, 3))
    assert emd_floor(points, 33, numpy_rng) is None and 0 < emd_floor(points, 32, numpy_rng) < 1


def test_completions_find_their_reference_by_the_longest_name(tmp_path, numpy_rng):
    def archive(name, ids):
        write_npz(tmp_path / name, {"points": numpy_rng.random((len(ids), 20, 3)), "ids": np.array(ids)})
        return collect(tmp_path / name, 20, 0, 0)

    ref = archive("ref.npz", ["a", "a_1"])
    pairs, errors = pair_up(archive("gen.npz", ["a_0", "a_1", "a_1_0", "a_2", "a_x"]), ref, None)
    assert {p.reference.id: [c.id for c in p.completions] for p in pairs} == {
        "a": ["a_0", "a_2"],
        "a_1": ["a_1", "a_1_0"],
    }
    assert [error["record"] for error in errors] == ["a_x"]
    with pytest.raises(InputError, match="share no name"):
        pair_up(archive("gen.npz", ["b", "c"]), ref, None)
