"""Training the completion bridge by the command line: what it begins at, what it remembers, and its rival."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scigen.cli.app import run
from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.complete import own_frame, seen_from
from scigen.domains.shapes.camera import view_of
from scigen.domains.shapes.frame import Frame
from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.pack import save_shapes
from scigen.errors import UsageError
from scigen.io.clouds import read_cloud, write_cloud
from scigen.io.shape import Cloud
from scigen.run.complete import Request, drawing
from scigen.run.report import sha256
from scigen.run.weights import read
from scigen.state import State
from tests.cli.latent_training import LATENT, RUN, Place, card, on_latents, prepared, words
from tests.domains.points.solids import packed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return prepared(tmp_path_factory.mktemp("mine"))


@pytest.fixture(autouse=True)
def _cache(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(place.cache))


def test_every_other_scan_is_bare_of_a_shape_and_from_shape_to_shape(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_shapes(tmp_path / "solids.npz", packed(4, 300))
    bare, encode = [], CloudCodec.encode_all

    def noted(self: CloudCodec, clouds, near=None):
        bare.append([cloud.normals is None for cloud in clouds])
        return encode(self, clouds, near)

    monkeypatch.setattr(CloudCodec, "encode_all", noted)
    settings = {"train.seed": 8, "train.batch": 3, "scans": 2}
    assert on_latents("bridge", tmp_path / "solids.npz", tmp_path / "out", place.codec, **settings) == 0
    wholes = [[False] * 6, [False] * 12]
    assert bare == [[False, True, True, False, False, True], *wholes], "scans of three shapes, wholes, their followers"


def test_a_bridge_with_a_memory_trains_from_any_weights_and_keeps_what_it_remembers(
    place: Place, tmp_path: Path, capsys
) -> None:
    settings = {"memory": 4, "train.seed": 5}
    assert on_latents("bridge", place.meshes, tmp_path / "plain", place.codec, start="observed") == 0
    plain = tmp_path / "plain" / "weights.safetensors"
    shape = {f"network.{key}": value for key, value in LATENT.items()}
    line = ["train", "points/bridge", "--data", place.meshes, "--from", plain, "--out", tmp_path / "out", "--quiet"]
    line += words(codec=place.codec, **shape, **{"train.batch": 4, "train.steps": 2}, **settings, **RUN)
    assert run([str(word) for word in line]) == 0
    told, loaded = card(tmp_path / "out"), read(str(tmp_path / "out" / "weights.safetensors"))
    assert told["start"] == "remembered" and told["memory"] == 4 and told["from"]["sha256"] == sha256(plain)
    assert told["spread"].keys() == {"pos", "feat"} and not read(str(plain)).kept
    assert loaded.kept["feat"].shape == (4, 8, 6) and loaded.kept["feat"].dtype == torch.int8
    out = drawing(loaded, Request(mode="regress"))
    scan = State({"pos": torch.zeros(2, 8, 3), "feat": torch.zeros(2, 8, 6)}, torch.ones(2, 8, dtype=torch.bool))
    assert out(scan, [torch.Generator()] * 2)["pos"].isfinite().all()
    save_shapes(tmp_path / "one.npz", packed(2, 300))
    assert on_latents("bridge", tmp_path / "one.npz", tmp_path / "bad", place.codec, **settings) == 3
    assert "nothing to recall for a scan of that shape; give more shapes" in capsys.readouterr().err


def test_a_scan_in_unknown_pose_needs_weights_that_remember(place: Place, tmp_path: Path, capsys) -> None:
    settings = {"memory": 4, "train.seed": 5}
    for start in ("observed", "remembered"):
        assert on_latents("bridge", place.meshes, tmp_path / start, place.codec, start=start, **settings) == 0
    cloud = Cloud(np.random.default_rng(0).normal(size=(90, 3)) * [1, 2, 4])
    write_cloud(tmp_path / "scan.ply", cloud)

    def complete(start: str, out: str) -> int:
        line = ["complete", tmp_path / "scan.ply", "--weights", tmp_path / start / "weights.safetensors", "--n", 3]
        return run([str(word) for word in [*line, "--unknown-pose", "--mesh", "--out", tmp_path / out, "--quiet"]])

    assert complete("observed", "refused") == 2
    assert "remembers no scans to find a pose by" in capsys.readouterr().err and not (tmp_path / "refused").exists()
    assert complete("remembered", "out") in (0, 4), "an untrained shape may enclose nothing"
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["config"]["unknown_pose"] is True
    for row in told["ranking"]:
        turn = np.array(row["turn"])
        assert np.allclose(turn @ turn.T, np.eye(3), atol=1e-5) and not np.allclose(turn, np.eye(3), atol=1e-2)
        assert np.allclose(read_cloud(tmp_path / "out" / row["file"]).points[:90], cloud.points)


def test_a_bridge_that_knows_one_shape_completes_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained on one scan of one shape, it must lead from that scan, in any units, to that shape: every frame, scale
    and spread between training and completion has to agree."""
    one = packed(2, 2048, seed=4)
    save_shapes(tmp_path / "one.npz", one)
    settings = {
        "start": "observed",
        "scans": 1,
        "train.batch": 1,
        "train.steps": 250,
        "train.lr": 3e-3,
        "train.ema": 0.9,
    }
    settings |= {"network.width": 32, "train.bf16": "false"}
    assert on_latents("bridge", tmp_path / "one.npz", tmp_path / "bridge", place.codec, **settings) == 0

    scan = view_of(one.full(0), shape_rng(0, str(one.ids[0]), 1)).cloud  # the one that it was trained on
    write_cloud(tmp_path / "scan.ply", Cloud(70 * scan.points.astype(np.float64) - 900, scan.normals))
    decoded, decode = [], CloudCodec.decode

    def noted(self: CloudCodec, latents):
        decoded.append(latents)
        return decode(self, latents)

    monkeypatch.setattr(CloudCodec, "decode", noted)
    line = ["complete", tmp_path / "scan.ply", "--weights", tmp_path / "bridge" / "weights.safetensors"]
    assert run([str(word) for word in [*line, "--n", 3, "--fit", 0, "--out", tmp_path / "out", "--quiet"]]) == 0

    codec = CloudCodec(read(str(place.codec)).network)
    whole, partial = (codec.encode(Cloud(cloud.points, cloud.normals)) for cloud in (one.full(0), scan))
    unit = Frame(np.zeros(3), 1.0)
    whole, partial = (seen_from(x, [unit], [own_frame(x)])["pos"][0] for x in (whole, partial))

    def off(pos: torch.Tensor) -> float:
        return float(torch.cdist(whole, pos).amin(1).mean())

    assert all(off(latents["pos"][0]) < 0.8 * off(partial) for latents in decoded)


def test_the_rival_of_the_bridge_trains_on_the_same_pairs_and_completes(place: Place, tmp_path: Path) -> None:
    assert on_latents("bridge", place.meshes, tmp_path / "noise", place.codec, start="noise") == 0
    told = card(tmp_path / "noise")
    assert told["domain"] == "points-bridge" and told["start"] == "noise" and "spread" not in told
    assert told["data"]["scans"] == 48, "six shapes, eight scans of each"
    weights = tmp_path / "noise" / "weights.safetensors"
    write_cloud(tmp_path / "scan.ply", Cloud(np.random.default_rng(0).normal(size=(90, 3))))
    for mode in ("sde", "ode"):
        line = ["complete", tmp_path / "scan.ply", "--weights", weights, "--mode", mode, "--category", "boxes"]
        assert run([str(word) for word in [*line, "--n", 2, "--out", tmp_path / mode, "--quiet"]]) == 0
        assert len(read_cloud(tmp_path / mode / "completion_2.ply")) > 90
    with pytest.raises(UsageError, match="starts from noise and has no regression"):
        drawing(read(str(weights)), Request(mode="regress"))
