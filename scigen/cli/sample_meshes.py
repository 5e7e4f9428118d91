"""`scigen sample meshes`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scigen.cli.device import chosen_device
from scigen.cli.drawing import (
    AsJson,
    Batch,
    Category,
    Codec,
    Decoder,
    Device,
    Guidance,
    Index,
    MeshFormat,
    ProcessName,
    Quiet,
    Resolution,
    Seed,
    SolverName,
    Steps,
    WeightsName,
    checked_mesh,
    drawing_plan,
)
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.domains.meshes.surface import Extracted
    from scigen.run.draw import Outcome, Request

__all__ = ["sample_meshes"]

_PRIOR = "points-prior"
_BRIDGED = {"dpmpp2m": "ode", "ancestral": "sde"}  # solvers of the bridge, as `scigen complete --mode` names them


def sample_meshes(
    n: Annotated[int, typer.Option("--n", min=1, help="Meshes to draw.")] = 8,
    category: Category = None,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("out/meshes"),
    suffix: MeshFormat = "glb",
    resolution: Resolution = 96,
    like: Annotated[
        Path | None, typer.Option(help="Begin from this mesh, cloud or latents.npz; results take its units and place.")
    ] = None,
    strength: Annotated[
        float | None, typer.Option(help="With --like: share of noise, up to 1 [default: 0.4; 1 with --keep-latents].")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option("--keep-latents", help="With --like: what stays: numbers (0-7,12), a side (y>0.1), positions."),
    ] = None,
    coarse: Annotated[
        Path | None,
        typer.Option("--from-coarse", help="Detail for this coarse mesh, by --weights of `meshes/detail`."),
    ] = None,
    weights: WeightsName = _PRIOR,
    codec: Codec = None,
    decoder: Decoder = None,
    seed: Seed = 0,
    index: Index = None,
    process: ProcessName = "flow",
    solver: SolverName = "dpmpp2m",
    steps: Steps = 50,
    guidance: Guidance = None,
    batch_size: Batch = 32,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw closed meshes: GLB, OBJ, STL or PLY, a contact sheet, and a page that turns them in any browser, offline.

    The network draws latent points, the codec turns them into oriented points, and spectral Poisson and marching cubes
    into a watertight mesh in the unit frame (y up, sphere of diameter 1). Loose pieces nearby are joined to the largest
    by rods, others go; walls thinner than two cells of 1.125 / --resolution melt. Score by `scigen score meshes`.

    `--like` encodes a shape, noises it as far as --strength says, and draws from there; --keep-latents holds some of
    its latent points. `--from-coarse` carries a voxelised or decimated mesh to detailed ones by a bridge: --solver
    ancestral draws by its SDE, dpmpp2m by its ODE.

    Exit code 4: written, but some samples were not finite or enclosed nothing; errors.jsonl lists them.
    """
    plan, place = drawing_plan(process, solver, steps, guidance, category), chosen_device(device)
    checked_mesh(suffix, resolution)
    _check_like(like, strength, keep)
    mode = None if coarse is None else _bridge_mode(solver, weights, like is not None or category is not None)

    from scigen.cli.progress import bars
    from scigen.run.detail import coarse_start, detail_meshes, detail_model
    from scigen.run.draw import Request
    from scigen.run.like import beginning
    from scigen.run.report import append_error, locked_folder
    from scigen.run.sample_meshes import latent_model, mesh_decoder, sample_meshes, write_outcome

    model, coder = latent_model(weights, codec, category) if mode is None else detail_model(weights, codec)
    begun = beginning(like, coder, strength, keep, place) if like else None
    request = Request(n, seed, plan, 0, category, index or None, batch_size, place, begun.original if begun else None)
    start, frame = coarse_start(coarse, coder, place) if coarse else (None, begun.frame if begun else None)
    draw = sample_meshes if start is None or not mode else partial(detail_meshes, start=start, mode=mode)
    config = {"n": n, "category": category, "index": index, "like": begun and begun.facts, "process": process,
              "solver": solver, "steps": steps, "guidance": guidance, "from_coarse": coarse and coarse.name,
              "resolution": resolution, "format": suffix, "decoder": decoder}  # fmt: skip
    decode = mesh_decoder(coder, resolution, place, decoder)
    with locked_folder(out) as folder, bars(quiet or as_json) as progress:
        outcome = draw(model, request, decode, progress, lambda d: append_error(folder, d.index, d.reason or ""))
        files = write_outcome(outcome, request, model, config, folder, suffix, frame)
    _show(outcome, request, out, files, as_json, quiet)
    if outcome.failed:
        raise typer.Exit(4)


def _bridge_mode(solver: str, weights: str, other: bool) -> str:
    """How the bridge of `--from-coarse` is drawn from. Raises `UsageError` for what does not go with it."""
    if weights == _PRIOR:
        raise UsageError("--from-coarse takes weights of `scigen train meshes/detail`, and none ship; give --weights.")
    if other:
        raise UsageError("--from-coarse begins from a mesh and knows no class; leave out --like and --category.")
    if solver not in _BRIDGED:
        raise UsageError(f"--solver {solver}: --from-coarse is drawn by dpmpp2m (ODE) or ancestral (SDE).")
    return _BRIDGED[solver]


def _check_like(like: Path | None, strength: float | None, keep: str | None) -> None:
    if like is None and (strength is not None or keep is not None):
        raise UsageError("--strength and --keep-latents say what stays of a shape, and there is none; give --like.")
    if strength is not None and not 0 < strength <= 1:
        raise UsageError(f"--strength {strength:g}: give a share of noise above 0, up to 1.")


def _show(
    outcome: Outcome[Extracted], request: Request, out: Path, files: list[str], as_json: bool, quiet: bool
) -> None:
    from scigen.run.mesh_files import mesh_rows
    from scigen.run.sample_meshes import one_piece

    whole = one_piece(outcome)
    if as_json:
        import json

        failed = [{"index": one.index, "reason": one.reason} for one in outcome.failed]
        rows = mesh_rows(files, list(outcome.shapes.values()))
        document = {"out": str(out), "indices": list(outcome.shapes), "meshes": rows, "one_piece": whole,
                    "failed": failed, "timings": outcome.timings}  # fmt: skip
        typer.echo(json.dumps(document, indent=2))
    elif not quiet:
        typer.echo(
            f"{len(files)} meshes in {sum(outcome.timings.values()):.1f} s, seed {request.seed}, written to {out};"
            f" {whole:.0%} were of one piece from the start; look: {out / 'meshes.html'}"
        )
    for one in outcome.failed[:5]:
        typer.echo(f"sample {one.index}: {one.reason}", err=True)
