"""`scigen decode` as a library call: latent shapes to files of meshes or clouds, each in its own units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from scigen.domains.meshes.decode import MeshDecoder
from scigen.domains.meshes.latent_file import LatentShapes
from scigen.domains.points.codec import CloudCodec
from scigen.errors import NumericError
from scigen.io.atomic import make_folder
from scigen.io.clouds import write_cloud
from scigen.io.shape import Cloud
from scigen.nn.point_codec import PointCodec
from scigen.run.mesh_files import placed, save_mesh
from scigen.run.weights import Weights

__all__ = ["decode_clouds", "decode_meshes"]


def decode_meshes(shapes: LatentShapes, decoder: MeshDecoder, paths: Sequence[Path]) -> dict[str, str]:
    """Write shape k as a mesh to `paths[k]`; failures by id.

    Raises `NumericError` when not one shape has a surface, `UsageError` where a format cannot hold one.
    """

    def write(k: int, path: Path) -> None:
        save_mesh(path, placed(decoder(shapes.one(k)).mesh, shapes.frames[k]))

    return _each(shapes, paths, write)


def decode_clouds(
    shapes: LatentShapes, codec: Weights, paths: Sequence[Path], points: int, device: str = "cpu"
) -> dict[str, str]:
    """Write shape k as a cloud of `points` with normals to `paths[k]`; failures by id."""
    decode = CloudCodec(cast(PointCodec, codec.network).to(device), points).decode

    def write(k: int, path: Path) -> None:
        (cloud,) = decode(shapes.one(k))
        write_cloud(path, Cloud(shapes.frames[k].leave(cloud.points), cloud.normals))

    return _each(shapes, paths, write)


def _each(shapes: LatentShapes, paths: Sequence[Path], write: Callable[[int, Path], None]) -> dict[str, str]:
    for folder in {path.parent for path in paths}:
        make_folder(folder)
    failed: dict[str, str] = {}
    for k, path in enumerate(paths):
        try:
            write(k, path)
        except NumericError as error:
            failed[shapes.ids[k]] = str(error)
    if len(failed) == len(paths):
        raise NumericError(f"None of {len(paths)} shapes can be decoded (the first: {failed[shapes.ids[0]]}).")
    return failed
