"""Scores by outside engines: FCD's algebra in closed form, PoseBusters, SA. Engines that are absent skip."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from scigen.errors import InputError
from scigen.metrics.druglike import qed, sa_available, sa_score
from scigen.metrics.fcd import Activations, activations, frechet
from scigen.metrics.poses import failed_tests


def test_frechet_of_diagonal_gaussians(numpy_rng):
    # For commuting covariances: |m1 - m2|^2 + sum (s1 - s2)^2.
    m, s = numpy_rng.normal(size=(2, 16)), numpy_rng.uniform(0.1, 2, (2, 16))
    a, b = (Activations(m[k], np.diag(s[k] ** 2)) for k in (0, 1))
    assert frechet(a, b) == pytest.approx(np.square(m[0] - m[1]).sum() + np.square(s[0] - s[1]).sum(), rel=1e-9)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_is_symmetric_and_survives_singular_covariances(numpy_rng):
    few, many = numpy_rng.normal(size=(5, 12)), numpy_rng.normal(size=(400, 12))
    a, b = (Activations(x.mean(0), np.cov(x.T)) for x in (few, many))
    assert frechet(a, b) == pytest.approx(frechet(b, a), rel=1e-9) and frechet(a, b) > 0


def test_activations_round_trip(numpy_rng):
    x = numpy_rng.normal(size=(50, 8))
    a = Activations(x.mean(0), np.cov(x.T))
    stored = a.to_arrays()
    again = Activations.from_arrays(stored["fcd_mean"], stored["fcd_upper"])
    assert np.allclose(again.covariance, a.covariance, atol=1e-6) and np.allclose(again.mean, a.mean, atol=1e-6)


def test_too_few_molecules_are_refused():
    with pytest.raises(InputError, match="at least 1000"):
        activations(["C"] * 10)


def test_posebusters_passes_a_molecule_and_names_what_fails():
    pytest.importorskip("posebusters")
    mol = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    rdDistGeom.EmbedMolecule(mol, randomSeed=1)
    assert failed_tests(mol) == []
    for k, xyz in enumerate((mol.GetConformer().GetPositions() * 1.6).tolist()):
        mol.GetConformer().SetAtomPosition(k, xyz)
    assert "bond_lengths" in failed_tests(mol)


def test_drug_likeness_of_aspirin():
    aspirin = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
    assert qed(aspirin) == pytest.approx(0.550, abs=1e-3)
    if not sa_available():
        pytest.skip("this RDKit has no SA_Score")
    assert sa_score(aspirin) == pytest.approx(1.58, abs=0.01)
