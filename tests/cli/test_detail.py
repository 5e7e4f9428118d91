"""`scigen train meshes/detail` on a few closed meshes, and `scigen sample meshes --from-coarse` by what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.io.meshes import read_mesh, write_mesh
from scigen.metrics.mesh import examine
from scigen.run.config import load_config
from scigen.run.encode_coarse import encode_coarse
from scigen.run.encode_solids import solid_sets
from scigen.run.weights import read
from tests.cli import tiny_points as tiny
from tests.domains.shapes.bodies import ball, box


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("detail")
    (root / "meshes" / "train").mkdir(parents=True)
    for k in range(3):
        write_mesh(root / "meshes" / "train" / f"ball-{k}.ply", ball(1 + k, rings=6))
        write_mesh(root / "meshes" / "train" / f"box-{k}.ply", box((1, 2, 3 + k)))
    tiny.prior(root)
    return root


@pytest.fixture(autouse=True)
def _cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(place / "cache"))


@pytest.fixture(scope="module")
def weights(place: Path) -> Path:
    words = [f"network.{key}={value}" for key, value in {**tiny.LATENT, "categories": 0}.items()]
    words += [f"codec={place / 'codec.safetensors'}", "versions=2", "train.batch=4", "train.warmup=2"]
    words += ["train.minutes=null", "train.steps=3"]
    line = ["train", "meshes/detail", "--data", str(place / "meshes"), "--out", str(place / "run"), "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCIGEN_CACHE", str(place / "cache"))
        assert run([*line, *(part for word in words for part in ("-s", word))]) == 0
    return place / "run" / "weights.safetensors"


def sample(*words: object) -> int:
    return run([str(word) for word in ("sample", "meshes", *words)])


@pytest.mark.parametrize("solver", ["dpmpp2m", "ancestral"])
def test_detailed_meshes_stand_in_the_place_of_the_coarse_one(
    solver: str, weights: Path, place: Path, tmp_path: Path
) -> None:
    write_mesh(tmp_path / "coarse.glb", box((2, 1, 1), (90, 0, 0)))
    how = ["--from-coarse", tmp_path / "coarse.glb", "--weights", weights, "--solver", solver, "--steps", 3, "--quiet"]
    how += ["--resolution", 64]
    assert sample(*how, "--n", 2, "--seed", 5, "--out", tmp_path / "out") in (0, 4)
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    assert facts["config"]["from_coarse"] == "coarse.glb" and facts["config"]["solver"] == solver
    for row in facts["meshes"]:
        mesh = read_mesh(tmp_path / "out" / row["file"])
        a = examine(mesh.vertices, mesh.faces)
        assert a.watertight and a.components == 1
        assert np.linalg.norm(mesh.vertices.mean(0) - (90, 0, 0)) < 10
    last = facts["indices"][-1]
    assert sample(*how, "--index", last, "--seed", 5, "--out", tmp_path / "one") == 0
    one, same = (read_mesh(tmp_path / out / f"mesh_{last:05}.glb") for out in ("one", "out"))
    assert abs(len(one.faces) - len(same.faces)) < 20, "a draw does not depend on the others"


def test_the_card_tells_what_it_bridges(weights: Path) -> None:
    card = read(str(weights)).card
    assert card["domain"] == "meshes-detail" and card["data"]["shapes"] == 12
    assert set(card["spread"]) == {"pos", "feat"} and card["codec"]["latents"] == 8


def test_pairs_are_kept_and_stand_in_the_frame_of_the_coarse_mesh(place: Path) -> None:
    codec, said = read(str(place / "codec.safetensors")), []
    sets = solid_sets([place / "meshes"], 1)
    x, key = encode_coarse(sets, codec, 2, 0, "cpu", said.append)
    again, same = encode_coarse(sets, codec, 2, 0, "cpu", said.append)
    assert key == same and not said and all((x[name] == again[name]).all() for name in x.fields)
    assert x["given"].shape == (12, 8, 9) and x["pos"].shape == (12, 8, 3)
    assert 0.3 < float(x["pos"].norm(dim=-1).max()) < 0.65, "about the size of the coarse mesh"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ([], 2, "none ship; give --weights"),
        (["--weights", "{prior}"], 3, "give those of `meshes/detail`"),
        (["--weights", "{run}", "--solver", "heun"], 2, "by dpmpp2m (ODE) or ancestral (SDE)"),
        (["--weights", "{run}", "--category", "chair"], 2, "leave out --like and --category"),
        (["--weights", "{run}", "--like", "{mesh}"], 2, "leave out --like and --category"),
    ],
)
def test_wrong_requests(words, code: int, told: str, weights: Path, place: Path, tmp_path: Path, capsys) -> None:
    write_mesh(tmp_path / "a.glb", box())
    names = {"prior": place / "prior.safetensors", "run": weights, "mesh": tmp_path / "a.glb"}
    line = [word.format(**names) for word in words]
    assert sample("--from-coarse", tmp_path / "a.glb", *line, "--out", tmp_path / "out") == code
    assert told in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_preset_and_the_schema_agree() -> None:
    preset = load_config("meshes/detail")
    assert preset.network.features == read("points-codec").card["network"]["feature"]
    assert preset.versions == type(preset).model_fields["versions"].default
