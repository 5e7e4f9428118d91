"""Fréchet ChemNet distance between two sets of SMILES.

    FCD = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)),   m, C = mean and covariance of 512 ChemNet activations

It falls with the number of samples, so it is comparable only at equal n, and with fewer samples than activations
the covariance is singular. Preuer et al. 2018, arXiv:1803.09518; network and weights from `fcd_torch`, whose wheel
has both.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from scigen.errors import InputError

__all__ = ["MIN_SMILES", "Activations", "activations", "fcd_available", "frechet"]

MIN_SMILES = 1000


@dataclass(frozen=True)
class Activations:
    """Mean `[512]` and covariance `[512, 512]` of ChemNet activations over a set of molecules."""

    mean: np.ndarray
    covariance: np.ndarray

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Float32, the covariance as its upper triangle: 0.5 MB."""
        upper = np.triu_indices(len(self.mean))
        return {"fcd_mean": self.mean.astype(np.float32), "fcd_upper": self.covariance[upper].astype(np.float32)}

    @classmethod
    def from_arrays(cls, mean: np.ndarray, upper: np.ndarray) -> Activations:
        """The inverse of `to_arrays`."""
        full = np.zeros((len(mean), len(mean)))
        full[np.triu_indices(len(mean))] = upper
        return cls(mean.astype(np.float64), full + np.triu(full, 1).T)


def activations(smiles: Sequence[str]) -> Activations:
    """ChemNet statistics of valid SMILES, on the CPU.

    Raises `InputError` below `MIN_SMILES`, where the distance would measure the sample's size.
    """
    if len(smiles) < MIN_SMILES:
        raise InputError(f"FCD needs at least {MIN_SMILES} valid molecules, got {len(smiles)}; sample more.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        statistics = _chemnet().precalc(list(smiles))
    return Activations(statistics["mu"].astype(np.float64), statistics["sigma"])


def frechet(a: Activations, b: Activations) -> float:
    """Fréchet distance between two Gaussians; 0 for equal ones.

    tr (C1 C2)^(1/2) is the sum of square roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric and
    so has a real spectrum even where C1 or C2 is singular.
    """
    values, vectors = np.linalg.eigh(a.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ b.covariance @ root)
    trace = np.trace(a.covariance) + np.trace(b.covariance) - 2 * np.sqrt(np.clip(cross, 0, None)).sum()
    return float(np.square(a.mean - b.mean).sum() + trace)


def fcd_available() -> bool:
    """Whether fcd_torch is installed."""
    return importlib.util.find_spec("fcd_torch") is not None


@cache
def _chemnet() -> Any:
    from fcd_torch import FCD

    return FCD(device="cpu", n_jobs=1, canonize=False)
