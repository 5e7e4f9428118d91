"""Drug-likeness (QED) and synthetic accessibility (SA) of one molecule."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["qed", "sa_available", "sa_score"]


def qed(mol: Mol) -> float:
    """Weighted QED in [0, 1] of a sanitised molecule without explicit hydrogens (Bickerton et al. 2012, by RDKit)."""
    from rdkit.Chem import QED

    return float(QED.qed(mol))


def sa_score(mol: Mol) -> float | None:
    """Synthetic accessibility, 1 (easy) to 10 (hard), of a sanitised molecule without explicit hydrogens.

    Ertl and Schuffenhauer 2009, by RDKit's contributed `sascorer`; None where RDKit came without it.
    """
    scorer = _sascorer()
    return None if scorer is None else float(scorer.calculateScore(mol))


def sa_available() -> bool:
    """Whether this RDKit has the contributed scorer."""
    return _sascorer() is not None


@cache
def _sascorer() -> ModuleType | None:
    from rdkit import RDConfig

    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    if not path.is_file():
        return None
    spec = importlib.util.spec_from_file_location("scigen_sascorer", path)
    if spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
