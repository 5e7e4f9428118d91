"""Bends: every occurrence of a pattern, once, in both geometries."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdMolTransforms

from scigen.domains.molecules.codec import from_rdkit
from scigen.domains.molecules.data import MoleculeSet
from scigen.domains.molecules.refine.local import bends
from scigen.domains.molecules.refine.pairs import PairSet

CCO = "[CX4]-[CX4]-[OX2]"


def pairs_of(mols: list[Chem.Mol], grow: float) -> PairSet:
    """Those molecules, with starts `grow` times as large."""
    parts = [from_rdkit(mol) for mol in mols]
    starts = [np.concatenate([[0], np.cumsum([len(x) for x in column])]).astype(np.int64)
              for column in ([m.z for m in parts], [m.bond for m in parts])]  # fmt: skip
    fields = [np.concatenate([getattr(m, name) for m in parts]) for name in ("z", "charge", "pos", "bond")]
    count = np.arange(len(parts))
    rest = (count.astype(np.int32), np.zeros(len(parts), np.uint8), np.zeros((len(parts), 15)), count.astype("S9"))
    return PairSet(MoleculeSet(*fields, *starts, *rest), fields[2] * np.float32(grow))


@pytest.fixture(scope="module")
def mols() -> list[Chem.Mol]:
    out = [Chem.AddHs(Chem.MolFromSmiles(smiles)) for smiles in ("CCO", "C", "OCCO", "CC=O")]
    for mol in out:
        rdDistGeom.EmbedMolecule(mol, randomSeed=1)
    return out


def test_every_bend_once_with_its_owner(mols: list[Chem.Mol]) -> None:
    found = bends(pairs_of(mols, 1.1), CCO)
    assert found.molecule.tolist() == [0, 2, 2]  # ethanol's, glycol's two; an aldehyde's carbon is not saturated
    conformer = mols[0].GetConformer()
    assert found.reference[0] == pytest.approx(
        [
            rdMolTransforms.GetBondLength(conformer, 0, 1),
            rdMolTransforms.GetBondLength(conformer, 1, 2),
            rdMolTransforms.GetAngleDeg(conformer, 0, 1, 2),
        ],
        rel=1e-5,
    )
    assert found.start[:, :2] == pytest.approx(1.1 * found.reference[:, :2], rel=1e-5)  # lengths grow, angles do not
    assert found.start[:, 2] == pytest.approx(found.reference[:, 2], rel=1e-4)
    only = found.of(np.array([2]))
    assert only.molecule.tolist() == [2, 2]
    assert np.array_equal(only.start, found.start[1:])


def test_no_occurrence_is_an_empty_set(mols: list[Chem.Mol]) -> None:
    found = bends(pairs_of(mols[1:2], 1.0), CCO)
    assert found.start.shape == found.reference.shape == (0, 3)


@pytest.mark.parametrize("pattern", ["CC", "[C", "CCCC"])
def test_other_patterns_are_refused(mols: list[Chem.Mol], pattern: str) -> None:
    with pytest.raises(ValueError, match="three atoms"):
        bends(pairs_of(mols, 1.0), pattern)
