"""Counts over a set of molecules: validity, connectivity, uniqueness, novelty.

    validity V = valid / n            uniqueness U = |set(valid SMILES)| / valid
    novelty N = |set \\ known| / |set|    V U = |set| / n    V U N = |set \\ known| / n

The definitions of arXiv:2203.17003; the products are the shares of n that users want and cannot be gamed one at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scigen.metrics.novelty import SmilesIndex

__all__ = ["SetCounts", "count_set"]


@dataclass(frozen=True)
class SetCounts:
    """How many of `n` molecules are valid, in one piece, distinct among the valid, and distinct and unknown."""

    n: int
    valid: int
    connected: int
    unique: int
    novel: int


def count_set(smiles: Sequence[str | None], fragments: Sequence[int], known: SmilesIndex) -> SetCounts:
    """Count a set from canonical SMILES (None when invalid) and the number of fragments of each molecule."""
    distinct = sorted({s for s in smiles if s is not None})
    valid = sum(s is not None for s in smiles)
    connected = sum(s is not None and k == 1 for s, k in zip(smiles, fragments, strict=True))
    return SetCounts(len(smiles), valid, connected, len(distinct), int((~known.contains(distinct)).sum()))
