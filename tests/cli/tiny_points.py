"""Untrained codec, prior, bridge and baseline of a few thousand weights, exported as training leaves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scigen.domains.points.memory import Memory, packed
from scigen.run import weights as store
from scigen.run.build import network
from scigen.run.codec_of import codec_weights, latent_space
from scigen.run.schema import network_schema

CODEC = {"latents": 8, "feature": 6, "neighbours": 32, "width": 16, "heads": 2, "encoder_layers": 1,
         "decoder_layers": 1, "point_width": 8}  # fmt: skip
LATENT = {"categories": 3, "features": 6, "width": 16, "heads": 2, "layers": 1}
POINT = {"categories": 3, "width": 16, "heads": 2, "tokens": 8, "blocks": 1}
KNOWN = {"categories": ["chair", "table"], "scale": {"pos": 0.3, "feat": 1.0}}


def export(
    path: Path, domain: str, shape: dict, seed: int = 0, spoil: bool = False, kept: dict | None = None, **card: object
) -> Path:
    """Random weights, those that begin as zeros too: an untrained network must not answer with its input."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = network(network_schema(domain).model_validate(shape))
        for p in net.parameters():
            if not p.any():
                torch.nn.init.normal_(p, std=0.1)
    tensors = {name: p * torch.nan if spoil else p for name, p in net.named_parameters()}
    path.parent.mkdir(exist_ok=True)
    store.export(path, tensors, {"name": path.stem, "domain": domain, "network": shape, **card}, kept)
    return path


def codec(folder: Path, name: str = "codec", seed: int = 0) -> Path:
    """A codec of 8 latent points."""
    return export(folder / f"{name}.safetensors", "points-codec", CODEC, seed)


def of_codec(path: Path) -> dict[str, object]:
    """What the card of weights on its latent points says of a codec."""
    space = latent_space(codec_weights(str(path)))
    return {"codec": {"name": str(path), "space": space, "latents": CODEC["latents"]}, **KNOWN}


def prior(folder: Path, **card: object) -> Path:
    """A prior on the latent points of `codec`."""
    return export(folder / "prior.safetensors", "points-prior", LATENT, 1, **{**of_codec(codec(folder)), **card})


def bridge(folder: Path, **card: object) -> Path:
    """A completion bridge on the latent points of `codec`."""
    facts = {**of_codec(codec(folder)), "spread": {"pos": 0.5, "feat": 1.0}, **card}
    return export(folder / "bridge.safetensors", "points-bridge", LATENT, 2, **facts)


def memory(count: int = 12) -> dict[str, torch.Tensor]:
    """What some shapes leave behind, of as many latent points and features as `codec` makes."""
    draw = torch.Generator().manual_seed(9)
    scan, pos, feat = (torch.randn(count, CODEC["latents"], d, generator=draw) for d in (3, 3, CODEC["feature"]))
    return packed(Memory(scan, pos, feat))


def remembering(folder: Path, kept: dict[str, torch.Tensor] | None = None, **card: object) -> Path:
    """A completion bridge that sets out from a memory."""
    facts = {**of_codec(codec(folder)), "spread": {"pos": 0.5, "feat": 1.0}, "start": "remembered", **card}
    return export(folder / "remembering.safetensors", "points-bridge", LATENT, 2, kept=kept or memory(), **facts)


def raw(folder: Path) -> Path:
    """The baseline of raw points."""
    return export(folder / "raw.safetensors", "points-raw", POINT, 3, **KNOWN)


def columns(path: Path) -> np.ndarray:
    """The vertices of a binary PLY as a record array, every column by its name and type."""
    kinds = {"float": "<f4", "double": "<f8", "uchar": "u1"}
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines = [line.split() for line in head.decode().splitlines()]
    fields = [(line[2], kinds[line[1]]) for line in lines if line[0] == "property"]
    return np.frombuffer(body, np.dtype(fields))
