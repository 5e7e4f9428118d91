"""`scigen data prepare`: build a packed set once, into the cache, with its content hash and its misses."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from scigen.cache import cache_dir
from scigen.domains.molecules.data import SPLITS, MoleculeSet
from scigen.errors import UsageError
from scigen.io.atomic import make_folder
from scigen.io.npz import write_npz
from scigen.run.report import write_json

__all__ = ["prepare_set", "save_set"]

EMBEDDED = 4000  # molecules of the test split that also start from ETKDG, each up to eight times


def prepare_set(name: str, say: Callable[[str], None]) -> Path:
    """Build the set `name` into the cache and return its path; `say` receives one line per stage."""
    makers = {"qm9": _prepare_qm9, "qm9-refine": _prepare_refine}
    if name not in makers:
        raise UsageError(f"No data set '{name}'; the ones that can be prepared are: {', '.join(makers)}.")
    return makers[name](make_folder(cache_dir()) / f"{name}.npz", say)


def _prepare_qm9(path: Path, say: Callable[[str], None]) -> Path:
    from scigen.domains.molecules.qm9 import build_qm9, source_files

    files = source_files()
    say(f"Reading {len(files)} files and laying 130,831 SMILES onto their geometries (about a minute) ...")
    molecules, missed = build_qm9(files, workers=os.cpu_count() or 1)
    save_set(path, molecules, missed)
    share = 100 * (1 - len(missed) / len(molecules))
    say(f"{len(molecules)} molecules, bonds on {share:.3f} % (misses: {missed or 'none'}), written to {path}")
    return path


def _prepare_refine(path: Path, say: Callable[[str], None]) -> Path:
    """MMFF94 starts for all of QM9, and beside them starts by ETKDG for some of the test split."""
    from scigen.domains.molecules.data import load_qm9
    from scigen.domains.molecules.refine.pairs import build_pairs, embedded, relaxed

    molecules = load_qm9()
    test = molecules.subset(molecules.where("test")[:EMBEDDED])
    for target, data, start_of in (
        (path, molecules, relaxed),
        (path.with_name(f"{path.stem}-etkdg.npz"), test, embedded),
    ):
        say(f"Starting {len(data):,} molecules from {start_of.__name__} geometries (some minutes) ...")
        pairs, missed = build_pairs(data, start_of, workers=os.cpu_count() or 1)
        write_npz(target, pairs.arrays())
        facts = {"content_sha256": pairs.content_hash(), "pairs": len(pairs), "missed": dict(missed)}
        write_json(target.with_suffix(".json"), facts)
        say(f"{len(pairs):,} pairs, without a start {dict(missed) or 'none'}, written to {target}")
    return path


def save_set(path: Path, molecules: MoleculeSet, missed: list[int]) -> None:
    """Write a packed set and, beside it, its content hash, counts and misses."""
    write_npz(path, {f.name: getattr(molecules, f.name) for f in fields(molecules)})
    facts = {
        "content_sha256": molecules.content_hash(),
        "molecules": len(molecules),
        "splits": {split: len(molecules.where(split)) for split in SPLITS},
        "without_bonds": missed,
    }
    write_json(path.with_suffix(".json"), facts)
