"""`scigen data prepare points`: pack a collection of shapes once, into the cache, with its facts beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from scigen.domains.shapes.corpora.corpus import Corpus
from scigen.domains.shapes.pack import PackedShapes, save_shapes, shapes_path
from scigen.domains.shapes.packing import Packing, pack_shapes
from scigen.domains.shapes.sets import SPLITS
from scigen.errors import InputError, UsageError
from scigen.io.atomic import make_folder
from scigen.run.report import write_json

__all__ = ["named_corpus", "plain_title", "prepare_points"]

_TOLD_EVERY = 2000  # shapes
_PER_FAMILY = 500


def prepare_points(
    name: str,
    source: Path | None,
    title: str | None,
    points: int,
    say: Callable[[str], None],
    per_family: int | None = None,
) -> Packing:
    """Pack the collection `name` from `source` into the cache under `title` (its own name unless told).

    `per_family` is the number of procedural objects of each family. `say` receives one line per stage. Raises
    UsageError for an unknown name, a missing source and what does not belong, InputError when nothing can be read,
    ResourceError.
    """
    if points < 1:
        raise UsageError(f"{points} points for each shape; ask for one or more.")
    corpus = named_corpus(name, source, title, per_family)
    path = shapes_path(plain_title(title or corpus.name))
    make_folder(path.parent)
    say(f"{len(corpus):,} shapes in {len(corpus.categories)} categories; licence: {corpus.licence}")
    say(f"Drawing up to {points:,} points from each ...")
    packing = pack_shapes(corpus, points, tell=partial(_tell, len(corpus), say))
    save_shapes(path, packing.shapes)
    facts = _facts(packing)
    write_json(path.with_suffix(".json"), facts)
    if packing.dropped:
        say(f"Left out {sum(packing.dropped.values()):,} copies of shapes in another split: {_listed(packing.dropped)}")
    if packing.near:
        say(f"Left out {sum(packing.near.values()):,} near copies of shapes in another split: {_listed(packing.near)}")
    for shape, reason in list(packing.failed.items())[:5]:
        say(f"Not read: {shape}: {reason}")
    counts = ", ".join(f"{count:,} {split}" for split, count in facts["splits"].items())
    say(f"{len(packing.shapes):,} shapes ({counts}), {len(packing.failed)} failed, written to {path}")
    return packing


def named_corpus(name: str, source: Path | None, title: str | None, per_family: int | None) -> Corpus:
    """The collection `name`, made or read from `source`. Raises UsageError and InputError as `prepare_points`."""
    return _generated(source, per_family) if name == "procedural" else _read(name, source, title, per_family)


def plain_title(title: str) -> str:
    """A title that is the name of a file. Raises UsageError for another."""
    if not title or title != Path(title).name or title.startswith("."):
        raise UsageError(f"'{title}' cannot name a file in the cache; give a plain name with `--name`.")
    return title


def _generated(source: Path | None, per_family: int | None) -> Corpus:
    """The procedural families, which need no files."""
    from scigen.domains.shapes.procedural.corpus import ProceduralSet

    if source is not None or (per_family is not None and per_family < 1):
        raise UsageError("'procedural' shapes come from a seed, not from `--source`; give `--per-family` of 1 or more.")
    made = ProceduralSet(per_family or _PER_FAMILY)
    return Corpus(made.name, made.licence, made.categories, made.ids, made.category, made.split, made.mesh, False)


def _read(name: str, source: Path | None, title: str | None, per_family: int | None) -> Corpus:
    """The loader that goes by `name`, at work on `source`."""
    from scigen.domains.shapes.corpora import adrenal, files, ldraw, modelnet, objects, shapenet

    makers: dict[str, Callable[[Path], Corpus]] = {
        "shapenet": shapenet.load_shapenet,
        "shapenet55": partial(shapenet.load_shapenet, split_list="shapenet55", name="shapenet55"),
        "shapenet-pc15k": files.load_pc15k,
        "shapenet-r2n2": files.load_r2n2,
        "pcn": files.load_pcn,
        "modelnet10": modelnet.load_modelnet10,
        "modelnet40": modelnet.load_modelnet40,
        "modelnet40-airplane": modelnet.load_modelnet40_airplane,
        "random-objects": objects.load_random_objects,
        "adrenal": adrenal.load_adrenal,
        "ldraw": ldraw.load_ldraw,
        "folder": partial(files.load_folder, name=title),
    }
    if name not in makers:
        raise UsageError(f"No shapes called '{name}'; choose one of: procedural, {', '.join(makers)}.")
    if per_family is not None:
        raise UsageError(f"`--per-family` is for procedural shapes; '{name}' holds what its files hold.")
    if source is None:
        raise UsageError(f"'{name}' is made from files of yours; say where they are with `--source PATH`.")
    if not source.exists():
        raise InputError(f"`{source}` does not exist; check the path.")
    return makers[name](source)


def _tell(total: int, say: Callable[[str], None], done: int) -> None:
    if done % _TOLD_EVERY == 0:
        say(f"{done:,} of {total:,} shapes")


def _facts(packing: Packing) -> dict[str, Any]:
    shapes = packing.shapes
    pairs = Counter(zip(shapes.category.tolist(), shapes.split.tolist()))
    table = {
        category: {split: pairs[row, column] for column, split in enumerate(SPLITS)}
        for row, category in enumerate(shapes.categories)
    }
    return {
        "content_sha256": shapes.content_hash(),
        "licence": shapes.licence,
        "shapes": len(shapes),
        "points": shapes.points.shape[1],
        "normals": shapes.normals is not None,
        "splits": _splits(shapes),
        "categories": table,
        "copies_left_out": packing.dropped,
        "near_copies_left_out": packing.near,
        "failed": packing.failed,
    }


def _splits(shapes: PackedShapes) -> dict[str, int]:
    return {split: len(shapes.where(split)) for split in SPLITS}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {key}" for key, count in sorted(counts.items()))
