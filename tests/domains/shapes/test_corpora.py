"""Every packed corpus, from arrays made here: ids, splits, categories, places and copies; and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scigen.domains.shapes.corpora.adrenal import load_adrenal
from scigen.domains.shapes.corpora.corpus import Entry, corpus_of, turn_z_up
from scigen.domains.shapes.corpora.modelnet import (
    load_modelnet10,
    load_modelnet40_airplane,
    thin_out,
)  # fmt: skip
from scigen.domains.shapes.corpora.objects import load_random_objects
from scigen.domains.shapes.corpora.shapenet import load_shapenet
from scigen.domains.shapes.corpora.synsets import SYNSETS, synset_name
from scigen.domains.shapes.identity import hash_split
from scigen.errors import InputError
from scigen.io.npz import write_npz
from scigen.io.shape import Cloud, Mesh
from tests.domains.shapes.bodies import ball, box, categories, splits, tall, volume


def test_shapenet_follows_the_list_and_drops_test_shapes_of_train(tmp_path: Path) -> None:
    heights = [10, 12, 10, 14, 12, 16, 10]
    arrays = {
        "vox_packed": np.stack([np.packbits(tall(32, h)) for h in heights]),
        "synset": np.array(["03001627"] * 6 + ["02691156"]),
        "id": np.array(list("abcdefa")),
        "translate": np.tile(np.float32([-0.5, 2.0, 0.25]), (7, 1)),
        "scale": np.full(7, 0.64, np.float32),
    }
    lists = {key: arrays[key] for key in ("synset", "id")}
    lists["pcn"] = np.array(["train", "val", "test", "test", "test", "", "train"])
    lists["shapenet55"] = np.array(["", "", "", "", "", "train", "test"])
    write_npz(tmp_path / "shapenet_vox32_all13.npz", arrays)
    write_npz(tmp_path / "shapenet_vox32_splits.npz", lists)
    corpus = load_shapenet(tmp_path)
    chairs = {"03001627/a": "train", "03001627/d": "test", "03001627/e": "test", "02691156/a": "train"}
    assert splits(corpus) == chairs, "c is a copy of train's a, and b of e, which is test"
    assert corpus.dropped == {"test/chair": 1, "val/chair": 1} and corpus.published
    assert corpus.categories == ("airplane", "chair") and "non-commercial" in corpus.licence
    mesh = corpus.source(corpus.ids.tolist().index("03001627/d"))
    middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    np.testing.assert_allclose(middle, np.array([-0.5, 2.0, 0.25]) + 0.64 / 32 * np.array([5.5, 8.0, 10.5]), atol=1e-5)
    unit = corpus.mesh(1)
    assert volume(unit) > 0 and np.ptp(unit.vertices, axis=0).argmax() == 1
    assert np.linalg.norm(unit.vertices, axis=1).max() == pytest.approx(0.5, abs=1e-5)
    assert splits(load_shapenet(tmp_path, "shapenet55")) == {"03001627/f": "train", "02691156/a": "test"}
    write_npz(tmp_path / "shapenet_vox32_splits.npz", lists | {"id": lists["id"][::-1]})
    with pytest.raises(InputError, match="different shapes"):
        load_shapenet(tmp_path / "shapenet_vox32_all13.npz")
    with pytest.raises(InputError, match="no array `deepsdf`"):
        load_shapenet(tmp_path, "deepsdf")


def test_adrenal_glands_are_solids_of_64(tmp_path: Path) -> None:
    arrays = {
        "vox_packed": np.stack([np.packbits(tall(64, h)) for h in (20, 30, 20)]),
        "split": np.array(["train", "val", "test"]),
        "label": np.array([1, 0, 0]),
    }
    write_npz(tmp_path / "adrenal_vox64.npz", arrays)
    corpus = load_adrenal(tmp_path)
    assert splits(corpus) == {"0000": "train", "0001": "val"} and corpus.dropped == {"test/normal": 1}
    assert categories(corpus) == {"0000": "hyperplasia", "0001": "normal"} and "CC BY" in corpus.licence
    assert np.ptp(corpus.source(1).vertices, axis=0)[1] == pytest.approx(30, abs=0.6)
    write_npz(tmp_path / "adrenal_vox64.npz", arrays | {"label": np.array([1, 0, 2])})
    with pytest.raises(InputError, match="labels 0 or 1"):
        load_adrenal(tmp_path)


def test_modelnet10_is_turned_thinned_and_scaled_back(tmp_path: Path, numpy_rng: np.random.Generator) -> None:
    points = numpy_rng.uniform(-0.5, 0.5, (2, 200, 3))
    points[:, 100:] = points[:, :100] + 1e-3  # the second face of every sheet
    points[0, 0] = [0.1, 0.2, 0.9]
    arrays = {
        "points": points.astype(np.float16),
        "label": np.array(["chair", "bed"]),
        "split": np.array(["test", "train"]),
        "id": np.array(["chair_0001", "bed_0001"]),
        "center": np.array([[10, 20, 30], [0, 0, 0]], np.float32),
        "radius": np.array([50, 2], np.float32),
    }
    write_npz(tmp_path / "modelnet10_points1024.npz", arrays)
    corpus = load_modelnet10(tmp_path)
    assert splits(corpus) == {"chair_0001": "test", "bed_0001": "train"} and corpus.mesh(0) is None
    cloud = corpus.source(0)
    assert 90 < len(cloud) <= 101
    np.testing.assert_allclose(cloud.points[0], [10 + 5, 30 + 45, -(20 + 10)], atol=0.05)
    assert splits(corpus)["chair_0001"] == "test" and corpus.cloud(0, 30, numpy_rng).points.shape == (30, 3)


def test_thinning_leaves_no_close_pair_and_no_gap(numpy_rng: np.random.Generator) -> None:
    points = numpy_rng.random((400, 3))
    kept = thin_out(points, 0.12)
    apart = np.linalg.norm(kept[:, None] - kept[None], axis=2) + 9 * np.eye(len(kept))
    assert apart.min() > 0.12 and np.array_equal(kept[0], points[0])
    assert np.linalg.norm(points[:, None] - kept[None], axis=2).min(1).max() <= 0.12


def test_modelnet40_airplanes_have_normals(tmp_path: Path, numpy_rng: np.random.Generator) -> None:
    normals = np.tile(np.int8([0, 90, 90]), (3, 64, 1))
    arrays = {
        "points": numpy_rng.normal(size=(3, 64, 3)).astype(np.float16),
        "normals_i8": normals,
        "label": np.array(["airplane", "bathtub", "airplane"]),
        "split": np.array(["train", "test", "test"]),
        "id": np.array(["airplane_0001", "bathtub_0001", "airplane_0627"]),
    }
    write_npz(tmp_path / "a.npz", arrays)
    corpus = load_modelnet40_airplane(tmp_path / "a.npz")
    assert splits(corpus) == {"airplane_0001": "train", "airplane_0627": "test"}
    assert corpus.categories == ("airplane",)
    np.testing.assert_allclose(corpus.source(1).points, arrays["points"][2].astype(np.float32))
    np.testing.assert_allclose(corpus.source(1).normals, np.tile([0, 0.5**0.5, 0.5**0.5], (64, 1)), atol=1e-6)


def test_random_objects_are_cut_at_their_offsets(tmp_path: Path) -> None:
    bodies = [box((1, 2, 3)), ball(2.0, rings=6), box((1, 2, 3))]
    arrays = {
        "vertices": np.concatenate([m.vertices for m in bodies]),
        "faces": np.concatenate([m.faces for m in bodies]),
        "vertex_start": np.cumsum([0, *(len(m.vertices) for m in bodies)]),
        "face_start": np.cumsum([0, *(len(m.faces) for m in bodies)]),
        "id": np.array(["000", "001", "002"]),
        "watertight": np.array([True, False, True]),
    }
    write_npz(tmp_path / "random_objects_meshes.npz", arrays)
    corpus = load_random_objects(tmp_path)
    assert len(corpus) == 2 and sum(corpus.dropped.values()) == 1, "the same box twice is one"
    round_one = corpus.ids.tolist().index("001")
    assert np.array_equal(corpus.source(round_one).vertices, bodies[1].vertices)
    assert np.array_equal(corpus.source(round_one).faces, bodies[1].faces)
    assert corpus.split.tolist() == hash_split(corpus.ids).tolist() and categories(corpus)["001"] == "open"
    for name, wrong in (("face_start", arrays["face_start"][:-1]), ("vertex_start", arrays["vertex_start"] + 1)):
        write_npz(tmp_path / "b.npz", arrays | {name: wrong})
        with pytest.raises(InputError, match="do not fit"):
            load_random_objects(tmp_path / "b.npz")


def test_turning_z_up_is_a_rotation() -> None:
    basis = turn_z_up(Cloud(np.eye(3), np.eye(3)))
    assert np.linalg.det(basis.points) == pytest.approx(1) and basis.points[2].tolist() == [0, 1, 0]
    assert np.array_equal(basis.points, basis.normals) and volume(turn_z_up(box())) == pytest.approx(volume(box()))


def test_lists_are_checked() -> None:
    def source(k: int) -> Mesh:
        return box()

    with pytest.raises(InputError, match="the id 'a' more than once"):
        corpus_of("x", "", [Entry("a", "c"), Entry("a", "c")], source)
    with pytest.raises(InputError, match="the split 'dev'"):
        corpus_of("x", "", [Entry("a", "c", "dev")], source)
    assert len(SYNSETS) == 55 and synset_name("03001627") == "chair" and synset_name("12345678") == "12345678"


@pytest.mark.parametrize(
    "load, name",
    [(load_shapenet, "shapenet_vox32_all13.npz"), (load_adrenal, "adrenal_vox64.npz"),
     (load_modelnet10, "modelnet10_points1024.npz"), (load_random_objects, "random_objects_meshes.npz")],
)  # fmt: skip
def test_sources_that_are_something_else(load, name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path)
    write_npz(tmp_path / name, {"points": np.zeros(3)})
    with pytest.raises(InputError, match="no array"):
        load(tmp_path)
