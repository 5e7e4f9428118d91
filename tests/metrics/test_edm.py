"""Rule `edm` at its edges, against a plain restatement of the rule, and under symmetries."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from scigen.metrics.edm import ELEMENTS, edm_orders, edm_stable_atoms

H, C, N, O, F = 1, 6, 7, 8, 9  # noqa: E741


def pair(a: int, b: int, picometres: float) -> int:
    return int(edm_orders(np.array([a, b]), np.array([[0.0, 0, 0], [picometres / 100, 0, 0]]))[0, 1])


# (a, b, longest triple, double and single bond in pm, each including its margin; None where the table has no entry)
EDGES = [
    (H, H, None, None, 84), (H, C, None, None, 119), (H, O, None, None, 106), (C, C, 123, 139, 164),
    (C, N, 119, 134, 157), (C, O, 116, 125, 153), (N, N, 113, 130, 155), (N, O, None, 126, 150),
    (O, O, None, 126, 158), (C, F, None, None, 145), (C, 16, None, 165, 192), (8, 15, None, 155, 173),
    (15, 16, None, 191, 220), (35, 15, None, None, 232), (53, 53, None, None, 276),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b", "triple", "double", "single"), EDGES)
def test_edges_of_the_length_classes(a, b, triple, double, single):
    for order, edge in ((3, triple), (2, double), (1, single)):
        if edge is None:
            continue
        assert pair(a, b, edge - 0.01) == order == pair(b, a, edge - 0.01)
        assert pair(a, b, edge + 0.01) == order - 1
    assert pair(a, b, single + 50) == 0


def test_comparison_is_strict():
    # 1.25 is exact in binary, and N-O double bonds end at 1.26; C-O ones at exactly 1.25.
    assert pair(C, O, 125.0) == 1
    assert pair(C, O, 124.999) == 2


def test_unlisted_pairs_never_bond():
    assert pair(13, 13, 100) == 0 and pair(26, C, 100) == 0 and pair(5, C, 100) == 0


def test_a_triple_needs_a_double_first():
    # H-H has neither; N-O has no triple however short.
    assert pair(N, O, 50) == 2 and pair(H, H, 10) == 1


METHANE = np.array([[0, 0, 0], [1, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]]) * np.array(1.09 / np.sqrt(3))


def test_methane_is_stable_and_a_stretched_hydrogen_is_not():
    z = np.array([C, H, H, H, H])
    assert edm_stable_atoms(z, edm_orders(z, METHANE)).all()
    stretched = METHANE.copy()
    stretched[1] *= 1.2
    assert edm_stable_atoms(z, edm_orders(z, stretched)).tolist() == [False, False, True, True, True]


def test_charges_play_no_part():
    # Ammonium: four bonds on nitrogen are unstable whatever its charge would be.
    z = np.array([N, H, H, H, H])
    stable = edm_stable_atoms(z, edm_orders(z, METHANE * (1.02 / 1.09)))
    assert stable.tolist() == [False, True, True, True, True]


@pytest.mark.parametrize(("z", "sums"), [(15, (3, 5)), (80, (1, 2)), (83, (3, 5)), (16, (4,)), (1, (1,)), (26, ())])
def test_allowed_valences(z, sums):
    allowed = [s for s in range(8) if edm_stable_atoms(np.array([z]), np.array([[s]]))[0]]
    assert allowed == list(sums)


def test_rotation_translation_reflection_and_order_change_nothing(numpy_rng):
    z = numpy_rng.choice(list(ELEMENTS.values())[:8], 20)
    pos = numpy_rng.normal(size=(20, 3)) * 1.5
    orders = edm_orders(z, pos)
    turn = Rotation.random(rng=numpy_rng).as_matrix() @ np.diag([1, 1, -1])
    assert (edm_orders(z, pos @ turn.T + [3, -2, 7]) == orders).all()
    shuffle = numpy_rng.permutation(20)
    assert (edm_orders(z[shuffle], pos[shuffle]) == orders[np.ix_(shuffle, shuffle)]).all()
    assert (orders == orders.T).all() and not orders.diagonal().any() and orders.any()


def test_not_a_number_bonds_to_nothing():
    z = np.array([C, H])
    assert not edm_orders(z, np.array([[0, 0, 0], [np.nan, 0, 0]])).any()
