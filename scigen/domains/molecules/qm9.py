"""QM9 from the pip package `qm9pack`: 130,831 B3LYP geometries, 15 properties, Kekulé bonds, EDM's split.

Ramakrishnan et al. 2014, doi:10.1038/sdata.2014.22. The package's own module does not import on current Pythons, so its
CSV files are read directly.
"""

from __future__ import annotations

import ast
import csv
import importlib.util
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scigen.domains.molecules.bonds import bonds_from_smiles
from scigen.domains.molecules.data import MoleculeSet
from scigen.errors import InputError

__all__ = ["build_qm9", "edm_split"]

COLUMNS = (
    "RotA_GHz", "RotB_GHz", "RotC_GHz", "Dipole_debye", "Polarizability_bohr3", "HOMO_au", "LUMO_au",
    "HOMO_LUMO_gap_au", "R2_bohr2", "ZPVE_au", "InternalEnergy_0K_au", "InternalEnergy_298K_au",
    "Enthalphy_298K_au", "GibbsFreeEnergy_298K_au", "Heatcapacity_Cv_cal_mol_K",
)  # fmt: skip
NUMBER = {"H": 1, "C": 6, "N": 7, "O": 8, "F": 9}
UNBRACKET = str.maketrans("", "", "[]")
N_TRAIN, N_VALID = 100_000, 17_748


@dataclass(frozen=True)
class Row:
    """One line of the source: source index, elements, geometry in Å, properties, SMILES, and the bonds once matched."""

    index: int
    z: np.ndarray
    pos: np.ndarray
    prop: np.ndarray
    smiles: str
    bond: np.ndarray | None = None
    charge: np.ndarray | None = None


def edm_split(count: int) -> np.ndarray:
    """EDM's permutation split (arXiv:2203.17003): `[count]` of 0 train, 1 valid, 2 test, in ascending source index.

    The legacy numpy generator with seed 0 is part of the protocol: every published QM9 score rests on it.
    """
    order = np.random.RandomState(0).permutation(count)
    split = np.full(count, 2, np.uint8)
    split[order[:N_TRAIN]] = 0
    split[order[N_TRAIN : N_TRAIN + N_VALID]] = 1
    return split


def source_files() -> list[Path]:
    """The three CSVs of the installed `qm9pack`; raises `InputError` when it is not installed."""
    spec = importlib.util.find_spec("qm9pack")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("The package 'qm9pack' is not installed; install it with `pip install 'scigen[data]'`.")
    folder = Path(next(iter(spec.submodule_search_locations))) / "data"
    return [folder / f"qm9_part{k}.csv" for k in (1, 2, 3)]


def build_qm9(files: list[Path], workers: int = 1) -> tuple[MoleculeSet, list[int]]:
    """The packed set and the source indices whose SMILES could not be laid onto the geometry.

    Rows without bonds stay in the set (the split must not move) with an empty bond list and zero charges. Raises
    `InputError` when a file is damaged.
    """
    rows = sorted(_read(files), key=lambda row: row.index)
    with ProcessPoolExecutor(workers) as pool:
        rows = list(pool.map(_with_bonds, rows, chunksize=512))
    missed = [row.index for row in rows if row.bond is None]
    return _pack(rows), missed


def _read(files: list[Path]) -> Iterator[Row]:
    csv.field_size_limit(1 << 24)
    for file in files:
        read = 0
        try:
            with file.open(newline="", encoding="utf-8") as handle:
                for line in csv.DictReader(handle):
                    row = _row(line)
                    read += 1
                    yield row
        except (KeyError, ValueError, TypeError, SyntaxError, csv.Error) as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(f"'{file}' is damaged after {read} records ({what}); install qm9pack afresh.") from None


def _row(line: dict[str, str]) -> Row:
    z = np.array([NUMBER[e] for e in ast.literal_eval(line["Elements"])], np.uint8)
    # Not JSON: the file writes some numbers as `0.`.
    pos = np.array(line["XYZ_Ang"].translate(UNBRACKET).split(","), np.float64).astype(np.float32).reshape(-1, 3)
    if pos.shape != (len(z), 3) or not np.isfinite(pos).all():
        raise ValueError(f"{len(z)} elements, coordinates {list(pos.shape)}")
    return Row(int(line["Index"]), z, pos, np.array([float(line[c]) for c in COLUMNS]), line["SMILES"])


def _with_bonds(row: Row) -> Row:
    found = bonds_from_smiles(row.smiles, row.z, row.pos)
    if found is None:
        return row
    return Row(row.index, row.z, row.pos, row.prop, row.smiles, found.bonds, found.charge)


def _pack(rows: list[Row]) -> MoleculeSet:
    none = np.zeros((0, 3), np.uint8)
    bonds = [row.bond if row.bond is not None else none for row in rows]
    charges = [row.charge if row.charge is not None else np.zeros(len(row.z), np.int8) for row in rows]
    return MoleculeSet(
        z=np.concatenate([row.z for row in rows]),
        charge=np.concatenate(charges),
        pos=np.concatenate([row.pos for row in rows]),
        bond=np.concatenate(bonds),
        atom_start=np.cumsum([0] + [len(row.z) for row in rows]).astype(np.int64),
        bond_start=np.cumsum([0] + [len(b) for b in bonds]).astype(np.int64),
        index=np.array([row.index for row in rows], np.int32),
        split=edm_split(len(rows)),
        prop=np.stack([row.prop for row in rows]),
        smiles=np.array([row.smiles for row in rows], dtype=np.bytes_),
    )
