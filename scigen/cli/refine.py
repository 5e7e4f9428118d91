"""`scigen refine`: geometries of force fields carried to those of density-functional theory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scigen.cli.choice import checked
from scigen.cli.device import chosen_device
from scigen.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from scigen.run.refine import Request
    from scigen.run.refine_file import Summary
    from scigen.run.weights import Weights

__all__ = ["refine"]

ENGINES = ("ode", "sde", "gfn2")
STARTS = ("mmff", "given")
UNKNOWN = ("refuse", "keep")


def refine(
    file: Annotated[Path, typer.Argument(help="SDF, mol, XYZ (bonds perceived), SMILES or CSV; .gz after any.")],
    out: Annotated[Path | None, typer.Option(help="SDF to write; x-refined.sdf beside x.sdf if left out.")] = None,
    engine: Annotated[str, typer.Option(help="ode: one geometry; sde: --n draws; gfn2: GFN2-xTB's minimum.")] = "ode",
    n: Annotated[int, typer.Option("--n", min=1, help="Geometries of each molecule, with --engine sde.")] = 1,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the bridge [default: 1; 5 where that moves an atom by 0.6 Å].")
    ] = None,
    draws: Annotated[int, typer.Option(min=0, help="Draws of the bridge behind the uncertainty; 0: none.")] = 4,
    start: Annotated[
        str, typer.Option(help="mmff: its MMFF94 minimum first, as in training; given: as it lies.")
    ] = "mmff",
    on_unknown: Annotated[
        str, typer.Option(help="refuse, or keep as they are: molecules that cannot be refined.")
    ] = "refuse",
    weights: Annotated[str, typer.Option(help="Shipped name or .safetensors file.")] = "molecules-refine",
    seed: Annotated[int, typer.Option(min=0, help="Seed; record k depends on (seed, k) alone.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Molecules per batch; does not change results.")] = 32,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of the table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
) -> None:
    """Refine force-field geometries to B3LYP/6-31G(2df,p) quality by a Schroedinger bridge, offline.

    Molecules of H C N O F with up to 29 atoms, what the bridge was trained on; graph, order of atoms and handedness
    stay. Each is brought to its MMFF94 minimum (SMILES: by ETKDG), refined, laid back onto the input and written with
    `scigen_status`, `scigen_displacement` and `scigen_uncertainty` (Å).

    Exit code 0: all written; 3: nothing could be; 4: some records are missing, listed in x.errors.jsonl.
    """
    target = out or file.with_name(f"{Path(file.name.removesuffix('.gz')).stem}-refined.sdf")
    _check(target, engine, n, draws, start, on_unknown)
    place = chosen_device(device)

    from scigen.cli.progress import bars
    from scigen.run import weights as store
    from scigen.run.refine import Request
    from scigen.run.refine_file import refine_file

    loaded = None if engine == "gfn2" else store.read(weights)
    request = Request(engine, n, steps, draws, start == "mmff", seed, batch_size, place)
    with bars(quiet or as_json) as progress:
        summary = refine_file(file, target, loaded, request, on_unknown == "keep", progress)
    _show(summary, request, loaded, target, as_json, quiet)
    if summary.counts["failed"]:
        raise typer.Exit(4)


def _check(out: Path, engine: str, n: int, draws: int, start: str, on_unknown: str) -> None:
    choices = (("--engine", engine, ENGINES), ("--start", start, STARTS), ("--on-unknown", on_unknown, UNKNOWN))
    for option, name, known in choices:
        checked(option, name, known)
    if n > 1 and engine != "sde":
        raise UsageError(f"--n {n}: --engine {engine} has one geometry for a molecule; use --engine sde.")
    if draws == 1:
        raise UsageError("--draws 1: a spread needs at least 2 draws; 0 leaves the uncertainty out.")
    if out.suffix.lower() not in (".sdf", ".sd"):
        raise UsageError(f"--out {out}: refined molecules are written as SDF; end the name in .sdf.")
    if engine == "gfn2":
        from scigen.metrics.energy import gfn2_available

        if not gfn2_available():
            raise UsageError("--engine gfn2 needs tblite; install it with pip install 'scigen[energy]'.")


def _show(summary: Summary, request: Request, weights: Weights | None, out: Path, as_json: bool, quiet: bool) -> None:
    from scigen.run.refine_file import errors_beside

    if as_json:
        import json

        typer.echo(json.dumps(_document(summary, request, weights, out), indent=2))
    elif not quiet:
        from scigen.cli.table import report_console

        console = report_console()
        said = (f"{count} {what}" for what in ("refined", "kept", "failed") if (count := summary.counts[what]))
        console.print(f"{', '.join(said)} in {summary.seconds:.1f} s, written to {out}", markup=False, soft_wrap=True)
        console.print(_table(summary))
    for row in summary.failures:
        typer.echo(f"record {row['index']}: {row['reason']}", err=True)
    if (rest := summary.counts["failed"] - len(summary.failures)) > 0:
        typer.echo(f"... and {rest} more, in {errors_beside(out)}", err=True)


def _document(summary: Summary, request: Request, weights: Weights | None, out: Path) -> dict[str, Any]:
    from scigen.run.report import plain, sha256, versions

    counts = {name: summary.counts[name] for name in ("refined", "kept", "failed")}
    return plain(
        {
            "out": out,
            **counts,
            "displacement": _quantiles(summary.displacement),
            "uncertainty": _quantiles(summary.uncertainty),
            "unit": "Å",
            "seconds": summary.seconds,
            "request": request,
            "weights": {"file": weights.path.name, "sha256": sha256(weights.path)} if weights is not None else None,
            "versions": versions(),
        }
    )


def _table(summary: Summary) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(pad_edge=False, box=box.SIMPLE_HEAD)
    table.add_column("in Å")
    for name in ("median", "90 %", "largest"):
        table.add_column(name, justify="right")
    rows = {"displacement": summary.displacement, "uncertainty": summary.uncertainty}
    for name, values in rows.items():
        if found := _quantiles(values):
            table.add_row(name, *(f"{x:.4f}" for x in found.values()))
    return table


def _quantiles(values: list[float]) -> dict[str, float]:
    import numpy as np

    if not values:
        return {}
    return dict(zip(("median", "p90", "largest"), np.quantile(values, (0.5, 0.9, 1.0)).tolist(), strict=True))
