"""`scigen decode`: latent points as meshes or clouds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scigen.cli.device import chosen_device
from scigen.cli.drawing import Decoder, Device, MeshFormat, Quiet, Resolution, checked_mesh
from scigen.errors import UsageError

__all__ = ["decode"]

CLOUDS = (".ply", ".npz", ".xyz")
MOST = 200_000  # points of a cloud


def decode(
    file: Annotated[Path, typer.Argument(help="Archive of latent points, as `scigen encode` writes it.")],
    out: Annotated[Path, typer.Option(help="File of one shape, or folder of several.")] = Path("out/decoded"),
    suffix: MeshFormat = "glb",
    resolution: Resolution = 96,
    points: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="A cloud of so many points with normals in place of a mesh.")
    ] = None,
    codec: Annotated[str, typer.Option(help="Weights of the codec that encoded them.")] = "points-codec",
    decoder: Decoder = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Decode latent points to closed meshes, or with --points to clouds, in the units and place of their files.

    `--out x.glb` (.obj, .stl, .ply) writes the one shape of an archive, `--out folder` every one as `<id>.<--format>`.
    Exit code 4: some shapes enclose nothing; they are named and the others are written.
    """
    single = bool(out.suffix)
    ending = out.suffix.lower() if single else f".{suffix}" if points is None else ".ply"
    if points is None:
        checked_mesh(ending[1:], resolution)
    elif ending not in CLOUDS:
        raise UsageError(f"--out {out}: clouds are written as {', '.join(CLOUDS)}.")
    place = chosen_device(device)

    from scigen.run.codec_of import codec_weights
    from scigen.run.decode_shapes import decode_clouds, decode_meshes
    from scigen.run.encode_shapes import read_latents
    from scigen.run.sample_meshes import mesh_decoder

    coder = codec_weights(codec)
    shapes = read_latents(file, coder, place)
    if single and len(shapes) > 1:
        raise UsageError(f"--out {out}: `{file}` holds {len(shapes)} shapes; give a folder, a name without a suffix.")
    paths = [out] if single else [out / f"{name}{ending}" for name in shapes.ids]
    if points is None:
        failed = decode_meshes(shapes, mesh_decoder(coder, resolution, place, decoder), paths)
    else:
        failed = decode_clouds(shapes, coder, paths, points, place)
    if not quiet:
        typer.echo(f"{len(paths) - len(failed)} shapes written to {out}")
    for name, reason in failed.items():
        typer.echo(f"{name}: {reason}", err=True)
    if failed:
        raise typer.Exit(4)
