"""Which molecules are in a training set, without shipping the training set.

A set of canonical SMILES is kept as sorted 42-bit hashes stored as differences: 4 bytes a molecule. A molecule that
is not in a set of m is reported as known with probability m / 2^42, 2.3e-8 for 100,000.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

__all__ = ["HASH_BITS", "SmilesIndex", "index_of", "smiles_hash"]

HASH_BITS = 42  # at this width the largest gap between 100,000 sorted hashes still fits 32 bits


@dataclass(frozen=True)
class SmilesIndex:
    """Sorted hashes `[m]` uint64 of distinct canonical SMILES."""

    hashes: np.ndarray

    def __len__(self) -> int:
        return len(self.hashes)

    def contains(self, smiles: Iterable[str]) -> np.ndarray:
        """Which of the canonical SMILES are in the set, `[n]` bool."""
        wanted = np.array([smiles_hash(s) for s in smiles], np.uint64)
        if not len(self.hashes):
            return np.zeros(len(wanted), bool)
        place = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        return np.asarray(self.hashes[place] == wanted)

    def false_positive_rate(self) -> float:
        """Probability that an unknown molecule is taken for a known one: m / 2^42."""
        return len(self.hashes) / 2.0**HASH_BITS

    def to_gaps(self) -> np.ndarray:
        """The set as uint32 differences; raises `ValueError` when a gap does not fit (small sets)."""
        gaps = np.diff(self.hashes, prepend=np.uint64(0))
        if len(gaps) and gaps.max() >= 2**32:
            raise ValueError(f"The largest gap {gaps.max()} exceeds 32 bits; store sets of 20,000 or more this way.")
        return gaps.astype(np.uint32)

    @classmethod
    def from_gaps(cls, gaps: np.ndarray) -> SmilesIndex:
        """The inverse of `to_gaps`."""
        return cls(np.cumsum(gaps, dtype=np.uint64))


def index_of(smiles: Iterable[str]) -> SmilesIndex:
    """The set of the given canonical SMILES (see `chem.canonical` for the form)."""
    return SmilesIndex(np.unique(np.array([smiles_hash(s) for s in smiles], np.uint64)))


def smiles_hash(smiles: str) -> int:
    """The first 42 bits of BLAKE2b of the text: the same on every machine, unlike Python's `hash`."""
    return int.from_bytes(hashlib.blake2b(smiles.encode(), digest_size=8).digest(), "big") >> (64 - HASH_BITS)
