"""`scigen complete`: whole shapes from a partial one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scigen.cli.device import chosen_device
from scigen.cli.drawing import Decoder, MeshFormat, Resolution, checked_mesh
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.run.complete import Outcome
    from scigen.run.partial import Partial

__all__ = ["complete"]

MODES = ("sde", "ode")
MOST = 200_000  # points of a decoded shape


def complete(
    file: Annotated[Path, typer.Argument(help="PLY, PCD, XYZ, NPY, NPZ; or a mesh to sample: OBJ, STL, GLB, PLY.")],
    n: Annotated[int, typer.Option("--n", min=1, max=256, help="Completions.")] = 4,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("out/complete"),
    mode: Annotated[str, typer.Option(help="sde: diverse; ode: noise drawn once, closer to the likeliest.")] = "sde",
    steps: Annotated[int, typer.Option(min=1, help="Steps of the bridge.")] = 10,
    fit: Annotated[int, typer.Option(min=0, help="Steps that fit each draw to the observed points; 0: as drawn.")] = 20,
    points: Annotated[int, typer.Option(min=64, max=MOST, help="Points of a decoded shape.")] = 8192,
    resample: Annotated[
        bool, typer.Option("--resample", help="The decoded shape alone, exactly --points, spread evenly.")
    ] = False,
    unknown_pose: Annotated[
        bool, typer.Option("--unknown-pose", help="The cloud may lie in any pose: that of remembered scans is found.")
    ] = False,
    category: Annotated[str | None, typer.Option(help="Class of the shape, where it is known.")] = None,
    weights: Annotated[str, typer.Option(help="Shipped name or .safetensors file.")] = "points-bridge",
    codec: Annotated[str | None, typer.Option(help="Weights of its codec [default: the one its card names].")] = None,
    mesh: Annotated[bool, typer.Option("--mesh", help="Closed meshes too: completion_<rank>.<--format>.")] = False,
    suffix: MeshFormat = "glb",
    resolution: Resolution = 96,
    decoder: Decoder = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed; draw k depends on (seed, k) alone.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of the table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table.")] = False,
) -> None:
    """Complete a partial cloud (y up, or --unknown-pose) by a Schroedinger bridge between latent points, offline.

    Every completion holds the observed points, unchanged and first, then points that were added, each with its
    `uncertainty`: the mean distance to the other draws. Units, offset and precision are those of the file. Best first:
    where the observed points lie closest to the decoded shape. With --mesh each decoded shape is a watertight mesh too,
    and completions.html turns them in any browser.

    At least 32 different points; of more than 16,384 a part is looked at and all are kept. Exit code 4: some draws were
    not finite, or enclose nothing with --mesh; errors.jsonl lists them.
    """
    _check(file, out, mode)
    _check_mesh(mesh, suffix, resolution)
    place = chosen_device(device)

    from scigen.run import weights as store
    from scigen.run.complete import Request, check_request, complete_partial, load_bridge, write_outcome
    from scigen.run.complete_meshes import write_meshes
    from scigen.run.partial import read_partial
    from scigen.run.report import append_error, locked_folder
    from scigen.run.sample_meshes import mesh_decoder

    partial = read_partial(file)
    bridge = load_bridge(store.read(weights), codec)
    request = Request(n, seed, mode, steps, points, category, not resample, place, unknown_pose, fit)
    check_request(bridge.weights, request)  # what is refused must not take the folder
    config = {"n": n, "mode": mode, "steps": steps, "points": points, "category": category, "resample": resample,
              "unknown_pose": unknown_pose, "fit": fit}  # fmt: skip
    config |= {"mesh": suffix, "resolution": resolution} if mesh else {}
    decode = mesh_decoder(bridge.codec, resolution, place, decoder) if mesh else None
    with locked_folder(out) as folder:
        outcome = complete_partial(bridge, partial, request)
        write_outcome(outcome, partial, request, bridge, config, file, folder)
        open_ones = write_meshes(outcome, partial, decode, suffix, folder) if decode else {}
        for index, reason in {**outcome.failed, **open_ones}.items():
            append_error(folder, index, reason)
    _show(outcome, partial, out, as_json, quiet)
    for index, reason in open_ones.items():
        typer.echo(f"draw {index}, as a mesh: {reason}", err=True)
    if outcome.failed or open_ones:
        raise typer.Exit(4)


def _check(file: Path, out: Path, mode: str) -> None:
    if mode not in MODES:
        raise UsageError(f"--mode {mode}: choose sde or ode.")
    if file.parent.resolve() == out.resolve() and file.name.startswith("completion_"):
        raise UsageError(f"--out {out}: the completions would take the place of `{file.name}`; choose another folder.")


def _check_mesh(mesh: bool, suffix: str, resolution: int) -> None:
    checked_mesh(suffix, resolution)
    if not mesh and suffix != "glb":
        raise UsageError(f"--format {suffix} is of meshes, and there are none; give --mesh.")
    if mesh and suffix == "ply":
        raise UsageError("--format ply: the clouds have that suffix; choose glb, obj or stl for the meshes.")


def _show(outcome: Outcome, partial: Partial, out: Path, as_json: bool, quiet: bool) -> None:
    from scigen.run.complete import ranking

    rows = ranking(outcome, partial)
    if as_json:
        import json

        document = {"out": str(out), "points": len(partial.cloud), "treatment": list(partial.treatment),
                    "ranking": rows, "failed": dict(outcome.failed), "timings": outcome.timings}  # fmt: skip
        typer.echo(json.dumps(document, indent=2))
    elif not quiet:
        for sentence in partial.treatment:
            typer.echo(sentence)
        typer.echo(f"{len(rows)} completions in {outcome.timings['complete']:.1f} s, written to {out}, best first")
        for row in rows:
            unsure = "" if row["uncertainty"] is None else f", uncertainty {row['uncertainty']:.4g}"
            typer.echo(
                f"  {row['file']}: {row['observed']:,} points observed, {row['added']:,} added; observed to completed"
                f" {row['agreement']:.4g} on average, {row['farthest']:.4g} at most{unsure}"
            )
    for index, reason in outcome.failed.items():
        typer.echo(f"draw {index}: {reason}", err=True)
