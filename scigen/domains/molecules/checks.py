"""Molecule checks, assembled: one row per molecule, and the ordered table of scores with the QM9 row beside each.

Both bond rules are always reported, `strict` from explicit bonds and `edm` from distances: the same samples differ
by ten points between rules, so a score is a model, a rule and a data row, or it is nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scigen.deadline import call_each
from scigen.domains.molecules.catalogue import CATALOGUE, EXTRAS
from scigen.domains.molecules.extras import (
    GFN2_LIMIT,
    LIMIT,
    Progress,
    energy_measure,
    fcd_measure,
    posebusters_measure,
)
from scigen.domains.molecules.reference import Reference, baseline_value, data_value, qm9_reference
from scigen.domains.molecules.scores import Measure, core_measures
from scigen.errors import InputError, UsageError
from scigen.metrics.chem import pack
from scigen.metrics.score import Score

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["TABLE_COLUMNS", "check_molecules", "score_molecules", "table_row"]

# Columns of a per-molecule table; the rest of a check (bin codes) is only of use to the set scores.
TABLE_COLUMNS = (
    "smiles", "n_atoms", "n_heavy", "valid", "reason", "fragments", "strict_stable", "edm_stable", "edm_valid",
    "qed", "sa", "posebusters", "posebusters_failed", "mmff_strain", "gfn2_relaxation",
)  # fmt: skip
_FAILED: dict[str, Any] = {
    "valid": False, "fragments": 0, "smiles": None, "qed": None, "sa": None, "strict_atoms": 0, "strict_stable": False,
    "edm_atoms": 0, "edm_stable": False, "edm_valid": False, "edm_fragments": 0, "edm_smiles": None,
}  # fmt: skip


def _silent(stage: str, done: int, total: int) -> None:
    """The default progress: none."""


def check_molecules(
    mols: Sequence[Mol], refused: Mapping[int, str] | None = None, progress: Progress = _silent
) -> list[dict[str, Any]]:
    """One dictionary of checks per molecule, in order (`scigen.metrics.describe.describe`), each under a 10 s deadline.

    Molecules are RDKit's, unsanitised, hydrogens as atoms, conformer in Å if any. `refused` gives, by position, the
    reason why a molecule's explicit bonds are not to be trusted: it then counts as invalid, but keeps its
    rule-`edm` checks.
    """
    call, warm = "scigen.metrics.describe:describe_packed", "scigen.metrics.describe:warm"
    rows = []
    outcomes = call_each(call, [pack(mol) for mol in mols], warm=warm)
    for k, (mol, outcome) in enumerate(zip(mols, outcomes, strict=True)):
        row = outcome.value if outcome.error is None else _undescribed(mol, outcome.error)
        if reason := (refused or {}).get(k):
            row |= {"valid": False, "reason": reason, "fragments": 0, "smiles": None, "qed": None, "sa": None}
            row |= {"strict_atoms": 0, "strict_stable": False}
        rows.append(row)
        progress("checks", k + 1, len(mols))
    return rows


def score_molecules(
    mols: Sequence[Mol],
    checks: Sequence[dict[str, Any]] | None = None,
    extras: Collection[str] = (),
    reference: Reference | None = None,
    records: int | None = None,
    limit: int = LIMIT,
    seed: int = 0,
    progress: Progress = _silent,
) -> list[Score]:
    """The ordered scores of a set of molecules; `extras` adds groups of `EXTRAS`, which also fill the rows of `checks`.

    `records` is how many records the molecules were read from; `limit` caps the molecules drawn for slow scores.
    Raises `InputError` for an empty set and `UsageError` for an unknown extra.
    """
    if not len(mols):
        raise InputError("There is no molecule to score; give a file with at least one readable record.")
    if unknown := sorted(set(extras) - set(EXTRAS)):
        raise UsageError(f"Unknown score group '{unknown[0]}'; choose from {', '.join(EXTRAS)}.")
    rows = check_molecules(mols, progress=progress) if checks is None else checks
    reference = reference or qm9_reference()
    measures = core_measures(rows, reference, seed)
    if records is not None:
        measures["readable"] = Measure(len(mols) / records, None, records)
    if "posebusters" in extras:
        measures["posebusters"] = posebusters_measure(mols, list(rows), limit, seed, progress)
    if "fcd" in extras:
        measures["fcd"] = fcd_measure(rows, reference, progress)
    if "mmff" in extras:
        measures["mmff_strain"] = energy_measure("mmff", mols, rows, limit, seed, progress)
    if "gfn2" in extras:
        measures["gfn2_relaxation"] = energy_measure("gfn2", mols, rows, min(limit, GFN2_LIMIT), seed, progress)
    return [_score(e.name, e.definition, e.unit, measures[e.name], reference) for e in CATALOGUE if e.name in measures]


def table_row(check: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a check that a user reads; missing ones are empty."""
    return {name: check.get(name) for name in TABLE_COLUMNS}


# Scores that compare with the reference: beside a foreign reference the QM9 row would mean nothing.
_RELATIVE = {"novelty", "vun", "edm_novelty", "edm_vun", "bond_w1", "angle_w1", "fcd"}


def _score(name: str, definition: str, unit: str, measure: Measure, reference: Reference) -> Score:
    known = measure.value is not None and (reference.is_qm9 or name not in _RELATIVE)
    data, baseline = (data_value(name, measure.n), baseline_value(name)) if known else (None, None)
    return Score(name, measure.value, measure.interval, measure.n, definition, data, baseline, unit, measure.note)


def _undescribed(mol: Mol, reason: str) -> dict[str, Any]:
    has_3d = mol.GetNumConformers() > 0 and mol.GetConformer().Is3D()
    size = mol.GetNumAtoms()
    counts = {"n_atoms": size, "n_heavy": mol.GetNumHeavyAtoms(), "strict_size": size}
    return {**_FAILED, **counts, "has_3d": has_3d, "reason": reason}
