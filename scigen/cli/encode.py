"""`scigen encode`: shapes as latent points."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scigen.cli.device import chosen_device
from scigen.cli.drawing import Device, Quiet
from scigen.errors import UsageError

__all__ = ["encode"]


def encode(
    files: Annotated[
        list[Path], typer.Argument(help="Meshes or clouds (y up): GLB, OBJ, STL, PLY, PCD, XYZ, NPY, NPZ.")
    ],
    out: Annotated[Path, typer.Option(help="Archive of the latent points.")] = Path("latents.npz"),
    codec: Annotated[
        str, typer.Option(help="Weights of the codec: shipped name or .safetensors file.")
    ] = "points-codec",
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Encode shapes as latent points with features, offline: `pos [M, K, 3]` and `feat [M, K, F]` in one archive.

    Positions are in the unit frame (y up, sphere of diameter 1); `center` and `scale` lead back to the file's units.
    Move, mirror or exchange latent points with NumPy, then `scigen decode` them, or `scigen sample meshes --like` them.

    Exit code 4: some files could not be encoded; they are named and the others are written.
    """
    if out.suffix.lower() != ".npz":
        raise UsageError(f"--out {out}: latent points are written as .npz.")
    place = chosen_device(device)

    from scigen.domains.meshes.latent_file import save_shapes_file
    from scigen.run.codec_of import codec_weights
    from scigen.run.encode_shapes import encode_files

    coder = codec_weights(codec)
    shapes, failed = encode_files(files, coder, place)
    save_shapes_file(out, shapes)
    if not quiet:
        count, features = shapes.latents["feat"].shape[1:]
        typer.echo(f"{len(shapes)} shapes as {count} latent points with {features} features each, written to {out}")
    for reason in failed:
        typer.echo(f"scigen: {reason}", err=True)
    if failed:
        raise typer.Exit(4)
