"""Geometries of molecules held against their references: which record belongs to which, and the table of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scigen.domains.molecules.catalogue import Entry
from scigen.domains.molecules.extras import GFN2_LIMIT, energy_measure
from scigen.domains.molecules.scores import Measure, share
from scigen.errors import InputError
from scigen.io.records import Record
from scigen.metrics.refinement import NAMES, Errors, Summary, average, best, geometry_errors, internals, summary
from scigen.metrics.score import Score

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["CATALOGUE", "Compared", "Matched", "compare", "match", "score_geometries"]

DRAW = "scigen_draw"  # data item that numbers several geometries of one molecule from 0
WORSE = 0.1  # Å of RMSD beyond the start's: a refinement that did harm
_WHAT = {
    "rmsd": ("Å", "RMSD of all atoms after superposition, no reflection"),
    "heavy_rmsd": ("Å", "the same of the heavy atoms, superposed by themselves"),
    "bond": ("Å", "mean absolute error of a molecule's bond lengths"),
    "angle": ("degrees", "mean absolute error of a molecule's angles"),
    "torsion": ("degrees", "mean absolute error of a molecule's torsions, on the circle"),
}

CATALOGUE = (
    Entry("matched", "core", "share", "reference molecules with a geometry to compare"),
    *(Entry(name, "core", unit, f"{what}; mean over molecules and draws") for name, (unit, what) in _WHAT.items()),
    *(Entry(f"{name}_p99", "core", unit, f"`{name}` that the worst 1 % exceed") for name, (unit, _) in _WHAT.items()),
    *(Entry(f"best_{name}", "draws", unit, f"`{name}` of each molecule's draw of least RMSD")
      for name, (unit, _) in _WHAT.items()),
    Entry("harmed", "start", "share", f"molecules with an RMSD more than {WORSE} Å above their start's"),
    Entry("gfn2_relaxation", "gfn2", "kcal/mol", "median GFN2-xTB energy above the nearest minimum, of first draws"),
)  # fmt: skip


@dataclass(frozen=True)
class Matched:
    """By position in the reference, the records of its geometries (one, or several draws); and what found no partner,
    as rows of `errors.jsonl`."""

    draws: dict[int, list[Record]] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Compared:
    """One reference molecule: its record, the errors of each geometry, those of its start if one is given, and the
    first geometry as a molecule."""

    record: Record
    draws: list[Errors]
    start: Errors | None
    mol: Mol


def match(references: Sequence[Record], records: Iterable[Record]) -> Matched:
    """Find the reference of every geometry.

    As many as references: by position. Fewer: in order, each goes to the next reference with its atoms and bonds (and
    title, where both have one). A record whose data item `scigen_draw` is above 0 is one more geometry of the molecule
    before it. Raises `InputError` when there are more molecules than references.
    """
    groups = _grouped(records)
    if len(groups) > len(references):
        raise InputError(
            f"There are {len(groups)} molecules and {len(references)} references;"
            f" give each a reference, and number several draws of one molecule by `{DRAW}`."
        )
    found = Matched()
    at = 0
    for position, group in enumerate(groups):
        if len(groups) == len(references):
            found.draws[position] = group
        elif group[0].mol is None:
            _fail(found, group[0], group[0].reason or "no molecule")
        else:
            places = range(at, len(references))
            place = next((k for k in places if _differs(group[0], references[k], titles=True) is None), None)
            if place is None:
                _fail(found, group[0], "no reference that is left has its atoms and bonds in this order")
                continue
            found.draws[place], at = group, place + 1
    for k in range(len(references)):
        if k not in found.draws:
            _fail(found, references[k], "the reference has no geometry to compare")
    return found


def compare(
    references: Sequence[Record], matched: Matched, starts: Matched | None = None
) -> tuple[list[Compared], list[dict[str, Any]]]:
    """Errors of every molecule that can be compared, and rows of `errors.jsonl` for everything that cannot."""
    out, failed = [], Matched(errors=[*matched.errors, *(starts.errors if starts else [])])
    for k, group in sorted(matched.draws.items()):
        reference = references[k]
        draws = [e for record in group if (e := _measured(record, reference, failed)) is not None]
        begun = starts.draws.get(k, []) if starts else []
        start = _measured(begun[0], reference, failed) if begun else None
        whole = next((r.mol for r in group if r.mol is not None), None)
        if draws and whole is not None:
            out.append(Compared(reference, draws, start, whole))
    return out, failed.errors


def score_geometries(
    compared: Sequence[Compared],
    references: int,
    gfn2: bool = False,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> list[Score]:
    """The table, in the order of `CATALOGUE`; `baseline` is the same score of the starts, where they are given.

    `references` is how many records the reference holds. Raises `InputError` when nothing can be compared.
    """
    if not compared:
        raise InputError("No geometry could be held against its reference; give files of the same molecules.")
    starts = [c.start for c in compared if c.start is not None]
    whole = starts if len(starts) == len(compared) else []
    before = _geometry(summary(whole, seed)) if whole else {}
    measures = {"matched": share(len(compared), references)}
    measures |= _geometry(summary([average(c.draws) for c in compared], seed))
    if any(len(c.draws) > 1 for c in compared):
        chosen = summary([best(c.draws) for c in compared], seed)
        measures |= {f"best_{name}": measure for name, measure in _geometry(chosen).items() if name in NAMES}
    if starts:
        pairs = [(average(c.draws).rmsd, c.start.rmsd) for c in compared if c.start is not None]
        measures["harmed"] = share(sum(after > start + WORSE for after, start in pairs), len(pairs))
    if gfn2:
        mols = [c.mol for c in compared]
        rows: list[dict[str, Any]] = [{"has_3d": True, "valid": True, "fragments": 1} for _ in mols]
        measures["gfn2_relaxation"] = energy_measure("gfn2", mols, rows, GFN2_LIMIT, seed, progress)
    return [_score(e, measures[e.name], before.get(e.name)) for e in CATALOGUE if e.name in measures]


def _geometry(found: dict[str, Summary]) -> dict[str, Measure]:
    none = Measure(None, note="not applicable: no molecule has one")
    means = {n: Measure(found[n].mean, found[n].interval, found[n].n) if n in found else none for n in NAMES}
    return means | {f"{n}_p99": Measure(found[n].worst, None, found[n].n) if n in found else none for n in NAMES}


def _score(e: Entry, measure: Measure, before: Measure | None) -> Score:
    baseline = before.value if before is not None else None
    return Score(e.name, measure.value, measure.interval, measure.n, e.definition, None, baseline, e.unit, measure.note)


def _grouped(records: Iterable[Record]) -> list[list[Record]]:
    groups: list[list[Record]] = []
    for record in records:
        draw = record.mol.GetProp(DRAW) if record.mol is not None and record.mol.HasProp(DRAW) else "0"
        if groups and draw.isdigit() and int(draw) > 0:
            groups[-1].append(record)
        else:
            groups.append([record])
    return groups


def _measured(record: Record, reference: Record, failed: Matched) -> Errors | None:
    reason = _differs(record, reference)
    if reason is not None:
        _fail(failed, record, reason)
        return None
    assert record.mol is not None and reference.mol is not None
    mol = reference.mol
    z = np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()])
    bond = np.array(sorted(_bonds(mol)), np.int64).reshape(-1, 2)
    x, y = (m.GetConformer().GetPositions() for m in (record.mol, mol))
    return geometry_errors(x, y, z, internals(bond))


def _differs(record: Record, reference: Record, titles: bool = False) -> str | None:
    """Why the two are not geometries of one molecule in one order of atoms; None when they are."""
    a, b = record.mol, reference.mol
    if a is None:
        return record.reason or "no molecule"
    if b is None:
        return f"its reference cannot be read: {reference.reason}"
    if not (a.GetNumConformers() and b.GetNumConformers()):
        return "it has no coordinates" if not a.GetNumConformers() else "its reference has no coordinates"
    if titles and record.title and reference.title and record.title != reference.title:
        return f"its title is '{record.title}', its reference's '{reference.title}'"
    if [x.GetAtomicNum() for x in a.GetAtoms()] != [x.GetAtomicNum() for x in b.GetAtoms()]:
        return "its elements, in order, are not its reference's; number both alike"
    # An XYZ frame whose bonds could not be perceived has a reason: its reference's bonds are taken.
    if record.reason is None and _bonds(a) != _bonds(b):
        return "its bonds are not its reference's"
    return None


def _bonds(mol: Mol) -> set[tuple[int, int]]:
    """Pairs of bonded atoms; orders are left out, as a ring may be written aromatic or by Kekulé."""
    ends = ((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds())
    return {(min(pair), max(pair)) for pair in ends}


def _fail(found: Matched, record: Record, reason: str) -> None:
    found.errors.append({"file": record.source, "record": record.index, "reason": reason})
