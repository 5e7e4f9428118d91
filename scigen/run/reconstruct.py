"""`scigen reconstruct` as a library call: a picture in; views, meshes and what tells them apart out."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scigen.domains.image3d.folder import write_views
from scigen.domains.image3d.paint import painted, painted_by_picture
from scigen.domains.image3d.prior import MultiViewPrior
from scigen.domains.image3d.reconstruct import Agreement, Reconstructor, reprojection
from scigen.domains.image3d.sheet import turntable, views_sheet, write_gif, write_png
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.views import Views
from scigen.errors import NumericError
from scigen.io.meshes import write_mesh
from scigen.io.shape import Mesh
from scigen.io.viewer import write_viewer
from scigen.run.report import sha256, write_run
from scigen.run.sample_points import clear_numbered

__all__ = ["Outcome", "Sample", "imagine", "ranking", "reconstruct_picture", "write_outcome", "write_views_only"]


@dataclass(frozen=True)
class Sample:
    """One draw of a prior: its views, and the mesh, its vertex colours and its agreement with the picture."""

    index: int
    views: Views
    mesh: Mesh
    colours: np.ndarray
    agreement: Agreement


@dataclass(frozen=True)
class Outcome:
    """Samples, best first; draws that failed and why; seconds by stage."""

    ranked: list[Sample]
    failed: dict[int, str]
    timings: dict[str, float] = field(default_factory=dict)


def imagine(prior: MultiViewPrior, subject: Subject, samples: int, seed: int) -> tuple[list[Views], dict[str, float]]:
    """The views that the prior draws, and seconds."""
    began = time.perf_counter()
    return prior.sample(subject, samples, seed), {"views": time.perf_counter() - began}


def reconstruct_picture(
    subject: Subject, prior: MultiViewPrior, reconstructor: Reconstructor, samples: int = 1, seed: int = 0
) -> Outcome:
    """Draw views, make a mesh of each, and rank the meshes by their agreement with the picture.

    Colours are those of the views, or, where these have none, of the picture from the side that agrees best. Raises
    `NumericError` when no draw leaves a mesh.
    """
    drawn, timings = imagine(prior, subject, samples, seed)
    done, failed, began = [], {}, time.perf_counter()
    for index, views in enumerate(drawn):
        try:
            mesh = reconstructor(views)
        except NumericError as error:
            failed[index] = str(error)
        else:
            done.append(_sample(index, views, mesh, subject))
    if not done:
        raise NumericError(f"none of {len(drawn)} draws leaves a mesh; the first: {failed[0]}")
    timings["meshes"] = time.perf_counter() - began
    return Outcome(sorted(done, key=lambda one: -one.agreement.iou), failed, timings)


def _sample(index: int, views: Views, mesh: Mesh, subject: Subject) -> Sample:
    agreement = reprojection(mesh, subject)
    if views.colour is None:
        return Sample(index, views, mesh, painted_by_picture(mesh, subject, agreement.seen), agreement)
    return Sample(index, views, mesh, painted(mesh, views, subject.rgb[subject.mask > 0.5].mean(0)), agreement)


def ranking(outcome: Outcome) -> list[dict[str, Any]]:
    """A row for each mesh, best first: its file, draw, agreement, and the side that agrees best."""
    return [
        {"file": f"mesh_{rank}.glb", "draw": one.index, "reprojection_iou": one.agreement.iou,
         "azimuth": one.agreement.seen.azimuth, "elevation": one.agreement.seen.elevation,
         "faces": len(one.mesh.faces)}
        for rank, one in enumerate(outcome.ranked, start=1)
    ]  # fmt: skip


def write_outcome(
    outcome: Outcome, subject: Subject, config: dict[str, Any], seed: int, source: Path, folder: Path
) -> None:
    """Write `mesh_<rank>.glb` and `views_<rank>.npz`, of the best `views.png`, `turntable.png` and `.gif`, `run.json`,
    and `meshes.html`, a page that turns all meshes offline.

    Numbered files of an earlier run in the folder go. Raises ResourceError.
    """
    clear_numbered(folder, "mesh", ("glb",))
    clear_numbered(folder, "views", ("npz",))
    for rank, one in enumerate(outcome.ranked, start=1):
        write_mesh(folder / f"mesh_{rank}.glb", one.mesh, one.colours)
        write_views(folder / f"views_{rank}.npz", one.views)
    best = outcome.ranked[0]
    write_png(folder / "views.png", views_sheet(best.views, subject))
    write_viewer(
        folder / "meshes.html", {f"mesh_{k}": one.mesh for k, one in enumerate(outcome.ranked, 1)}, source.name
    )
    turn = turntable(best.mesh, best.colours)
    write_png(folder / "turntable.png", np.concatenate(list(turn[::2]), 1))
    write_gif(folder / "turntable.gif", turn)
    write_run(
        folder, config, seed, None, outcome.timings,
        input={"file": source.name, "sha256": sha256(source)}, ranking=ranking(outcome), failed=outcome.failed,
    )  # fmt: skip


def write_views_only(
    drawn: list[Views],
    subject: Subject,
    config: dict[str, Any],
    seed: int,
    source: Path,
    timings: dict[str, float],
    folder: Path,
) -> None:
    """Write `views_<draw>.npz`, the sheets of all draws as `views.png`, and `run.json`. Raises ResourceError."""
    clear_numbered(folder, "views", ("npz",))
    for draw, views in enumerate(drawn, start=1):
        write_views(folder / f"views_{draw}.npz", views)
    write_png(folder / "views.png", np.concatenate([views_sheet(views, subject) for views in drawn]))
    write_run(folder, config, seed, None, timings, input={"file": source.name, "sha256": sha256(source)})
