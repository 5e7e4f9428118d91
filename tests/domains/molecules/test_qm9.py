"""QM9 and the split every published score rests on."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from scigen.cache import cache_dir
from scigen.domains.molecules import qm9
from scigen.domains.molecules.data import PROPERTIES, load_fixture, load_qm9
from scigen.domains.molecules.qm9 import COLUMNS, build_qm9, edm_split, source_files
from scigen.errors import InputError
from tests.domains.molecules.small import Here

COUNT = 130_831
FIRST = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0, 0, 0, 0]


def test_the_split_is_edms():
    """100,000 / 17,748 / 13,083, by the legacy generator with seed 0 (drawn here by its global form)."""
    split = edm_split(COUNT)
    assert np.bincount(split).tolist() == [100_000, 17_748, 13_083]
    before = np.random.get_state()
    np.random.seed(0)
    order = np.random.permutation(COUNT)
    np.random.set_state(before)
    assert np.array_equal(np.sort(order[:100_000]), np.flatnonzero(split == 0))
    assert np.array_equal(np.sort(order[117_748:]), np.flatnonzero(split == 2))


def test_the_split_starts_as_it_always_has():
    # Pinned values: a numpy whose legacy generator moved would change every score silently.
    assert edm_split(COUNT)[:20].tolist() == FIRST
    assert np.array_equal(edm_split(COUNT), edm_split(COUNT))


def test_the_split_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].copy()
    edm_split(1000)
    assert np.array_equal(np.random.get_state()[1], before)


def test_the_fixture_has_every_split():
    data = load_fixture()
    assert set(np.unique(data.split)) == {0, 1, 2}
    assert (np.diff(data.index) > 0).all() and data.index.max() <= 133_885


def source(path, rows) -> None:
    """A file in the source's own layout."""
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, ["Index", "SMILES", "Elements", "XYZ_Ang", *COLUMNS])
        writer.writeheader()
        writer.writerows(rows)


def line(data, k, smiles=None):
    symbols = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F"}
    return {
        "Index": int(data.index[k]),
        "SMILES": smiles or data.smiles[k].decode(),
        "Elements": str([symbols[int(z)] for z in data[k].z]),
        "XYZ_Ang": str(data[k].pos.tolist()),
        **{c: repr(float(v)) for c, v in zip(COLUMNS, data.prop[k])},
    }


def test_building_reads_what_was_published(tmp_path, monkeypatch):
    monkeypatch.setattr(qm9, "ProcessPoolExecutor", Here)
    data = load_fixture()
    a, b = tmp_path / "a.csv", tmp_path / "b.csv"
    source(a, [line(data, k) for k in (7, 3)])  # out of order, over two files
    source(b, [line(data, 0), line(data, 5, smiles="CC")])
    built, missed = build_qm9([a, b])
    rows = [0, 3, 5, 7]
    assert missed == [int(data.index[5])]
    assert built.index.tolist() == data.index[rows].tolist()
    for got, k in enumerate(rows):
        assert np.array_equal(built[got].pos, data[k].pos) and np.array_equal(built[got].z, data[k].z)
        assert np.array_equal(built.prop[got], data.prop[k])
        kept = np.array_equal(built[got].bond, data[k].bond) and np.array_equal(built[got].charge, data[k].charge)
        assert kept == (k != 5)
    assert len(built[2].bond) == 0 and not built[2].charge.any(), "a miss stays in the set, without bonds"
    assert len(PROPERTIES) == len(COLUMNS)


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(qm9.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"scigen\[data\]"):
        source_files()


@pytest.mark.slow
@pytest.mark.skipif(not (cache_dir() / "qm9.npz").is_file(), reason="QM9 is not in the cache")
def test_the_whole_set_counts_as_edms():
    data = load_qm9()
    assert len(data) == COUNT and np.array_equal(data.split, edm_split(COUNT))
    train = data.subset(data.where("train"))
    atoms = dict(zip(*(v.tolist() for v in np.unique(train.z, return_counts=True))))
    assert atoms == {1: 923_537, 6: 635_559, 7: 101_476, 8: 140_202, 9: 2_323}
    sizes = dict(zip(*(v.tolist() for v in np.unique(train.sizes(), return_counts=True))))
    expected = {19: 13832, 18: 13364, 17: 13025, 16: 10644, 21: 9970, 20: 9482, 15: 7796, 27: 266, 29: 25, 3: 1}
    assert {n: sizes[n] for n in expected} == expected and len(sizes) == 26
    bonded = (np.diff(data.bond_start) > 0).mean()
    assert bonded >= 0.999
    fixture = load_fixture()
    at = np.searchsorted(data.index, fixture.index)
    assert data.subset(at).content_hash() == fixture.content_hash()
