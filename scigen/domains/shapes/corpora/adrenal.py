"""AdrenalMNIST3D: left adrenal glands from abdominal CT as solids of 64^3 voxels (MedMNIST v2, arXiv:2110.14795)."""

from __future__ import annotations

from pathlib import Path

from scigen.domains.shapes.corpora.arrays import read_rows
from scigen.domains.shapes.corpora.corpus import Corpus, Entry, corpus_of
from scigen.domains.shapes.identity import fingerprint
from scigen.domains.shapes.solid import Solids
from scigen.errors import InputError

__all__ = ["load_adrenal"]

_SIZE = 64
_LABELS = ("normal", "hyperplasia")  # MedMNIST's 0 and 1


def load_adrenal(source: Path) -> Corpus:
    """1,584 glands, normal or with hyperplasia, official train / val / test.

    `source` is an NPZ of `vox_packed [M, 32768]` bits, `split`, `label`, or a folder with `adrenal_vox64.npz`. The axes
    are those of the volume, in voxels; there is no up. Raises `InputError`.
    """
    path = source / "adrenal_vox64.npz" if source.is_dir() else source
    arrays = read_rows(path, ("vox_packed", "split", "label"))
    label = arrays["label"]
    if arrays["vox_packed"].shape[1:] != (_SIZE**3 // 8,) or not set(label.tolist()) <= {0, 1}:
        raise InputError(f"`{path}`: rows of {_SIZE**3 // 8} bytes and labels 0 or 1 are needed.")
    solids = Solids(arrays["vox_packed"], _SIZE)
    listed = enumerate(zip(label.tolist(), arrays["split"].tolist()))
    entries = [Entry(f"{k:04d}", _LABELS[kind], split) for k, (kind, split) in listed]
    corpus = corpus_of("adrenal", "MedMNIST v2: CC BY 4.0", entries, solids.mesh)
    return corpus.without_copies([fingerprint(row) for row in solids.packed])
