"""Broken files: nothing but InputError, no hang, nothing silently empty, no NaN, and every record accounted for.

The fast set runs a few thousand mutants of each seed, the slow one twenty thousand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from scigen.deadline import Deadline
from scigen.errors import InputError
from scigen.io.molecules import read_molecules
from scigen.io.npz import read_npz
from tests.io import seeds

MOLECULES = {
    "v2000.sdf": seeds.sdf(),
    "v3000.sdf": seeds.sdf(v3000=True),
    "frames.xyz": seeds.xyz(),
    "list.smi": seeds.smi(),
    "table.csv": seeds.csv(),
}
ARCHIVES = {"deflated.npz": seeds.npz(), "stored.npz": seeds.npz(compress=False)}
SLOWEST = 5.0  # seconds for one file


def replace(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)  # overwriting in place makes some file systems flush each time
    path.write_bytes(data)


@pytest.fixture(scope="module")
def perceive() -> Iterator[Deadline]:
    with Deadline("scigen.io.bonds:perceive_frame", seconds=5.0) as shared:
        yield shared


@pytest.fixture(autouse=True)
def _one_worker(perceive: Deadline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of small files share one worker process, where the reader starts one for each file."""
    monkeypatch.setattr("scigen.io.xyz.Deadline", lambda *args: nullcontext(perceive))


def read_broken(path: Path) -> int:
    """Read one mutant and return the number of good records; anything but InputError goes through."""
    start = time.perf_counter()
    try:
        records = list(read_molecules(path))
    except InputError as error:
        assert str(path) in str(error)
        return 0
    finally:
        assert time.perf_counter() - start < SLOWEST
    assert records, "silently empty"
    assert [record.index for record in records] == list(range(len(records)))
    for record in records:
        assert (record.mol is None) <= bool(record.reason)
        if record.mol is not None:
            assert record.mol.GetNumAtoms() > 0
            assert all(np.isfinite(c.GetPositions()).all() for c in record.mol.GetConformers())
    return sum(record.mol is not None for record in records)


def fuzz_molecules(folder: Path, name: str, count: int) -> None:
    path, good = folder / name, 0
    for mutant in seeds.mutants(MOLECULES[name], count, seed=11):
        replace(path, mutant)
        good += read_broken(path)
    # The good records of a broken file are kept: far more than the half survive.
    assert good > 0.3 * count * len(seeds.SMILES)


def fuzz_archive(folder: Path, name: str, count: int) -> None:
    path, refused = folder / name, 0
    for mutant in seeds.mutants(ARCHIVES[name], count, seed=13):
        replace(path, mutant)
        try:
            arrays = read_npz(path)
        except InputError:
            refused += 1
            continue
        assert arrays
        assert all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f")
    assert refused > count / 2


@pytest.mark.parametrize("name", MOLECULES)
def test_broken_molecule_files(tmp_path: Path, name: str) -> None:
    fuzz_molecules(tmp_path, name, 3000)


@pytest.mark.parametrize("name", ARCHIVES)
def test_broken_archives(tmp_path: Path, name: str) -> None:
    fuzz_archive(tmp_path, name, 3000)


@pytest.mark.slow
@pytest.mark.parametrize("name", MOLECULES)
def test_many_broken_molecule_files(tmp_path: Path, name: str) -> None:
    fuzz_molecules(tmp_path, name, 20_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHIVES)
def test_many_broken_archives(tmp_path: Path, name: str) -> None:
    fuzz_archive(tmp_path, name, 20_000)


@pytest.mark.parametrize("name", MOLECULES)
def test_seeds_are_whole(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(MOLECULES[name])
    records = list(read_molecules(tmp_path / name))
    assert len(records) == len(seeds.SMILES)
    assert all(record.mol is not None and record.reason is None for record in records)
