"""Rule `strict`: stability from explicit bonds and formal charges, with no fallback.

An atom is stable when the orders of its Kekulé bonds (1, 2, 3) sum to a valence its element has at its formal
charge. Any other charge is unstable; so are bare ions and radicals, since no charge allows a missing bond. Unlike
the tables in use, carbon with three bonds or nitrogen with two never pass as neutral, and an aromatic bond is never
counted as 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scigen.metrics.chem import AROMATIC, Graph, graph_of

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["STRICT_VERSION", "VALENCES", "kekule_graph", "kekule_valence", "strict_stable_atoms"]

STRICT_VERSION = 1  # raise it with any change to the table: scores are comparable within one version only

# Allowed valences by atomic number and formal charge. H C N O F is the whole of QM9; the rest serves drug-like sets.
VALENCES: dict[int, dict[int, tuple[int, ...]]] = {
    1: {0: (1,)},
    5: {0: (3,), -1: (4,)},
    6: {0: (4,), 1: (3,), -1: (3,)},
    7: {0: (3,), 1: (4,), -1: (2,)},
    8: {0: (2,), 1: (3,), -1: (1,)},
    9: {0: (1,)},
    13: {0: (3,)},
    14: {0: (4,)},
    15: {0: (3, 5), 1: (4,)},
    16: {0: (2, 4, 6), 1: (3,), -1: (1,)},
    17: {0: (1,)},
    33: {0: (3, 5)},
    34: {0: (2, 4, 6)},
    35: {0: (1,)},
    53: {0: (1,)},
    83: {0: (3,)},
}


def strict_stable_atoms(z: np.ndarray, charge: np.ndarray, valence: np.ndarray) -> np.ndarray:
    """Which atoms `[N]` bool are stable, from atomic numbers, formal charges and summed Kekulé orders, each `[N]`."""
    triples = zip(np.asarray(z).tolist(), np.asarray(charge).tolist(), np.asarray(valence).tolist(), strict=True)
    return np.array([v in VALENCES.get(a, {}).get(q, ()) for a, q, v in triples], dtype=bool)


def kekule_valence(graph: Graph) -> np.ndarray:
    """Summed bond orders `[N]` of a Kekulé graph; -1, which no valence equals, at an aromatic, dative or other bond.

    Only bonds to explicit atoms count: hydrogens must be atoms.
    """
    first, second, order = graph.bonds.T
    valence = np.zeros(len(graph.z), np.int64)
    np.add.at(valence, first, order)
    np.add.at(valence, second, order)
    odd = (order < 1) | (order > 3)
    valence[np.r_[first[odd], second[odd]]] = -1
    return valence


def kekule_graph(mol: Mol) -> Graph | None:
    """The graph of a molecule with aromatic bonds replaced by a Kekulé structure; None when there is none.

    Give sanitised molecules: on a dense aromatic graph that breaks chemistry, RDKit's search may take minutes.
    """
    from rdkit import Chem

    graph = graph_of(mol)
    if not (graph.bonds[:, 2] == AROMATIC).any():
        return graph
    mol = Chem.Mol(mol)
    try:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    except Chem.MolSanitizeException:
        return None
    return graph_of(mol)
