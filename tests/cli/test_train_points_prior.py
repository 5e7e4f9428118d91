"""From a folder of meshes to samples and completions, all of it by the command line, in seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from scigen.cli.app import run
from scigen.domains.points.codec import CloudCodec
from scigen.domains.shapes.pack import PackedShapes, load_shapes, save_shapes
from scigen.io.clouds import read_cloud
from scigen.io.shape import Cloud
from scigen.run.checkpoint import load_tensors
from scigen.run.codec_of import codec_weights, latent_space
from scigen.run.report import sha256
from tests.cli import tiny_points as tiny
from tests.cli.latent_training import LATENT, RUN, Place, card, on_latents, prepared, train, words
from tests.domains.points.solids import packed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return prepared(tmp_path_factory.mktemp("mine"))


@pytest.fixture(autouse=True)
def _cache(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(place.cache))


def space_of(codec: Path) -> str:
    return latent_space(codec_weights(str(codec)))


def test_a_decoder_that_was_trained_on_reads_the_same_latent_points(place: Place, tmp_path: Path) -> None:
    """What was learnt on the latent points of an encoder goes with every decoder for it, and with no other encoder."""
    assert on_latents("prior", place.meshes, tmp_path / "prior", place.codec) == 0
    again = ["train", "points/codec", "--data", place.meshes, "--from", place.codec, "--quiet"]
    shape = {f"network.{key}": value for key, value in tiny.CODEC.items()}
    again += words(**shape, **{"train.batch": 2, "train.steps": 2}, **RUN)
    out = {"decoder": ["-s", "train.freeze=[encoder]"], "both": []}
    for name, more in out.items():
        assert run([str(word) for word in (*again, *more, "--out", tmp_path / name)]) == 0
    codec = {name: tmp_path / name / "weights.safetensors" for name in out}
    assert sha256(codec["decoder"]) != sha256(place.codec) and space_of(codec["decoder"]) == space_of(place.codec)
    assert space_of(codec["both"]) != space_of(place.codec)
    line = ["sample", "points", "--weights", tmp_path / "prior" / "weights.safetensors", "--n", 1, "--steps", 2]
    line += ["--points", 64, "--quiet"]
    for name, code in (("decoder", 0), ("both", 3)):
        ending = ["--codec", codec[name], "--out", tmp_path / f"clouds-{name}"]
        assert run([str(word) for word in (*line, *ending)]) == code


def test_from_a_folder_of_meshes_to_samples_and_completions(place: Place, tmp_path: Path, capsys) -> None:
    """What the documentation shows, with networks of a few thousand weights."""
    for preset in ("prior", "bridge"):
        assert on_latents(preset, place.meshes, tmp_path / preset, place.codec) == 0
        told = card(tmp_path / preset)
        assert told["domain"] == f"points-{preset}" and told["categories"] == ["balls", "boxes"]
        assert told["codec"] == {"name": str(place.codec), "space": space_of(place.codec), "latents": 8}
        assert told["data"]["shapes"] == 6, "two of the eight are test shapes"
    raw = {"network.width": 16, "network.heads": 2, "network.tokens": 8, "train.batch": 4, "train.steps": 2}
    assert train("raw", place.meshes, tmp_path / "raw", points=64, **raw) == 0
    assert capsys.readouterr().err == ""

    for name in ("prior", "raw"):
        line = ["sample", "points", "--weights", tmp_path / name / "weights.safetensors", "--category", "balls"]
        line += ["--n", 2, "--steps", 3, "--points", 200, "--out", tmp_path / f"clouds-{name}", "--quiet"]
        assert run([str(word) for word in line]) == 0
        assert len(read_cloud(tmp_path / f"clouds-{name}" / "cloud_00001.ply")) == 200
    partial = tmp_path / "clouds-prior" / "cloud_00000.ply"
    line = ["complete", partial, "--weights", tmp_path / "bridge" / "weights.safetensors", "--category", "boxes"]
    line += ["--n", 2, "--points", 100, "--out", tmp_path / "whole", "--quiet"]
    assert run([str(word) for word in line]) == 0
    kept = read_cloud(tmp_path / "whole" / "completion_2.ply").points[:200]
    assert np.array_equal(kept, read_cloud(partial).points)


def test_a_prepared_collection_is_the_same_data(place: Place, tmp_path: Path) -> None:
    line = ["data", "prepare", "points", "folder", "--source", place.meshes, "--name", "meshes", "--quiet"]
    assert run([str(word) for word in line]) == 0
    assert len(load_shapes("meshes")) == 7, "the ball among the test shapes is one of the others, but for its size"
    assert on_latents("prior", None, tmp_path / "a", place.codec, data="[meshes]") == 0
    assert on_latents("prior", place.meshes, tmp_path / "b", place.codec) == 0
    assert card(tmp_path / "a")["data"] == card(tmp_path / "b")["data"]
    assert (tmp_path / "a" / "weights.safetensors").read_bytes() == (
        tmp_path / "b" / "weights.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("preset", ["prior", "bridge"])
def test_only_training_shapes_are_opened_and_only_once(
    preset: str, place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = packed(6, 300)  # the last is a test shape
    save_shapes(tmp_path / "solids.npz", shapes)
    opened, full = set(), PackedShapes.full

    def noted(self: PackedShapes, k: int) -> Cloud:
        opened.add(k)
        return full(self, k)

    monkeypatch.setattr(PackedShapes, "full", noted)
    settings = {"train.seed": 5, "train.batch": 5}
    assert on_latents(preset, tmp_path / "solids.npz", tmp_path / "a", place.codec, **settings) == 0
    assert opened == {0, 1, 2, 3, 4}

    def never(*words: object) -> None:
        raise AssertionError("the cache has them")

    monkeypatch.setattr(CloudCodec, "encode_all", never)
    assert on_latents(preset, tmp_path / "solids.npz", tmp_path / "b", place.codec, **settings) == 0
    with pytest.raises(AssertionError, match="the cache has them"):
        run(["--debug", "train", f"points/{preset}", "--data", str(tmp_path / "solids.npz"), "--out", str(tmp_path),
             *words(codec=place.codec, **RUN, **{f"network.{k}": v for k, v in LATENT.items()},
                    **{"train.seed": 6, "train.steps": 1})])  # fmt: skip


def test_resume_is_exact_bit_for_bit(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scigen.run.train.Trainer.learning_rate", lambda self: 1e-3)  # a budget of 2 or 4 is one path
    assert on_latents("bridge", place.meshes, tmp_path / "straight", place.codec, **{"train.steps": 4}) == 0
    assert on_latents("bridge", place.meshes, tmp_path / "halves", place.codec, **{"train.steps": 2}) == 0
    shape = {f"network.{key}": value for key, value in LATENT.items()}
    line = ["train", "points/bridge", "--data", str(place.meshes), "--out", str(tmp_path / "halves"), "--resume"]
    settings = {"codec": place.codec, **shape, "train.batch": 4, "train.steps": 4, **RUN}
    assert run([*line, "--quiet", *words(**settings)]) == 0
    a, b = (load_tensors(tmp_path / name / "step-00000004.safetensors")[0] for name in ("straight", "halves"))
    assert a.keys() == b.keys() and all(torch.equal(x, b[name]) for name, x in a.items())


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        ({"network.features": 7}, 3, "set `-s network.features=6`"),
        ({"network.categories": 1}, 3, "set `-s network.categories=2`"),
        ({"network.heads": 3}, 2, "`width` must be a multiple of `heads`, got 16 and 3"),
        ({"sample": 3}, 2, "did you mean 'samples'?"),
        ({"samples": 0}, 2, "samples"),
        ({"codec": "nowhere.safetensors"}, 3, "No weights 'nowhere.safetensors'"),
        ({"codec": "molecules-qm9"}, 3, "are for molecules, not a codec"),
        ({"train.batch": 99}, 3, "24 shapes do not fill one batch of 99"),
    ],
)
def test_wrong_requests(settings: dict, code: int, sentence: str, place: Place, tmp_path: Path, capsys) -> None:
    assert on_latents("prior", place.meshes, tmp_path / "out", place.codec, **settings) == code
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1


def test_folders_with_little_to_learn_from(place: Place, tmp_path: Path, capsys) -> None:
    shutil.copytree(place.meshes, tmp_path / "mixed")
    (tmp_path / "mixed" / "train" / "balls" / "broken.ply").write_text("ply\nno")
    assert on_latents("prior", tmp_path / "mixed", tmp_path / "a", place.codec) == 0
    assert "1 files of" in capsys.readouterr().err and card(tmp_path / "a")["data"]["shapes"] == 6
    shutil.rmtree(tmp_path / "mixed" / "train")
    assert on_latents("prior", tmp_path / "mixed", tmp_path / "b", place.codec) == 3
    assert "No training shape" in capsys.readouterr().err
    (tmp_path / "bare").mkdir()
    assert on_latents("prior", tmp_path / "bare", tmp_path / "c", place.codec) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_presets_and_library_agree() -> None:
    """Each default is written twice, for users and for the library; a drift would train another model than it says."""
    from scigen.domains.points.bridge_task import BridgeLoss
    from scigen.domains.points.prior_task import PriorLoss
    from scigen.nn.latent_transformer import LatentConfig
    from scigen.nn.point_process import PointConfig
    from scigen.run import schema
    from scigen.run.config import load_config

    assert schema.PriorLossConfig().model_dump() == vars(PriorLoss())
    assert schema.BridgeLossConfig().model_dump() == vars(BridgeLoss())
    rooms = {"categories": 64}
    assert schema.LatentNetworkConfig().model_dump() == vars(LatentConfig()) | rooms
    assert schema.PointNetworkConfig().model_dump() == vars(PointConfig()) | rooms
    for preset in ("prior", "bridge"):
        assert load_config(f"points/{preset}").network == schema.LatentNetworkConfig()
    assert load_config("points/raw").network == schema.PointNetworkConfig()
