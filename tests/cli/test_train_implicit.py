"""`scigen train meshes/implicit` on a few closed meshes, and meshes decoded by what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.io.meshes import read_mesh, write_mesh
from scigen.io.shape import Mesh
from scigen.metrics.mesh import examine
from scigen.run.encode_solids import encode_solids, solid_sets
from scigen.run.weights import read
from tests.cli import tiny_points as tiny
from tests.domains.shapes.bodies import ball, box, joined

SHAPE = {"feature": 6, "width": 16, "heads": 2, "layers": 1, "neighbours": 4, "hidden": 16}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("solids")
    (root / "meshes" / "train").mkdir(parents=True)
    for k in range(3):
        write_mesh(root / "meshes" / "train" / f"ball-{k}.ply", ball(1 + k, rings=6))
    inverted = box()
    write_mesh(root / "meshes" / "train" / "inside-out.ply", Mesh(inverted.vertices, inverted.faces[:, ::-1]))
    write_mesh(root / "meshes" / "train" / "open.ply", Mesh(box().vertices, box().faces[:-1]))
    # Closed as it is indexed; corners at equal places made one, an edge has four faces.
    write_mesh(root / "meshes" / "train" / "touching.ply", joined(box(), box(center=(1, 1, 0))))
    tiny.prior(root)
    return root


@pytest.fixture(autouse=True)
def _cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(place / "cache"))


def train(place: Path, out: Path, *settings: str) -> int:
    words = [f"network.{key}={value}" for key, value in SHAPE.items()]
    words += [f"codec={place / 'codec.safetensors'}", "places=200", "loss.queries=50", "train.batch=2"]
    words += ["train.warmup=2", "train.minutes=null", "train.steps=2", *settings]
    line = ["train", "meshes/implicit", "--data", str(place / "meshes"), "--out", str(out), "--quiet"]
    return run([*line, *(part for word in words for part in ("-s", word))])


def test_training_leaves_a_decoder_that_goes_with_its_codec(place: Path, tmp_path: Path, capsys) -> None:
    assert train(place, tmp_path / "run") == 0
    assert "1 of 6 training shapes are no closed meshes" in capsys.readouterr().err
    weights = tmp_path / "run" / "weights.safetensors"
    card = json.loads(weights.with_suffix(".json").read_text())
    assert card["domain"] == "meshes-implicit" and card["data"]["shapes"] == 5 and card["codec"]["latents"] == 8

    write_mesh(tmp_path / "mine.glb", box((2, 1, 1), (9, 0, 0)))
    line = ["sample", "meshes", "--weights", place / "prior.safetensors", "--steps", 2, "--n", 1, "--resolution", 64]
    line += ["--out", tmp_path / "out", "--decoder", weights, "--quiet"]
    code = run([str(word) for word in line])
    assert code in (0, 4, 5), "an untrained field may well enclose nothing"
    if code == 0:
        mesh = read_mesh(tmp_path / "out" / "mesh_00000.glb")
        assert examine(mesh.vertices, mesh.faces).watertight
    tiny.codec(tmp_path, "other", seed=9)
    foreign = ["encode", tmp_path / "mine.glb", "--codec", tmp_path / "other.safetensors", "--out", tmp_path / "x.npz"]
    assert run([str(word) for word in foreign]) == 0
    line = ["decode", tmp_path / "x.npz", "--codec", tmp_path / "other.safetensors", "--decoder", weights]
    assert run([str(word) for word in line]) == 3 and "was trained on the codec" in capsys.readouterr().err
    line[-1] = place / "prior.safetensors"
    assert run([str(word) for word in line]) == 3 and "give those of `meshes/implicit`" in capsys.readouterr().err


def test_what_is_learnt_from_is_kept_and_right(place: Path) -> None:
    codec, said = read(str(place / "codec.safetensors")), []
    sets = solid_sets([place / "meshes"], 1)
    x, key = encode_solids(sets, codec, 300, 0, "cpu", said.append)
    again, same = encode_solids(sets, codec, 300, 0, "cpu", said.append)
    assert key == same and len(said) == 1 and all((x[name] == again[name]).all() for name in x.fields)
    assert x["pos"].shape == (5, 8, 3) and x["query"].shape == (5, 300, 3)
    query, distance = x["query"].float().numpy(), x["distance"].float().numpy()
    balls = np.linalg.norm(query[:3], axis=-1) - 0.5
    near = np.abs(balls) < 0.08
    assert np.abs(distance[:3] - balls)[near].max() < 0.05, "in the unit frame, whatever the file's size"
    half = np.abs(query[3]).max(-1) - 0.5 / 3**0.5
    assert ((distance[3] < 0) == (half < 0)).mean() > 0.99, "a mesh that is wound inwards is turned"
    assert 0.1 < (distance[4] < 0).mean() < 0.6, "two boxes that touch along an edge have an inside"


@pytest.mark.parametrize(
    ("setting", "code", "words"),
    [
        ("network.feature=7", 3, "set `-s network.feature=6`"),
        ("network.layer=7", 2, "did you mean 'layers'?"),
        ("codec=molecules-qm9", 3, "not a codec"),
        ("train.batch=9", 3, "5 shapes do not fill one batch of 9"),
    ],
)
def test_wrong_requests(setting: str, code: int, words: str, place: Path, tmp_path: Path, capsys) -> None:
    assert train(place, tmp_path / "out", setting) == code
    assert words in capsys.readouterr().err


def test_presets_and_library_agree() -> None:
    from scigen.domains.meshes.implicit_task import ImplicitLoss
    from scigen.nn.implicit import ImplicitShape
    from scigen.run import schema
    from scigen.run.config import load_config

    assert schema.ImplicitShapeConfig().model_dump() == vars(ImplicitShape())
    assert schema.ImplicitLossConfig().model_dump() == vars(ImplicitLoss())
    preset = load_config("meshes/implicit")
    assert preset.network == schema.ImplicitShapeConfig() and preset.loss == schema.ImplicitLossConfig()
    codec = read("points-codec").card["network"]
    assert preset.network.width == codec["width"] and preset.network.layers == codec["decoder_layers"]
