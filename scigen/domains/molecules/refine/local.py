"""One bend of every molecule, wherever it occurs: two bond lengths and the angle between them, in both geometries.

An ensemble of whole molecules has a geometry each, so two ensembles without pairs can only be told apart, and carried
into one another, in what molecules share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scigen.domains.molecules.codec import to_rdkit
from scigen.domains.molecules.refine.pairs import PairSet
from scigen.metrics.refinement import angles, lengths

__all__ = ["Bends", "bends"]


@dataclass(frozen=True)
class Bends:
    """Every occurrence, `[n, 3]` as (Å, Å, degrees): `start` in the start geometry, `reference` in the reference, and
    the `molecule [n]` of the set that it belongs to."""

    start: np.ndarray
    reference: np.ndarray
    molecule: np.ndarray

    def of(self, molecules: np.ndarray) -> Bends:
        """Those of some molecules of the set."""
        keep = np.isin(self.molecule, molecules)
        return Bends(self.start[keep], self.reference[keep], self.molecule[keep])


def bends(pairs: PairSet, smarts: str) -> Bends:
    """All bends i-j-k that match a pattern of three atoms, such as `[CX4]-[CX4]-[OX2]`, each once.

    Raises ValueError for a pattern that is not one of three atoms.
    """
    from rdkit import Chem

    pattern = Chem.MolFromSmarts(smarts)
    if pattern is None or pattern.GetNumAtoms() != 3:
        raise ValueError(f"`smarts` must match three atoms, got '{smarts}'; try [CX4]-[CX4]-[OX2].")
    start, reference, owner = [np.zeros((0, 3))], [np.zeros((0, 3))], []
    for k in range(len(pairs)):
        molecule, x1 = pairs.at(k)
        mol = to_rdkit(molecule)
        Chem.SanitizeMol(mol)
        rows = np.array(mol.GetSubstructMatches(pattern, maxMatches=10_000), np.int64).reshape(-1, 3)
        start.append(_measure(x1, rows))
        reference.append(_measure(molecule.pos, rows))
        owner += [k] * len(rows)
    return Bends(np.concatenate(start), np.concatenate(reference), np.array(owner, np.int64))


def _measure(pos: np.ndarray, rows: np.ndarray) -> np.ndarray:
    x = pos.astype(np.float64)
    return np.stack([lengths(x, rows[:, :2]), lengths(x, rows[:, 1:]), angles(x, rows)], axis=1)
