"""The names of the scores of point clouds and what each is (no heavy import: the CLI reads it).

Names hold what a value depends on: `emd@512` was measured on 512 points, `f_score@0.01` at that threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Entry", "pair_catalogue", "set_catalogue"]


@dataclass(frozen=True)
class Entry:
    """One score: its name, unit ("share" lies in [0, 1]) and definition."""

    name: str
    unit: str
    definition: str


_READABLE = Entry("readable", "share", "records of the generated files that could be used as a cloud")
_FORM = (
    Entry("spacing_spread", "",
          "deviation over mean of nearest distances inside a cloud; 0.523 for uniform draws, 0 on a lattice"),
    Entry("stray_share", "share", "points whose 8th neighbour is farther than 3 times the cloud's median of it"),
)  # fmt: skip


def set_catalogue(emd_points: int) -> tuple[Entry, ...]:
    """Scores of a generated set against a reference set; those of EMD are left out for `emd_points` 0."""
    kernels = {"cd": "Chamfer distance (mean a² + mean b²)"}
    if emd_points:
        kernels[f"emd@{emd_points}"] = f"exact EMD of {emd_points} random points (mean distance matched)"
    rows = [entry for kernel, meaning in kernels.items() for entry in _kernel(kernel, meaning)]
    jsd = Entry("jsd", "", "Jensen-Shannon divergence of the sets' occupation of a 28³ grid, bits")
    return (_READABLE, *rows, jsd, *_FORM)


def pair_catalogue(emd_points: int, tau: float) -> tuple[Entry, ...]:
    """Scores of completions: means over references, and for each reference over the completions of its name."""
    f_score = f"f_score@{tau:g}"
    emd = (Entry(f"emd@{emd_points}", "", f"exact EMD of {emd_points} random points, mean distance matched"),)
    return (
        _READABLE,
        Entry(
            "chamfer_l1",
            "",
            "(mean a + mean b) / 2, a: nearest distances to the reference, b: from it; PoinTr's CD-L1 / 1000",
        ),
        Entry("chamfer_l2", "", "mean a² + mean b²; PoinTr's CD-L2 / 1000"),
        Entry("chamfer_l1_over_floor", "", "chamfer_l1 over what two samplings of the reference score; 1 is perfect"),
        Entry(f_score, "share", f"harmonic mean of the shares of a and of b below {tau:g}"),
        Entry("dcd", "", "density-aware Chamfer distance, alpha 1000"),
        *(emd if emd_points else ()),
        Entry("chamfer_l1_best", "", "chamfer_l1 of the best of the completions of each reference"),
        Entry(f"{f_score}_best", "share", f"{f_score} of the best of the completions of each reference"),
        Entry("tmd", "", "diversity: 2 / (k - 1) times the sum of chamfer_l2 over pairs of k completions"),
        Entry("uhd", "", "fidelity: greatest distance from the partial cloud to the completion"),
        Entry("seen_l1", "", "mean distance to the completion from reference points that the partial cloud shows"),
        Entry("missing_l1", "", "mean distance to the completion from reference points that it does not show"),
        *_FORM,
    )


def _kernel(kernel: str, meaning: str) -> tuple[Entry, ...]:
    return (
        Entry(f"1nna_{kernel}", "share", f"clouds whose nearest other is of their own set, by {meaning}; ideal 50 %"),
        Entry(f"1nna_{kernel}_t", "share", "the same over reference (true) clouds only"),
        Entry(f"1nna_{kernel}_f", "share", "the same over generated (fake) clouds only"),
        Entry(f"cov_{kernel}", "share", f"reference clouds that are the nearest to some generated one, by {kernel}"),
        Entry(f"mmd_{kernel}", "", f"mean over reference clouds of the {kernel} to the nearest generated one"),
    )
