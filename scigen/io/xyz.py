"""Strict XYZ files of any number of frames; bonds are perceived from the coordinates.

A frame is a count, a comment, and that many lines `element x y z` in Å; an element is a symbol or an atomic number.
The total charge is read from `charge=...` in the comment, else 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem

from scigen.deadline import Deadline
from scigen.errors import InputError
from scigen.io.bonds import bare_molecule, set_bonds
from scigen.io.ctab import ELEMENTS, coordinate
from scigen.io.lines import input_size, read_lines
from scigen.io.records import Record

__all__ = ["read_xyz"]

_MAX_ATOMS = 100_000
_MAX_PERCEIVED = 1000  # atoms; perception grows with the square, and no generated molecule comes near
_SHORTEST_LINE = len("H 0 0 0\n")
_CHARGE = re.compile(r"\bcharge\s*=\s*([+-]?\d{1,3})\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Frame:
    numbers: list[int]
    pos: list[list[float]]
    title: str


def read_xyz(path: str | Path, seconds: float = 10.0) -> Iterator[Record]:
    """Yield one Record for each frame, in order; bond perception is killed after `seconds` a frame.

    A frame whose bonds cannot be assigned keeps its atoms: `mol` has no bonds and `reason` says why. After a count
    that is no number, or a cut, the file cannot be followed any further: that record is bad and the last.
    Raises InputError when the file as a whole is not XYZ: missing, empty, binary, or a first count that cannot be.
    """
    size = input_size(path)
    packed = str(path).lower().endswith(".gz")
    lines = enumerate(read_lines(path), start=1)
    index = -1
    with Deadline("scigen.io.bonds:perceive_frame", seconds) as perceive:
        for index, (number, line) in enumerate(_starts(lines)):
            try:
                count = _count(line, number)
            except ValueError as error:
                if index == 0:
                    raise InputError(f"`{path}` is not an XYZ file: {error}.") from error
                yield Record(str(path), index, None, f"{error}; the rest of the file cannot be read")
                return
            if index == 0 and not packed and count * _SHORTEST_LINE > size + 1:
                raise InputError(f"`{path}` declares {count} atoms, and {size} bytes cannot hold them; it was cut.")
            yield _record(str(path), index, _body(lines, count), number, count, perceive)
    if index < 0:
        raise InputError(f"`{path}` holds only blank lines; nothing can be read from it.")


def _starts(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    # Blank lines between frames are common; the loop over frames pulls their bodies from the same iterator.
    return ((number, line) for number, line in lines if line.strip())


def _count(line: str, number: int) -> int:
    text = line.strip()
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"line {number}: `{text[:20]}` is not a number of atoms")
    if len(text) > 9 or not 0 < int(text) <= _MAX_ATOMS:
        raise ValueError(f"line {number}: {text[:20]} atoms are declared, and 1 to {_MAX_ATOMS} are read")
    return int(text)


def _body(lines: Iterator[tuple[int, str]], count: int) -> list[str]:
    body = []
    for _, line in lines:
        body.append(line)
        if len(body) == count + 1:
            break
    return body


def _record(source: str, index: int, body: list[str], number: int, count: int, perceive: Deadline) -> Record:
    title = body[0].strip() if body else ""
    try:
        frame = _frame(body, number, count)
    except ValueError as error:
        return Record(source, index, None, str(error), title)
    mol, reason = _with_bonds(frame, perceive)
    mol.SetProp("_Name", title)
    return Record(source, index, mol, reason, title)


def _frame(body: list[str], number: int, count: int) -> _Frame:
    if len(body) < count + 1:
        raise ValueError(f"line {number}: {count} atoms are declared, and the file ends after {max(len(body) - 1, 0)}")
    numbers, pos = [], []
    for at, line in enumerate(body[1:], start=number + 2):
        words = line.split()
        if len(words) < 4:
            raise ValueError(f"line {at}: `{line.strip()[:20]}` is not `element x y z`")
        numbers.append(_element(words[0], at))
        pos.append([coordinate(word, at) for word in words[1:4]])
    return _Frame(numbers, pos, body[0].strip())


def _element(word: str, line: int) -> int:
    if word.isascii() and word.isdigit() and 1 <= int(word[:4]) <= 118:
        return int(word[:4])
    symbol = word.capitalize()
    if symbol not in ELEMENTS:
        raise ValueError(f"line {line}: `{word[:20]}` is not an element")
    return 1 if symbol in ("D", "T") else Chem.GetPeriodicTable().GetAtomicNumber(symbol)


def _with_bonds(frame: _Frame, perceive: Deadline) -> tuple[Chem.Mol, str | None]:
    mol = bare_molecule(frame.numbers, frame.pos)
    if len(frame.numbers) > _MAX_PERCEIVED:
        return mol, f"bonds are not perceived above {_MAX_PERCEIVED} atoms"
    charge = _CHARGE.search(frame.title)
    outcome = perceive([frame.numbers, frame.pos, int(charge[1]) if charge else 0])
    if outcome.error is not None:
        return mol, f"bonds could not be assigned: {outcome.error[:120]}"
    return set_bonds(mol, outcome.value["bonds"], outcome.value["charges"]), None
