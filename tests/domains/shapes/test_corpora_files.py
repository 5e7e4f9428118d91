"""Every layout of folders, from files made here: ids, splits, categories and places; and files that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scigen.domains.shapes.corpora.binvox import read_binvox
from scigen.domains.shapes.corpora.files import load_folder, load_pc15k, load_pcn, load_r2n2, partial_clouds
from scigen.domains.shapes.corpora.modelnet import (
    load_modelnet40,
)  # fmt: skip
from scigen.domains.shapes.corpora.off import read_off
from scigen.domains.shapes.identity import hash_split
from scigen.domains.shapes.sets import SPLITS
from scigen.errors import InputError
from scigen.io.clouds import write_cloud
from scigen.io.meshes import write_mesh
from scigen.io.shape import Cloud, Mesh
from tests.domains.shapes.bodies import ball, box, categories, splits, tall


def pcd(path: Path, points: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH {len(points)}\nHEIGHT 1\n"
    rows = "\n".join(" ".join(f"{x:.6f}" for x in row) for row in points)
    path.write_text(f"# .PCD v.7\n{head}VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA ascii\n{rows}\n")


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    for name in ("chairs/train", "chairs/test", "lamps", ".hidden"):
        (source / name).mkdir(parents=True)
    write_mesh(source / "chairs/train/a.stl", box())
    write_mesh(source / "chairs/test/b.glb", ball(rings=6))
    write_cloud(source / "lamps/c.ply", Cloud(np.random.default_rng(0).normal(size=(40, 3))))
    np.save(source / "d.npy", np.random.default_rng(1).normal(size=(30, 3)))
    (source / "lamps/notes.md").write_text("none")
    write_mesh(source / ".hidden/e.stl", box())
    corpus = load_folder(source)
    assert categories(corpus) == {
        "chairs/train/a.stl": "chairs", "chairs/test/b.glb": "chairs", "lamps/c.ply": "lamps", "d.npy": "mine",
    }  # fmt: skip
    assert splits(corpus)["chairs/train/a.stl"] == "train" and splits(corpus)["chairs/test/b.glb"] == "test"
    assert SPLITS.index(splits(corpus)["d.npy"]) == hash_split(["d.npy"])[0] and not corpus.published
    kinds = [type(corpus.source(k)) for k in range(4)]
    assert kinds == [Mesh, Mesh, Cloud, Cloud] and corpus.name == "mine"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="No shapes for 'empty'"):
        load_folder(tmp_path / "empty")


def test_pc15k_follows_pointflow(tmp_path: Path, numpy_rng: np.random.Generator) -> None:
    for split, model in (("train", "m1"), ("val", "m2"), ("test", "m3"), ("other", "m4")):
        folder = tmp_path / "03001627" / split
        folder.mkdir(parents=True)
        np.save(folder / f"{model}.npy", numpy_rng.normal(size=(60, 3)).astype(np.float32))
    corpus = load_pc15k(tmp_path)
    assert splits(corpus) == {f"03001627/m{k + 1}": split for k, split in enumerate(SPLITS)}
    assert corpus.categories == ("chair",) and len(corpus.source(0)) == 60 and corpus.published


def test_pcn_and_its_partial_views(tmp_path: Path, numpy_rng: np.random.Generator) -> None:
    whole = numpy_rng.normal(size=(200, 3)) * 0.1 + 3
    pcd(tmp_path / "test/complete/02958343/car1.pcd", whole)
    pcd(tmp_path / "train/complete/02958343/car0.pcd", whole[:150])
    for view in range(3):
        pcd(tmp_path / f"train/partial/02958343/car0/{view:02d}.pcd", whole[view : 50 + view])
    pcd(tmp_path / "test/partial/02958343/car1.pcd", whole[:80])
    corpus = load_pcn(tmp_path)
    assert splits(corpus) == {"02958343/car1": "test", "02958343/car0": "train"} and corpus.categories == ("car",)
    views = partial_clouds(tmp_path, "02958343/car0", "train")
    complete, _ = corpus.unit(corpus.ids.tolist().index("02958343/car0"))
    assert len(views) == 3
    np.testing.assert_allclose(views[2].points, complete.points[2:52], atol=1e-5)
    assert len(partial_clouds(tmp_path, "02958343/car1", "test")[0]) == 80
    with pytest.raises(InputError, match="No partial clouds"):
        partial_clouds(tmp_path, "02958343/car9", "test")


def write_binvox(path: Path, voxels: np.ndarray, head: str = "translate -1 0 2\nscale 0.5\n") -> None:
    """Runs of at most 255 over y fastest, then z, then x."""
    flat = voxels.transpose(0, 2, 1).ravel().astype(np.uint8)
    start = np.flatnonzero(np.diff(flat, prepend=255))
    runs = []
    for a, b in zip(start, [*start[1:], len(flat)]):
        runs += [byte for k in range(0, b - a, 255) for byte in (flat[a], min(255, b - a - k))]
    path.parent.mkdir(parents=True, exist_ok=True)
    size = " ".join(map(str, voxels.shape))
    path.write_bytes(f"#binvox 1\ndim {size}\n{head}data\n".encode() + bytes(runs))


def test_r2n2_voxels_are_read_and_placed(tmp_path: Path, numpy_rng: np.random.Generator) -> None:
    path = tmp_path / "02691156" / "plane" / "model.binvox"
    for voxels in (tall(16, 9), numpy_rng.random((16, 16, 16)) < 0.3):
        write_binvox(path, voxels)
        again, translate, scale = read_binvox(path)
        assert np.array_equal(again, voxels) and translate.tolist() == [-1, 0, 2] and scale == 0.5
    write_binvox(path, tall(16, 9))
    corpus = load_r2n2(tmp_path)
    assert categories(corpus) == {"02691156/plane": "airplane"} and not corpus.published
    mesh = corpus.source(0)
    middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    np.testing.assert_allclose(middle, np.array([-1, 0, 2]) + 0.5 / 16 * np.array([5.5, 5.5, 10.5]), atol=1e-5)


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"#binvox 2\ndim 2 2 2\ndata\n\x01\x08", "not a binvox"),
        (b"#binvox 1\ndim 2 2 2\n", "not a binvox"),
        (b"#binvox 1\ndim 2 2\ndata\n\x01\x04", "a cube"),
        (b"#binvox 1\ndim 2 2 4\ndata\n\x01\x10", "a cube"),
        (b"#binvox 1\ndim x 2 2\ndata\n\x01\x08", "header"),
        (b"#binvox 1\ndim 5000 5000 5000\ndata\n\x01\x08", "a cube"),
        (b"#binvox 1\ntranslate 0 0 0\ndata\n\x01\x08", "header"),
        (b"#binvox 1\ndim 2 2 2\nscale nan\ndata\n\x01\x08", "place nothing"),
        (b"#binvox 1\ndim 2 2 2\ndata\n\x01\x07", "do not fill"),
        (b"#binvox 1\ndim 2 2 2\ndata\n\x02\x08", "do not fill"),
        (b"#binvox 1\ndim 2 2 2\ndata\n\x01\x08\x00", "do not fill"),
    ],
)
def test_broken_binvox_files_are_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "model.binvox").write_bytes(data)
    with pytest.raises(InputError, match=reason):
        read_binvox(tmp_path / "model.binvox")


OFF = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 2\n4 0 1 2 3\n3 0 1 4 255 0 0\n"


@pytest.mark.parametrize("head", ["OFF\n5 2 0\n", "OFF5 2 0\n", "OFF # mark\n\n# counts\n5 2 0\n"])
def test_off_meshes_of_modelnet40(tmp_path: Path, head: str) -> None:
    for name in ("chair/train/chair_0001.off", "chair/test/chair_0002.off", "chair/extra/chair_0003.off"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(head + OFF)
    mesh = read_off(tmp_path / "chair/train/chair_0001.off")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 4]] and mesh.vertices[4].tolist() == [0, 0, 2]
    corpus = load_modelnet40(tmp_path)
    assert (
        splits(corpus) == {"chair_0001": "train", "chair_0002": "test"} and categories(corpus)["chair_0001"] == "chair"
    )
    assert corpus.source(0).vertices[4].tolist() == [0, 2, 0], "z is up there, y here"


@pytest.mark.parametrize(
    "text",
    ["PLY\n", "OFF\n", "OFF\n5 2\n" + OFF[:20], "OFF\n5 2 0\n" + OFF.replace("3 0 1 4 255", "3 0 1 9 255"),
     "OFF\n5 2 0\n" + OFF.replace("1 1 0", "1 x 0"), "OFF\n5 2 0\n" + OFF.replace("4 0 1 2 3", "9 0 1 2 3"),
     "OFF\n5 2 0\n" + OFF.replace("1 1 0", "1 nan 0"), "OFF\n-5 2 0\n" + OFF, "OFF\n5 0 0\n" + OFF],
)  # fmt: skip
def test_broken_off_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.off").write_text(text)
    with pytest.raises(InputError, match="OFF file"):
        read_off(tmp_path / "a.off")
