"""ShapeNet as solids of 32^3 voxels (3D-R2N2's voxelisation, arXiv:1604.00449), with the split lists of its users."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scigen.domains.shapes.corpora.arrays import read_rows
from scigen.domains.shapes.corpora.corpus import Corpus, Entry, corpus_of
from scigen.domains.shapes.corpora.synsets import synset_name
from scigen.domains.shapes.identity import fingerprint
from scigen.domains.shapes.solid import Solids
from scigen.errors import InputError
from scigen.io.shape import Mesh

__all__ = ["LICENCE", "load_shapenet"]

LICENCE = "ShapeNet terms of use: non-commercial research"
_SIZE = 32
_FILE, _LISTS = "shapenet_vox32_all13.npz", "shapenet_vox32_splits.npz"


def load_shapenet(source: Path, split_list: str = "pcn", name: str = "shapenet") -> Corpus:
    """The shapes of one published list: `pcn` (PCN, arXiv:1808.00671, 8 categories), `shapenet55`, `deepsdf`, `tum`.

    `source` is `shapenet_vox32_all13.npz` (`vox_packed [M, 4096]` bits x, y, z with y up, `synset`, `id`, `translate`,
    `scale`) or its folder; the lists lie beside it in `shapenet_vox32_splits.npz`, in the same order. Test shapes whose
    grid is one of train leave. Units are those of the voxelised file: translate + scale (voxel / 32).
    """
    path = source / _FILE if source.is_dir() else source
    arrays = read_rows(path, ("vox_packed", "synset", "id", "translate", "scale"))
    lists = read_rows(path.with_name(_LISTS), ("synset", "id", split_list))
    if not (np.array_equal(arrays["id"], lists["id"]) and np.array_equal(arrays["synset"], lists["synset"])):
        raise InputError(f"`{path}` and `{_LISTS}` beside it list different shapes; take both from one release.")
    if arrays["vox_packed"].shape[1:] != (_SIZE**3 // 8,):
        raise InputError(f"`{path}`: `vox_packed` has rows of {arrays['vox_packed'].shape[1:]}, not 4096 bytes.")
    rows = np.flatnonzero(lists[split_list] != "")
    solids = Solids(arrays["vox_packed"][rows], _SIZE)
    offset, scale = arrays["translate"][rows], arrays["scale"][rows]

    def shape(k: int) -> Mesh:
        mesh = solids.mesh(k)
        return Mesh(offset[k] + scale[k] / _SIZE * mesh.vertices, mesh.faces)

    listed = zip(arrays["synset"][rows].tolist(), arrays["id"][rows].tolist(), lists[split_list][rows].tolist())
    entries = [Entry(f"{synset}/{model}", synset_name(synset), split) for synset, model, split in listed]
    corpus = corpus_of(name, LICENCE, entries, shape)
    return corpus.without_copies([fingerprint(row) for row in solids.packed])
