"""`scigen sample meshes` with untrained networks: closed meshes, formats, reproducibility, variations, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.errors import NumericError
from scigen.io.meshes import read_mesh, write_mesh
from scigen.io.shape import Mesh
from scigen.metrics.mesh import examine
from tests.cli import tiny_points as tiny
from tests.domains.shapes.bodies import ball, box


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights")
    tiny.prior(path)
    tiny.raw(path)
    return path


def sample(folder: Path, out: Path, *options: object) -> int:
    line = ["sample", "meshes", "--weights", folder / "prior.safetensors", "--out", out, "--steps", 3]
    return run([str(part) for part in [*line, "--resolution", 64, *options]])


def mesh(out: Path, index: int) -> Mesh:
    return read_mesh(out / f"mesh_{index:05}.glb")


def told(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())


def test_a_run_and_what_it_leaves(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(folder, tmp_path, "--n", 2, "--seed", 7, "--category", "table") == 0
    out, err = capsys.readouterr()
    assert "2 meshes in" in out and "of one piece" in out and "meshes.html" in out and err == ""
    facts = told(tmp_path)
    for k, row in enumerate(facts["meshes"]):
        found = mesh(tmp_path, k)
        a = examine(found.vertices, found.faces)
        assert a.watertight and a.oriented and a.manifold and a.solid and a.volume > 0
        assert (row["file"], row["faces"]) == (f"mesh_{k:05}.glb", a.faces) and a.components == 1
        assert (row["dropped"] == 0) == (row["pieces"] == 1 + row["joined"])
    assert facts["one_piece"] == np.mean([row["pieces"] == 1 for row in facts["meshes"]])
    assert facts["codec"]["file"] == "codec.safetensors" and facts["indices"] == [0, 1]
    assert (tmp_path / "meshes.png").read_bytes().startswith(b"\x89PNG")
    assert "2 table, seed 7" in (tmp_path / "meshes.html").read_text()
    assert (tmp_path / "errors.jsonl").read_text() == ""


def test_formats_hold_the_same_mesh_and_clear_one_another(folder: Path, tmp_path: Path) -> None:
    found = {}
    for suffix in ("ply", "stl"):
        assert sample(folder, tmp_path, "--index", 4, "--format", suffix, "--quiet") == 0
        assert [path.name for path in tmp_path.glob("mesh_*")] == [f"mesh_00004.{suffix}"]
        found[suffix] = read_mesh(tmp_path / f"mesh_00004.{suffix}")
    one, other = found.values()
    assert np.abs(other.vertices[other.faces] - one.vertices[one.faces]).max() < 1e-6


def test_a_sample_depends_on_its_seed_and_number_alone(folder: Path, tmp_path: Path) -> None:
    assert sample(folder, tmp_path / "all", "--n", 3, "--seed", 3, "--batch-size", 2, "--quiet") == 0
    assert sample(folder, tmp_path / "one", "--index", 2, "--seed", 3, "--quiet") == 0
    assert sample(folder, tmp_path / "other", "--index", 2, "--seed", 4, "--quiet") == 0
    one, same, other = (mesh(tmp_path / name, 2) for name in ("one", "all", "other"))
    assert (
        abs(len(one.faces) - len(same.faces)) < 20 and np.abs(one.vertices.mean(0) - same.vertices.mean(0)).max() < 1e-3
    )
    assert len(other.faces) != len(one.faces)
    assert [row["file"] for row in told(tmp_path / "one")["meshes"]] == ["mesh_00002.glb"]


def test_samples_without_a_surface_are_named(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    from scigen.domains.meshes import decode

    made, real = [], decode.surface_of

    def second_encloses_nothing(*args, **how):
        made.append(1)
        if len(made) == 2:
            raise NumericError("the points enclose nothing")
        return real(*args, **how)

    monkeypatch.setattr(decode, "surface_of", second_encloses_nothing)
    assert sample(folder, tmp_path, "--n", 3, "--json") == 4
    out, err = capsys.readouterr()
    assert json.loads(out)["indices"] == [0, 2] and err == "sample 1: the points enclose nothing\n"
    assert json.loads((tmp_path / "errors.jsonl").read_text())["index"] == 1
    assert sorted(path.name for path in tmp_path.glob("*.glb")) == ["mesh_00000.glb", "mesh_00002.glb"]


def test_variations_stand_in_the_place_of_their_original(folder: Path, tmp_path: Path) -> None:
    far = np.array([4000.0, -200.0, 70.0])
    write_mesh(tmp_path / "mine.glb", Mesh(30 * ball().vertices.astype(np.float64) + far, ball().faces))
    made = {}
    for strength in (0.05, 0.9):
        out = tmp_path / str(strength)
        assert sample(folder, out, "--like", tmp_path / "mine.glb", "--strength", strength, "--n", 1, "--quiet") == 0
        made[strength] = mesh(out, 0).vertices
        assert told(out)["config"]["like"]["strength"] == strength
    assert np.abs(made[0.05].mean(0) - far).max() < 15 and np.ptp(made[0.05], 0).max() > 10
    assert np.abs(made[0.05].mean(0) - made[0.9].mean(0)).max() > 0.05, "more noise, another shape"


def test_wrong_requests(folder: Path, tmp_path: Path, capsys) -> None:
    write_mesh(tmp_path / "box.stl", box())
    like = ("--like", tmp_path / "box.stl")
    cases = [
        (("--format", "gbl"), 2, "did you mean 'glb'?"),
        (("--resolution", 100), 2, "choose 64, 96 or 128"),
        (("--strength", 0.3), 2, "give --like"),
        (("--keep-latents", "1"), 2, "give --like"),
        ((*like, "--strength", 1.5), 2, "above 0, up to 1"),
        ((*like, "--keep-latents", "7-9"), 2, "the latent points are 0 to 7"),
        ((*like, "--keep-latents", "y>9"), 2, "no latent point lies there"),
        ((*like, "--keep-latents", "top"), 2, "a side (y>0.1)"),
        (("--like", tmp_path / "none.stl"), 3, "none.stl"),
        (("--category", "chiar"), 2, "did you mean 'chair'?"),
        (("--weights", folder / "raw.safetensors"), 3, "points without normals"),
    ]  # fmt: skip
    for options, code, words in cases:
        assert sample(folder, tmp_path / "out", *options) == code, options
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1 and not (tmp_path / "out").exists(), err
