"""A generated set of meshes against a reference set: what the meshes are, and the law their surfaces follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from scigen.domains.meshes.catalogue import FORM, VALIDITY, set_catalogue
from scigen.domains.meshes.collect import MeshCollection, Surface
from scigen.domains.meshes.shading import shaded, shading_scores
from scigen.domains.points.catalogue import Entry
from scigen.domains.points.scores import Progress, Terms, mean_estimate, score_sets
from scigen.domains.shapes.unit import unit_shape
from scigen.metrics.cloud_sets import Estimate
from scigen.metrics.mesh import Anatomy, examine
from scigen.metrics.score import Score
from scigen.metrics.stats import wilson

__all__ = ["anatomies", "anatomy_row", "anatomy_scores", "score_mesh_sets"]

T = TypeVar("T")


def score_mesh_sets(
    gen: MeshCollection, ref: MeshCollection, train: MeshCollection | None, terms: Terms, progress: Progress
) -> tuple[list[Score], list[dict[str, Any]]]:
    """The scores of `set_catalogue` in its order, and a row for each generated mesh.

    `data` of what a mesh is stands for the reference meshes, of the others for halves of them; `floor` is what two
    samplings of the reference surfaces score; `baseline` is the training set, as many of its meshes as were generated,
    scored in their place.
    """
    found = [anatomies(meshes.surfaces, what, progress) for meshes, what in _named(gen, ref, train)]
    own = anatomy_scores(found[0], found[1], found[2] if train else None, terms.seed)
    clouds = [meshes.clouds.items for meshes, _ in _named(gen, ref, train)]
    looks = [_looks(meshes.surfaces, what, progress) for meshes, what in _named(gen, ref, train)]
    law, near = score_sets(clouds[0], clouds[1], len(gen.errors), terms, progress)
    if train:
        drawn = _draw(clouds[2], len(clouds[0]), terms.seed)
        beside = {score.name: score.value for score in score_sets(drawn, clouds[1], 0, terms, progress)[0]}
        law = [replace(score, baseline=beside[score.name]) for score in law]
    by_name = {score.name: score for score in (*law, *own, *_looked(looks, terms.seed))}
    rows = [anatomy_row(s.id, a) | dict(list(row.items())[1:]) for s, a, row in zip(gen.surfaces, found[0], near)]
    return [replace(by_name[e.name], definition=e.definition) for e in set_catalogue(terms.emd_points)], rows


def anatomies(surfaces: Sequence[Surface], what: str, progress: Progress) -> list[Anatomy]:
    """What each mesh is, as its file has it; volume and area as if its bounding sphere had the diameter 1."""
    found = []
    for k, surface in enumerate(surfaces):
        a, scale = examine(surface.mesh.vertices, surface.mesh.faces), unit_shape(surface.mesh)[1].scale
        volume = None if a.volume is None else a.volume / scale**3
        found.append(replace(a, volume=volume, area=a.area / scale**2))
        progress(f"anatomy of {what}", k + 1, len(surfaces))
    return found


def anatomy_row(name: str, a: Anatomy) -> dict[str, Any]:
    """One mesh as a row: the share scores as 0 or 1, the others as they are, what does not apply left out."""
    flags = {
        "watertight": a.watertight,
        "oriented": a.oriented,
        "manifold": a.manifold,
        "solid": a.solid,
        "outward": None if a.volume is None else a.volume > 0,
        "not_self_intersecting": a.intersections == 0,
        "one_piece": a.components == 1,
    }
    valid = a.watertight and a.oriented and a.manifold and a.solid and a.intersections == 0
    numbers = {
        "intersecting_faces": a.intersecting,
        "degenerate_faces": a.degenerate,
        "sliver_faces": a.sliver,
        "components": a.components,
        "genus": a.genus,
        "volume": None if a.volume is None else abs(a.volume),
        "area": a.area,
        "faces": a.faces,
    }
    whole = {"valid": valid, **flags}
    row = {key: None if value is None else int(value) for key, value in whole.items()} | numbers
    return {"id": name} | {key: value for key, value in row.items() if value is not None}


def anatomy_scores(
    gen: Sequence[Anatomy], ref: Sequence[Anatomy], train: Sequence[Anatomy] | None, seed: int
) -> list[Score]:
    """Shares and means over the generated meshes, beside those of the reference and of the training set."""
    ours, theirs, others = ([anatomy_row("", a) for a in found] for found in (gen, ref, train or ()))
    scores = []
    for entry in (*VALIDITY, *FORM):
        estimate = _estimate(entry, ours, seed)
        data, base = (_estimate(entry, rows, seed) for rows in (theirs, others))
        value, interval, n = (estimate.value, estimate.interval, estimate.n) if estimate else (None, None, 0)
        note = "" if estimate else "not applicable: no generated mesh is watertight and oriented"
        beside = data.value if data else None, base.value if base else None
        scores.append(Score(entry.name, value, interval, n, entry.definition, *beside, entry.unit, note))
    return scores


def _looks(surfaces: Sequence[Surface], what: str, progress: Progress) -> list[np.ndarray]:
    """Pictures of each mesh."""
    found = []
    for k, surface in enumerate(surfaces):
        found.append(shaded(surface.mesh))
        progress(f"pictures of {what}", k + 1, len(surfaces))
    return found


def _looked(looks: Sequence[list[np.ndarray]], seed: int) -> list[Score]:
    """How pictures of the generated meshes compare with those of the reference; beside them, of the training set."""
    scores = shading_scores(looks[0], looks[1], seed)
    if len(looks) < 3:
        return scores
    beside = shading_scores(_draw(looks[2], len(looks[0]), seed), looks[1], seed)
    return [replace(score, baseline=other.value) for score, other in zip(scores, beside)]


def _named(gen: MeshCollection, ref: MeshCollection, train: MeshCollection | None) -> list[tuple[MeshCollection, str]]:
    return [(gen, "generated"), (ref, "reference"), *([(train, "training")] if train else [])]


def _estimate(entry: Entry, rows: Sequence[dict[str, Any]], seed: int) -> Estimate | None:
    values = [row[entry.name] for row in rows if entry.name in row]
    if entry in VALIDITY and values:
        return Estimate(sum(values) / len(values), wilson(sum(values), len(values)), len(values))
    return mean_estimate(values, seed)


def _draw(items: Sequence[T], n: int, seed: int) -> list[T]:
    order = np.random.default_rng([seed, 17]).permutation(len(items))[:n]
    return [items[k] for k in np.sort(order)]
