"""The geometry a refinement starts from: the MMFF94 minimum, as in training.

ETKDG and MMFF94 run C++ loops that no signal stops: call `prepare` under `scigen.deadline`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scigen.domains.molecules.codec import TOKENS, from_rdkit
from scigen.domains.molecules.data import Molecule
from scigen.domains.molecules.refine.pairs import relaxed
from scigen.errors import InputError
from scigen.metrics.chem import pack, sanitized, unpack
from scigen.metrics.energy import gfn2_minimum

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["MAX_ATOMS", "has_geometry", "prepare", "start_of", "warm"]

MAX_ATOMS = 255  # what `data.Molecule` can number
COLLAPSED = 0.5  # Å; no two atoms of a molecule come nearer than the 0.74 of H2
_KNOWN = set(TOKENS)


def has_geometry(mol: Mol) -> bool:
    """Whether the molecule came with coordinates in space; a drawing on a plane is only a graph."""
    return bool(mol.GetNumConformers() and mol.GetConformer().Is3D())


def prepare(item: Mapping[str, Any]) -> dict[str, str]:
    """`start_of` and, for `engine` "gfn2", its GFN2-xTB minimum: `{"mol": packed}` or `{"reason": sentence}`.

    `item` is JSON, for a worker process: `mol` (packed), `relax`, `sizes`, `seed`, `engine`.
    """
    gfn2 = item["engine"] == "gfn2"
    try:
        sizes = None if gfn2 else item["sizes"]
        mol = start_of(unpack(item["mol"]), item["relax"], sizes, item["seed"])
        if gfn2:
            mol.GetConformer().SetPositions(gfn2_minimum(mol)[0])
    except ValueError as error:
        return {"reason": str(error).rstrip(".")}
    return {"mol": pack(mol)}


def start_of(mol: Mol, relax: bool = True, sizes: Sequence[int] | None = None, seed: int = 0) -> Mol:
    """The sanitised molecule at its MMFF94 minimum, or as it lies when `relax` is false; atoms keep their order.

    Without a geometry it is given hydrogens, after its other atoms, and embedded by ETKDG (Riniker and Landrum 2015),
    then relaxed in any case. `sizes`, the fewest and most atoms that the network was trained on, refuses what it never
    saw.
    Raises `ValueError` with the reason when there is no such start.
    """
    clean, reason = sanitized(mol)
    if clean is None:
        raise ValueError(reason)
    given = has_geometry(mol)
    clean = _checked(clean, given, sizes)
    if not given:
        _embed(clean, seed)
    try:
        molecule = from_rdkit(clean)
    except InputError as error:
        raise ValueError(str(error)) from None
    pos = _minimum(molecule) if relax or not given else molecule.pos
    clean.GetConformer().SetPositions(pos.astype(np.float64))
    if (near := _nearest(pos)) < COLLAPSED:
        raise ValueError(f"two atoms lie {near:.2f} Å apart, which is no geometry to start from")
    return clean


def warm() -> None:
    """Import the force fields and the embedder before any deadline runs."""
    import rdkit.Chem.rdDistGeom
    import rdkit.Chem.rdForceFieldHelpers  # noqa: F401


def _checked(mol: Mol, given: bool, sizes: Sequence[int] | None) -> Mol:
    """The molecule with all its hydrogens; raises `ValueError` for what cannot be refined."""
    from rdkit import Chem

    strange = next((a for a in mol.GetAtoms() if (a.GetAtomicNum(), a.GetFormalCharge()) not in _KNOWN), None)
    if sizes is not None and strange is not None:
        found = f"{strange.GetSymbol()} with charge {strange.GetFormalCharge():+d} (atom {strange.GetIdx() + 1})"
        raise ValueError(f"{found} is outside what the model was trained on, H C N O F with the charges of QM9")
    lacking = sum(a.GetTotalNumHs() for a in mol.GetAtoms())
    if given and lacking:
        raise ValueError(f"the geometry lacks {lacking} hydrogens; add them with coordinates first")
    mol = mol if given else Chem.AddHs(mol)
    low, high = sizes or (1, MAX_ATOMS)
    if not low <= mol.GetNumAtoms() <= high:
        raise ValueError(f"{mol.GetNumAtoms()} atoms; molecules of {low} to {high} can be refined")
    if (pieces := len(Chem.GetMolFrags(mol))) > 1:
        raise ValueError(f"{pieces} molecules in one record; give each its own")
    return mol


def _minimum(molecule: Molecule) -> np.ndarray:
    try:
        pos, reason = relaxed(molecule)
    except RuntimeError:  # RDKit's force field on atoms that coincide
        pos, reason = None, "MMFF94 breaks down on this geometry; see whether atoms coincide"
    if pos is None:
        raise ValueError(reason)
    return pos


def _nearest(pos: np.ndarray) -> float:
    """Smallest distance (Å) between two atoms."""
    apart = np.linalg.norm(pos[:, None].astype(np.float64) - pos, axis=-1)
    return float(apart[np.triu_indices(len(pos), 1)].min(initial=np.inf))


def _embed(mol: Mol, seed: int) -> None:
    """Give `mol` one conformer by ETKDG, from random coordinates where the usual ones fail."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    parameters: Any = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    if rdDistGeom.EmbedMolecule(mol, parameters) == 0:
        return
    parameters.useRandomCoords = True
    if rdDistGeom.EmbedMolecule(mol, parameters) != 0:
        raise ValueError("ETKDG finds no geometry for this molecule")
