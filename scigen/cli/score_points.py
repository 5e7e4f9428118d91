"""`scigen score points GEN --reference REF`: generated clouds against a reference set, or completions pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scigen.cli.thresholds import conclude, judge, parse_thresholds
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.cli.report import Report
    from scigen.domains.points.collect import Collection
    from scigen.domains.points.scores import Progress, Terms
    from scigen.metrics.score import Score

__all__ = ["Norm", "score_points"]

_KERNEL = "exact assignment, mean distance matched"


class Norm(StrEnum):
    """The frames of `scigen.domains.points.normalise`, spelt here so that help stays light."""

    GLOBAL = "global"
    BBOX = "bbox"
    UNIT = "unit"
    NONE = "none"


def score_points(
    generated: Annotated[Path, typer.Argument(help="Folder of clouds or meshes, NPZ `points [M,N,3]`, or one file.")],
    reference: Annotated[Path, typer.Option(help="What to compare with, in the same forms.")],
    norm: Annotated[Norm, typer.Option(help="Frame of every distance; a score means nothing without it.")],
    paired: Annotated[bool, typer.Option("--paired", help="Completions `<id>` or `<id>_<k>` by reference.")] = False,
    partial: Annotated[Path | None, typer.Option(help="With --paired: the incomplete inputs, for uhd.")] = None,
    points: Annotated[int, typer.Option(min=16, help="Points of each cloud.")] = 2048,
    emd_points: Annotated[int, typer.Option(min=0, max=4096, help="Points of each cloud for EMD; 0: none.")] = 512,
    subset: Annotated[int, typer.Option(min=2, help="Clouds drawn from each set for EMD.")] = 100,
    tau: Annotated[float, typer.Option(min=1e-9, help="With --paired: threshold of the F-score.")] = 0.01,
    minimum: Annotated[list[str] | None, typer.Option("--min", help="NAME=VALUE; fail below (repeatable).")] = None,
    maximum: Annotated[list[str] | None, typer.Option("--max", help="NAME=VALUE; fail above (repeatable).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw and of the bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for scores.json, shapes.csv and errors.jsonl.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="JUnit file, one case per threshold.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table and no progress.")] = False,
) -> None:
    """Score point clouds: 1-NNA, coverage, MMD, JSD; with --paired Chamfer, F, EMD, DCD, diversity, fidelity.

    Exit code 0: all thresholds met; 1: one missed; 2: usage; 3: nothing usable; 4: some records left out.
    """
    from scigen.cli.progress import bars
    from scigen.cli.report import show, write
    from scigen.domains.points.catalogue import pair_catalogue, set_catalogue
    from scigen.domains.points.scores import Terms

    if emd_points > points:
        raise UsageError(f"`--emd-points {emd_points}` is more than `--points {points}`; lower the first.")
    if partial is not None and not paired:
        raise UsageError(f"`--partial {partial}` belongs to completions; add `--paired`.")
    terms = Terms(norm.value, points, emd_points, subset, tau, seed)
    catalogue = pair_catalogue(emd_points, tau) if paired else set_catalogue(emd_points)
    thresholds = parse_thresholds(minimum or [], maximum or [], [entry.name for entry in catalogue])
    with bars(quiet or as_json) as progress:
        both = generated, reference
        report = _pairs(*both, partial, terms, progress) if paired else _sets(*both, terms, progress)
    verdicts = judge(thresholds, report.scores)
    write(report, verdicts, out, junit_file)
    show(report, verdicts, as_json, quiet)
    conclude(verdicts, bool(report.errors))


def _sets(generated: Path, reference: Path, terms: Terms, progress: Progress) -> Report:
    from scigen.domains.points.collect import collect
    from scigen.domains.points.scores import score_sets

    gen, ref = (collect(path, terms.points, role, terms.seed) for role, path in enumerate((generated, reference)))
    scores, rows = score_sets(gen.items, ref.items, len(gen.errors), terms, progress)
    beside = (("reference halves", "data"), ("sampling floor", "floor"))
    return _report("sets", (gen, ref), terms, scores, beside, rows, [*gen.errors, *ref.errors])


def _pairs(generated: Path, reference: Path, partial: Path | None, terms: Terms, progress: Progress) -> Report:
    from scigen.domains.points.collect import collect
    from scigen.domains.points.pairs import pair_up, score_pairs

    gen, ref = (collect(path, terms.points, role, terms.seed) for role, path in enumerate((generated, reference)))
    seen = None if partial is None else collect(partial, terms.points, 2, terms.seed, exact=False)
    pairs, orphans = pair_up(gen, ref, seen)
    scores, rows = score_pairs(pairs, len(gen.errors), terms, progress)
    beside = (("sampling floor", "floor"), *([("partial input", "baseline")] if seen else []))
    errors = [*gen.errors, *ref.errors, *(seen.errors if seen else ()), *orphans]
    return _report("pairs", (gen, ref), terms, scores, beside, rows, errors)


def _report(
    mode: str,
    both: tuple[Collection, Collection],
    terms: Terms,
    scores: Sequence[Score],
    beside: Sequence[tuple[str, str]],
    rows: Sequence[Mapping[str, Any]],
    errors: Sequence[Mapping[str, Any]],
) -> Report:
    from scigen.cli.report import Report
    from scigen.domains.points.collect import fingerprint

    gen, ref = both
    mark = fingerprint(ref.items)
    facts = {
        "mode": mode,
        "generated": {"path": str(gen.path), "records": gen.records, "clouds": len(gen.items)},
        "reference": {
            "path": str(ref.path),
            "clouds": len(ref.items),
            "sha256": mark,
            "ids": [item.id for item in ref.items],
        },
        "normalisation": terms.norm,
        "points": terms.points,
        "emd": {"kernel": _KERNEL, "points": terms.emd_points} if terms.emd_points else None,
        "seed": terms.seed,
    }
    title = f"{len(gen.items):,} generated against {len(ref.items):,} reference clouds of {terms.points:,} points"
    emd = f"EMD of {terms.emd_points} points by {_KERNEL}" if terms.emd_points else "no EMD"
    caption = f"normalisation {terms.norm}; {emd}; reference {mark} ({len(ref.items):,} clouds); seed {terms.seed}"
    return Report("scigen score points", title, caption, facts, scores, beside, rows, errors)
