"""Set scores from per-molecule checks: the rows of the table, before the data row is put beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scigen.domains.molecules.reference import Reference, geometry_counts
from scigen.metrics.geometry import ANGLE, BOND, wasserstein
from scigen.metrics.sets import SetCounts, count_set
from scigen.metrics.stats import bootstrap, pooled_share_interval, wilson

__all__ = ["Measure", "core_measures", "mean_measure", "median_measure", "share"]

Rows = Sequence[Mapping[str, Any]]
_NO_3D = "not applicable: no 3D coordinates"


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % interval and count; without a value, the note says why."""

    value: float | None
    interval: tuple[float, float] | None = None
    n: int = 0
    note: str = ""


def core_measures(rows: Rows, reference: Reference, seed: int = 0) -> dict[str, Measure]:
    """Every `core` score but `readable`, in one pass over the checks of all molecules."""
    solid = [row for row in rows if row["has_3d"]]
    out = _stability(rows, "strict", "strict_size") | {"validity": share(sum(r["valid"] for r in rows), len(rows))}
    out |= _set_measures(count_set([r["smiles"] for r in rows], [r["fragments"] for r in rows], reference.known), "")
    edm = {name: Measure(None, note=_NO_3D) for name in _EDM_NAMES}
    if solid:
        counts = count_set([r["edm_smiles"] for r in solid], [r["edm_fragments"] for r in solid], reference.known_edm)
        edm = _stability(solid, "edm", "n_atoms") | {"edm_validity": share(counts.valid, counts.n)}
        edm |= _set_measures(counts, "edm_")
        edm.pop("edm_connectivity")
    if not len(reference.known_edm):
        edm |= {name: Measure(None, note="not applicable: the reference has no 3D coordinates") for name in _EDM_NOVEL}
    out |= edm | _geometry(solid, reference)
    out["qed"] = mean_measure([r["qed"] for r in rows if r["qed"] is not None], seed)
    out["sa"] = mean_measure([r["sa"] for r in rows if r["sa"] is not None], seed)
    if out["sa"].value is None and out["qed"].value is not None:
        out["sa"] = Measure(None, note="not installed: this RDKit lacks SA_Score; install rdkit from PyPI")
    return out


_EDM_NOVEL = ("edm_novelty", "edm_vun")
_EDM_NAMES = (
    "edm_atom_stability", "edm_molecule_stability", "edm_validity", "edm_uniqueness", "edm_vu", *_EDM_NOVEL,
)  # fmt: skip


def share(count: int, n: int) -> Measure:
    """count / n with Wilson's interval."""
    return Measure(count / n, wilson(count, n), n) if n else Measure(None, note="not applicable: nothing to count")


def mean_measure(values: Sequence[float], seed: int) -> Measure:
    """Mean with a bootstrap interval over molecules."""
    return _summary(values, np.mean, seed)


def median_measure(values: Sequence[float], seed: int) -> Measure:
    """Median with a bootstrap interval over molecules."""
    return _summary(values, np.median, seed)


def _summary(values: Sequence[float], statistic: Any, seed: int) -> Measure:
    if not len(values):
        return Measure(None, note="not applicable: no valid molecule to measure")
    array = np.asarray(values, np.float64)
    return Measure(float(statistic(array)), bootstrap(array, statistic, seed), len(array))


def _stability(rows: Rows, rule: str, size: str) -> dict[str, Measure]:
    stable = np.array([row[f"{rule}_atoms"] for row in rows], float)
    sizes = np.array([row[size] for row in rows], float)
    note = "most molecules have no explicit hydrogen, which this rule needs" if _lacks_hydrogens(rows) else ""
    whole = share(sum(row[f"{rule}_stable"] for row in rows), len(rows))
    atoms = Measure(None, note="not applicable: no atoms")
    if sizes.sum():
        atoms = Measure(float(stable.sum() / sizes.sum()), pooled_share_interval(stable, sizes), int(sizes.sum()), note)
    whole = Measure(whole.value, whole.interval, whole.n, note)
    return {f"{rule}_atom_stability": atoms, f"{rule}_molecule_stability": whole}


def _lacks_hydrogens(rows: Rows) -> bool:
    bare = [row["has_3d"] and row["n_atoms"] == row["n_heavy"] for row in rows]
    return sum(bare) > len(bare) / 2


def _set_measures(counts: SetCounts, prefix: str) -> dict[str, Measure]:
    return {
        f"{prefix}connectivity": share(counts.connected, counts.valid),
        f"{prefix}uniqueness": share(counts.unique, counts.valid),
        f"{prefix}novelty": share(counts.novel, counts.unique),
        f"{prefix}vu": share(counts.unique, counts.n),
        f"{prefix}vun": share(counts.novel, counts.n),
    }


def _geometry(solid: Rows, reference: Reference) -> dict[str, Measure]:
    if not solid:
        return {name: Measure(None, note=_NO_3D) for name in ("bond_w1", "angle_w1")}
    bonds, angles, _ = geometry_counts(solid)
    weights = reference.bonds.sum(1), reference.centres
    return {
        "bond_w1": _w1(bonds, reference.bonds, weights[0], BOND.width, len(solid)),
        "angle_w1": _w1(angles, reference.angles, weights[1], ANGLE.width, len(solid)),
    }


def _w1(counts: np.ndarray, reference: np.ndarray, weight: np.ndarray, width: float, n: int) -> Measure:
    common = (counts.sum(1) > 0) & (reference.sum(1) > 0) & (weight > 0)
    if not common.any():
        return Measure(None, note="not applicable: no class of bonds or angles shared with the reference")
    missing = 1 - weight[common].sum() / weight.sum()
    note = f"classes with {missing:.1%} of the reference's weight never occur" if missing > 0.01 else ""
    return Measure(wasserstein(counts, reference, weight, width), None, n, note)
