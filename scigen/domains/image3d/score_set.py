"""Meshes made from pictures, and the views they were made of, against the true meshes of their names; not aligned."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scigen.domains.image3d.catalogue import mesh_catalogue, views_catalogue
from scigen.domains.image3d.folder import read_views
from scigen.domains.image3d.render import render
from scigen.domains.image3d.rig import CUBE, CameraRig
from scigen.domains.image3d.score import score_mesh, score_views
from scigen.domains.points.catalogue import Entry
from scigen.domains.points.collect import Collection, Item, files_in
from scigen.domains.points.pairs import pair_up
from scigen.domains.points.scores import Progress, mean_estimate, readable
from scigen.domains.shapes.frame import Frame
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError
from scigen.io.meshes import read_mesh
from scigen.io.shape import Mesh
from scigen.metrics.mesh import examine
from scigen.metrics.score import Score

__all__ = ["Compared", "Scored", "score_reconstructions"]

_MESHES = (".glb", ".gltf", ".obj", ".ply", ".stl")
_RANK = re.compile(r".*_(\d+)")
_FLOOR = "chamfer_l1_floor"
_SPAN = ("iou", "chamfer_l1")  # scores of which the first and the best of several meshes are told
Read = TypeVar("Read")


@dataclass(frozen=True)
class Compared:
    """The terms of a comparison: points of a surface, threshold of the F-score, cameras of the views, seed.

    `own_frame`: generated meshes stand in the frame of their reference's file, not in the unit frame.
    """

    points: int = 10_000
    tau: float = 0.02
    rig: CameraRig = CUBE
    seed: int = 0
    own_frame: bool = False


@dataclass(frozen=True)
class Scored:
    """Scores in the order of the catalogues, a row for each mesh and set of views, one for each file left out, and the
    names of the references that were compared.
    """

    scores: list[Score]
    rows: list[dict[str, Any]]
    errors: list[dict[str, Any]]
    references: list[str]


@dataclass(frozen=True)
class _True:
    mesh: Mesh  # in its unit frame
    frame: Frame
    closed: bool


def score_reconstructions(
    generated: Path, reference: Path, views: Path | None, terms: Compared, progress: Progress
) -> Scored:
    """Meshes `<id>` or `<id>_<k>`, and `views` archives of such names, against the meshes called `<id>`.

    A reference that is one file is that of all. It is brought into its unit frame, where the generated already stand.
    Values are means over references of means over what bears their name; `floor` is that of sampling. Raises
    `InputError` when nothing can be compared.
    """
    true, refused = _read(reference, _MESHES, "mesh", _true)
    gen, bad = _read(generated, _MESHES, "mesh", read_mesh)
    pairs, orphans = _paired(generated, gen, reference, true)
    rows, means = [], []
    for k, (name, own) in enumerate(pairs.items()):
        each = [{"reference": name, "id": one} | _mesh_row(one, gen[one], true[name], terms) for one in own]
        rows += each
        means.append(_summary(each))
        progress("meshes", k + 1, len(pairs))
    share, what = readable(len(gen), len(bad)), mesh_catalogue(terms.tau)
    scores = [Score(what[0].name, share.value, share.interval, share.n, what[0].definition, unit=what[0].unit)]
    scores += [_score(entry, means, terms.seed) for entry in what[1:]]
    errors = refused + bad + orphans
    if views is not None:
        more, shown, left = _views(views, reference, true, terms, progress)
        scores, rows, errors = scores + more, rows + shown, errors + left
    return Scored(scores, rows, errors, list(pairs))


def _views(
    folder: Path, reference: Path, true: Mapping[str, _True], terms: Compared, progress: Progress
) -> tuple[list[Score], list[dict[str, Any]], list[dict[str, Any]]]:
    seen, bad = _read(folder, (".npz",), "views", lambda file: read_views(file, terms.rig))
    pairs, orphans = _paired(folder, seen, reference, true)
    rows, means = [], []
    for k, (name, own) in enumerate(pairs.items()):
        renders = {n: render(true[name].mesh, terms.rig, n) for n in {seen[one].pixels for one in own}}
        each = [{"reference": name, "id": one} | score_views(seen[one], renders[seen[one].pixels]) for one in own]
        rows += each
        means.append(_summary(each))
        progress("views", k + 1, len(pairs))
    return [_score(entry, means, terms.seed) for entry in views_catalogue()], rows, bad + orphans


def _true(file: Path) -> _True:
    mesh, frame = unit_shape(read_mesh(file))
    assert isinstance(mesh, Mesh)
    return _True(mesh, frame, examine(mesh.vertices, mesh.faces).volume is not None)


def _read(
    path: Path, suffixes: Sequence[str], what: str, reader: Callable[[Path], Read]
) -> tuple[dict[str, Read], list[dict[str, Any]]]:
    """What the files of a folder, or one file, hold by their stems, and a row for each that cannot be used."""
    found, errors = {}, []
    for file, reason in files_in(path, suffixes, what) if path.is_dir() else [(path, None)]:
        try:
            if reason is not None:
                raise ValueError(reason)
            found[file.stem] = reader(file)
        except (InputError, ValueError) as error:
            errors.append({"file": str(file), "record": file.stem, "reason": str(error)})
    if not found:
        raise InputError(f"`{path}`: none of {len(errors)} files can be used (the first: {errors[0]['reason']}).")
    return found, errors


def _paired(
    path: Path, names: Mapping[str, Any], reference: Path, true: Mapping[str, Any]
) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    """The names that go with each reference, by their numbers, and a row for each that has no partner."""
    if reference.is_file():
        return {next(iter(true)): sorted(names, key=_rank)}, []
    gen, ref = (
        Collection(place, tuple(Item(name, np.empty((0, 3)), None) for name in held), ())
        for place, held in ((path, names), (reference, true))
    )
    pairs, orphans = pair_up(gen, ref, None)
    return {pair.reference.id: sorted((item.id for item in pair.completions), key=_rank) for pair in pairs}, orphans


def _rank(name: str) -> tuple[int, str]:
    numbered = _RANK.fullmatch(name)
    return (int(numbered[1]) if numbered else 0, name)


def _mesh_row(name: str, mesh: Mesh, true: _True, terms: Compared) -> dict[str, float]:
    """The scores of one mesh; no `iou` where the reference has no inside."""
    if terms.own_frame:
        mesh = Mesh(true.frame.enter(mesh.vertices), mesh.faces)
    rng = np.random.default_rng([terms.seed, zlib.crc32(name.encode())])
    closed = examine(mesh.vertices, mesh.faces).volume is not None
    row = {"closed": float(closed)} | score_mesh(mesh, true.mesh, rng, terms.points, terms.tau)
    if not true.closed:
        del row["iou"]
    elif not closed:
        row["iou"] = 0.0
    return row


def _summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Means over the rows of one reference, and the first and the best of them."""
    numbers = [name for name in rows[0] if name not in ("reference", "id")]
    out = {name: float(np.mean([row[name] for row in rows])) for name in numbers}
    for name in (name for name in _SPAN if name in out):
        values = [row[name] for row in rows]
        out |= {f"{name}_first": values[0], f"{name}_best": max(values) if name == "iou" else min(values)}
    return out


def _score(entry: Entry, means: Sequence[Mapping[str, float]], seed: int) -> Score:
    values = [row[entry.name] for row in means if np.isfinite(row.get(entry.name, np.nan))]
    estimate = mean_estimate(values, seed)
    if estimate is None:
        why = "no reference is closed" if entry.name.startswith("iou") else "the views do not hold it"
        return Score(entry.name, None, None, 0, entry.definition, unit=entry.unit, note=f"not applicable: {why}")
    floor = float(np.mean([row[_FLOOR] for row in means])) if entry.name.startswith("chamfer") else None
    return Score(
        entry.name, estimate.value, estimate.interval, estimate.n, entry.definition, unit=entry.unit, floor=floor
    )
