"""Scores that need an optional engine or real time: PoseBusters, FCD, MMFF94 strain, GFN2-xTB relaxation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scigen.deadline import call_each
from scigen.domains.molecules.reference import Reference
from scigen.domains.molecules.scores import Measure, median_measure, share
from scigen.metrics.chem import pack
from scigen.metrics.energy import gfn2_available
from scigen.metrics.fcd import MIN_SMILES, activations, fcd_available, frechet
from scigen.metrics.poses import posebusters_available

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["GFN2_LIMIT", "LIMIT", "Progress", "energy_measure", "fcd_measure", "posebusters_measure"]

Progress = Callable[[str, int, int], None]  # stage, done, total
LIMIT = 1000  # molecules drawn for the slow scores: the interval then is about +-1.5 % at 93 %
GFN2_LIMIT = 200
_METRICS_EXTRA = "not installed: pip install 'scigen[metrics]'"
_ENERGY_EXTRA = "not installed: pip install 'scigen[energy]'"


def posebusters_measure(
    mols: Sequence[Mol], rows: Sequence[dict[str, Any]], limit: int, seed: int, progress: Progress
) -> Measure:
    """Share of molecules that pass `mol_fast`, over at most `limit` drawn from those with coordinates.

    Writes `posebusters` (passed or not) and `posebusters_failed` into the rows it looked at.
    """
    if not posebusters_available():
        return Measure(None, note=_METRICS_EXTRA)
    chosen = _draw([k for k, row in enumerate(rows) if row["has_3d"]], limit, seed)
    if not chosen:
        return Measure(None, note="not applicable: no 3D coordinates")
    for k in chosen:
        rows[k] |= {"posebusters": False, "posebusters_failed": "sanitization"}
    valid = [k for k in chosen if rows[k]["valid"]]
    call = "scigen.metrics.poses:failed_tests_packed"
    outcomes = call_each(call, [pack(mols[k]) for k in valid], warm="scigen.metrics.poses:warm", batch=8)
    for done, (k, outcome) in enumerate(zip(valid, outcomes, strict=True), start=1):
        failed = [outcome.error] if outcome.error else outcome.value
        rows[k] |= {"posebusters": not failed, "posebusters_failed": " ".join(failed)}
        progress("posebusters", done, len(valid))
    return _sampled(share(sum(rows[k]["posebusters"] for k in chosen), len(chosen)), len(chosen), len(rows))


def fcd_measure(rows: Sequence[Mapping[str, Any]], reference: Reference, progress: Progress) -> Measure:
    """FCD of all valid molecules to the reference."""
    if not fcd_available():
        return Measure(None, note=_METRICS_EXTRA)
    smiles = [row["smiles"] for row in rows if row["smiles"] is not None]
    if len(smiles) < MIN_SMILES:
        return Measure(None, n=len(smiles), note=f"needs at least {MIN_SMILES} valid molecules, got {len(smiles)}")
    if reference.chemnet is None:
        return Measure(None, note=f"not applicable: the reference has fewer than {MIN_SMILES} valid molecules")
    progress("fcd", 0, 1)
    value = frechet(activations(smiles), reference.chemnet)
    progress("fcd", 1, 1)
    few = len(smiles) < 10_000
    return Measure(value, None, len(smiles), "fewer than 10,000 molecules: biased upwards" if few else "")


def energy_measure(
    method: str, mols: Sequence[Mol], rows: Sequence[dict[str, Any]], limit: int, seed: int, progress: Progress
) -> Measure:
    """Median strain by `mmff` or `gfn2` over at most `limit` valid molecules in one piece; fills the rows."""
    if method == "gfn2" and not gfn2_available():
        return Measure(None, note=_ENERGY_EXTRA)
    if not any(row["has_3d"] for row in rows):
        return Measure(None, note="not applicable: no 3D coordinates")
    whole = [k for k, row in enumerate(rows) if row["has_3d"] and row["valid"] and row["fragments"] == 1]
    chosen = _draw(whole, limit, seed)
    column = "mmff_strain" if method == "mmff" else "gfn2_relaxation"
    call, warm = f"scigen.metrics.energy:{method}_packed", f"scigen.metrics.energy:warm_{method}"
    outcomes = call_each(call, [pack(mols[k]) for k in chosen], warm=warm, batch=8)
    values = []
    for done, (k, outcome) in enumerate(zip(chosen, outcomes, strict=True), start=1):
        rows[k][column] = outcome.value
        if outcome.error is None:
            values.append(outcome.value)
        progress(method, done, len(chosen))
    measure = _sampled(median_measure(values, seed), len(chosen), len(whole))
    if failed := len(chosen) - len(values):
        measure = replace(measure, note="; ".join(filter(None, [measure.note, f"{failed} molecules gave no energy"])))
    return measure


def _draw(candidates: list[int], limit: int, seed: int) -> list[int]:
    if len(candidates) <= limit:
        return candidates
    return sorted(np.random.default_rng(seed).choice(candidates, limit, replace=False).tolist())


def _sampled(measure: Measure, drawn: int, total: int) -> Measure:
    return replace(measure, note=f"{drawn} of {total} molecules, drawn at random") if drawn < total else measure
