"""Several completions of one partial cloud: their spread, how they keep to it, and what of the reference it shows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from scigen.metrics.chamfer import Indexed, chamfer_l2, directed_hausdorff, match
from scigen.metrics.floor import twin

__all__ = ["fidelity", "mutual_difference", "seen"]

_REACH = 3.0


def mutual_difference(completions: Sequence[Indexed]) -> float:
    """TMD = 2 / (k - 1) sum_{i < j} CD(i, j) over k completions, CD = `chamfer_l2`, a length squared.

    Diversity: 0 for a deterministic method; noise raises it too, so read it beside the fidelity. arXiv:2003.07717.
    Raises `ValueError` for fewer than two completions.
    """
    k = len(completions)
    if k < 2:
        raise ValueError(f"TMD needs at least 2 completions of one partial cloud, got {k}.")
    return 2 / (k - 1) * sum(chamfer_l2(match(a, b)) for a, b in combinations(completions, 2))


def fidelity(partial: np.ndarray, completions: Sequence[Indexed]) -> float:
    """UHD: mean over completions of the greatest distance from `partial [N, 3]` to the completion. arXiv:2003.07717."""
    return float(np.mean([directed_hausdorff(partial, completion) for completion in completions]))


def seen(reference: Indexed, partial: Indexed) -> np.ndarray:
    """Which reference points `[N]`, bool, the partial cloud shows: within 3 of its mean nearest distances of one.

    Raises `ValueError` when the partial cloud has a single point.
    """
    return partial.tree.query(reference.points)[0] <= _REACH * twin(partial).a.mean()
