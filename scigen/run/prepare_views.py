"""`scigen data prepare views`: render a collection of shapes once, into the cache, with its facts beside it.

`scigen data memory`: a few of them, chosen to stand for the others, in a file small enough to be shipped.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from scigen.domains.image3d.memory import memory_of
from scigen.domains.image3d.rendering import Rendered, render_set
from scigen.domains.image3d.viewset import ViewSet, load_views, save_views, shipped_views, views_path
from scigen.domains.shapes.corpora.corpus import Corpus
from scigen.domains.shapes.pack import PackedShapes, load_shapes
from scigen.domains.shapes.sets import SPLITS
from scigen.errors import UsageError
from scigen.io.atomic import make_folder
from scigen.run.prepare_shapes import named_corpus, plain_title
from scigen.run.report import sha256, versions, write_json

__all__ = ["prepare_memory", "prepare_views"]

_TOLD_EVERY = 200  # shapes


def prepare_views(
    name: str,
    source: Path | None,
    title: str | None,
    pixels: int,
    pictures: int,
    say: Callable[[str], None],
    per_family: int | None = None,
    split: str | None = None,
) -> Rendered:
    """Render the collection `name`, or one `split` of it, into the cache under `title` (its own name unless told).

    `procedural` shapes are made; others are read from `source`, or, without one, are the points that
    `scigen data prepare points` packed under that name. `say` receives one line per stage. Raises UsageError for an
    unknown name and for sizes out of range, InputError when nothing can be seen, ResourceError.
    """
    if not 16 <= pixels <= 256 or not 1 <= pictures <= 64:
        raise UsageError(f"{pictures} pictures of {pixels} pixels; ask for 1 to 64, of 16 to 256 pixels a side.")
    shapes = _shapes(name, source, title, per_family, split)
    path = views_path(plain_title(title or shapes.name))
    if path.stem in shipped_views():
        raise UsageError(f"'{path.stem}' is the name of views that scigen ships; give another with `--name`.")
    make_folder(path.parent)
    say(f"{len(shapes):,} shapes in {len(shapes.categories)} categories; licence: {shapes.licence}")

    def tell(done: int) -> None:
        if done % _TOLD_EVERY == 0:
            say(f"{done:,} of {len(shapes):,} shapes")

    made = render_set(shapes, pixels, pictures, tell=tell)
    save_views(path, made.views)
    _report(made, path, say)
    return made


def _shapes(
    name: str, source: Path | None, title: str | None, per_family: int | None, split: str | None
) -> PackedShapes | Corpus:
    if split is not None and split not in SPLITS:
        raise UsageError(f"--split {split}: choose one of {', '.join(SPLITS)}.")
    packed = name != "procedural" and source is None
    shapes = load_shapes(name) if packed else named_corpus(name, source, title, per_family)
    return shapes if split is None else shapes.subset(np.flatnonzero(shapes.split == SPLITS.index(split)))


def _report(made: Rendered, path: Path, say: Callable[[str], None]) -> None:
    """The facts beside the set, and its last lines."""
    splits = {split: len(made.views.where(split)) for split in SPLITS}
    _, pictures, pixels = made.views.picture.shape[:3]
    facts = {"content_sha256": made.views.content_hash(), "licence": made.views.licence, "shapes": len(made.views),
             "pixels": pixels, "pictures": pictures, "splits": splits, "failed": made.failed}  # fmt: skip
    write_json(path.with_suffix(".json"), facts)
    for shape, reason in list(made.failed.items())[:5]:
        say(f"Not seen: {shape}: {reason}")
    counts = ", ".join(f"{count:,} {split}" for split, count in splits.items())
    size = path.stat().st_size / 1e6
    say(f"{len(made.views):,} shapes ({counts}), {len(made.failed)} failed, {size:.1f} MB written to {path}")


def prepare_memory(source: str, per_category: int, out: Path, say: Callable[[str], None]) -> ViewSet:
    """Write the memory of a rendered set to `out`, its card beside it. Raises UsageError, InputError, ResourceError."""
    if per_category < 1 or out.suffix != ".npz":
        raise UsageError(f"{per_category} shapes of each class into '{out}'; ask for 1 or more, into a file `*.npz`.")
    views = load_views(source)
    made = memory_of(views, per_category)
    make_folder(out.parent)
    save_views(out, made)
    count, pictures, pixels = made.picture.shape[:3]
    card: dict[str, Any] = {
        "name": made.name,
        "licence": made.licence,
        "shapes": count,
        "classes": {name: int((made.category == c).sum()) for c, name in enumerate(made.categories)},
        "pixels": pixels,
        "pictures": f"{pictures} of a shape, 16 levels of grey",
        "made": "training shapes that stand for the others (greedy medoids by depth of the six views), rounded",
        "from": {"name": views.name, "content_sha256": views.content_hash(), "train": len(views.where("train"))},
        "command": f"scigen data memory {Path(source).name} --per-class {per_category} --out {out.name}",
        "seed": 0,
        "content_sha256": made.content_hash(),
        "sha256": sha256(out),
        "versions": versions(),
    }
    write_json(out.with_suffix(".json"), card)
    train, size = card["from"]["train"], out.stat().st_size / 1e6
    say(f"{count:,} of {train:,} training shapes, {size:.1f} MB written to {out}")
    return made
