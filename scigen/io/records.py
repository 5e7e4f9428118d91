"""One record of a molecule file: a molecule, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["Record"]


@dataclass(frozen=True)
class Record:
    """Record number `index` (from 0) of the file `source`.

    `mol` is an unsanitised RDKit molecule with the hydrogens and the conformer (Å) of the file, or None when the
    record cannot be read; then `reason` says why, with the line where it is known. A molecule that breaks chemistry
    (a valence of five) is still a molecule: judging it is the scores' work. Only an XYZ frame has both: its atoms
    without any bond, and the reason why bonds could not be assigned.
    """

    source: str
    index: int
    mol: Mol | None
    reason: str | None
    title: str = ""
