"""Meshes against the reference of their name: surfaces, normals, volumes, a reference at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scigen.domains.meshes.catalogue import pair_catalogue
from scigen.domains.meshes.collect import MeshCollection, Surface
from scigen.domains.meshes.scores import anatomies, anatomy_row, anatomy_scores
from scigen.domains.points.floors import chamfer_floor
from scigen.domains.points.normalise import Transform, global_transform, own_transform
from scigen.domains.points.pairs import pair_up
from scigen.domains.points.scores import Progress, Terms, mean_estimate, readable
from scigen.metrics.chamfer import Indexed, chamfer_l1, chamfer_l2, f_score, match
from scigen.metrics.floor import twin
from scigen.metrics.mesh import Anatomy
from scigen.metrics.mesh_pairs import indexed_surface, normal_consistency, volume_overlap
from scigen.metrics.score import Score

__all__ = ["score_mesh_pairs"]


@dataclass(frozen=True)
class _Framed:
    """A surface in the frame of its comparison; `normals` in the order of `cloud`, no vertices where it is open."""

    cloud: Indexed
    normals: np.ndarray
    solid: tuple[np.ndarray, np.ndarray] | None


def score_mesh_pairs(
    gen: MeshCollection, ref: MeshCollection, train: MeshCollection | None, terms: Terms, progress: Progress
) -> tuple[list[Score], list[dict[str, Any]], list[dict[str, Any]]]:
    """The scores of `pair_catalogue` in its order, a row for each generated mesh, and one for each name left over.

    Meshes stand in the frame of their reference; values are means over references of means over the meshes of its name.
    `floor` is what a second sampling of the reference scores; `baseline` is retrieval: the training mesh, in its own
    normalisation, whose chamfer_l1 to the reference is the smallest. Raises `InputError` when no names agree.
    """
    pairs, orphans = pair_up(gen.clouds, ref.clouds, None)
    found = [anatomies(c.surfaces, what, progress) for c, what in ((gen, "generated"), (ref, "reference"))]
    of = [dict(zip((s.id for s in c.surfaces), zip(c.surfaces, a))) for c, a in zip((gen, ref), found)]
    shared = global_transform([pair.reference.points for pair in pairs]) if terms.norm == "global" else None
    shelf = _shelf(train, shared, terms, progress)
    rows, means, floors, nearest = [], [], [], []
    for k, pair in enumerate(pairs):
        frame = shared or own_transform(pair.reference.points, terms.norm)
        true = _framed(*of[1][pair.reference.id], frame)
        each = [_compare(_framed(*of[0][item.id], frame), true, terms.tau) for item in pair.completions]
        floor = _floor(of[1][pair.reference.id][0], true, frame.scale, terms.tau)
        each = [row | {"chamfer_l1_over_floor": row["chamfer_l1"] / floor["chamfer_l1"]} for row in each]
        for item, row in zip(pair.completions, each):
            rows.append(anatomy_row(item.id, of[0][item.id][1]) | {"reference": pair.reference.id} | row)
        means.append({name: _mean([row[name] for row in each if name in row]) for row in each for name in row})
        floors.append(floor | {"chamfer_l1_over_floor": 1.0})
        nearest.append(_retrieved(shelf, true, floor, terms.tau))
        progress("pairs", k + 1, len(pairs))
    own = anatomy_scores(found[0], found[1], None, terms.seed)
    scores = {score.name: score for score in (*_means(means, floors, nearest, gen, terms), *own)}
    return [scores[entry.name] for entry in pair_catalogue(terms.tau)], rows, orphans


def _means(
    means: Sequence[dict[str, float]],
    floors: Sequence[dict[str, float]],
    nearest: Sequence[dict[str, float]],
    gen: MeshCollection,
    terms: Terms,
) -> list[Score]:
    scores = []
    for e in pair_catalogue(terms.tau):
        values, least, base = ([row[e.name] for row in rows if e.name in row] for rows in (means, floors, nearest))
        all_read = e.name == "readable"
        estimate = readable(len(gen.surfaces), len(gen.errors)) if all_read else mean_estimate(values, terms.seed)
        value, interval, n = (estimate.value, estimate.interval, estimate.n) if estimate else (None, None, 0)
        note = "" if estimate else "not applicable: no pair of meshes is closed"
        beside = {"baseline": _mean(base) if base else None, "floor": _mean(least) if least else None}
        scores.append(Score(e.name, value, interval, n, e.definition, unit=e.unit, note=note, **beside))
    return scores


def _shelf(train: MeshCollection | None, shared: Transform | None, terms: Terms, progress: Progress) -> list[_Framed]:
    """The training meshes, each in its own frame."""
    if train is None:
        return []
    found = anatomies(train.surfaces, "training", progress)
    frames = [shared or own_transform(s.cloud.points, terms.norm) for s in train.surfaces]
    return [_framed(s, a, frame) for s, a, frame in zip(train.surfaces, found, frames)]


def _framed(surface: Surface, anatomy: Anatomy, frame: Transform) -> _Framed:
    assert surface.cloud.normals is not None
    cloud, normals = indexed_surface(frame(surface.cloud.points), surface.cloud.normals)
    closed = anatomy.volume is not None
    return _Framed(cloud, normals, (frame(surface.mesh.vertices), surface.mesh.faces) if closed else None)


def _compare(fake: _Framed, true: _Framed, tau: float) -> dict[str, float]:
    m = match(fake.cloud, true.cloud)
    row = {
        "chamfer_l1": chamfer_l1(m),
        "chamfer_l2": chamfer_l2(m),
        f"f_score@{tau:g}": f_score(m, tau),
        "normal_consistency": normal_consistency(m, fake.normals, true.normals),
    }
    if fake.solid and true.solid:
        row["iou"] = volume_overlap(fake.solid, true.solid).iou
    return row


def _floor(surface: Surface, true: _Framed, scale: float, tau: float) -> dict[str, float]:
    floor = chamfer_floor(surface.item, true.cloud, scale, tau)
    floor[f"f_score@{tau:g}"] = floor.pop("f_score")
    return floor | {"normal_consistency": normal_consistency(twin(true.cloud), true.normals, true.normals)}


def _retrieved(shelf: Sequence[_Framed], true: _Framed, floor: dict[str, float], tau: float) -> dict[str, float]:
    """The scores of the training mesh nearest to the reference; none without a training set."""
    if not shelf:
        return {}
    nearest = min(shelf, key=lambda one: chamfer_l1(match(one.cloud, true.cloud)))
    row = _compare(nearest, true, tau)
    return row | {"chamfer_l1_over_floor": row["chamfer_l1"] / floor["chamfer_l1"]}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
