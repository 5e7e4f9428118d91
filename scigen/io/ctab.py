"""The connection table of a mol block, checked line by line before RDKit sees it.

V2000 has fixed columns, V3000 has `M  V30` lines of words. Each check raises ValueError with the line of the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rdkit import Chem

__all__ = ["ELEMENTS", "Counts", "check_v2000", "check_v3000", "coordinate"]

ELEMENTS = frozenset(Chem.GetPeriodicTable().GetElementSymbol(z) for z in range(1, 119)) | {"D", "T"}
_BOND_TYPES = frozenset("12349")  # single, double, triple, aromatic, dative; the rest are queries
_PROPERTY_LINES = ("M  ", "A  ", "V  ", "G  ", "S  ")
_MAX_COORDINATE = 1e5  # Å; beyond it squared distances lose their meaning in float32


@dataclass(frozen=True)
class Counts:
    """What the counts line declares."""

    atoms: int
    bonds: int


def coordinate(text: str, line: int) -> float:
    """A finite coordinate in Å, |x| < 1e5. Raises ValueError with the line."""
    try:
        value = float(text)
    except ValueError as error:
        raise ValueError(f"line {line}: `{text.strip()[:20]}` is not a coordinate") from error
    if not math.isfinite(value) or abs(value) > _MAX_COORDINATE:
        raise ValueError(f"line {line}: the coordinate {text.strip()[:20]} is not a finite length in Å")
    return value


def check_v2000(lines: list[str], first: int) -> Counts:
    """Check a V2000 block (`lines` up to and with `M  END`; `first` is the number of its first line).

    Raises ValueError for bad counts, coordinates, elements, atom numbers or bond types.
    """
    atoms, bonds = _count(lines[3][0:3], first + 3, "atoms"), _count(lines[3][3:6], first + 3, "bonds")
    _check_counts(atoms, bonds, first + 3)
    if len(lines) < 4 + atoms + bonds + 1:
        raise ValueError(
            f"line {first + 3}: {atoms} atoms and {bonds} bonds are declared, and {len(lines) - 5} lines follow"
        )
    for number, line in enumerate(lines[4 : 4 + atoms], start=first + 4):
        for start in (0, 10, 20):
            coordinate(line[start : start + 10], number)
        _check_element(line[31:34].strip(), number)
    for number, line in enumerate(lines[4 + atoms : 4 + atoms + bonds], start=first + 4 + atoms):
        _check_bond(line[0:3], line[3:6], line[6:9], atoms, number)
    if not lines[4 + atoms + bonds].startswith(_PROPERTY_LINES):
        raise ValueError(f"line {first + 4 + atoms + bonds}: more lines than the counts declare")
    return Counts(atoms, bonds)


def check_v3000(lines: list[str], first: int) -> Counts:
    """Check a V3000 block; arguments and errors as in `check_v2000`."""
    words = _v30_words(lines, first)
    declared = next((w for _, w in words if w[:1] == ["COUNTS"]), [])
    if len(declared) < 3:
        raise ValueError(f"line {first + 3}: no `M  V30 COUNTS` line with the numbers of atoms and bonds")
    counts = Counts(_count(declared[1], first + 5, "atoms"), _count(declared[2], first + 5, "bonds"))
    _check_counts(counts.atoms, counts.bonds, first + 5)
    atoms, bonds = _v30_section(words, "ATOM"), _v30_section(words, "BOND")
    if (len(atoms), len(bonds)) != (counts.atoms, counts.bonds):
        raise ValueError(
            f"line {first + 5}: {counts.atoms} atoms and {counts.bonds} bonds are declared, "
            f"{len(atoms)} and {len(bonds)} are listed"
        )
    for number, atom in atoms:
        if len(atom) < 6:
            raise ValueError(f"line {number}: an atom line needs index, element, x, y, z and a map number")
        _check_element(atom[1], number)
        for text in atom[2:5]:
            coordinate(text, number)
    for number, bond in bonds:
        if len(bond) < 4:
            raise ValueError(f"line {number}: a bond line needs index, type and two atoms")
        # V3000 atoms carry their own indices; RDKit resolves them, so only the type is checked here.
        _check_bond("1", "2", bond[1], 2, number)
    return counts


def _v30_words(lines: list[str], first: int) -> list[tuple[int, list[str]]]:
    words: list[tuple[int, list[str]]] = []
    start, carried = 0, ""
    for number, line in enumerate(lines[4:], start=first + 4):
        if not line.startswith("M  V30 "):
            continue
        start = start if carried else number
        carried += line[7:].rstrip()
        if carried.endswith("-"):  # the line goes on
            carried = carried[:-1] + " "
            continue
        words.append((start, carried.split()))
        carried = ""
    return words


def _v30_section(words: list[tuple[int, list[str]]], name: str) -> list[tuple[int, list[str]]]:
    begin = next((i for i, (_, w) in enumerate(words) if w == ["BEGIN", name]), None)
    if begin is None:
        return []
    end = next((i for i, (_, w) in enumerate(words) if i > begin and w == ["END", name]), None)
    if end is None:
        raise ValueError(f"line {words[begin][0]}: `BEGIN {name}` without `END {name}`; the record was cut")
    return words[begin + 1 : end]


def _count(text: str, line: int, what: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise ValueError(f"line {line}: `{text.strip()[:20]}` is not a number of {what}")
    return int(text)


def _check_counts(atoms: int, bonds: int, line: int) -> None:
    if atoms == 0:
        raise ValueError(f"line {line}: the record declares no atoms")
    if bonds > atoms * (atoms - 1) // 2:
        raise ValueError(f"line {line}: {bonds} bonds are more than {atoms} atoms can have")


def _check_element(symbol: str, line: int) -> None:
    if symbol not in ELEMENTS:
        raise ValueError(f"line {line}: `{symbol[:20]}` is not an element")


def _check_bond(begin: str, end: str, kind: str, atoms: int, line: int) -> None:
    i, j = _count(begin, line, "an atom"), _count(end, line, "an atom")
    if not (1 <= i <= atoms and 1 <= j <= atoms and i != j):
        raise ValueError(f"line {line}: a bond between the atoms {i} and {j}, and there are {atoms}")
    if kind.strip() not in _BOND_TYPES:
        raise ValueError(f"line {line}: `{kind.strip()[:20]}` is not a bond type (1, 2, 3, 4 or 9)")
