"""The hashed index finds what it holds and nothing else; set counts by hand."""

import numpy as np
import pytest

from scigen.metrics.novelty import SmilesIndex, index_of, smiles_hash
from scigen.metrics.sets import SetCounts, count_set


def test_hash_is_fixed_forever():
    # The shipped index depends on these values: blake2b-64 of the text, first 42 bits.
    assert smiles_hash("C") == 1745540338545
    assert smiles_hash("CCO") != smiles_hash("OCC")


def test_membership():
    index = index_of(["C", "CC", "CC", "CCO"])
    assert len(index) == 3
    assert index.contains(["CC", "N", "CCO", ""]).tolist() == [True, False, True, False]
    assert not index_of([]).contains(["C"]).any()
    assert index.contains([]).shape == (0,)


def test_gaps_round_trip_and_false_positives():
    index = index_of(f"C{k}" for k in range(100_000))
    gaps = index.to_gaps()
    assert gaps.dtype == np.uint32 and gaps.nbytes == 400_000
    assert (SmilesIndex.from_gaps(gaps).hashes == index.hashes).all()
    assert index.false_positive_rate() == pytest.approx(2.27e-8, rel=0.01)
    assert not index.contains(f"N{k}" for k in range(20_000)).any()


def test_small_sets_do_not_fit_gaps():
    with pytest.raises(ValueError, match="32 bits"):
        index_of(["C", "CC"]).to_gaps()


def test_counts_by_hand():
    known = index_of(["CC"])
    counts = count_set(["CC", "CC", "CCO", None, "N"], [1, 1, 2, 0, 1], known)
    assert counts == SetCounts(n=5, valid=4, connected=3, unique=3, novel=2)
