"""`scigen sample points` with untrained networks: files, reproducibility, every process, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scigen.cli.app import run
from scigen.cli.drawing import PROCESSES, SOLVERS
from scigen.domains.points.collect import collect
from scigen.domains.points.sampler import Plan
from scigen.io.clouds import read_cloud
from scigen.io.npz import read_npz
from scigen.run.build import affine_process, named_solver
from scigen.run.draw import Request, load_model
from scigen.run.sample_points import sample_points
from scigen.run.weights import read
from tests.cli import tiny_points as tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights")
    tiny.prior(path)
    tiny.raw(path)
    return path


def sample(weights: Path, out: Path, *options: object) -> int:
    line = ["sample", "points", "--weights", weights, "--out", out, "--steps", 3, "--points", 100, *options]
    return run([str(part) for part in line])


def cloud(out: Path, index: int) -> np.ndarray:
    return read_cloud(out / f"cloud_{index:05}.ply").points


def test_a_run_and_what_it_leaves(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(folder / "prior.safetensors", tmp_path, "--n", 5, "--seed", 7, "--category", "table") == 0
    out, err = capsys.readouterr()
    assert "5 clouds of 100 points" in out and "scigen score points" in out and err == ""
    for k in range(5):
        found = read_cloud(tmp_path / f"cloud_{k:05}.ply")
        assert found.points.shape == (100, 3) and np.isfinite(found.points).all()
        assert np.allclose(np.linalg.norm(found.normals, axis=1), 1, atol=1e-5)
    assert (tmp_path / "clouds.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["seed"] == 7 and told["config"]["category"] == "table" and told["indices"] == [0, 1, 2, 3, 4]
    assert told["weights"]["file"] == "prior.safetensors" and told["codec"]["file"] == "codec.safetensors"
    assert len(collect(tmp_path, 100, 0, 0).items) == 5, "`scigen score points` reads the folder as it is"


def test_an_earlier_run_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    weights = folder / "prior.safetensors"
    assert sample(weights, tmp_path, "--n", 3, "--quiet") == 0
    (tmp_path / "mine.ply").write_text("mine")
    assert sample(weights, tmp_path, "--n", 1, "--quiet") == 0
    assert sorted(path.name for path in tmp_path.glob("*.ply")) == ["cloud_00000.ply", "mine.ply"]
    assert sample(weights, tmp_path, "--n", 1, "--npz", "--quiet") == 0
    assert [path.name for path in tmp_path.glob("*.ply")] == ["mine.ply"]


def test_a_sample_depends_on_its_seed_and_number_alone(folder: Path, tmp_path: Path) -> None:
    weights = folder / "prior.safetensors"
    assert sample(weights, tmp_path / "all", "--n", 5, "--seed", 3, "--batch-size", 2, "--quiet") == 0
    assert sample(weights, tmp_path / "one", "--index", 4, "--index", 1, "--seed", 3, "--quiet") == 0
    assert sample(weights, tmp_path / "other", "--index", 4, "--seed", 4, "--quiet") == 0
    assert sorted(path.name for path in (tmp_path / "one").glob("*.ply")) == ["cloud_00001.ply", "cloud_00004.ply"]
    for k in (1, 4):
        assert np.abs(cloud(tmp_path / "all", k) - cloud(tmp_path / "one", k)).max() < 1e-5
    assert np.abs(cloud(tmp_path / "one", 4) - cloud(tmp_path / "other", 4)).max() > 1e-3


def test_every_process_and_solver_draws_from_the_same_weights(folder: Path) -> None:
    model = load_model(read(str(folder / "prior.safetensors")), None)
    for process in PROCESSES:
        for solver in SOLVERS:
            plan = Plan(affine_process(process), named_solver(solver, 0.0, 3), 3)
            found = sample_points(model, Request(2, 0, plan, 40), lambda *news: None)
            assert list(found.shapes) == [0, 1] and not found.failed, (process, solver)


def test_classes_and_their_weight(folder: Path, tmp_path: Path) -> None:
    weights, found = folder / "prior.safetensors", {}
    for name, words in {
        "any": (), "chair": ("--category", "chair"), "table": ("--category", "table"),
        "as it is": ("--category", "chair", "--guidance", 1), "strong": ("--category", "chair", "--guidance", 4),
    }.items():  # fmt: skip
        assert sample(weights, tmp_path, "--index", 0, "--quiet", *words) == 0
        found[name] = cloud(tmp_path, 0)
    assert np.array_equal(found["chair"], found["as it is"])
    for name in ("any", "table", "strong"):
        assert np.abs(found[name] - found["chair"]).max() > 1e-4, name


def test_an_archive_and_a_document(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(folder / "prior.safetensors", tmp_path, "--index", 9, "--index", 2, "--npz", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["files"] == ["clouds.npz"] and document["indices"] == [2, 9] and document["failed"] == []
    arrays = read_npz(tmp_path / "clouds.npz")
    assert arrays["points"].shape == arrays["normals"].shape == (2, 100, 3)
    assert arrays["index"].tolist() == [2, 9] and arrays["ids"].tolist() == ["cloud_00002", "cloud_00009"]
    assert [item.id for item in collect(tmp_path / "clouds.npz", 100, 0, 0).items] == ["cloud_00002", "cloud_00009"]


def test_the_baseline_draws_points_itself(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(folder / "raw.safetensors", tmp_path, "--n", 2, "--quiet") == 0
    found = read_cloud(tmp_path / "cloud_00001.ply")
    assert found.points.shape == (100, 3) and found.normals is None
    assert json.loads((tmp_path / "run.json").read_text())["codec"] is None
    assert sample(folder / "raw.safetensors", tmp_path, "--codec", folder / "codec.safetensors") == 2
    assert "draw points themselves" in capsys.readouterr().err


def test_samples_that_are_not_finite(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tiny.export(tmp_path / "w" / "broken.safetensors", "points-raw", tiny.POINT, spoil=True, **tiny.KNOWN)
    assert sample(broken, tmp_path / "none", "--n", 2) == 5
    assert "None of 2 samples is finite and whole (the first: non-finite pos)" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / "none" / "errors.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == [0, 1] and not list((tmp_path / "none").glob("*.ply"))


def test_one_broken_sample_is_named_and_the_rest_is_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from scigen.domains.points import sampler

    def spoiled(network, plan, like, rng):
        x = like.replace(pos=torch.zeros_like(like["pos"]))
        x["pos"][1] = torch.nan
        return x

    monkeypatch.setattr(sampler, "noised_belief", spoiled)
    assert sample(folder / "raw.safetensors", tmp_path, "--n", 3) == 4
    out, err = capsys.readouterr()
    assert "2 clouds" in out and err == "sample 1: non-finite pos\n"
    assert json.loads((tmp_path / "errors.jsonl").read_text())["index"] == 1
    assert sorted(path.name for path in tmp_path.glob("*.ply")) == ["cloud_00000.ply", "cloud_00002.ply"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--category chiar", 2, "did you mean 'chair'?"),
        ("--category spaceship", 2, "choose from chair, table."),
        ("--process vpp", 2, "did you mean 'vp'?"),
        ("--solver tokens", 2, "there is no such name"),
        ("--guidance 3", 2, "give --category"),
        ("--points 0", 2, "--points"),
        ("--codec other.safetensors", 3, "No weights 'other.safetensors'"),
        ("--weights molecules-qm9", 3, "are for molecules, not for generating points"),
        ("--weights nowhere.safetensors", 3, "No weights 'nowhere.safetensors'"),
    ],
)
def test_wrong_requests(options: str, code: int, words: str, folder: Path, tmp_path: Path, capsys) -> None:
    assert sample(folder / "prior.safetensors", tmp_path / "out", *options.split()) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_latent_points_of_another_codec_are_refused(folder: Path, tmp_path: Path, capsys) -> None:
    other = tiny.codec(tmp_path, "other", seed=9)
    assert sample(folder / "prior.safetensors", tmp_path / "out", "--codec", other) == 3
    err = capsys.readouterr().err
    assert "was trained on the codec" in err and "is another" in err and err.count("\n") == 1
    copy = tmp_path / "copy.safetensors"
    for suffix in (".safetensors", ".json"):
        copy.with_suffix(suffix).write_bytes((folder / "codec").with_suffix(suffix).read_bytes())
    assert sample(folder / "prior.safetensors", tmp_path / "out", "--codec", copy, "--n", 1, "--quiet") == 0
    assert sample(folder / "prior.safetensors", tmp_path / "out", "--codec", folder / "raw.safetensors") == 3
    assert "are for points-raw, not a codec" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({"codec": None}, "names no codec"),
        ({"scale": {"pos": "much"}}, "no usable `scale`"),
        ({"scale": {"pos": -1.0, "feat": 1.0}}, "no usable `scale`"),
        ({"categories": []}, "know no categories"),
    ],
)
def test_cards_that_lack_what_sampling_needs(card: dict, words: str, tmp_path: Path, capsys) -> None:
    weights = tiny.prior(tmp_path / "w", **card)
    assert sample(weights, tmp_path / "out", "--category", "chair") in (2, 3)
    assert words in capsys.readouterr().err
