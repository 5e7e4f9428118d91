"""Weights: what a run exports is what sampling reads; everything else is refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scigen.domains.molecules.codec import encode
from scigen.domains.molecules.data import load_fixture
from scigen.errors import InputError
from scigen.run.weights import read
from tests.run.tiny import SHAPE, trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    trained(folder, "train.steps=3")
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    for name in ("weights.safetensors", "weights.json"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    return tmp_path / "weights.safetensors"


def test_exported_weights_are_the_average_to_bf16(run: Path) -> None:
    network = read(str(run / "weights.safetensors")).network
    kept = load_file(run / "step-00000003.safetensors")
    for name, p in network.named_parameters():
        assert torch.equal(p, kept[f"ema.{name}"].bfloat16().float())
    assert not network.training


def test_exported_weights_give_the_same_outputs_to_bf16(run: Path) -> None:
    loaded = read(str(run / "weights.safetensors"))
    exact = read(str(run / "weights.safetensors")).network
    kept = load_file(run / "step-00000003.safetensors")
    with torch.no_grad():
        for name, p in exact.named_parameters():
            p.copy_(kept[f"ema.{name}"])
        data = load_fixture()
        x, logsnr = encode([data[k] for k in range(4)]), torch.linspace(-2, 2, 4)
        ours, theirs = loaded.network(x, logsnr), exact(x, logsnr)
    for name, y in ours.items():
        assert torch.allclose(y, theirs[name], atol=0.02 * float(theirs[name].abs().max()))


def test_the_card_says_where_the_weights_come_from(run: Path) -> None:
    card = read(str(run / "weights.safetensors")).card
    assert SHAPE.items() <= card["network"].items()
    assert card["budget"]["steps"] == 3 and card["budget"]["samples"] == 24 and card["budget"]["workers"] == 1
    assert len(card["data"]["content_sha256"]) == 64 and card["data"]["molecules"] == sum(card["sizes"].values())
    assert card["recipe"]["train"]["batch"] == 8 and card["logsnr_range"] == [-10, 10] and card["from"] is None


def test_every_parameter_is_exported(run: Path) -> None:
    names = {name for name, _ in read(str(run / "weights.safetensors")).network.named_parameters()}
    assert load_file(run / "weights.safetensors").keys() == names


def refused(path: Path | str) -> str:
    with pytest.raises(InputError) as caught:
        read(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_unknown_weights_have_a_suggestion(tmp_path: Path) -> None:
    assert "'molecules-qm9'" in refused("molecule-qm9")
    assert "No weights" in refused(tmp_path / "missing.safetensors")
    assert "No weights" in refused(tmp_path)


def test_a_missing_card(copy: Path) -> None:
    copy.with_suffix(".json").unlink()
    assert "have no card; put 'weights.json' beside them" in refused(copy)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"network": 3}', '{"network": {"widht": 3}}', "[" * 9999])
def test_a_broken_card(copy: Path, text: str) -> None:
    copy.with_suffix(".json").write_text(text)
    assert "weights.json' cannot be used" in refused(copy)


def test_a_card_of_another_shape(copy: Path) -> None:
    card = json.loads(copy.with_suffix(".json").read_text())
    card["network"]["width"] = 32
    copy.with_suffix(".json").write_text(json.dumps(card))
    assert "does not hold the network its card describes" in refused(copy)


@pytest.mark.parametrize("cut", [0, 5, 100, -1])
def test_truncated_weights(copy: Path, cut: int) -> None:
    copy.write_bytes(copy.read_bytes()[:cut])
    assert "does not hold the network" in refused(copy)


def test_garbage_and_foreign_weights(copy: Path) -> None:
    copy.write_bytes(b"\x80\x04\x95 not weights at all" * 100)
    assert "does not hold the network" in refused(copy)
    save_file({"something.else": torch.zeros(3)}, copy)
    assert "does not hold the network" in refused(copy)
