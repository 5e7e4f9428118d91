"""Strict SMILES lists: `.smi` and `.txt` (SMILES, blank, title) and `.csv` (a column `smiles`)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from rdkit import Chem, rdBase

from scigen.errors import InputError
from scigen.io.lines import read_lines
from scigen.io.records import Record

__all__ = ["parse_smiles", "read_csv", "read_smi"]

_MAX_SMILES = 20_000  # characters; the longest protein in PubChem is shorter
_TITLE_COLUMNS = ("name", "title", "id")


def parse_smiles(text: str) -> Chem.Mol:
    """An unsanitised molecule from a SMILES, with its hydrogens as written. Raises ValueError with the reason."""
    if not text:
        raise ValueError("the SMILES is empty")
    if len(text) > _MAX_SMILES:
        raise ValueError(f"the SMILES has {len(text)} characters, and {_MAX_SMILES} are read")
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"`{text[:40]}` is not a SMILES")
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(text, _parameters())
    if mol is None or mol.GetNumAtoms() == 0:
        raise ValueError(f"`{text[:40]}` is not a SMILES")
    if any(atom.GetAtomicNum() == 0 or atom.HasQuery() for atom in mol.GetAtoms()):
        raise ValueError(f"`{text[:40]}` holds an atom that is no element")
    return mol


def read_smi(path: str | Path) -> Iterator[Record]:
    """Yield one Record for each non-blank line, `SMILES [title]`, in order; a first line `smiles ...` is a header.

    Raises InputError when the file as a whole is unreadable or holds no line.
    """
    rows = ((number, *_split(line)) for number, line in enumerate(read_lines(path), start=1) if line.strip())
    yield from _records(path, (row for row in rows if row[0] > 1 or row[1].lower() != "smiles"))


def read_csv(path: str | Path) -> Iterator[Record]:
    """Yield one Record for each row of a CSV with a header and a column `smiles`, in order.

    The title is the column `name`, `title` or `id` if there is one. Raises InputError when the header lacks the
    column or has it twice, when quoting breaks, or when there is no row.
    """
    lines = read_lines(path)
    header = next(lines, "")
    delimiter = ";" if ";" in header and "," not in header else "\t" if "\t" in header and "," not in header else ","
    reader = csv.reader(chain([header + "\n"], (line + "\n" for line in lines)), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader)]
        if names.count("smiles") != 1:
            raise InputError(f"`{path}` needs one column `smiles`; its header is `{header[:80]}`.")
        column = names.index("smiles")
        title = next((names.index(name) for name in _TITLE_COLUMNS if name in names), None)
        rows = ((reader.line_num, _cell(row, column), _cell(row, title)) for row in reader if row)
        yield from _records(path, rows)
    except csv.Error as error:
        raise InputError(f"`{path}`, line {reader.line_num}: broken CSV, {error}; check the quotes.") from error


def _records(path: str | Path, rows: Iterator[tuple[int, str, str]]) -> Iterator[Record]:
    index = -1
    for index, (number, text, title) in enumerate(rows):
        try:
            yield Record(str(path), index, parse_smiles(text), None, title)
        except ValueError as error:
            yield Record(str(path), index, None, f"line {number}: {error}", title)
    if index < 0:
        raise InputError(f"`{path}` holds no record; nothing can be read from it.")


def _split(line: str) -> tuple[str, str]:
    text, _, title = line.strip().partition(" ") if " " in line.strip() else line.strip().partition("\t")
    return text.strip(), title.strip()


def _cell(row: list[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""


def _parameters() -> Chem.SmilesParserParams:
    parameters = Chem.SmilesParserParams()
    parameters.sanitize = False  # type: ignore[assignment]
    parameters.removeHs = False  # type: ignore[assignment]
    parameters.allowCXSMILES = False  # type: ignore[assignment]
    return parameters
