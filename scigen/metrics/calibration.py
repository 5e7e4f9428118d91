"""Whether draws say how sure they are: the share of truths that central intervals of the draws hold.

If truth and D draws come from one law, the truth is equally likely to take each of the D + 1 places among them,
whatever the law: the interval from the k-th smallest to the k-th largest draw holds it with probability
1 - 2 k / (D + 1).
Gneiting et al. 2007, J. R. Stat. Soc. B 69, 243.
"""

from __future__ import annotations

import numpy as np

__all__ = ["central_coverage", "ranks"]


def ranks(truth: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """How many of `draws [D, n]` lie below `truth [n]`: 0 to D, uniform if calibrated."""
    below: np.ndarray = (draws < truth).sum(0)
    return below


def central_coverage(truth: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nominal and observed coverage of the central intervals of `draws [D, n]`, each `[D // 2]`, narrow to wide.

    Raises ValueError for fewer than two draws.
    """
    count = len(draws)
    if count < 2:
        raise ValueError(f"`draws` holds {count} per value; an interval needs at least 2.")
    k = np.arange(count // 2, 0, -1)
    place = ranks(truth, draws)
    observed = ((place >= k[:, None]) & (place <= count - k[:, None])).mean(1)
    return 1 - 2 * k / (count + 1), observed
