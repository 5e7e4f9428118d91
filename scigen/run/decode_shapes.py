"""`scigen decode` as a library call: latent shapes to files of meshes or clouds, each in its own units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from scigen.domains.meshes.latent_file import LatentShapes
from scigen.domains.points.codec import CloudCodec
from scigen.errors import NumericError
from scigen.io.atomic import make_folder
from scigen.io.clouds import write_cloud
from scigen.io.shape import Cloud
from scigen.nn.point_codec import PointCodec
from scigen.run.mesh_files import placed, save_mesh
from scigen.run.sample_meshes import mesh_decoder
from scigen.run.weights import Weights

__all__ = ["decode_file"]


def decode_file(
    shapes: LatentShapes, codec: Weights, paths: Sequence[Path], size: int, points: int | None, device: str = "cpu"
) -> dict[str, str]:
    """Write shape k to `paths[k]`: a mesh of a grid of `size`^3 cells, or a cloud of `points`; failures by id.

    Raises `NumericError` when not one shape can be decoded, `UsageError` where a format cannot hold one.
    """
    for folder in {path.parent for path in paths}:
        make_folder(folder)
    failed: dict[str, str] = {}
    for k, path in enumerate(paths):
        try:
            _write(shapes, k, codec, path, size, points, device)
        except NumericError as error:
            failed[shapes.ids[k]] = str(error)
    if len(failed) == len(paths):
        raise NumericError(f"None of {len(paths)} shapes can be decoded (the first: {failed[shapes.ids[0]]}).")
    return failed


def _write(
    shapes: LatentShapes, k: int, codec: Weights, path: Path, size: int, points: int | None, device: str
) -> None:
    latents, frame = shapes.one(k), shapes.frames[k]
    if points is None:
        save_mesh(path, placed(mesh_decoder(codec, size, device)(latents).mesh, frame))
        return
    (cloud,) = CloudCodec(cast(PointCodec, codec.network).to(device), points).decode(latents)
    write_cloud(path, Cloud(frame.leave(cloud.points), cloud.normals))
