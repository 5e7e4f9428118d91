"""Handedness by name: CIP labels read off a geometry, so that no step can invert a centre unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["flipped", "labels"]

Labels = dict[str, str]


def labels(mol: Mol, pos: np.ndarray) -> Labels:
    """R, S by atom and E, Z by bond that the geometry `pos [N, 3]` shows; `mol` is sanitised and has its hydrogens.

    Cahn, Ingold and Prelog 1966, by RDKit.
    """
    from rdkit import Chem
    from rdkit.Chem import BondStereo

    mol = Chem.Mol(mol)
    mol.GetConformer().SetPositions(np.asarray(pos, np.float64))
    Chem.AssignStereochemistryFrom3D(mol, replaceExistingTags=True)
    atoms = {f"atom {a.GetIdx() + 1}": a.GetProp("_CIPCode") for a in mol.GetAtoms() if a.HasProp("_CIPCode")}
    sides = {BondStereo.STEREOE: "E", BondStereo.STEREOZ: "Z"}
    bonds = [(b.GetBeginAtomIdx() + 1, b.GetEndAtomIdx() + 1, sides.get(b.GetStereo())) for b in mol.GetBonds()]
    return atoms | {f"bond {i}-{j}": side for i, j, side in bonds if side is not None}


def flipped(before: Labels, after: Labels) -> list[str]:
    """The places whose label changed or was lost; a label gained at a place that had none is no change."""
    return [place for place, label in before.items() if after.get(place) != label]
