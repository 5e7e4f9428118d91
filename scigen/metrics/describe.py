"""Everything measured on one molecule alone, as plain JSON types: the rows that all set scores are computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scigen.metrics.chem import (
    AROMATIC,
    Graph,
    build,
    canonical,
    graph_of,
    largest_fragment,
    sanitized,
    unpack,
    without_hydrogens,
)
from scigen.metrics.druglike import qed, sa_available, sa_score
from scigen.metrics.edm import edm_orders, edm_stable_atoms
from scigen.metrics.geometry import angle_bins, bond_bins, central_elements
from scigen.metrics.strict import kekule_graph, kekule_valence, strict_stable_atoms

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
        **_strict(mol, clean, has_3d),
    }
    if has_3d:
        graph, pos = graph_of(mol if clean is None else clean), mol.GetConformer().GetPositions()
        row |= _edm(graph, pos) | _geometry(graph, pos)
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
    if clean is None:
        return {"fragments": 0, "smiles": None, "qed": None, "sa": None}
    fragment, count = largest_fragment(clean)
    bare = without_hydrogens(fragment)
    return {"fragments": count, "smiles": canonical(bare), "qed": qed(bare), "sa": sa_score(bare)}


def _strict(mol: Mol, clean: Mol | None, has_3d: bool) -> dict[str, Any]:
    """Rule `strict` on the molecule as written; sanitised first where hydrogens or aromatic bonds must be resolved."""
    from rdkit import Chem

    graph = graph_of(mol)
    kekule: Graph | None = graph
    if not has_3d or (graph.bonds[:, 2] == AROMATIC).any():
        kekule = None if clean is None else kekule_graph(clean if has_3d else Chem.AddHs(clean))
    if kekule is None or not len(kekule.z):
        return {"strict_atoms": 0, "strict_stable": False, "strict_size": mol.GetNumAtoms()}
    stable = strict_stable_atoms(kekule.z, kekule.charge, kekule_valence(kekule))
    return {"strict_atoms": int(stable.sum()), "strict_stable": bool(stable.all()), "strict_size": len(stable)}


def _edm(graph: Graph, pos: np.ndarray) -> dict[str, Any]:
    orders = edm_orders(graph.z, pos)
    stable = edm_stable_atoms(graph.z, orders)
    row = {"edm_atoms": int(stable.sum()), "edm_stable": bool(len(stable)) and bool(stable.all())}
    clean, _ = sanitized(build(graph.z, orders))
    if clean is None:
        return row | {"edm_valid": False, "edm_fragments": 0, "edm_smiles": None}
    fragment, count = largest_fragment(clean)
    # Hydrogens stay in this SMILES: the protocol tells an under-valent atom from a saturated one by them.
    return row | {"edm_valid": True, "edm_fragments": count, "edm_smiles": canonical(fragment)}


def _geometry(graph: Graph, pos: np.ndarray) -> dict[str, Any]:
    bonds, angles, centres = bond_bins(graph, pos), angle_bins(graph, pos), central_elements(graph)
    return {"bonds": bonds.tolist(), "angles": angles.tolist(), "centres": centres.tolist()}
