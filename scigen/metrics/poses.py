"""Physical plausibility of a single molecule by PoseBusters, preset `mol_fast`.

Sanitisation, InChI, one fragment, no radicals, bond lengths, bond angles, steric clashes, flat aromatic rings and
double bonds, non-flat other rings; the energy ratio of preset `mol` is left out since two runs of it disagree.
Buttenschoen et al. 2024, arXiv:2308.05777.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any

from scigen.metrics.chem import sanitized, unpack

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["failed_tests", "failed_tests_packed", "posebusters_available", "warm"]


def failed_tests(mol: Mol) -> list[str]:
    """Names of the tests of `mol_fast` that the molecule fails; empty when it passes all."""
    clean, _ = sanitized(mol)
    if clean is None:
        return ["sanitization"]
    table = _engine().bust(clean, None, None)
    # A test that could not be evaluated is missing (NaN): that is no failure of the molecule.
    return [str(name) for name, passed in table.iloc[0].items() if passed == False]  # noqa: E712


def failed_tests_packed(text: str) -> list[str]:
    """`failed_tests` of a packed molecule, for a worker process."""
    return failed_tests(unpack(text))


def posebusters_available() -> bool:
    """Whether PoseBusters is installed."""
    return importlib.util.find_spec("posebusters") is not None


def warm() -> None:
    """Import PoseBusters and run it once before any deadline runs."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom

    mol = Chem.AddHs(Chem.MolFromSmiles("C"))
    rdDistGeom.EmbedMolecule(mol, randomSeed=0)
    failed_tests(mol)


@cache
def _engine() -> Any:
    from posebusters import PoseBusters

    return PoseBusters(config="mol_fast")
