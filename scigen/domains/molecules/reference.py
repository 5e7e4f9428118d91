"""What generated molecules are compared with: known SMILES, histograms of lengths and angles, ChemNet statistics.

The QM9 reference ships with the package: novelty against the training split (100,000), distances to the test split
(13,083). It is rebuilt by `python benchmarks/molecule_reference.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scigen.errors import InputError
from scigen.metrics.fcd import Activations
from scigen.metrics.geometry import ANGLE, BOND, histogram
from scigen.metrics.novelty import SmilesIndex, index_of

__all__ = ["Reference", "baseline_value", "data_value", "geometry_counts", "qm9_reference", "reference_from_checks"]

_ASSETS = Path(__file__).parent / "assets"


@dataclass(frozen=True)
class Reference:
    """Known molecules by both identities; counts `bonds [4, 1001]`, `angles [120, 1801]`, `centres [120]`; ChemNet."""

    name: str
    known: SmilesIndex
    known_edm: SmilesIndex
    bonds: np.ndarray
    angles: np.ndarray
    centres: np.ndarray
    chemnet: Activations | None
    is_qm9: bool = False


@cache
def qm9_reference() -> Reference:
    """The shipped QM9 reference, 1.4 MB, read once; a foreign molecule is taken for a known one at 2.3e-8."""
    with np.load(_ASSETS / "qm9_reference.npz", allow_pickle=False) as arrays:
        return Reference(
            name="QM9 (train for novelty, test for distances)",
            known=SmilesIndex.from_gaps(arrays["known"]),
            known_edm=SmilesIndex.from_gaps(arrays["known_edm"]),
            bonds=arrays["bonds"].astype(np.int64),
            angles=arrays["angles"].astype(np.int64),
            centres=arrays["centres"].astype(np.int64),
            chemnet=Activations.from_arrays(arrays["fcd_mean"], arrays["fcd_upper"]),
            is_qm9=True,
        )


def reference_from_checks(
    name: str, rows: Sequence[Mapping[str, Any]], chemnet: Activations | None = None
) -> Reference:
    """A reference from anybody's molecules, given their checks; raises `InputError` when none is valid."""
    smiles = [row["smiles"] for row in rows if row["smiles"] is not None]
    if not smiles:
        raise InputError(f"The reference '{name}' holds no valid molecule; give a file of valid molecules.")
    edm = [row["edm_smiles"] for row in rows if row.get("edm_smiles") is not None]
    return Reference(name, index_of(smiles), index_of(edm), *geometry_counts(rows), chemnet)


def geometry_counts(rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Histograms of bonds and of angles, and central atoms by element, over the molecules with coordinates."""
    bonds, angles, centres = (_joined(rows, key) for key in ("bonds", "angles", "centres"))
    by_element = np.bincount(centres, minlength=ANGLE.classes)[: ANGLE.classes]
    return histogram(bonds, BOND), histogram(angles, ANGLE), by_element


def data_value(name: str, n: int) -> float | None:
    """The score of held-out QM9 molecules; where it depends on n, interpolated in log n between measured sizes."""
    value = _data_row()["scores"].get(name)
    if value is None or isinstance(value, float):
        return value
    sizes = np.array(sorted(int(size) for size in value), float)
    scores = np.array([value[str(int(size))] for size in sizes])
    return float(np.exp(np.interp(np.log(max(n, 1)), np.log(sizes), np.log(scores))))


def baseline_value(name: str) -> float | None:
    """The score of held-out QM9 with 0.1 Å of Gaussian noise on each coordinate; None where these play no part."""
    value: float | None = _data_row()["baseline"].get(name)
    return value


@cache
def _data_row() -> dict[str, Any]:
    row: dict[str, Any] = json.loads((_ASSETS / "qm9_data_row.json").read_text(encoding="utf-8"))
    return row


def _joined(rows: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    return np.array([code for row in rows for code in row.get(key, ())], np.int64)
