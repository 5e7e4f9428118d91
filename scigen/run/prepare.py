"""`scigen data prepare`: build a packed set once, into the cache, with its content hash and its misses."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from scigen.domains.molecules.data import SPLITS, MoleculeSet, cache_dir
from scigen.errors import UsageError
from scigen.io.atomic import make_folder
from scigen.io.npz import write_npz
from scigen.run.report import write_json

__all__ = ["prepare_set", "save_set"]


def prepare_set(name: str, say: Callable[[str], None]) -> Path:
    """Build the set `name` into the cache and return its path; `say` receives one line per stage."""
    if name != "qm9":
        raise UsageError(f"No data set '{name}'; the ones that can be prepared are: qm9.")
    from scigen.domains.molecules.qm9 import build_qm9, source_files

    files = source_files()
    say(f"Reading {len(files)} files and laying 130,831 SMILES onto their geometries (about a minute) ...")
    molecules, missed = build_qm9(files, workers=os.cpu_count() or 1)
    path = make_folder(cache_dir()) / f"{name}.npz"
    save_set(path, molecules, missed)
    share = 100 * (1 - len(missed) / len(molecules))
    say(f"{len(molecules)} molecules, bonds on {share:.3f} % (misses: {missed or 'none'}), written to {path}")
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
