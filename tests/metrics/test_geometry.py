"""W1 against closed forms and scipy, histograms of hand-made molecules."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Geometry import Point3D
from scipy.stats import wasserstein_distance

from scigen.errors import InputError
from scigen.metrics.chem import Graph, graph_of
from scigen.metrics.geometry import ANGLE, BOND, angle_bins, bond_bins, central_elements, histogram, wasserstein


def water(bond: float = 0.96, angle: float = 104.5) -> Chem.Mol:
    mol = Chem.RWMol()
    for symbol in "OHH":
        mol.AddAtom(Chem.Atom(symbol))
    mol.AddBond(0, 1, Chem.BondType.SINGLE)
    mol.AddBond(0, 2, Chem.BondType.SINGLE)
    conformer = Chem.Conformer(3)
    radians = np.radians(angle)
    conformer.SetAtomPosition(1, Point3D(bond, 0, 0))
    conformer.SetAtomPosition(2, Point3D(bond * np.cos(radians), bond * np.sin(radians), 0))
    mol.AddConformer(conformer)
    return mol.GetMol()


def bins(mol: Chem.Mol) -> tuple[list[int], list[int]]:
    graph, pos = graph_of(mol), mol.GetConformer().GetPositions()
    return bond_bins(graph, pos).tolist(), angle_bins(graph, pos).tolist()


def test_bins_of_water():
    assert bins(water()) == ([96, 96], [8 * ANGLE.bins + 1045])
    assert central_elements(graph_of(water())).tolist() == [8]


def test_a_lone_atom_has_no_bins():
    lone = Graph(np.array([18]), np.array([0]), np.zeros((0, 3), int))
    assert not len(bond_bins(lone, np.zeros((1, 3)))) and not len(angle_bins(lone, np.zeros((1, 3))))
    assert not len(central_elements(lone))


@pytest.mark.parametrize("angle", [0.05, 1.0, 90.0, 179.9])
def test_small_and_straight_angles_are_exact(angle):
    assert bins(water(angle=angle))[1][0] - 8 * ANGLE.bins == round(angle / ANGLE.width)


def test_lengths_beyond_the_range_are_kept_in_the_last_bin():
    assert bins(water(bond=50.0))[0] == [BOND.bins - 1] * 2


def test_a_shift_moves_w1_by_itself():
    # W1 of a distribution and its translate by k bins is k bins, whatever the distribution.
    rng = np.random.default_rng(0)
    codes = BOND.codes(np.zeros(5000, int), rng.normal(1.5, 0.05, 5000))
    p, q = histogram(codes, BOND), histogram(codes + 7, BOND)
    weight = np.array([1.0, 0, 0, 0])
    assert wasserstein(p, q, weight, BOND.width) == pytest.approx(0.07, abs=1e-12)
    assert wasserstein(p, p, weight, BOND.width) == 0


def test_agrees_with_scipy_up_to_the_bin_width(numpy_rng):
    x, y = numpy_rng.normal(1.4, 0.1, 4000), numpy_rng.normal(1.5, 0.2, 4000)
    p, q = (histogram(BOND.codes(np.zeros(4000, int), v), BOND) for v in (x, y))
    assert wasserstein(p, q, np.eye(4)[0], BOND.width) == pytest.approx(wasserstein_distance(x, y), abs=BOND.width / 4)


def test_classes_are_weighted_by_the_reference_and_missing_ones_left_out():
    counts, reference = np.zeros((2, 3, 10), int)
    counts[0, 2], counts[1, 3], reference[0, 5], reference[1, 4], reference[2, 1] = 1, 1, 9, 9, 9
    # Class 0 is 3 bins away, class 1 one bin; class 2 is never generated.
    assert wasserstein(counts, reference, np.array([0.5, 0.25, 0.25]), 1.0) == pytest.approx(
        (3 * 0.5 + 1 * 0.25) / 0.75
    )


def test_nothing_in_common_is_refused():
    with pytest.raises(InputError, match="No bond or angle class"):
        wasserstein(np.eye(2, dtype=int), np.zeros((2, 2), int), np.ones(2), 1.0)
