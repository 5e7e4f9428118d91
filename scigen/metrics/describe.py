"""Everything measured on one molecule alone, as plain JSON types: the rows that all set scores are computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scigen.metrics.chem import build, canonical, largest_fragment, sanitized, unpack
from scigen.metrics.druglike import qed, sa_available, sa_score
from scigen.metrics.edm import edm_orders, edm_stable_atoms
from scigen.metrics.geometry import angle_bins, bond_bins
from scigen.metrics.strict import kekule_arrays, strict_stable_atoms

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["describe", "describe_packed", "warm"]


def describe(mol: Mol) -> dict[str, Any]:
    """Checks of one molecule.

    `n_atoms`, `n_heavy`, `has_3d`, `valid` (explicit bonds and charges pass `SanitizeMol`), `reason` when not,
    `fragments`, `smiles` (canonical, largest fragment), `strict_atoms` and `strict_stable`, `qed`, `sa`; with
    coordinates also `edm_atoms`, `edm_stable`, `edm_valid`, `edm_fragments`, `edm_smiles`, and the bin codes
    `bonds`, `angles`, `centres`. A molecule without coordinates (from SMILES) gets its implicit hydrogens before
    rule `strict`.
    """
    clean, reason = sanitized(mol)
    has_3d = mol.GetNumConformers() > 0 and mol.GetConformer().Is3D()
    row: dict[str, Any] = {
        "n_atoms": mol.GetNumAtoms(),
        "n_heavy": mol.GetNumHeavyAtoms(),
        "has_3d": has_3d,
        "valid": clean is not None,
        "reason": reason,
        **_identity(clean),
        **_strict(mol if has_3d else _with_hydrogens(clean)),
    }
    if has_3d:
        row |= _edm(mol) | _geometry(mol if clean is None else clean)
    return row


def describe_packed(text: str) -> dict[str, Any]:
    """`describe` of a packed molecule, for a worker process."""
    return describe(unpack(text))


def warm() -> None:
    """Import what `describe` needs before any deadline runs."""
    from rdkit import Chem

    if (mol := Chem.MolFromSmiles("C")) is not None:
        qed(mol)
    sa_available()


def _identity(clean: Mol | None) -> dict[str, Any]:
    from rdkit import Chem

    if clean is None:
        return {"fragments": 0, "smiles": None, "qed": None, "sa": None}
    fragment, count = largest_fragment(clean)
    bare, _ = sanitized(Chem.RemoveHs(fragment, sanitize=False))
    if bare is None:
        return {"fragments": count, "smiles": None, "qed": None, "sa": None}
    return {"fragments": count, "smiles": canonical(bare), "qed": qed(bare), "sa": sa_score(bare)}


def _with_hydrogens(clean: Mol | None) -> Mol | None:
    from rdkit import Chem

    return None if clean is None else Chem.AddHs(clean)


def _strict(mol: Mol | None) -> dict[str, Any]:
    arrays = None if mol is None else kekule_arrays(mol)
    if arrays is None or not len(arrays[0]):
        return {"strict_atoms": 0, "strict_stable": False, "strict_size": 0 if mol is None else mol.GetNumAtoms()}
    stable = strict_stable_atoms(*arrays)
    return {"strict_atoms": int(stable.sum()), "strict_stable": bool(stable.all()), "strict_size": len(stable)}


def _edm(mol: Mol) -> dict[str, Any]:
    z = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], np.int64)
    orders = edm_orders(z, mol.GetConformer().GetPositions())
    stable = edm_stable_atoms(z, orders)
    row = {"edm_atoms": int(stable.sum()), "edm_stable": bool(len(z)) and bool(stable.all())}
    clean, _ = sanitized(build(z, orders))
    if clean is not None:
        fragment, count = largest_fragment(clean)
        # Hydrogens stay in this SMILES: the protocol tells an under-valent atom from a saturated one by them.
        return row | {"edm_valid": True, "edm_fragments": count, "edm_smiles": canonical(fragment, keep_hydrogens=True)}
    return row | {"edm_valid": False, "edm_fragments": 0, "edm_smiles": None}


def _geometry(mol: Mol) -> dict[str, Any]:
    centres = [atom.GetAtomicNum() for atom in mol.GetAtoms() if atom.GetDegree() >= 2]
    return {"bonds": bond_bins(mol).tolist(), "angles": angle_bins(mol).tolist(), "centres": centres}
