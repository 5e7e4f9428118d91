"""Training on latent points by the command line: a folder of meshes, a codec of it, and networks of a few weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scigen.cli.app import run
from scigen.io.meshes import write_mesh
from tests.cli import tiny_points as tiny
from tests.domains.shapes.bodies import ball, box

__all__ = ["LATENT", "RUN", "Place", "card", "on_latents", "prepared", "train", "words"]

RUN = {"train.warmup": 2, "train.minutes": "null"}
LATENT = {"features": 6, "categories": 3, "width": 16, "heads": 2, "layers": 1}


def words(**settings: object) -> list[str]:
    return [word for key, value in settings.items() for word in ("-s", f"{key}={value}")]


def train(preset: str, data: Path | None, out: Path, /, **settings: object) -> int:
    source = ["--data", str(data)] if data else []
    return run(["train", f"points/{preset}", *source, "--out", str(out), "--quiet", *words(**RUN, **settings)])


def on_latents(preset: str, data: Path | None, out: Path, codec: Path, /, **settings: object) -> int:
    shape = {f"network.{key}": value for key, value in LATENT.items()}
    return train(preset, data, out, **{"codec": codec, **shape, "train.batch": 4, "train.steps": 2, **settings})


def card(out: Path) -> dict:
    return json.loads((out / "weights.json").read_text())


@dataclass(frozen=True)
class Place:
    """A folder of meshes, the cache, and a trained codec."""

    meshes: Path
    cache: Path
    codec: Path


def prepared(root: Path) -> Place:
    """Balls and boxes, six to train on, and a codec of them."""
    for k in range(4):
        for category, mesh in (("balls", ball(1 + k, rings=6)), ("boxes", box((1, 1 + k, 2)))):
            folder = root / "meshes" / ("test" if k == 3 else "train") / category
            folder.mkdir(parents=True, exist_ok=True)
            write_mesh(folder / f"{category}-{k}.stl", mesh)
    shape = {f"network.{key}": value for key, value in tiny.CODEC.items()}
    assert train("codec", root / "meshes", root / "codec", **shape, **{"train.batch": 2, "train.steps": 2}) == 0
    return Place(root / "meshes", root / "cache", root / "codec" / "weights.safetensors")
