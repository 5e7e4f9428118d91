"""Folders of files, one shape each: the layouts people have, and their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from scigen.domains.shapes.corpora.binvox import read_binvox
from scigen.domains.shapes.corpora.corpus import Corpus, Entry, corpus_of
from scigen.domains.shapes.corpora.off import read_off
from scigen.domains.shapes.corpora.shapenet import LICENCE
from scigen.domains.shapes.corpora.synsets import synset_name
from scigen.domains.shapes.solid import solid_mesh
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError
from scigen.io.clouds import read_shape
from scigen.io.shape import Cloud, Mesh

__all__ = ["files_corpus", "load_folder", "load_pc15k", "load_pcn", "load_r2n2", "partial_clouds"]

_SPLIT_NAMES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_SUFFIXES = frozenset(
    ".ply .pcd .stl .obj .glb .gltf .npy .npz .xyz .txt .pts .asc .csv .off .binvox".split()
)  # fmt: skip


def files_corpus(
    name: str, licence: str, found: Sequence[tuple[Entry, Path]], read: Callable[[Path], Cloud | Mesh]
) -> Corpus:
    """A corpus of listed files, each read when its shape is asked for."""
    paths = [path for _, path in found]
    return corpus_of(name, licence, [entry for entry, _ in found], lambda k: read(paths[k]))


def load_folder(source: Path, name: str | None = None) -> Corpus:
    """A folder of one's own: any mixture of meshes and clouds, y up.

    A sub-folder is a category; folders called `train`, `val` or `test`, at any depth, are the split, and the hash of
    the id decides elsewhere. The id is the path within the folder. Hidden files and unknown suffixes are passed by.
    """
    found = []
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source).parts
        if path.suffix.lower() not in _SUFFIXES or any(part.startswith(".") for part in inside) or path.is_dir():
            continue
        split = next((_SPLIT_NAMES[part] for part in inside[:-1] if part in _SPLIT_NAMES), "")
        category = next((part for part in inside[:-1] if part not in _SPLIT_NAMES), source.resolve().name)
        found.append((Entry("/".join(inside), category, split), path))
    return files_corpus(name or source.resolve().name, "as of the files' owner", found, _read_any)


def load_pc15k(source: Path) -> Corpus:
    """ShapeNetCore.v2.PC15k: `<synset>/<train|val|test>/<id>.npy` of 15,000 points (PointFlow, arXiv:1906.12320)."""
    found = []
    for path in sorted(source.glob("*/*/*.npy")):
        synset, split = path.parts[-3:-1]
        if split in _SPLIT_NAMES:
            found.append((Entry(f"{synset}/{path.stem}", synset_name(synset), _SPLIT_NAMES[split]), path))
    return files_corpus("shapenet-pc15k", LICENCE, found, read_shape)


def load_r2n2(source: Path) -> Corpus:
    """3D-R2N2's voxels, `<synset>/<id>/model.binvox`, split by the hash of the id (the archive has no list)."""
    found = []
    for path in sorted(source.glob("*/*/model.binvox")):
        synset, model = path.parts[-3:-1]
        found.append((Entry(f"{synset}/{model}", synset_name(synset)), path))
    return files_corpus("shapenet-r2n2", LICENCE, found, _read_solid)


def load_pcn(source: Path) -> Corpus:
    """PCN's complete clouds, `<split>/complete/<synset>/<id>.pcd` of 16,384 points; see `partial_clouds`."""
    found = []
    for path in sorted(source.glob("*/complete/*/*.pcd")):
        split, _, synset, _ = path.parts[-4:]
        if split in _SPLIT_NAMES:
            found.append((Entry(f"{synset}/{path.stem}", synset_name(synset), _SPLIT_NAMES[split]), path))
    return files_corpus("pcn", LICENCE, found, read_shape)


def partial_clouds(source: Path, shape_id: str, split: str) -> list[Cloud]:
    """PCN's own partial clouds of one shape (`id` of `load_pcn`), every view, in the unit frame of the complete one.

    They are `<split>/partial/<id>/<view>.pcd`, or one `<split>/partial/<id>.pcd`. Raises `InputError` when none exists.
    """
    folder = source / split / "partial"
    files = sorted((folder / shape_id).glob("*.pcd")) or [p for p in [folder / f"{shape_id}.pcd"] if p.is_file()]
    if not files:
        raise InputError(f"No partial clouds of '{shape_id}' in `{folder}`; check the split and the layout.")
    _, frame = unit_shape(read_shape(source / split / "complete" / f"{shape_id}.pcd"))
    clouds = [read_shape(path) for path in files]
    return [Cloud(frame.enter(cloud.points), cloud.normals) for cloud in clouds if isinstance(cloud, Cloud)]


def _read_any(path: Path) -> Cloud | Mesh:
    suffix = path.suffix.lower()
    return read_off(path) if suffix == ".off" else _read_solid(path) if suffix == ".binvox" else read_shape(path)


def _read_solid(path: Path) -> Mesh:
    voxels, translate, scale = read_binvox(path)
    mesh = solid_mesh(voxels)
    return Mesh(translate + scale / len(voxels) * mesh.vertices, mesh.faces)
