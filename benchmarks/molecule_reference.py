"""Rebuild the QM9 reference and data row that ship with the package.

    scigen data prepare qm9 && python benchmarks/molecule_reference.py

Writes `qm9_reference.npz` (novelty index of the training split, histograms and ChemNet statistics of the test
split) and `qm9_data_row.json` (held-out QM9 under every score) into `scigen/domains/molecules/assets`. Needs the
extras `metrics` and `energy`; about six minutes on one core.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from scigen.domains.molecules import reference as ref
from scigen.domains.molecules.checks import check_molecules, score_molecules
from scigen.domains.molecules.codec import to_rdkit
from scigen.domains.molecules.data import MoleculeSet, load_qm9
from scigen.domains.molecules.extras import GFN2_LIMIT, LIMIT
from scigen.domains.molecules.scores import core_measures
from scigen.metrics.fcd import activations, frechet
from scigen.metrics.novelty import index_of
from scigen.metrics.strict import STRICT_VERSION

ASSETS = Path(ref.__file__).parent / "assets"
SIZES = {100: 20, 1000: 8, 10_000: 3}  # draws of training molecules per size, for scores that depend on n
FCD_SIZES = (1000, 2000, 5000, 10_000)
BASELINE, NOISE = 2000, 0.1  # molecules of the baseline, and its noise on every coordinate in Å


def checks_of(data: MoleculeSet, rows: np.ndarray) -> list[dict]:
    """Checks of the molecules at `rows`."""
    return check_molecules([to_rdkit(data[k]) for k in rows])


def write_reference(train: list[dict], test: list[dict]) -> None:
    """The arrays of `reference.qm9_reference`."""
    bonds, angles, centres = ref.geometry_counts(test)
    np.savez_compressed(
        ASSETS / "qm9_reference.npz",
        known=index_of(r["smiles"] for r in train if r["smiles"]).to_gaps(),
        known_edm=index_of(r["edm_smiles"] for r in train if r["edm_smiles"]).to_gaps(),
        bonds=bonds.astype(np.uint32),
        angles=angles.astype(np.uint32),
        centres=centres.astype(np.uint32),
        **activations([r["smiles"] for r in test]).to_arrays(),
    )
    ref.qm9_reference.cache_clear()


def by_size(train: list[dict]) -> dict[str, dict[str, float]]:
    """W1 and FCD of training molecules to the test split, at several sizes: the floor a perfect model would meet."""
    rng, qm9 = np.random.default_rng(0), ref.qm9_reference()
    out: dict[str, dict[str, float]] = {"bond_w1": {}, "angle_w1": {}, "fcd": {}}
    for size, draws in SIZES.items():
        drawn = [
            core_measures([train[k] for k in rng.choice(len(train), size, replace=False)], qm9) for _ in range(draws)
        ]
        for name in ("bond_w1", "angle_w1"):
            out[name][str(size)] = float(np.mean([m[name].value for m in drawn]))
    for size in FCD_SIZES:
        chosen = rng.choice(len(train), size, replace=False)
        out["fcd"][str(size)] = frechet(activations([train[k]["smiles"] for k in chosen]), qm9.chemnet)
    return out


def jittered(data: MoleculeSet, rows: np.ndarray) -> dict[str, float]:
    """Scores that see coordinates, of real molecules with Gaussian noise: what a model must beat."""
    rng = np.random.default_rng(1)
    mols = []
    for k in rng.choice(rows, BASELINE, replace=False):
        molecule = data[k]
        mols.append(to_rdkit(replace(molecule, pos=molecule.pos + rng.normal(0, NOISE, molecule.pos.shape))))
    scores = score_molecules(mols, extras=("posebusters", "mmff"))
    coordinates = ("edm_", "bond_", "angle_", "posebusters", "mmff_")
    return {s.name: s.value for s in scores if s.name.startswith(coordinates) and s.value is not None}


def main() -> None:
    """Build, measure, write."""
    started = time.perf_counter()
    ASSETS.mkdir(exist_ok=True)
    (ASSETS / "qm9_data_row.json").write_text('{"scores": {}, "baseline": {}}')  # nothing to compare with yet
    data = load_qm9()
    test_rows = data.where("test")
    test, train = checks_of(data, test_rows), checks_of(data, data.where("train"))
    write_reference(train, test)
    mols = [to_rdkit(data[k]) for k in test_rows]
    scores = score_molecules(mols, test, ("posebusters", "mmff", "gfn2"), ref.qm9_reference())
    row = {
        "data": f"QM9 test split, {len(test)} molecules; slow scores on {LIMIT} (gfn2 {GFN2_LIMIT}) drawn at random",
        "baseline_data": f"{BASELINE} test molecules with Gaussian noise of {NOISE} Å on every coordinate",
        "by_size": "bond_w1, angle_w1 and fcd: training molecules against the test split, by number of molecules",
        "dataset": data.content_hash(),
        "strict_version": STRICT_VERSION,
        "versions": {name: version(name) for name in ("rdkit", "posebusters", "fcd_torch", "tblite")},
        "scores": {s.name: s.value for s in scores if s.value is not None} | by_size(train),
        "baseline": jittered(data, test_rows),
        "intervals": {s.name: s.interval for s in scores if s.interval},
    }
    (ASSETS / "qm9_data_row.json").write_text(json.dumps(row, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(row["scores"], indent=1), f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
