"""Pairs of geometries of the same molecules: x1, where a force field puts the atoms, and x0, the reference geometry.

`relaxed` starts are the MMFF94 minimum reached from the reference itself, so both lie in one basin and the map is well
posed. `embedded` starts come as a user's do, from ETKDG and MMFF94 without a look at the reference, and are kept only
where they fall into the same force-field minimum.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scigen.domains.molecules.codec import to_rdkit
from scigen.domains.molecules.data import Molecule, MoleculeSet, load, ranges
from scigen.errors import InputError
from scigen.io.npz import read_npz
from scigen.metrics.superpose import rmsd, superpose

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["SAME_BASIN", "PairSet", "build_pairs", "embedded", "load_pairs", "relaxed"]

SAME_BASIN = 0.05  # Å: two minimisations of one minimum end within this of each other, over the graph's symmetries
CONFORMERS = 8  # embeddings tried for one in the basin
_STEPS, _FORCE = 5000, 1e-4  # MMFF94 to 1e-4 kcal/mol/Å
_SYMMETRIES = 1000  # a neopentane has 82,944; beyond this many the match may be missed, never wrong

Start = tuple[np.ndarray | None, str]  # positions [N, 3] in Å, or None and the reason


@dataclass(frozen=True)
class PairSet:
    """Molecules with their reference geometries, and `start [A, 3]` in Å, each start laid onto its reference."""

    molecules: MoleculeSet
    start: np.ndarray

    def __len__(self) -> int:
        return len(self.molecules)

    def subset(self, rows: np.ndarray) -> PairSet:
        """The pairs at `rows`, in that order."""
        return PairSet(self.molecules.subset(rows), self.start[ranges(self.molecules.atom_start, rows)])

    def at(self, k: int) -> tuple[Molecule, np.ndarray]:
        """Molecule k with its reference geometry, and its start `[N, 3]`."""
        a = slice(*self.molecules.atom_start[k : k + 2])
        return self.molecules[k], self.start[a]

    def content_hash(self) -> str:
        """SHA-256 over the molecules and their starts."""
        starts = np.ascontiguousarray(self.start).tobytes()
        return hashlib.sha256(self.molecules.content_hash().encode() + starts).hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything by name, as it is stored; `load` of a molecule set reads the same file."""
        return {**{f.name: getattr(self.molecules, f.name) for f in fields(MoleculeSet)}, "start": self.start}


def load_pairs(path: Path) -> PairSet:
    """Read stored pairs; raises `InputError` when the file is missing or is not one."""
    molecules = load(path)
    start = read_npz(path).get("start")
    if start is None or start.shape != molecules.pos.shape:
        raise InputError(f"'{path}' holds molecules but no start geometries; build it with `scigen data prepare`.")
    return PairSet(molecules, start)


def build_pairs(
    molecules: MoleculeSet, start_of: Callable[[Molecule], Start], workers: int = 1
) -> tuple[PairSet, Counter[str]]:
    """Pairs of every molecule that `start_of` can place, and how many it could not, by reason."""
    items: Iterable[Molecule] = (molecules[k] for k in range(len(molecules)))
    with ProcessPoolExecutor(workers) as pool:
        starts = list(pool.map(start_of, items, chunksize=256))
    missed = Counter(reason for x, reason in starts if x is None)
    rows = np.array([k for k, (x, _) in enumerate(starts) if x is not None], np.int64)
    kept = [superpose(x, molecules[k].pos) for k, (x, _) in enumerate(starts) if x is not None]
    placed = np.concatenate(kept) if kept else np.zeros((0, 3))
    return PairSet(molecules.subset(rows), placed.astype(np.float32)), missed


def relaxed(molecule: Molecule) -> Start:
    """The MMFF94 minimum reached from the molecule's own geometry."""
    mol, reason = _prepared(molecule)
    if mol is None:
        return None, reason
    return _minimised(mol)


def embedded(molecule: Molecule) -> Start:
    """ETKDG and MMFF94 from the graph and its stereochemistry alone, where that ends in the minimum of `relaxed`.

    Within `SAME_BASIN` of it over the symmetries of the graph, and numbered as it is. Riniker and Landrum 2015.
    """
    from rdkit.Chem import rdDistGeom, rdMolAlign

    basin, reason = relaxed(molecule)
    mol, _ = _prepared(molecule)
    if basin is None or mol is None:
        return None, reason
    target = _at(mol, basin)
    symmetries = [list(enumerate(m)) for m in mol.GetSubstructMatches(mol, uniquify=False, maxMatches=_SYMMETRIES)]
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.timeout = 10  # seconds a conformer
    for seed in range(CONFORMERS):
        parameters.randomSeed = seed
        if rdDistGeom.EmbedMolecule(mol, parameters) != 0:
            continue
        found, reason = _minimised(mol)
        if found is None:
            return None, reason
        _, _, pairs = rdMolAlign.GetBestAlignmentTransform(_at(mol, found), target, map=symmetries)
        order = np.array([probe for probe, _ in sorted(pairs, key=lambda pair: pair[1])])
        if len(order) == len(found) and rmsd(superpose(found[order], basin), basin) <= SAME_BASIN:
            return found[order], ""
    return None, f"no one of {CONFORMERS} embeddings falls into the basin"


def _prepared(molecule: Molecule) -> tuple[Mol | None, str]:
    """Sanitised, with the stereochemistry that its geometry shows."""
    from rdkit import Chem

    if not len(molecule.bond):
        return None, "no bonds"
    mol = to_rdkit(molecule)
    try:
        Chem.SanitizeMol(mol)
        Chem.AssignStereochemistryFrom3D(mol)
    except Chem.MolSanitizeException as error:
        return None, type(error).__name__
    return mol, ""


def _minimised(mol: Mol) -> Start:
    from rdkit.Chem import rdForceFieldHelpers as helpers

    parameters = helpers.MMFFGetMoleculeProperties(mol)
    if parameters is None:
        return None, "MMFF94 has no parameters"
    field: Any = helpers.MMFFGetMoleculeForceField(mol, parameters)
    field.Initialize()
    if field.Minimize(maxIts=_STEPS, forceTol=_FORCE) != 0:
        return None, f"MMFF94 does not converge in {_STEPS} steps"
    return np.array(field.Positions()).reshape(-1, 3), ""


def _at(mol: Mol, pos: np.ndarray) -> Mol:
    """A copy with its one conformer at `pos`."""
    from rdkit import Chem

    copy = Chem.Mol(mol)
    copy.GetConformer().SetPositions(pos.astype(np.float64))
    return copy
