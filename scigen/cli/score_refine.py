"""`scigen score refine FILE --reference B.sdf`: how far geometries lie from those that they should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scigen.cli.choice import suggest
from scigen.cli.thresholds import conclude, judge, parse_thresholds
from scigen.errors import InputError, UsageError

if TYPE_CHECKING:
    from scigen.cli.report import Report
    from scigen.domains.molecules.refine.score import Compared
    from scigen.io.records import Record
    from scigen.metrics.score import Score

__all__ = ["score_refine"]


def score_refine(
    file: Annotated[Path, typer.Argument(help="Geometries: SDF, mol or XYZ; .gz after any.")],
    reference: Annotated[Path, typer.Option(help="The same molecules, atoms in the same order, as they should be.")],
    start: Annotated[Path | None, typer.Option(help="The same molecules before refinement, for comparison.")] = None,
    minimum: Annotated[list[str] | None, typer.Option("--min", help="NAME=VALUE; fail below (repeatable).")] = None,
    maximum: Annotated[list[str] | None, typer.Option("--max", help="NAME=VALUE; fail above (repeatable).")] = None,
    more: Annotated[list[str] | None, typer.Option("--with", help="Add a score group: gfn2.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap and of the molecules drawn for gfn2.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for scores.json, molecules.csv and errors.jsonl.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="JUnit file, one case per threshold.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table and no progress.")] = False,
) -> None:
    """Score geometries against references: RMSD, bond lengths, angles, torsions, their worst 1 %, energy.

    Molecules are paired by position, several draws of one by the data item scigen_draw; elements and bonds must agree.

    Exit code 0: all thresholds met; 1: one missed; 2: usage; 3: nothing to compare; 4: some records are.
    """
    from scigen.cli.progress import bars
    from scigen.cli.report import show, write
    from scigen.domains.molecules.refine.score import CATALOGUE, compare, match, score_geometries

    thresholds = parse_thresholds(minimum or [], maximum or [], [entry.name for entry in CATALOGUE])
    gfn2 = _wants_gfn2(more or []) or any(threshold.name == "gfn2_relaxation" for threshold in thresholds)
    references, records = _read(reference), _read(file)
    before = match(references, _read(start)) if start is not None else None
    compared, errors = compare(references, match(references, records), before)
    if not compared:
        first = (f" (the first: record {e['record']} of {e['file']}: {e['reason']})" for e in errors)
        raise InputError(f"`{file}`: no geometry can be held against its reference{next(first, '')}.")
    with bars(quiet or as_json) as progress:
        scores = score_geometries(compared, len(references), gfn2, seed, progress)
    report = _report((file, reference, start), compared, len(references), scores, errors, seed)
    verdicts = judge(thresholds, scores)
    write(report, verdicts, out, junit_file)
    show(report, verdicts, as_json, quiet)
    conclude(verdicts, bool(errors))


def _report(
    files: tuple[Path, Path, Path | None],
    compared: Sequence[Compared],
    references: int,
    scores: Sequence[Score],
    errors: Sequence[dict[str, Any]],
    seed: int,
) -> Report:
    from scigen.cli.report import Report

    file, reference, start = files
    facts = {
        "file": str(file),
        "reference": str(reference),
        "start": str(start) if start else None,
        "seed": seed,
        "references": references,
        "molecules": len(compared),
        "geometries": sum(len(c.draws) for c in compared),
    }
    title = f"{len(compared):,} of {references:,} molecules, against {reference}"
    caption = f"atoms in their given order, superposed without reflection; seed {seed}"
    beside = [("start", "baseline")] if start else []
    rows = [
        {"record": c.record.index, "title": c.record.title, "draw": draw, **_numbers(found)}
        for c in compared
        for draw, found in enumerate(c.draws)
    ]
    return Report("scigen score refine", title, caption, facts, scores, beside, rows, errors, "molecules.csv")


def _wants_gfn2(more: Sequence[str]) -> bool:
    names = [name.strip() for text in more for name in text.split(",") if name.strip()]
    if unknown := next((name for name in names if name != "gfn2"), None):
        raise UsageError(f"`--with {unknown}`: there is no such group; {suggest(unknown, ['gfn2'])}")
    return bool(names)


def _read(path: Path) -> list[Record]:
    from scigen.io.molecules import read_molecules

    return list(read_molecules(path))


def _numbers(errors: Any) -> dict[str, float | None]:
    """The errors of one geometry; an empty cell where there is nothing to compare."""
    return {name: x if x == x else None for name, x in vars(errors).items()}
