"""Molecule sets: ranges, subsets, identity, and files that are not sets."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from scigen.cache import cache_dir
from scigen.domains.molecules.data import MoleculeSet, fixture_path, load, load_fixture, load_qm9
from scigen.errors import InputError

DATA = load_fixture()


def test_molecules_tile_the_arrays():
    assert DATA.atom_start[0] == DATA.bond_start[0] == 0
    assert DATA.atom_start[-1] == len(DATA.z) == len(DATA.charge) == len(DATA.pos)
    assert DATA.bond_start[-1] == len(DATA.bond)
    assert np.array_equal(np.concatenate([DATA[k].z for k in range(len(DATA))]), DATA.z)
    assert np.array_equal(np.concatenate([DATA[k].bond for k in range(len(DATA))]), DATA.bond)
    assert [len(DATA[k].z) for k in range(len(DATA))] == DATA.sizes().tolist()
    assert all((DATA[k].bond[:, :2] < len(DATA[k].z)).all() for k in range(len(DATA)))


def test_splits_cover_the_set_once():
    rows = np.concatenate([DATA.where(name) for name in ("train", "valid", "test")])
    assert sorted(rows.tolist()) == list(range(len(DATA)))
    assert all((np.diff(DATA.where(name)) > 0).all() for name in ("train", "valid", "test"))
    with pytest.raises(InputError, match="Unknown split 'tset'; choose one of train, valid, test"):
        DATA.where("tset")


def test_a_subset_keeps_molecules_and_their_order(numpy_rng):
    rows = numpy_rng.permutation(len(DATA))[:50]
    part = DATA.subset(rows)
    assert len(part) == 50 and part.index.tolist() == DATA.index[rows].tolist()
    for k, row in enumerate(rows):
        for name in ("z", "charge", "pos", "bond"):
            assert np.array_equal(getattr(part[k], name), getattr(DATA[row], name))
    assert np.array_equal(part.prop, DATA.prop[rows]) and np.array_equal(part.smiles, DATA.smiles[rows])


def test_subsets_compose_and_may_repeat_or_be_empty():
    twice = DATA.subset(np.array([4, 4, 2]))
    assert np.array_equal(twice[0].pos, twice[1].pos)
    assert twice.subset(np.array([2, 0])).content_hash() == DATA.subset(np.array([2, 4])).content_hash()
    none = DATA.subset(np.array([], dtype=int))
    assert len(none) == 0 and len(none.z) == 0 and none.atom_start.tolist() == [0]
    assert DATA.subset(np.arange(len(DATA))).content_hash() == DATA.content_hash()


def test_the_hash_is_of_the_content(tmp_path):
    copy = tmp_path / "copy.npz"
    arrays = {f.name: getattr(DATA, f.name) for f in fields(MoleculeSet)}
    np.savez(copy, **arrays)  # uncompressed: other bytes, the same data
    assert copy.read_bytes() != fixture_path().read_bytes()
    assert load(copy).content_hash() == DATA.content_hash()


@pytest.mark.parametrize("name", [f.name for f in fields(MoleculeSet)])
def test_the_hash_sees_every_array(name):
    array = getattr(DATA, name).copy()
    flat = array.reshape(-1)
    flat[-1] = b"x" if array.dtype.kind == "S" else flat[-1] + 1
    assert replace(DATA, **{name: array}).content_hash() != DATA.content_hash()


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SCIGEN_CACHE", raising=False)
    assert cache_dir() == tmp_path / "scigen"
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path / "mine"))
    assert cache_dir() == tmp_path / "mine"
    with pytest.raises(InputError, match="scigen data prepare qm9"):
        load_qm9()


def whole() -> bytes:
    return fixture_path().read_bytes()


def one_missing(path) -> None:
    np.savez(path, **{f.name: getattr(DATA, f.name) for f in fields(MoleculeSet) if f.name != "bond"})


BROKEN = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(whole()[: len(whole()) // 2]),
    "no end": lambda path: path.write_bytes(whole()[:-10]),
    "text": lambda path: path.write_text("molecules"),
    "one array": lambda path: np.save(path.open("wb"), DATA.z),
    "pickle": lambda path: np.save(path.open("wb"), np.array([{}], dtype=object), allow_pickle=True),
    "a field missing": one_missing,
    "flipped": lambda path: path.write_bytes(flipped()),
}


def flipped() -> bytes:
    """Damage in the middle of the compressed coordinates."""
    raw = bytearray(whole())
    middle = len(raw) // 3
    raw[middle : middle + 64] = bytes(b ^ 0xFF for b in raw[middle : middle + 64])
    return bytes(raw)


@pytest.mark.parametrize("write", BROKEN.values(), ids=BROKEN)
def test_what_is_not_a_set_is_refused_in_one_sentence(write, tmp_path):
    path = tmp_path / "qm9.npz"
    write(path)
    with pytest.raises(InputError, match="is not a molecule set") as refusal:
        load(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_missing_file_says_how_to_build_it(tmp_path):
    with pytest.raises(InputError, match="build it with `scigen data prepare qm9`"):
        load(tmp_path / "qm9.npz")


@pytest.mark.parametrize(
    "damage",
    [
        {"z": DATA.z[:-1]},
        {"atom_start": DATA.atom_start + 1},
        {"bond_start": DATA.bond_start[::-1].copy()},
        {"bond": np.full_like(DATA.bond, 200)},
        {"pos": DATA.pos[:, :2]},
        {"split": DATA.split + 3},
        {"prop": DATA.prop[1:]},
        {"atom_start": DATA.atom_start[:-1]},
    ],
    ids=lambda d: next(iter(d)),
)
def test_arrays_that_do_not_fit_together_are_refused(damage, tmp_path):
    path = tmp_path / "qm9.npz"
    np.savez(path, **{f.name: damage.get(f.name, getattr(DATA, f.name)) for f in fields(MoleculeSet)})
    with pytest.raises(InputError, match="do not fit together"):
        load(path)
