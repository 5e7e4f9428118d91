"""Molecules to SDF, XYZ and CSV: explicit bonds and hydrogens, clean titles, whole files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path

from rdkit import Chem, rdBase

from scigen.io.atomic import atomic_file, write_text

__all__ = ["clean", "write_sdf", "write_smiles_csv", "write_xyz"]

_MAX_TITLE = 80  # the header lines of a mol block are 80 columns wide


def write_sdf(
    path: str | Path,
    mols: Iterable[Chem.Mol],
    properties: Iterable[Mapping[str, object]] | None = None,
    titles: Iterable[str] | None = None,
) -> int:
    """Write `mols` as one SDF (V2000, V3000 above 999 atoms), atomically, and return how many.

    Hydrogens and bonds are written as they are; `properties` become data items and `titles` first lines, both
    stripped of what would break the format. Without `titles` each molecule's `_Name` is used.
    Raises ResourceError when the file cannot be written; an old file is then kept.
    """
    count = 0
    with atomic_file(path) as handle:
        for mol, items, title in zip(mols, repeat({}) if properties is None else properties, _titles(titles)):
            handle.write(_sdf_record(mol, items, title).encode("utf-8", errors="replace"))
            count += 1
    return count


def write_xyz(path: str | Path, mols: Iterable[Chem.Mol], titles: Iterable[str] | None = None) -> int:
    """Write `mols` as XYZ frames (Å, 6 decimals), atomically, and return how many. Raises ResourceError."""
    count = 0
    with atomic_file(path) as handle:
        for mol, title in zip(mols, _titles(titles)):
            symbols = [atom.GetSymbol() for atom in mol.GetAtoms()]
            rows = [f"{s} {x:.6f} {y:.6f} {z:.6f}" for s, (x, y, z) in zip(symbols, _positions(mol))]
            comment = clean(_name(mol) if title is None else title)
            handle.write("\n".join([str(len(rows)), comment, *rows, ""]).encode("utf-8", errors="replace"))
            count += 1
    return count


def write_smiles_csv(path: str | Path, rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> int:
    """Write `rows` as CSV with the header `columns` (one of them `smiles`), atomically, and return how many.

    None becomes an empty cell, booleans 0 or 1. Raises ResourceError when the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
        count += 1
    write_text(path, text.getvalue())
    return count


def clean(text: str, limit: int = _MAX_TITLE) -> str:
    """`text` on one line of printable characters, at most `limit`, and never the record mark `$$$$`."""
    line = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(line.replace("$$$$", "").split())[:limit]


def _titles(titles: Iterable[str] | None) -> Iterable[str | None]:
    return repeat(None) if titles is None else titles


def _name(mol: Chem.Mol) -> str:
    return mol.GetProp("_Name") if mol.HasProp("_Name") else ""


def _positions(mol: Chem.Mol) -> list[list[float]]:
    return mol.GetConformer().GetPositions().tolist()


def _sdf_record(mol: Chem.Mol, items: Mapping[str, object], title: str | None) -> str:
    mol = Chem.Mol(mol)
    mol.SetProp("_Name", clean(_name(mol) if title is None else title))
    mol.UpdatePropertyCache(strict=False)
    with rdBase.BlockLogs():
        try:
            block = Chem.MolToMolBlock(mol)
        except Chem.KekulizeException:  # a molecule that breaks chemistry is still written, as it stands
            block = Chem.MolToMolBlock(mol, kekulize=False)
    data = "".join(f"> <{_item(name)}>\n{_value(value)}\n\n" for name, value in items.items())
    return f"{block}{data}$$$$\n"


def _item(name: str) -> str:
    return clean(name.replace("<", " ").replace(">", " ")) or "_"


def _value(value: object) -> str:
    # A blank line would end the item and `$$$$` the record.
    lines = [clean(line, 1000) for line in _cell(value).splitlines()]
    return "\n".join(line for line in lines if line)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
