"""Strict SDF and mol files, V2000 and V3000: every declared atom and bond is read, or the record says why not.

RDKit builds the molecule; this file checks what RDKit lets pass: lost `$$$$`, counts that disagree, blank or infinite
coordinates, query atoms. Format: BIOVIA CTfile Formats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase

from scigen.errors import InputError
from scigen.io.ctab import Counts, check_v2000, check_v3000
from scigen.io.lines import read_lines
from scigen.io.records import Record

__all__ = ["read_sdf"]

_MAX_RECORD = 300_000  # lines; 100,000 atoms with their bonds and properties
_MAX_CHARGE = 20
_HEADER = re.compile(r">.*?<(.+)>")


@dataclass(frozen=True)
class _Block:
    """One record as text: its lines, the number of the first in the file, and whether `$$$$` closed it."""

    lines: list[str]
    first: int
    closed: bool


def read_sdf(path: str | Path) -> Iterator[Record]:
    """Yield one Record for each record of an SDF or mol file, in order; a bad one carries its reason and its line.

    Raises InputError when the file as a whole is not an SDF: missing, empty, binary, or without any mol block.
    """
    source, index = str(path), -1
    for index, block in enumerate(_blocks(path)):
        try:
            if index and not block.closed:
                raise ValueError(f"line {block.first + len(block.lines)}: the file ends before `$$$$`; it was cut")
            mol, title = _parse(block)
            yield Record(source, index, mol, None, title)
        except ValueError as error:
            if index == 0 and not block.closed and not _looks_like_mol(block):
                raise InputError(f"`{path}` is not an SDF: it holds no mol block and no `$$$$`.") from error
            yield Record(source, index, None, str(error), block.lines[0].strip() if block.lines else "")
    if index < 0:
        raise InputError(f"`{path}` holds only blank lines; nothing can be read from it.")


def _blocks(path: str | Path) -> Iterator[_Block]:
    block: list[str] = []
    first = 1
    for number, line in enumerate(read_lines(path), start=1):
        if line.startswith("$$$$") or line.endswith("$$$$"):
            # Where a line was cut the mark sits at its end; without it the next, good record would be lost too.
            yield _Block(block if line.startswith("$$$$") else [*block, line[:-4]], first, True)
            block, first = [], number + 1
            continue
        block.append(line)
        if len(block) > _MAX_RECORD:
            raise InputError(f"`{path}`, line {first}: a record of more than {_MAX_RECORD} lines; this is not an SDF.")
    if any(line.strip() for line in block):
        yield _Block(block, first, False)


def _looks_like_mol(block: _Block) -> bool:
    return any("V2000" in line or "V3000" in line or line.startswith("M  END") for line in block.lines)


def _parse(block: _Block) -> tuple[Chem.Mol, str]:
    lines, first = block.lines, block.first
    end = next((i for i, line in enumerate(lines) if line.startswith("M  END")), None)
    if end is None:
        raise ValueError(f"line {first + len(lines)}: no `M  END`; the record was cut")
    if end < 4:
        raise ValueError(f"line {first + end}: `M  END` after {end} lines; a mol block begins with 3 lines and counts")
    counts = (check_v3000 if "V3000" in lines[3] else check_v2000)(lines[: end + 1], first)
    with rdBase.BlockLogs():
        mol = Chem.MolFromMolBlock("\n".join(lines[: end + 1]) + "\n", sanitize=False, removeHs=False)
    if mol is None:
        raise ValueError(f"line {first}: RDKit refuses the mol block")
    _check_mol(mol, counts, first)
    for name, value in _properties(lines[end + 1 :], first + end + 1, block.closed):
        mol.SetProp(name, value)
    return mol, lines[0].strip()


def _check_mol(mol: Chem.Mol, counts: Counts, first: int) -> None:
    if (mol.GetNumAtoms(), mol.GetNumBonds()) != (counts.atoms, counts.bonds):
        raise ValueError(
            f"line {first + 3}: {counts.atoms} atoms and {counts.bonds} bonds are declared, "
            f"{mol.GetNumAtoms()} and {mol.GetNumBonds()} were read"
        )
    if mol.GetNumConformers() != 1 or not np.isfinite(mol.GetConformer().GetPositions()).all():
        raise ValueError(f"line {first}: the record has no finite coordinates")
    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0 or atom.HasQuery():
            raise ValueError(f"line {first}: atom {atom.GetIdx() + 1} is a query or no element")
        if abs(atom.GetFormalCharge()) > _MAX_CHARGE:
            raise ValueError(f"line {first}: atom {atom.GetIdx() + 1} has the charge {atom.GetFormalCharge()}")
    if any(bond.HasQuery() for bond in mol.GetBonds()):
        raise ValueError(f"line {first}: a bond is a query")


def _properties(lines: list[str], first: int, closed: bool) -> Iterator[tuple[str, str]]:
    """Data items after the mol block: `> <NAME>`, the value's lines, a blank line."""
    name, value = "", []  # type: str, list[str]
    for number, line in enumerate(lines, start=first):
        header = _HEADER.match(line)
        if header:
            if name:
                yield name, "\n".join(value).strip("\n")
            name, value = header[1], []
        elif line.startswith("M  END"):
            raise ValueError(f"line {number}: a second mol block; the `$$$$` between two records is lost")
        elif not name and line.strip():
            raise ValueError(f"line {number}: text after `M  END` that is no data item")
        else:
            value.append(line)
    if name and not closed:
        raise ValueError(f"line {first + len(lines)}: the file ends inside the data item `{name}`")
    if name:
        yield name, "\n".join(value).strip("\n")
