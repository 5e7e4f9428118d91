"""Molecule files in and out; the suffix names the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from scigen.errors import InputError
from scigen.io.records import Record
from scigen.io.sdf import read_sdf
from scigen.io.smiles import read_csv, read_smi
from scigen.io.write import write_sdf, write_smiles_csv, write_xyz
from scigen.io.xyz import read_xyz

__all__ = ["Record", "read_molecules", "write_sdf", "write_smiles_csv", "write_xyz"]


def read_molecules(path: str | Path) -> Iterator[Record]:
    """Yield one Record for each record of the file, in order, with bounded memory.

    By suffix: .sdf .sd .mol (V2000, V3000), .xyz (bonds perceived), .smi .smiles .txt (SMILES, title), .csv .tsv
    (column `smiles`); `.gz` after any of them. A bad record has `mol` None and a reason.
    Raises InputError at once for an unknown suffix, and while reading when the file as a whole is refused.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    suffix = next((s for s in reversed(suffixes) if s != ".gz"), "")
    reader = _reader(suffix)
    if reader is None:
        known = ".sdf, .mol, .xyz, .smi, .txt or .csv, with or without .gz"
        raise InputError(f"`{path}`: the suffix `{suffix}` names no molecule format; use {known}.")
    return reader(path)


def _reader(suffix: str) -> Callable[[str | Path], Iterator[Record]] | None:
    if suffix in (".sdf", ".sd", ".mol"):
        return read_sdf
    if suffix in (".smi", ".smiles", ".txt"):
        return read_smi
    if suffix in (".csv", ".tsv"):
        return read_csv
    return read_xyz if suffix == ".xyz" else None
