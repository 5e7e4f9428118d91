"""`scigen encode`, `decode` and `interpolate` with untrained networks: units, round trips, edits, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.domains.meshes.latent_file import load_shapes_file
from scigen.io.clouds import read_cloud, write_cloud
from scigen.io.meshes import read_mesh, write_mesh
from scigen.io.npz import read_npz, write_npz
from scigen.io.shape import Cloud, Mesh
from scigen.metrics.mesh import examine
from tests.cli import tiny_points as tiny
from tests.domains.points.solids import ellipsoid
from tests.domains.shapes.bodies import ball, box

FAR = np.array([4.5e5, 120.0, -5.4e6])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    tiny.prior(path)
    write_mesh(path / "ball.ply", Mesh(8 * ball().vertices.astype(np.float64) + FAR, ball().faces))
    write_mesh(path / "box.glb", box())
    points, normals = ellipsoid(300, np.random.default_rng(0))
    write_cloud(path / "cloud.xyz", Cloud(points, normals.astype(np.float32)))
    assert encode(path, path / "box.npz", "box.glb") == 0
    return path


def scigen(*words: object) -> int:
    return run([str(word) for word in words])


def encode(folder: Path, out: Path, *files: str) -> int:
    return scigen(
        "encode", *(folder / f for f in files), "--out", out, "--codec", folder / "codec.safetensors", "--quiet"
    )


def decode(folder: Path, file: Path, out: Path, *options: object) -> int:
    return scigen("decode", file, "--out", out, "--codec", folder / "codec.safetensors", "--resolution", 64, *options)


def test_latents_keep_names_places_and_units(folder: Path, tmp_path: Path) -> None:
    assert encode(folder, tmp_path / "all.npz", "ball.ply", "box.glb", "cloud.xyz") == 0
    shapes = load_shapes_file(tmp_path / "all.npz")
    assert list(shapes.ids) == ["ball", "box", "cloud"] and shapes.latents["pos"].shape == (3, 8, 3)
    assert np.abs(shapes.frames[0].center - FAR).max() < 1e-2 and shapes.frames[0].scale == pytest.approx(8, rel=1e-3)
    assert shapes.latents["pos"].norm(dim=-1).max() < 0.7, "the unit frame"
    alone = load_shapes_file(folder / "box.npz").latents
    assert np.allclose(alone["feat"][0], shapes.latents["feat"][1], atol=1e-4), "a shape does not depend on others"
    assert encode(folder, tmp_path / "twice.npz", "box.glb", "box.glb") == 0
    assert list(load_shapes_file(tmp_path / "twice.npz").ids) == ["box-0", "box-1"]


def test_decoding_goes_back_to_the_place_of_the_file(folder: Path, tmp_path: Path, capsys) -> None:
    assert encode(folder, tmp_path / "ball.npz", "ball.ply") == 0
    assert decode(folder, tmp_path / "ball.npz", tmp_path / "ball.glb") == 0
    assert "1 shapes written" in capsys.readouterr().out
    mesh = read_mesh(tmp_path / "ball.glb")
    a = examine(mesh.vertices, mesh.faces)
    assert a.watertight and a.manifold and np.abs(mesh.vertices - FAR).max() < 16
    assert decode(folder, tmp_path / "ball.npz", tmp_path / "ball.ply", "--points", 500, "--quiet") == 0
    cloud = read_cloud(tmp_path / "ball.ply")
    assert len(cloud) == 500 and cloud.normals is not None and np.abs(cloud.points - FAR).max() < 16
    assert len(np.unique(cloud.points, axis=0)) == 500, "5,400 km away, in double precision"
    assert decode(folder, tmp_path / "ball.npz", tmp_path / "ball.stl") == 2
    assert "float32 in STL" in capsys.readouterr().err


def test_several_shapes_and_edited_ones(folder: Path, tmp_path: Path, capsys) -> None:
    assert encode(folder, tmp_path / "two.npz", "box.glb", "cloud.xyz") == 0
    assert decode(folder, tmp_path / "two.npz", tmp_path / "one.glb") == 2
    assert "holds 2 shapes" in capsys.readouterr().err
    assert decode(folder, tmp_path / "two.npz", tmp_path / "out", "--points", 90, "--quiet") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["box.ply", "cloud.ply"]
    before = read_cloud(tmp_path / "out" / "box.ply").points
    arrays = read_npz(tmp_path / "two.npz")
    write_npz(tmp_path / "two.npz", {**arrays, "pos": arrays["pos"] + np.float32([0.25, 0, 0])})
    assert decode(folder, tmp_path / "two.npz", tmp_path / "out", "--points", 90, "--quiet") == 0
    scale = arrays["scale"][0]
    moved = read_cloud(tmp_path / "out" / "box.ply").points - before
    assert np.allclose(moved, [0.25 * scale, 0, 0], atol=1e-5), "latents that move take their surface along"


def test_a_broken_file_does_not_stop_the_others(folder: Path, tmp_path: Path, capsys) -> None:
    (folder / "broken.ply").write_text("ply\nno")
    assert encode(folder, tmp_path / "x.npz", "broken.ply", "box.glb") == 4
    assert "broken.ply" in capsys.readouterr().err and list(load_shapes_file(tmp_path / "x.npz").ids) == ["box"]
    assert encode(folder, tmp_path / "y.npz", "broken.ply") == 3 and not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"feat": np.zeros((1, 7, 6), np.float32)}, "do not fit together"),
        ({"feat": np.zeros((1, 8, 5), np.float32)}, "has 5 features a latent point, and the codec 6"),
        ({"scale": np.zeros(1)}, "do not fit together"),
        ({"pos": np.full((1, 8, 3), np.nan, np.float32)}, "NaN"),
        ({"ids": np.array(["../../box"])}, "give plain names"),
        ({"codec": np.array("0" * 64)}, "was encoded by another codec"),
        ({"feat": None}, "lacks feat"),
    ],
)
def test_archives_that_do_not_fit(change: dict, words: str, folder: Path, tmp_path: Path, capsys) -> None:
    arrays = {**read_npz(folder / "box.npz"), **change}
    write_npz(tmp_path / "x.npz", {name: array for name, array in arrays.items() if array is not None})
    assert decode(folder, tmp_path / "x.npz", tmp_path / "x.glb") == 3
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1 and not (tmp_path / "x.glb").exists()


def test_the_way_from_one_shape_to_another(folder: Path, tmp_path: Path, capsys) -> None:
    line = ["interpolate", folder / "ball.ply", folder / "box.glb", "--weights", folder / "prior.safetensors"]
    line += ["--resolution", 64, "--steps", 8]
    assert scigen(*line, "--n", 3, "--out", tmp_path, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in document["meshes"]] == [f"between_{k:03}.glb" for k in range(3)]
    assert max(document["returned"]) < 0.5 and document["failed"] == {}
    middles = [read_mesh(tmp_path / row["file"]).vertices.mean(0) for row in document["meshes"]]
    off = [float(np.linalg.norm(m - FAR) / np.linalg.norm(FAR)) for m in middles]
    assert off == pytest.approx([0, 0.5, 1], abs=1e-3), "from the place of the first to that of the last"
    assert (tmp_path / "interpolation.html").is_file() and (tmp_path / "interpolation.png").is_file()
    assert scigen(*line, "--n", 1, "--out", tmp_path / "no") == 2
    assert encode(folder, tmp_path / "two.npz", "box.glb", "cloud.xyz") == 0
    line[1] = tmp_path / "two.npz"
    assert scigen(*line, "--out", tmp_path / "no") == 3 and "holds 2 shapes" in capsys.readouterr().err
