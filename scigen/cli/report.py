"""What a score against references leaves behind: one JSON document, a table, a folder of files, a JUnit report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from scigen import __version__
from scigen.cli.table import format_interval, format_value, report_console
from scigen.cli.thresholds import Verdict, junit

if TYPE_CHECKING:
    from rich.table import Table

    from scigen.metrics.score import Score

__all__ = ["Report", "document", "show", "write"]

_SHOWN_ERRORS = 5
_NARROW = 150


@dataclass(frozen=True)
class Report:
    """Everything a run measured.

    `facts` opens the JSON document (what was compared, under which terms); `caption` says the same to people; `beside`
    are the headings and fields of `Score` shown next to the value; `rows` are what was compared, one by one, and go to
    the file `listing`.
    """

    command: str
    title: str
    caption: str
    facts: Mapping[str, Any]
    scores: Sequence[Score]
    beside: Sequence[tuple[str, str]]
    rows: Sequence[Mapping[str, Any]]
    errors: Sequence[Mapping[str, Any]]
    listing: str = "shapes.csv"


def document(report: Report, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The whole result as plain JSON types; `errors` lists every record that was left out."""
    from scigen.run.report import versions

    return {
        "scigen": __version__,
        **report.facts,
        "scores": [score.to_dict() for score in report.scores],
        "thresholds": [verdict.to_dict() for verdict in verdicts],
        "passed": all(verdict.passed for verdict in verdicts),
        "errors": list(report.errors),
        "versions": versions(),
    }


def write(report: Report, verdicts: Sequence[Verdict], folder: Path | None, junit_file: Path | None) -> None:
    """Write the files asked for, each whole or not at all; raises `ResourceError` when one cannot be written."""
    from scigen.io.atomic import make_folder, write_bytes, write_text

    if junit_file is not None:
        make_folder(junit_file.parent)
        write_bytes(junit_file, junit(verdicts, report.command))
    if folder is None:
        return
    make_folder(folder)
    write_text(folder / "scores.json", json.dumps(document(report, verdicts), indent=2) + "\n")
    write_text(folder / "errors.jsonl", "".join(json.dumps(error) + "\n" for error in report.errors))
    text = io.StringIO()
    columns = dict.fromkeys(name for row in report.rows for name in row)
    table = csv.DictWriter(text, [*columns], lineterminator="\n")
    table.writeheader()
    table.writerows(report.rows)
    write_text(folder / report.listing, text.getvalue())


def show(report: Report, verdicts: Sequence[Verdict], as_json: bool, quiet: bool) -> None:
    """The JSON document or the table on stdout; verdicts and what was left out on stderr."""
    if as_json:
        typer.echo(json.dumps(document(report, verdicts), indent=2))
    elif not quiet:
        _print(report)
    for verdict in verdicts:
        if not (verdict.passed and quiet):
            typer.echo(f"{'passed' if verdict.passed else 'MISSED'}: {verdict.message}", err=True)
    for error in report.errors[:_SHOWN_ERRORS]:
        named = error["record"] if isinstance(error["record"], str) else f"record {error['record']}"
        typer.echo(f"{error['file']}, {named}: {error['reason']}", err=True)
    if (rest := len(report.errors) - _SHOWN_ERRORS) > 0:
        typer.echo(f"... and {rest} more records left out; --out lists them in errors.jsonl", err=True)


def _print(report: Report) -> None:
    """The table and under it the terms; on a narrow terminal the definitions follow instead of standing beside."""
    console = report_console()
    wide = console.width >= _NARROW
    console.print(_table(report, wide))
    for score in () if wide else report.scores:
        console.print(f"{score.name}: {score.definition}{'; ' + score.note if score.note else ''}", markup=False)
    console.print(report.caption, markup=False)


def _table(report: Report, definitions: bool) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(report.title), title_justify="left", pad_edge=False, box=box.SIMPLE_HEAD)
    table.add_column("score", no_wrap=True)
    for heading in ("value", "95 % interval", *(heading for heading, _ in report.beside), "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    if definitions:
        table.add_column("definition")
    for score in report.scores:
        note = f" ({score.note})" if score.note else ""
        cells = (
            score.name,
            format_value(score.value, score.unit),
            format_interval(score.interval, score.unit),
            *(format_value(getattr(score, field), score.unit) for _, field in report.beside),
            f"{score.n:,}" if score.n else "",
        )
        table.add_row(*cells, *([f"{escape(score.definition)}[dim]{escape(note)}[/dim]"] if definitions else []))
    return table
