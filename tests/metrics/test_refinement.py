"""Errors of a geometry against its reference: closed forms, invariances, and what must not be invariant."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.metrics.refinement import (
    Errors,
    angles,
    average,
    best,
    geometry_errors,
    internals,
    lengths,
    summary,
    torsions,
)

# Bromochlorofluoromethane-like: a chiral centre with four different arms, and a tail to twist.
Z = np.array([6, 9, 17, 1, 6, 8])
BOND = np.array([[0, 1, 1], [0, 2, 1], [0, 3, 1], [0, 4, 1], [4, 5, 1]])
POS = np.array([[0, 0, 0], [0.8, 0.8, 0.8], [1.1, -1.1, -1.1], [-0.6, 0.6, -0.6], [-0.9, -0.9, 0.9], [-2, -0.4, 1.3]])
GRAPH = internals(BOND)


def rotation(rng: np.random.Generator) -> np.ndarray:
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


def twisted(degrees: float) -> np.ndarray:
    """Four atoms in a chain, right angles and unit bonds, with that torsion."""
    a = np.radians(degrees)
    return np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1], [np.cos(a), np.sin(a), 1]])


CHAIN = internals(np.array([[0, 1], [1, 2], [2, 3]]))


def chain_errors(x: np.ndarray, y: np.ndarray) -> Errors:
    return geometry_errors(x, y, np.full(4, 6), CHAIN)


def test_the_internal_coordinates_of_a_graph() -> None:
    assert len(GRAPH.bonds) == 5
    assert len(GRAPH.angles) == 6 + 1  # pairs of four arms, and the bend of the tail
    assert {tuple(row) for row in GRAPH.torsions} == {(k, 0, 4, 5) for k in (1, 2, 3)}
    triangle = internals(np.array([[0, 1], [1, 2], [0, 2]]))
    assert len(triangle.angles) == 3
    assert len(triangle.torsions) == 0


def test_a_moved_copy_has_no_error() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        found = geometry_errors(POS @ rotation(rng).T + rng.normal(size=3), POS, Z, GRAPH)
        assert np.allclose(list(vars(found).values()), 0, atol=1e-6)


def test_a_mirror_image_is_another_molecule() -> None:
    found = geometry_errors(POS * [1, 1, -1], POS, Z, GRAPH)
    assert found.rmsd > 0.3
    assert found.torsion > 10
    assert found.bond == pytest.approx(0, abs=1e-12)  # lengths and angles cannot tell
    assert found.angle == pytest.approx(0, abs=1e-6)


def test_a_stretched_diatomic() -> None:
    x, y = np.array([[0.0, 0, 0], [1.3, 0, 0]]), np.array([[0.0, 0, 0], [0, 1.1, 0]])
    found = geometry_errors(x, y, np.array([6, 8]), internals(np.array([[0, 1]])))
    assert found.bond == pytest.approx(0.2)
    assert found.rmsd == found.heavy_rmsd == pytest.approx(0.1)  # each end is off by half
    assert np.isnan(found.angle)
    assert np.isnan(found.torsion)


def test_hydrogens_count_in_one_rmsd_and_not_in_the_other() -> None:
    moved = POS.copy()
    moved[3] += [0.3, 0, 0]
    found = geometry_errors(moved, POS, Z, GRAPH)
    assert found.heavy_rmsd == pytest.approx(0, abs=1e-12)
    assert 0 < found.rmsd <= 0.3 / np.sqrt(len(POS))  # the best superposition can only lower it


def test_angles_and_torsions_are_measured_in_degrees() -> None:
    for degrees in (-179.5, -90, 0, 1e-4, 60, 180):
        assert torsions(twisted(degrees), CHAIN.torsions)[0] == pytest.approx(degrees, abs=1e-6)
    assert angles(twisted(60), CHAIN.angles) == pytest.approx([90, 90])
    assert lengths(twisted(60), CHAIN.bonds) == pytest.approx([1, 1, 1])
    # IUPAC: looking along the middle bond, clockwise is positive; RDKit agrees.
    from rdkit import Chem
    from rdkit.Chem.rdMolTransforms import GetDihedralDeg

    mol = Chem.MolFromSmiles("CCCC")
    mol.AddConformer(Chem.Conformer(4))
    mol.GetConformer().SetPositions(twisted(50))
    assert GetDihedralDeg(mol.GetConformer(), 0, 1, 2, 3) == pytest.approx(50)


@pytest.mark.parametrize(("first", "second", "turn"), [(179, -179, 2), (-170, 170, 20), (0, 180, 180), (40, 10, 30)])
def test_torsions_wrap(first: float, second: float, turn: float) -> None:
    assert chain_errors(twisted(first), twisted(second)).torsion == pytest.approx(turn, abs=1e-6)


def test_a_torsion_across_a_straight_angle_is_left_out() -> None:
    straight = np.array([[0, 0, -1.0], [0, 0, 0], [0, 0, 1], [1, 0, 1]])
    assert np.isnan(chain_errors(straight, twisted(30)).torsion)
    assert np.isnan(chain_errors(twisted(30), straight).torsion)


def test_the_summary_takes_means_over_molecules() -> None:
    rows = [Errors(k / 100, 0.0, 1.0, float("nan"), float("nan") if k else 3.0) for k in range(101)]
    found = summary(rows)
    assert found["rmsd"].mean == pytest.approx(0.5)
    assert found["rmsd"].worst == pytest.approx(0.99)
    low, high = found["rmsd"].interval
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * np.std([r.rmsd for r in rows]) / np.sqrt(101), rel=0.2)
    assert found["torsion"].n == 1
    assert found["torsion"].interval is None
    assert "angle" not in found
    assert summary([]) == {}


def test_several_draws_are_averaged_or_the_best_is_taken_whole() -> None:
    first, second = Errors(0.3, 0.1, 0.02, 1.0, 9.0), Errors(0.1, 0.3, 0.04, 2.0, float("nan"))
    mean = average([first, second])
    assert (mean.rmsd, mean.bond, mean.angle) == pytest.approx((0.2, 0.03, 1.5))
    assert np.isnan(mean.torsion)
    assert best([first, second]) is second  # by its RMSD, though its bonds are worse
