"""`scigen score molecules FILE...`: every score of a set of molecules, thresholds, reports and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scigen.cli.choice import suggest
from scigen.cli.thresholds import conclude, judge, parse_thresholds
from scigen.errors import InputError, UsageError

if TYPE_CHECKING:
    from rdkit.Chem import Mol

    from scigen.domains.molecules.extras import Progress
    from scigen.domains.molecules.reference import Reference

__all__ = ["Loaded", "score_molecules"]

_DEFAULT_GROUPS = ("posebusters", "fcd", "mmff")  # gfn2 costs a tenth of a second a molecule: it is asked for


@dataclass
class Loaded:
    """What the files held: molecules with their origin, refused bonds, and the records that are no molecule."""

    mols: list[Mol] = field(default_factory=list)
    origins: list[tuple[str, int, str]] = field(default_factory=list)  # file, record, title
    refused: dict[int, str] = field(default_factory=dict)  # position in `mols` -> why its bonds do not count
    errors: list[dict[str, Any]] = field(default_factory=list)
    records: int = 0


def score_molecules(
    files: Annotated[list[Path], typer.Argument(help="SDF, XYZ (bonds perceived), SMILES or CSV; .gz after any.")],
    reference: Annotated[Path | None, typer.Option(help="Compare with these molecules instead of QM9.")] = None,
    minimum: Annotated[list[str] | None, typer.Option("--min", help="NAME=VALUE; fail below (repeatable).")] = None,
    maximum: Annotated[list[str] | None, typer.Option("--max", help="NAME=VALUE; fail above (repeatable).")] = None,
    more: Annotated[list[str] | None, typer.Option("--with", help="Add score groups: gfn2.")] = None,
    less: Annotated[list[str] | None, typer.Option("--without", help="Drop: posebusters, fcd, mmff, or all.")] = None,
    subset: Annotated[int, typer.Option(min=1, help="Molecules drawn for posebusters, mmff and gfn2.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of that draw and of the bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for scores.json, molecules.csv and errors.jsonl.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="JUnit file, one case per threshold.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table and no progress.")] = False,
) -> None:
    """Score molecules: validity, stability under two bond rules, novelty, geometry, drug-likeness, energy.

    Exit code 0: all thresholds met; 1: one missed; 2: usage; 3: nothing readable; 4: some records unreadable.
    """
    from scigen.cli.progress import bars
    from scigen.cli.score_report import Outcome, show, write
    from scigen.domains.molecules.catalogue import CATALOGUE
    from scigen.domains.molecules.checks import check_molecules
    from scigen.domains.molecules.checks import score_molecules as measure

    thresholds = parse_thresholds(minimum or [], maximum or [], [entry.name for entry in CATALOGUE])
    groups = _groups(more or [], less or [], [threshold.name for threshold in thresholds])
    with bars(quiet or as_json) as progress:
        loaded = _load(files)
        target = _reference(reference, "fcd" in groups, progress)
        checks = check_molecules(loaded.mols, loaded.refused, progress)
        scores = measure(loaded.mols, checks, groups, target, loaded.records, subset, seed, progress)
    outcome = Outcome(files, target.name, target.is_qm9, seed, scores, judge(thresholds, scores), checks)
    write(outcome, loaded, out, junit_file)
    show(outcome, loaded, as_json, quiet)
    conclude(outcome.verdicts, bool(loaded.errors))


def _groups(more: Sequence[str], less: Sequence[str], gated: Sequence[str]) -> list[str]:
    """The optional groups to measure: the defaults, plus and minus what was asked, plus what a threshold needs."""
    from scigen.domains.molecules.catalogue import EXTRAS, entry

    added, dropped = _names("--with", more, EXTRAS), _names("--without", less, EXTRAS)
    needed = [entry(name).group for name in gated if entry(name).group in EXTRAS]
    if clash := next((group for group in [*added, *needed] if group in dropped and "all" not in less), None):
        raise UsageError(f"`--without {clash}` drops a group that is also asked for; remove one of the two.")
    return [g for g in EXTRAS if g in added or g in needed or (g in _DEFAULT_GROUPS and g not in dropped)]


def _names(option: str, texts: Sequence[str], known: Sequence[str]) -> list[str]:
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    if "all" in names:
        return list(known)
    if unknown := next((name for name in names if name not in known), None):
        raise UsageError(f"`{option} {unknown}`: there is no such group; {suggest(unknown, [*known, 'all'])}")
    return names


def _load(files: Sequence[Path]) -> Loaded:
    """Read every record of every file; raises `InputError` when not one is a molecule."""
    from scigen.io.molecules import read_molecules

    loaded = Loaded()
    for path in files:
        for record in read_molecules(path):
            loaded.records += 1
            if record.reason is not None:
                loaded.errors.append({"file": record.source, "record": record.index, "reason": record.reason})
            if record.mol is None:
                continue
            if record.reason is not None:
                loaded.refused[len(loaded.mols)] = record.reason
            loaded.mols.append(record.mol)
            loaded.origins.append((record.source, record.index, record.title))
    if not loaded.mols:
        first = f" (the first: {loaded.errors[0]['reason']})" if loaded.errors else ""
        names = ", ".join(f"`{path}`" for path in files)
        raise InputError(f"{names}: none of {loaded.records} records is a molecule{first}; check the format.")
    return loaded


def _reference(path: Path | None, with_fcd: bool, progress: Progress) -> Reference:
    """The shipped QM9 reference, or one made of the user's file."""
    from scigen.domains.molecules.checks import check_molecules
    from scigen.domains.molecules.reference import qm9_reference, reference_from_checks
    from scigen.metrics.fcd import MIN_SMILES, activations, fcd_available

    if path is None:
        return qm9_reference()
    loaded = _load([path])
    checks = check_molecules(loaded.mols, loaded.refused, progress)
    smiles = [row["smiles"] for row in checks if row["smiles"] is not None]
    use_fcd = with_fcd and fcd_available() and len(smiles) >= MIN_SMILES
    return reference_from_checks(str(path), checks, activations(smiles) if use_fcd else None)
