"""What `scigen score` leaves behind: one JSON document, a table, a folder of files, a JUnit report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scigen import __version__
from scigen.cli.thresholds import Verdict, junit

if TYPE_CHECKING:
    from scigen.cli.score import Loaded
    from scigen.metrics.score import Score

__all__ = ["Outcome", "document", "show", "write"]

_ENGINES = ("rdkit", "numpy", "posebusters", "fcd_torch", "tblite")
_SHOWN_ERRORS = 5


@dataclass(frozen=True)
class Outcome:
    """Everything a run of `scigen score` measured."""

    files: Sequence[Path]
    reference: str
    is_qm9: bool
    seed: int
    scores: Sequence[Score]
    verdicts: Sequence[Verdict]
    checks: Sequence[Mapping[str, Any]]


def document(outcome: Outcome, loaded: Loaded) -> dict[str, Any]:
    """The whole result as plain JSON types; `errors` lists every record that is not a molecule."""
    return {
        "scigen": __version__,
        "files": [str(path) for path in outcome.files],
        "reference": outcome.reference,
        "seed": outcome.seed,
        "records": loaded.records,
        "molecules": len(loaded.mols),
        "scores": [score.to_dict() for score in outcome.scores],
        "thresholds": [verdict.to_dict() for verdict in outcome.verdicts],
        "passed": all(verdict.passed for verdict in outcome.verdicts),
        "errors": loaded.errors,
        "versions": _versions(),
    }


def write(outcome: Outcome, loaded: Loaded, folder: Path | None, junit_file: Path | None) -> None:
    """Write the files asked for, each whole or not at all; raises `ResourceError` when one cannot be written."""
    from scigen.io.atomic import make_folder, write_bytes, write_text

    if junit_file is not None:
        make_folder(junit_file.parent)
        write_bytes(junit_file, junit(outcome.verdicts, "scigen score molecules"))
    if folder is None:
        return
    make_folder(folder)
    write_text(folder / "scores.json", json.dumps(document(outcome, loaded), indent=2) + "\n")
    write_text(folder / "errors.jsonl", "".join(json.dumps(error) + "\n" for error in loaded.errors))
    _write_table(folder / "molecules.csv", outcome, loaded)


def show(outcome: Outcome, loaded: Loaded, as_json: bool, quiet: bool) -> None:
    """The JSON document or the table on stdout; verdicts and unreadable records on stderr."""
    from scigen.cli.table import print_scores

    if as_json:
        typer.echo(json.dumps(document(outcome, loaded), indent=2))
    elif not quiet:
        title = f"{len(loaded.mols):,} molecules, against {outcome.reference}"
        print_scores(outcome.scores, title)
    for verdict in outcome.verdicts:
        if not (verdict.passed and quiet):
            typer.echo(f"{'passed' if verdict.passed else 'MISSED'}: {verdict.message}", err=True)
    for error in loaded.errors[:_SHOWN_ERRORS]:
        typer.echo(f"{error['file']}, record {error['record']}: {error['reason']}", err=True)
    if (rest := len(loaded.errors) - _SHOWN_ERRORS) > 0:
        typer.echo(f"... and {rest} more unreadable records; --out lists them in errors.jsonl", err=True)


def _write_table(path: Path, outcome: Outcome, loaded: Loaded) -> None:
    from scigen.domains.molecules.checks import TABLE_COLUMNS, table_row
    from scigen.io.molecules import write_smiles_csv

    rows = (
        {"file": source, "record": index, "title": title, **table_row(check)}
        for (source, index, title), check in zip(loaded.origins, outcome.checks, strict=True)
    )
    write_smiles_csv(path, rows, ("file", "record", "title", *TABLE_COLUMNS))


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in _ENGINES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found
