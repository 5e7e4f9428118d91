"""Anybody's shape as latent points: what `scigen encode`, `--like` and `scigen interpolate` read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from scigen.domains.meshes.latent_file import LatentShapes, load_shapes_file
from scigen.domains.points.codec import CloudCodec
from scigen.domains.shapes.resample import resample
from scigen.domains.shapes.surface import sample_surface
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError
from scigen.io.clouds import read_shape
from scigen.io.npz import read_npz
from scigen.io.shape import Mesh
from scigen.nn.point_codec import PointCodec
from scigen.run.codec_of import latent_space
from scigen.run.encode import POINTS
from scigen.run.weights import Weights
from scigen.state import State

__all__ = ["encode_file", "encode_files", "read_latents"]


def encode_file(path: Path, codec: Weights, device: str = "cpu", near: Tensor | None = None) -> LatentShapes:
    """The shape in a file as one latent shape: 2,048 points of a mesh's surface or of a cloud, always the same ones.

    Latents follow the places `near [1, K, 3]`, in unit frames both, where they are given. Raises `InputError` for what
    `read_shape` refuses, for a shape without extent or area, and for a cloud of fewer points than the codec has
    latents; `ResourceError`.
    """
    network = cast(PointCodec, codec.network).to(device)
    shape, rng = read_shape(path), np.random.default_rng(0)
    try:
        unit, frame = unit_shape(shape)
        if isinstance(unit, Mesh):
            cloud = sample_surface(unit, POINTS, rng)[0]
        else:
            cloud = resample(unit, POINTS, rng) if len(unit) > POINTS else unit
        latents = CloudCodec(network).encode_all([cloud], near)
    except ValueError as error:
        raise InputError(f"`{path}` cannot be encoded: {error}") from None
    return LatentShapes(latents.map(lambda x: x.cpu()), [frame], [path.stem], latent_space(codec))


def encode_files(paths: Sequence[Path], codec: Weights, device: str = "cpu") -> tuple[LatentShapes, list[str]]:
    """The shapes of several files as one set, and a sentence for each file that cannot be encoded.

    Names that come twice are numbered, so that each names a file of its own. Raises `InputError` when none can be.
    """
    shapes, failed = [], []
    for path in paths:
        try:
            shapes.append(encode_file(path, codec, device))
        except InputError as error:
            failed.append(str(error))
    if not shapes:
        raise InputError(failed[0])
    ids = [name for one in shapes for name in one.ids]
    named = [name if ids.count(name) == 1 else f"{name}-{ids[:k].count(name)}" for k, name in enumerate(ids)]
    fields = {name: torch.cat([one.latents[name] for one in shapes]) for name in ("pos", "feat")}
    latents = State(fields, torch.cat([one.latents.mask for one in shapes]))
    return LatentShapes(latents, [frame for one in shapes for frame in one.frames], named, shapes[0].codec), failed


def read_latents(path: Path, codec: Weights, device: str = "cpu", near: Tensor | None = None) -> LatentShapes:
    """Latent shapes from a file of them, or of the one shape in any other file. Raises as `encode_file` does.

    Only a shape that is encoded here can follow the places `near`. Raises `InputError` too where the file was encoded
    by another codec.
    """
    if path.suffix.lower() != ".npz" or "pos" not in read_npz(path):
        return encode_file(path, codec, device, near)
    shapes, shape = load_shapes_file(path), codec.card["network"]
    if shapes.codec != (own := latent_space(codec)):
        raise InputError(
            f"`{path}` was encoded by another codec ( {shapes.codec[:12]}, not {own[:12]}); give that by --codec."
        )
    if (found := shapes.latents["feat"].shape[2]) != shape["feature"]:
        raise InputError(f"`{path}` has {found} features a latent point, and the codec {shape['feature']}; mend it.")
    return shapes
