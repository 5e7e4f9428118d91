"""`scigen score reconstruct GEN --reference REF`: how near meshes made from pictures come to the true ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scigen.cli.choice import checked
from scigen.cli.reconstruct import RIGS, Rig
from scigen.cli.thresholds import conclude, judge, parse_thresholds
from scigen.errors import UsageError

if TYPE_CHECKING:
    from scigen.cli.report import Report
    from scigen.domains.image3d.score_set import Compared, Scored

__all__ = ["score_reconstruct"]

FRAMES = ("unit", "reference")


def score_reconstruct(
    generated: Annotated[Path, typer.Argument(help="Folder of meshes, or one file: GLB, glTF, OBJ, PLY, STL.")],
    reference: Annotated[
        Path, typer.Option(help="The true meshes, `<id>` of `<id>` or `<id>_<k>`; or one of them all.")
    ],
    views: Annotated[Path | None, typer.Option(help="Archives of the imagined views, named as the meshes are.")] = None,
    rig: Rig = "cube",
    frame: Annotated[
        str, typer.Option(help="Where the generated meshes stand: unit, as `reconstruct` leaves them; reference.")
    ] = "unit",
    points: Annotated[int, typer.Option(min=16, help="Points sampled from each surface.")] = 10_000,
    tau: Annotated[float, typer.Option(min=1e-9, help="Threshold of the F-score, in diameters.")] = 0.02,
    minimum: Annotated[list[str] | None, typer.Option("--min", help="NAME=VALUE; fail below (repeatable).")] = None,
    maximum: Annotated[list[str] | None, typer.Option("--max", help="NAME=VALUE; fail above (repeatable).")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the points and of the bootstrap.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for scores.json, shapes.csv and errors.jsonl.")] = None,
    junit_file: Annotated[Path | None, typer.Option("--junit", help="JUnit file, one case per threshold.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table and no progress.")] = False,
) -> None:
    """Score meshes made from pictures against the true ones, in their unit frames and not aligned: IoU, CD, F-score.

    Of several meshes of one reference (`<id>_1`, `<id>_2` ...) the mean, the first and the best are told apart.

    Exit code 0: all thresholds met; 1: one missed; 2: usage; 3: nothing usable; 4: some files left out.
    """
    checked("--frame", frame, FRAMES)
    checked("--rig", rig, RIGS)
    if rig != "cube" and views is None:
        raise UsageError(f"--rig {rig}: it is that of the views; give them with --views.")

    from scigen.cli.progress import bars
    from scigen.cli.reconstruct import cameras
    from scigen.cli.report import show, write
    from scigen.domains.image3d.catalogue import mesh_catalogue, views_catalogue
    from scigen.domains.image3d.score_set import Compared, score_reconstructions

    names = [entry.name for entry in (*mesh_catalogue(tau), *(views_catalogue() if views else ()))]
    thresholds = parse_thresholds(minimum or [], maximum or [], names)
    terms = Compared(points, tau, cameras(rig), seed, frame == "reference")
    with bars(quiet or as_json) as progress:
        scored = score_reconstructions(generated, reference, views, terms, progress)
    report = _report(generated, reference, views, rig, scored, terms)
    verdicts = judge(thresholds, scored.scores)
    write(report, verdicts, out, junit_file)
    show(report, verdicts, as_json, quiet)
    conclude(verdicts, bool(scored.errors))


def _report(generated: Path, reference: Path, views: Path | None, rig: str, scored: Scored, terms: Compared) -> Report:
    from scigen.cli.report import Report

    meshes = sum("iou" in row or "chamfer_l1" in row for row in scored.rows)
    facts = {
        "generated": {"path": str(generated), "meshes": meshes},
        "reference": {"path": str(reference), "ids": scored.references},
        "views": None if views is None else {"path": str(views), "rig": rig},
        "frame": "reference" if terms.own_frame else "unit",
        "points": terms.points,
        "seed": terms.seed,
    }
    title = f"{meshes:,} meshes against {len(scored.references):,} true ones"
    caption = f"sphere of diameter 1, not aligned; {terms.points:,} points a surface; seed {terms.seed}"
    return Report(
        "scigen score reconstruct", title, caption, facts, scored.scores, [("sampling floor", "floor")], scored.rows,
        scored.errors,
    )  # fmt: skip
