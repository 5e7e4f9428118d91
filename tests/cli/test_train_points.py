"""`scigen train points/codec` on a handful of ellipsoids: it ends, resumes exactly, exports, and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scigen.cli.app import run
from scigen.domains.points.codec import CloudCodec
from scigen.domains.shapes.pack import save_shapes
from scigen.io.shape import Cloud
from scigen.run.checkpoint import load_tensors
from scigen.run.weights import read
from tests.domains.points.solids import ellipsoid, packed

SHAPE = {"latents": 8, "feature": 8, "neighbours": 32, "width": 16, "heads": 2, "encoder_layers": 1, "point_width": 8}
SETTINGS = [*(f"network.{k}={v}" for k, v in SHAPE.items()), "train.batch=2", "train.warmup=2", "train.minutes=null"]
TINY = [word for item in SETTINGS for word in ("-s", item)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("points") / "ellipsoids.npz"
    save_shapes(path, packed(5, 4096))
    return path


def train(data: Path, out: Path, *options: object) -> int:
    return run(["train", "points/codec", "--data", str(data), *TINY, "--out", str(out), *map(str, options)])


def test_a_run_leaves_weights_that_encode_and_decode(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path, "-s", "train.steps=2", "--quiet") == 0
    card = json.loads((tmp_path / "weights.json").read_text())
    assert card["domain"] == "points-codec" and card["data"]["name"] == ["ellipsoids"] and card["data"]["shapes"] == 4
    codec = CloudCodec(read(str(tmp_path / "weights.safetensors")).network, points=50)
    points, normals = ellipsoid(300, np.random.default_rng(0))
    (out,) = codec.decode(codec.encode(Cloud(points, normals)))
    assert len(out) == 50 and np.isfinite(out.points).all()


def test_resume_is_exact_bit_for_bit(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigen.run.train.Trainer.learning_rate", lambda self: 1e-3)  # a budget of 2 or 4 is one path
    assert train(data, tmp_path / "straight", "-s", "train.steps=4", "--quiet") == 0
    assert train(data, tmp_path / "halves", "-s", "train.steps=2", "--quiet") == 0
    assert train(data, tmp_path / "halves", "-s", "train.steps=4", "--quiet", "--resume") == 0
    a, b = (load_tensors(tmp_path / name / "step-00000004.safetensors")[0] for name in ("straight", "halves"))
    assert a.keys() == b.keys() and all(torch.equal(x, b[name]) for name, x in a.items())


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("-s network.heads=3", 2, "`width` must be a multiple of `heads`, got 16 and 3"),
        ("-s network.latent=3", 2, "did you mean 'latents'?"),
        ("-s data=[]", 2, "data: list should have at least 1 item"),
        ("-s train.batch=64", 3, "4 shapes do not fill one batch of 64"),
        ("--data missing.npz", 3, "No packed shapes at 'missing.npz'"),
        ("--from molecules-qm9", 3, "domain=molecules and the config asks for points-codec"),
    ],
)
def test_wrong_requests(
    options: str, code: int, words: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(data, tmp_path, "-s", "train.steps=1", *options.split()) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_a_collection_that_was_never_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path))
    assert run(["train", "points/codec", "--minutes", "1", "--out", str(tmp_path / "out")]) == 3
    assert "make them with `scigen data prepare points procedural`" in capsys.readouterr().err


def test_the_schema_and_the_library_agree() -> None:
    """Each default is written twice, for users and for the library; a drift would train another model than it says."""
    from scigen.domains.points.codec_loss import CodecLoss
    from scigen.nn.point_encoder import CodecShape
    from scigen.run import schema

    for written, built in ((schema.CodecShapeConfig(), CodecShape()), (schema.CodecLossConfig(), CodecLoss())):
        assert written.model_dump() == vars(built)
