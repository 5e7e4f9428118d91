"""`scigen score meshes GEN --reference REF`: what the meshes are, and how near they come to a set or to their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scigen.cli.score_points import Norm
from scigen.cli.thresholds import conclude, judge, parse_thresholds
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.cli.report import Report
    from scigen.domains.meshes.collect import MeshCollection
    from scigen.domains.points.scores import Progress, Terms

__all__ = ["score_meshes"]


def score_meshes(
    generated: Annotated[Path, typer.Argument(help="Folder of meshes, or one file: GLB, glTF, OBJ, PLY, STL.")],
    reference: Annotated[Path, typer.Option(help="Meshes to compare with, in the same forms.")],
    norm: Annotated[Norm, typer.Option(help="Frame of every distance; a score means nothing without it.")],
    paired: Annotated[bool, typer.Option("--paired", help="Meshes `<id>` or `<id>_<k>` by reference.")] = False,
    train: Annotated[Path | None, typer.Option(help="Training meshes, scored beside: a draw, or the nearest.")] = None,
    points: Annotated[int, typer.Option(min=16, help="Points sampled from each surface.")] = 2048,
    emd_points: Annotated[int, typer.Option(min=0, max=4096, help="Points of each surface for EMD; 0: none.")] = 512,
    subset: Annotated[int, typer.Option(min=2, help="Meshes drawn from each set for EMD.")] = 100,
    tau: Annotated[float, typer.Option(min=1e-9, help="With --paired: threshold of the F-score.")] = 0.01,
    minimum: Annotated[list[str] | None, typer.Option("--min", help="NAME=VALUE; fail below (repeatable).")] = None,
    maximum: Annotated[list[str] | None, typer.Option("--max", help="NAME=VALUE; fail above (repeatable).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of every draw and of the bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for scores.json, shapes.csv and errors.jsonl.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="JUnit file, one case per threshold.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table and no progress.")] = False,
) -> None:
    """Score meshes: watertight, manifold, self-intersections, genus; 1-NNA, coverage, MMD; with --paired IoU, F-score.

    Exit code 0: all thresholds met; 1: one missed; 2: usage; 3: nothing usable; 4: some files left out.
    """
    from scigen.cli.progress import bars
    from scigen.cli.report import show, write
    from scigen.domains.meshes.catalogue import pair_catalogue, set_catalogue
    from scigen.domains.points.scores import Terms

    if emd_points > points:
        raise UsageError(f"`--emd-points {emd_points}` is more than `--points {points}`; lower the first.")
    terms = Terms(norm.value, points, 0 if paired else emd_points, subset, tau, seed)
    catalogue = pair_catalogue(tau) if paired else set_catalogue(emd_points)
    thresholds = parse_thresholds(minimum or [], maximum or [], [entry.name for entry in catalogue])
    with bars(quiet or as_json) as progress:
        report = _score(generated, reference, train, paired, terms, progress)
    verdicts = judge(thresholds, report.scores)
    write(report, verdicts, out, junit_file)
    show(report, verdicts, as_json, quiet)
    conclude(verdicts, bool(report.errors))


def _score(
    generated: Path, reference: Path, train: Path | None, paired: bool, terms: Terms, progress: Progress
) -> Report:
    from scigen.cli.report import Report
    from scigen.domains.meshes.collect import collect_meshes
    from scigen.domains.meshes.pairs import score_mesh_pairs
    from scigen.domains.meshes.scores import score_mesh_sets

    gen, ref = (
        collect_meshes(path, terms.points, role, terms.seed) for role, path in enumerate((generated, reference))
    )
    shelf = None if train is None else collect_meshes(train, terms.points, 3, terms.seed)
    sets = [gen, ref, *([shelf] if shelf else [])]
    errors = [error for one in sets for error in one.errors]
    if paired:
        scores, rows, orphans = score_mesh_pairs(gen, ref, shelf, terms, progress)
        beside = [("reference", "data"), ("sampling floor", "floor"), *([("retrieval", "baseline")] if shelf else [])]
        errors += orphans
    else:
        scores, rows = score_mesh_sets(gen, ref, shelf, terms, progress)
        beside = [
            ("reference", "data"),
            ("sampling floor", "floor"),
            *([("training set", "baseline")] if shelf else []),
        ]
    title = f"{len(gen.surfaces):,} generated against {len(ref.surfaces):,} reference meshes"
    facts = _facts("pairs" if paired else "sets", sets, terms)
    mark = facts["reference"]["sha256"]
    caption = f"normalisation {terms.norm}; {terms.points:,} points a surface; reference {mark}; seed {terms.seed}"
    return Report("scigen score meshes", title, caption, facts, scores, beside, rows, errors)


def _facts(mode: str, sets: Sequence[MeshCollection], terms: Terms) -> dict[str, Any]:
    from importlib.metadata import version

    from scigen.domains.points.collect import fingerprint

    gen, ref = ({"path": str(one.path), "files": one.clouds.records, "meshes": len(one.surfaces)} for one in sets[:2])
    clouds = sets[1].clouds.items
    return {
        "mode": mode,
        "generated": gen,
        "reference": ref | {"sha256": fingerprint(clouds), "ids": [item.id for item in clouds]},
        "training": {"path": str(sets[2].path), "meshes": len(sets[2].surfaces)} if sets[2:] else None,
        "normalisation": terms.norm,
        "points": terms.points,
        "emd_points": terms.emd_points,
        "seed": terms.seed,
        "manifold3d": version("manifold3d"),
    }
