"""`scigen score refine FILE --reference B.sdf`: how far geometries lie from those that they should be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scigen.cli.thresholds import Verdict, conclude, judge, parse_thresholds, suggest
from scigen.errors import InputError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from scigen.domains.molecules.refine.score import Compared
    from scigen.io.records import Record
    from scigen.metrics.score import Score

__all__ = ["score_refine"]

_SHOWN_ERRORS = 5


@dataclass(frozen=True)
class Outcome:
    """What a run compared and found; `files` are those compared, their references, and the starts or None."""

    files: tuple[Path, Path, Path | None]
    compared: Sequence[Compared]
    references: int
    scores: Sequence[Score]
    verdicts: Sequence[Verdict]
    errors: Sequence[dict[str, Any]]


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
    found = Outcome((file, reference, start), compared, len(references), scores, judge(thresholds, scores), errors)
    _write(found, seed, out, junit_file)
    _show(found, seed, as_json, quiet)
    conclude(found.verdicts, bool(errors))


def _wants_gfn2(more: Sequence[str]) -> bool:
    names = [name.strip() for text in more for name in text.split(",") if name.strip()]
    if unknown := next((name for name in names if name != "gfn2"), None):
        raise UsageError(f"`--with {unknown}`: there is no such group; {suggest(unknown, ['gfn2'])}")
    return bool(names)


def _read(path: Path) -> list[Record]:
    from scigen.io.molecules import read_molecules

    return list(read_molecules(path))


def _document(found: Outcome, seed: int) -> dict[str, Any]:
    from scigen.run.report import versions

    file, reference, start = found.files
    return {
        "file": str(file),
        "reference": str(reference),
        "start": str(start) if start else None,
        "seed": seed,
        "references": found.references,
        "molecules": len(found.compared),
        "geometries": sum(len(c.draws) for c in found.compared),
        "scores": [score.to_dict() for score in found.scores],
        "thresholds": [verdict.to_dict() for verdict in found.verdicts],
        "passed": all(verdict.passed for verdict in found.verdicts),
        "errors": list(found.errors),
        "versions": versions(),
    }


def _write(found: Outcome, seed: int, folder: Path | None, junit_file: Path | None) -> None:
    from scigen.cli.thresholds import junit
    from scigen.io.atomic import make_folder, write_bytes, write_text
    from scigen.io.molecules import write_smiles_csv

    if junit_file is not None:
        make_folder(junit_file.parent)
        write_bytes(junit_file, junit(found.verdicts, "scigen score refine"))
    if folder is None:
        return
    make_folder(folder)
    write_text(folder / "scores.json", json.dumps(_document(found, seed), indent=2) + "\n")
    write_text(folder / "errors.jsonl", "".join(json.dumps(error) + "\n" for error in found.errors))
    rows = [
        {"record": c.record.index, "title": c.record.title, "draw": draw, **_numbers(errors)}
        for c in found.compared
        for draw, errors in enumerate(c.draws)
    ]
    write_smiles_csv(folder / "molecules.csv", rows, list(rows[0]))


def _numbers(errors: Any) -> dict[str, float | None]:
    """The errors of one geometry; an empty cell where there is nothing to compare."""
    return {name: x if x == x else None for name, x in vars(errors).items()}


def _show(found: Outcome, seed: int, as_json: bool, quiet: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_document(found, seed), indent=2))
    elif not quiet:
        from scigen.cli.table import report_console

        report_console().print(_table(found))
    for verdict in found.verdicts:
        if not (verdict.passed and quiet):
            typer.echo(f"{'passed' if verdict.passed else 'MISSED'}: {verdict.message}", err=True)
    for error in found.errors[:_SHOWN_ERRORS]:
        typer.echo(f"{error['file']}, record {error['record']}: {error['reason']}", err=True)
    if (rest := len(found.errors) - _SHOWN_ERRORS) > 0:
        typer.echo(f"... and {rest} more that cannot be compared; --out lists them in errors.jsonl", err=True)


def _table(found: Outcome) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from scigen.cli.table import format_interval, format_value

    title = escape(f"{len(found.compared):,} of {found.references:,} molecules, against {found.files[1]}")
    table = Table(title=title, title_justify="left", pad_edge=False, box=box.SIMPLE_HEAD)
    table.add_column("score", no_wrap=True)
    columns = ("value", "95 % interval", *(["start"] if found.files[2] else []), "n")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("definition")
    for s in found.scores:
        cells = [format_value(s.value, s.unit), format_interval(s.interval, s.unit)]
        cells += [format_value(s.baseline, s.unit)] if found.files[2] else []
        note = f" [dim]({escape(s.note)})[/dim]" if s.note else ""
        table.add_row(s.name, *cells, f"{s.n:,}" if s.n else "", f"{s.definition}{note}")
    return table
