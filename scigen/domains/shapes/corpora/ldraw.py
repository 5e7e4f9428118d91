"""An LDraw library folder: toy bricks and their parts, as meshes (file format 1.0.2, with the BFC extension)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scigen.domains.shapes.corpora.corpus import Corpus, Entry, corpus_of
from scigen.domains.shapes.corpora.ldraw_file import Library, heading
from scigen.errors import InputError

__all__ = ["load_ldraw"]

LICENCE = "CC BY 2.0 (LDraw.org contributors; see each file)"
_NO_PART = "~_=|"  # titles of moved, obsolete, aliased and third-party files begin so
_FEWEST = 10  # parts of a family; the rest are `Other`


def load_ldraw(source: Path) -> Corpus:
    """Every part of `<source>/parts/*.dat`, its sub-files resolved, y up, in millimetres; split by the hash of the id.

    The category is the family, the first word of `!CATEGORY` or else of the title; families of fewer than ten parts
    are `Other`. Moved and aliased parts are left out. Triangles are wound as BFC states; where a file states nothing
    they stay as written, so normals of such parts (`Library.certified`) may point inwards. Raises `InputError`.
    """
    parts = [path for path in sorted((source / "parts").glob("*")) if path.suffix.lower() == ".dat"]
    if not parts:
        raise InputError(f"`{source}` has no `parts/*.dat`; name the folder of an LDraw library.")
    library = Library(source)
    entries, kept = [], []
    for path in parts:
        title, family = heading(path)
        if title and title[0] not in _NO_PART:
            entries.append(Entry(path.stem.lower(), family))
            kept.append(path)
    return corpus_of("ldraw", LICENCE, _merged(entries), lambda k: library.mesh(kept[k]))


def _merged(entries: Sequence[Entry]) -> list[Entry]:
    """Small families as one."""
    count = Counter(entry.category for entry in entries)
    return [entry if count[entry.category] >= _FEWEST else replace(entry, category="Other") for entry in entries]
