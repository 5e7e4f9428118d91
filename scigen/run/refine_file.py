"""A molecule file refined into an SDF: streamed, written whole or not at all, every failure listed beside it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scigen.domains.molecules.refine.start import has_geometry
from scigen.errors import InputError
from scigen.io.atomic import atomic_file
from scigen.io.molecules import read_molecules, write_sdf
from scigen.run.refine import Refined, Request, refine_records
from scigen.run.report import plain
from scigen.run.weights import Weights

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["Summary", "errors_beside", "refine_file"]

Written = tuple["Mol", Mapping[str, object]]
Progress = Callable[[str, int, int | None], None]
SHOWN = 5  # failures kept for the screen; all of them are in the file


@dataclass
class Summary:
    """Records by what became of them (`refined`, `kept`, `failed`), the first failures, and per geometry its
    displacement, per record its uncertainty (root mean square over atoms), both in Å."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    displacement: list[float] = field(default_factory=list)
    uncertainty: list[float] = field(default_factory=list)
    seconds: float = 0.0


def errors_beside(out: Path) -> Path:
    """Where the failures of a run that writes `out` are listed: `x.errors.jsonl` beside `x.sdf`."""
    return out.with_name(f"{out.stem}.errors.jsonl")


def refine_file(
    path: Path,
    out: Path,
    weights: Weights | None,
    request: Request,
    keep: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> Summary:
    """Refine every record of `path` into the SDF `out`, titles and data items kept, and say what became of them.

    A molecule whose handedness would change is written as it came; with `keep`, so is any other that cannot be refined
    and came with a geometry. What is not written is listed in `errors_beside(out)`, which a run without failures
    removes. Raises `InputError`, and writes nothing, when no record can be written; `ResourceError` when it may not.
    """
    began, summary = time.perf_counter(), Summary()
    with ExitStack() as stack:
        refined = refine_records(weights, request, _counted(read_molecules(path), progress))
        mols, items = tee(_written(path, refined, request, keep, summary, _listing(stack, errors_beside(out))))
        write_sdf(out, (mol for mol, _ in mols), (properties for _, properties in items))
    if not summary.counts["failed"]:
        errors_beside(out).unlink(missing_ok=True)
    summary.seconds = time.perf_counter() - began
    return summary


def _counted(records: Iterable[Any], progress: Progress) -> Iterator[Any]:
    for count, record in enumerate(records, start=1):
        yield record
        progress("refining", count, None)


def _listing(stack: ExitStack, path: Path) -> Callable[[Mapping[str, Any]], None]:
    """Append rows to `path`, which appears with the first of them when the stack is left in good order."""
    handle = None

    def append(row: Mapping[str, Any]) -> None:
        nonlocal handle
        handle = handle or stack.enter_context(atomic_file(path))
        handle.write((json.dumps(plain(row)) + "\n").encode())

    return append


def _written(
    path: Path,
    refined: Iterable[Refined],
    request: Request,
    keep: bool,
    summary: Summary,
    fail: Callable[[Mapping[str, Any]], None],
) -> Iterator[Written]:
    """What goes into the SDF; everything else goes to `fail`. Raises `InputError` when nothing does."""
    for one in refined:
        kept = one.reason is not None and (keep or one.held) and one.mol is not None and has_geometry(one.mol)
        if one.reason is not None and not kept:
            row = {"index": one.record.index, "title": one.record.title, "reason": one.reason}
            summary.counts["failed"] += 1
            summary.failures += [row] if len(summary.failures) < SHOWN else []
            fail(row)
            continue
        summary.counts["kept" if kept else "refined"] += 1
        yield from [_as_it_came(one)] if kept else _geometries(one, request, summary)
    if not summary.counts["refined"] + summary.counts["kept"]:
        raise InputError(
            f"`{path}`: none of {summary.counts['failed']} records can be refined"
            f" (the first: {summary.failures[0]['reason']})."
        )


def _as_it_came(one: Refined) -> Written:
    mol = _titled(one)
    return mol, {**_properties(mol), "scigen_status": f"kept: {one.reason}"}


def _geometries(one: Refined, request: Request, summary: Summary) -> Iterator[Written]:
    found: dict[str, object] = {"scigen_status": "refined", "scigen_start": one.start}
    if one.uncertainty is not None:
        found["scigen_uncertainty"] = overall = float(np.sqrt(np.square(one.uncertainty).mean()))
        summary.uncertainty.append(overall)
    for draw, (pos, moved) in enumerate(zip(one.pos, one.displacement, strict=True)):
        mol = _titled(one)
        mol.GetConformer().SetPositions(pos)
        number = {"scigen_draw": draw} if request.n > 1 else {}
        summary.displacement.append(float(moved))
        yield mol, {**_properties(mol), **found, "scigen_displacement": float(moved), **number}


def _titled(one: Refined) -> Mol:
    from rdkit import Chem

    assert one.mol is not None
    mol = Chem.Mol(one.mol)
    mol.SetProp("_Name", one.record.title)
    return mol


def _properties(mol: Mol) -> dict[str, object]:
    """The data items that the record came with, but for those of an earlier refinement."""
    return {name: mol.GetProp(name) for name in mol.GetPropNames() if not name.startswith("scigen_")}
