"""`scigen sample molecules`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scigen.cli.choice import PROCESSES, checked
from scigen.cli.device import chosen_device
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.domains.molecules.fragment import Fragment
    from scigen.domains.molecules.sampler import Plan
    from scigen.run.sample import Outcome, Request

__all__ = ["sample_molecules"]

SOLVERS = (
    "ancestral", "ddim", "dpm2", "dpm3", "dpmpp2m", "dpmpp3m", "dpmpp2m-sde", "pndm", "unipc", "euler", "heun",
    "edm", "pc", "tokens-pc", "sde", "sde2",
)  # fmt: skip
GRIDS = ("late", "uniform", "quadratic", "logsnr", "karras")


def sample_molecules(
    n: Annotated[int, typer.Option("--n", min=1, help="Molecules to draw.")] = 100,
    out: Annotated[Path, typer.Option(help="Folder of the run.")] = Path("out/molecules"),
    weights: Annotated[str, typer.Option(help="Shipped name or .safetensors file.")] = "molecules-qm9",
    seed: Annotated[int, typer.Option(min=0, help="Seed; sample k depends on (seed, k) alone.")] = 0,
    index: Annotated[list[int] | None, typer.Option(min=0, help="Draw only this sample (repeatable).")] = None,
    n_atoms: Annotated[str | None, typer.Option(help="Atoms with hydrogens: 18, or a range 15-20.")] = None,
    only: Annotated[str | None, typer.Option(help="'valid': redraw until n are valid, whole, no radicals.")] = None,
    keep: Annotated[Path | None, typer.Option(help="SDF of a fragment to grow; it stays as it is.")] = None,
    grow_at: Annotated[str | None, typer.Option(help="Atoms of --keep whose hydrogens give way: 1,5.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Walks over each interval with --keep (RePaint).")] = 1,
    refine: Annotated[bool, typer.Option("--refine", help="Refine whole valid ones, see `scigen refine`.")] = False,
    process: Annotated[str, typer.Option(help=f"{', '.join(PROCESSES)}. All from the same weights.")] = "flow",
    solver: Annotated[str | None, typer.Option(help=f"{', '.join(SOLVERS)} [default: edm; see below].")] = None,
    steps: Annotated[int | None, typer.Option(min=2, help="Solver intervals [default: 28 of edm, else 100].")] = None,
    grid: Annotated[str, typer.Option(help=f"{', '.join(GRIDS)}: where the steps lie.")] = "late",
    eta: Annotated[float | None, typer.Option(min=0, max=1, help="Fresh noise of ddim: 0 none, 1 ancestral.")] = None,
    sharpness: Annotated[float, typer.Option(min=0.1, help="Power on token and bond probabilities.")] = 1.25,
    batch_size: Annotated[int, typer.Option(min=1, help="Molecules per batch; does not change results.")] = 48,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of the table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress and no table.")] = False,
) -> None:
    """Draw molecules from trained weights: SDF, CSV, PNG, scores with the QM9 row beside them.

    On a shared noise grid `--process` changes only the ends and the solver's clock: with ancestral, ddim and the
    multistep solvers every affine process gives nearly the same samples; euler, heun, edm and the sdes do differ. So
    edm is the default of flow alone; other processes, and --keep, are drawn by ancestral. A step costs one evaluation
    of the network; two with dpm2, heun, pc, tokens-pc and sde2, three with dpm3, and 46 in all with 28 of edm.

    `--keep` draws molecules that contain a fragment and, unless --index asks for exact samples, keeps the valid ones.
    """
    if only not in (None, "valid"):
        raise UsageError(f"--only {only}: the one filter is 'valid'.")
    if index and only:
        raise UsageError("--index names exact samples and --only filters; use one of the two.")
    if refine and keep:
        raise UsageError("--refine moves every atom and --keep holds some in place; use one of the two.")
    atoms = _atoms(n_atoms)
    solver = solver or ("edm" if process == "flow" and keep is None else "ancestral")
    steps = steps or (28 if solver == "edm" else 100)
    plan_of = _plan(process, solver, grid, steps, eta, sharpness)
    fragment, facts = _fragment(keep, grow_at, repeats)

    from scigen.cli.progress import bars
    from scigen.run import weights as store
    from scigen.run.report import append_error, locked_folder
    from scigen.run.sample import Request, sample_molecules, write_outcome

    loaded = store.read(weights)
    bridge = store.read("molecules-refine") if refine else None
    only = only or ("valid" if keep and not index else None)
    plan = replace(plan_of(loaded.card), keep=fragment, repeats=repeats)
    request = Request(n, seed, plan, atoms, index or None, only == "valid", batch_size, chosen_device(device), bridge)
    how = {"process": process, "solver": solver, "grid": grid, "steps": steps, "eta": eta, "sharpness": sharpness}
    config = {**how, "n": n, "n_atoms": n_atoms, "only": only, "index": index, "keep": facts, "refine": refine}
    # The folder is held from the start: one that is unwritable or taken must not cost a run.
    with locked_folder(out) as folder, bars(quiet or as_json) as progress:
        outcome = sample_molecules(loaded, request, progress, lambda d: append_error(folder, d.index, d.reason or ""))
        write_outcome(outcome, request, loaded, config, folder)
    _show(outcome, request, out, as_json, quiet)
    if outcome.failed or (request.only_valid and len(outcome.mols) < n):
        raise typer.Exit(4)


def _fragment(keep: Path | None, grow_at: str | None, repeats: int) -> tuple[Fragment | None, dict[str, Any] | None]:
    """The fragment to keep and what `run.json` says of it."""
    if keep is None:
        if grow_at is not None or repeats != 1:
            raise UsageError("--grow-at and --repeats belong to --keep, and there is none.")
        return None, None
    try:
        atoms = [int(word) for word in (grow_at or "").split(",") if grow_at is not None]
    except ValueError:
        raise UsageError(f"--grow-at {grow_at}: give atom numbers of the file, such as 1,5.") from None

    from scigen.domains.molecules.fragment import read_fragment
    from scigen.run.report import sha256

    fragment = read_fragment(keep, atoms)
    facts = {"file": keep.name, "sha256": sha256(keep), "atoms": len(fragment), "ports": len(fragment.atom)}
    return fragment, {**facts, "grow_at": atoms, "repeats": repeats}


def _plan(process: str, solver: str, grid: str, steps: int, eta: float | None, sharpness: float) -> Any:
    """Check the names now, build the plan once the card is read."""
    for option, name, known in (
        ("--process", process, PROCESSES),
        ("--solver", solver, SOLVERS),
        ("--grid", grid, GRIDS),
    ):
        checked(option, name, known)
    if grid != "late" and solver in ("sde", "sde2"):
        raise UsageError(f"--solver {solver} takes even steps of log-SNR; leave --grid out.")
    if eta is not None and solver != "ddim":
        raise UsageError(f"--eta belongs to --solver ddim; {solver} has none.")

    def build(card: Any) -> Plan:
        from scigen.domains.molecules.sampler import Plan
        from scigen.run.build import affine_process, named_grid, named_solver

        bounds = tuple(card.get("logsnr_range", (-10.0, 10.0)))
        moves, times = named_solver(solver, eta or 0.0, steps), named_grid(grid)
        return Plan(affine_process(process), moves, steps, times, sharpness, bounds)

    return build


def _atoms(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    low, _, high = text.partition("-")
    try:
        bounds = int(low), int(high or low)
    except ValueError:
        bounds = (1, 0)
    if not 0 < bounds[0] <= bounds[1]:
        raise UsageError(f"--n-atoms {text}: give a number such as 18 or a range such as 15-20.")
    return bounds


def _show(outcome: Outcome, request: Request, out: Path, as_json: bool, quiet: bool) -> None:
    from scigen.cli.table import report_console, score_table

    kept, drawn = len(outcome.mols), outcome.drawn
    summary = f"{kept} molecules in {outcome.timings['sample']:.1f} s, seed {request.seed}, written to {out}"
    if request.only_valid:
        summary += f"; {drawn} drawn, acceptance {kept / drawn:.1%} (scores are of all drawn)"
    if outcome.refined is not None:
        moved = sum(one.reason is None for one in outcome.refined)
        summary += f"; {moved} of {len(outcome.refined)} whole valid ones refined"
    if as_json:
        import json

        typer.echo(json.dumps({"out": str(out), "kept": kept, **outcome.document()}, indent=2))
    elif not quiet:
        report_console().print(score_table(outcome.scores, summary, before=outcome.as_drawn))
    if request.only_valid and kept < request.n:
        typer.echo(f"scigen: only {kept} of the {request.n} valid molecules asked for came out of {drawn}.", err=True)
    for failed in outcome.failed[:5]:
        typer.echo(f"sample {failed.index}: {failed.reason}", err=True)
