"""Coverage of the truth by draws of the refinement bridge, for bond lengths, angles and torsions, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scigen.domains.molecules.refine.pairs import PairSet
from scigen.metrics.calibration import central_coverage
from scigen.metrics.refinement import angles, internals, lengths, torsions

KINDS = {"bonds": "bond lengths", "angles": "angles", "torsions": "torsions"}


@dataclass(frozen=True)
class Coverage:
    """Nominal and observed coverage `[K]` of central intervals, over `n` values; `z` is the standard deviation of
    (truth - mean) / spread, 1 if the draws are as wide as they are wrong."""

    nominal: np.ndarray
    observed: np.ndarray
    z: float
    n: int

    def line(self) -> str:
        """The widest and the middle interval in words."""
        k = len(self.nominal) // 2
        shown = ", ".join(f"{100 * self.nominal[j]:.0f} % hold {100 * self.observed[j]:.1f} %" for j in (k, -1))
        return f"intervals of {shown} of {self.n:,}; standard deviation of z {self.z:.2f}"


def coverage(pairs: PairSet, draws: Sequence[np.ndarray]) -> dict[str, Coverage]:
    """By kind of internal coordinate, from draws `[D, N, 3]` of every molecule."""
    truth: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for k, geometries in enumerate(draws):
        molecule, _ = pairs.at(k)
        graph = internals(molecule.bond)
        for kind, value, rows in (
            ("bonds", lengths, graph.bonds),
            ("angles", angles, graph.angles),
            ("torsions", torsions, graph.torsions),
        ):
            true, drawn = value(molecule.pos.astype(float), rows), np.stack([value(x, rows) for x in geometries])
            if kind == "torsions":  # unwound about the draws' own direction
                middle = np.degrees(np.angle(np.exp(1j * np.radians(drawn)).mean(0)))
                true, drawn = ((x - middle + 180) % 360 - 180 for x in (true, drawn))
            truth[kind].append(true)
            found[kind].append(drawn)
    return {kind: _coverage(np.concatenate(truth[kind]), np.concatenate(found[kind], 1)) for kind in KINDS}


def draw_reliability(found: dict[str, Coverage], path: Path) -> None:
    """Observed against nominal coverage; the diagonal is perfect, below it the draws are too sure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 4.0), dpi=120, layout="constrained")
    axis = figure.add_subplot()
    axis.plot([0, 1], [0, 1], color="#b9c4cc", lw=1)
    for (kind, c), colour in zip(found.items(), ("#22303c", "#2f8f9d", "#c8553d"), strict=True):
        axis.plot(c.nominal, c.observed, "o-", ms=3, lw=1.2, color=colour, label=f"{KINDS[kind]} ({c.n:,})")
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.set(xlabel="nominal coverage of central intervals", ylabel="share of true values inside")
    axis.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def _coverage(truth: np.ndarray, draws: np.ndarray) -> Coverage:
    nominal, observed = central_coverage(truth, draws)
    count = len(draws)
    z = (truth - draws.mean(0)) / (draws.std(0, ddof=1) * np.sqrt(1 + 1 / count))
    # Robust, as Student's tails of few draws would swamp a plain standard deviation.
    inner = np.subtract(*np.percentile(z, [84.13, 15.87])) / 2
    return Coverage(nominal, observed, float(inner), len(truth))
