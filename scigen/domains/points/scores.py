"""A generated set of clouds against a reference set: every score, with the same for two halves of the reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scigen.domains.points.catalogue import Entry, set_catalogue
from scigen.domains.points.collect import Item
from scigen.domains.points.floors import chamfer_floor, emd_floor
from scigen.domains.points.normalise import global_transform, own_transform
from scigen.metrics.chamfer import Indexed, chamfer_l2, indexed, match
from scigen.metrics.cloud_sets import (
    Estimate,
    all_pairs,
    coverage,
    grid_cells,
    halves,
    jensen_shannon,
    minimum_matching,
    neighbour_accuracy,
)
from scigen.metrics.density import spacing_spread, stray_share
from scigen.metrics.score import Score
from scigen.metrics.stats import bootstrap, wilson
from scigen.metrics.transport import emd, random_subset

__all__ = ["Cell", "Progress", "Terms", "mean_estimate", "readable", "score_sets"]

Progress = Callable[[str, int, int], None]
_SPLITS = 20  # random halvings of the reference


@dataclass(frozen=True)
class Terms:
    """What a score must be read with: normalisation, points of a cloud and of EMD, shapes of EMD, threshold, seed."""

    norm: str
    points: int = 2048
    emd_points: int = 512
    subset: int = 100
    tau: float = 0.01
    seed: int = 0


@dataclass(frozen=True)
class Cell:
    """A score, the same of halves of the reference, and the sampling floor."""

    estimate: Estimate | None
    data: float | None = None
    floor: float | None = None


def score_sets(
    gen: Sequence[Item], ref: Sequence[Item], refused: int, terms: Terms, progress: Progress
) -> tuple[list[Score], list[dict[str, Any]]]:
    """The scores of the catalogue in its order, and a row for each generated cloud with its nearest reference cloud.

    `refused` counts generated records that are no cloud. `data` of a score is the mean over random halvings of the
    reference, one half scored as generated against the other; `floor` of MMD is what two samplings of the reference
    clouds score. Distances stand in the frame of `terms.norm`.
    """
    fake, true, scales = _normalised(gen, ref, terms.norm)
    table = all_pairs([*fake, *true], lambda a, b: chamfer_l2(match(a, b)), lambda k, n: progress("chamfer", k, n))
    floors = [chamfer_floor(item, cloud, scale)["chamfer_l2"] for item, cloud, scale in zip(ref, true, scales)]
    cells = {"readable": Cell(readable(len(gen), refused))}
    cells |= _of_table(table, len(fake), "cd", float(np.mean(floors)), terms.seed)
    if terms.emd_points:
        cells |= _by_transport(fake, true, terms, progress)
    cells["jsd"] = _occupation(fake, true, terms.seed)
    for name, form in (("spacing_spread", spacing_spread), ("stray_share", stray_share)):
        data = float(np.mean([form(cloud) for cloud in true]))
        cells[name] = Cell(mean_estimate([form(cloud) for cloud in fake], terms.seed), data)
    across = table[: len(fake), len(fake) :]
    rows = [
        {"id": item.id, "nearest_reference": ref[int(row.argmin())].id, "chamfer_l2": float(row.min())}
        for item, row in zip(gen, across)
    ]
    return [_score(entry, cells.get(entry.name, Cell(None))) for entry in set_catalogue(terms.emd_points)], rows


def readable(good: int, refused: int) -> Estimate:
    """Share of the records that could be used, with Wilson's interval."""
    return Estimate(good / (good + refused), wilson(good, good + refused), good + refused)


def mean_estimate(values: Sequence[float], seed: int) -> Estimate | None:
    """Mean with a bootstrap interval; None for no value."""
    if not len(values):
        return None
    return Estimate(float(np.mean(values)), bootstrap(np.asarray(values), np.mean, seed), len(values))


def _normalised(
    gen: Sequence[Item], ref: Sequence[Item], norm: str
) -> tuple[list[Indexed], list[Indexed], list[float]]:
    """Both sets in the frame, indexed, and the scale of each reference cloud."""
    shared = global_transform([item.points for item in ref]) if norm == "global" else None
    frames = [[shared or own_transform(item.points, norm) for item in items] for items in (gen, ref)]
    fake, true = (
        [indexed(frame(item.points)) for frame, item in zip(own, items)] for own, items in zip(frames, (gen, ref))
    )
    return fake, true, [frame.scale for frame in frames[1]]


def _by_transport(
    fake: Sequence[Indexed], true: Sequence[Indexed], terms: Terms, progress: Progress
) -> dict[str, Cell]:
    """The scores by EMD, of at most `terms.subset` clouds of each set."""
    n, rng = terms.emd_points, np.random.default_rng([terms.seed, 7])
    some, others = (
        [clouds[k] for k in np.sort(rng.permutation(len(clouds))[: terms.subset])] for clouds in (fake, true)
    )
    drawn = [random_subset(cloud.points, n, rng) for cloud in (*some, *others)]
    table = all_pairs(drawn, emd, lambda k, total: progress("EMD", k, total))
    floors = [x for cloud in others if (x := emd_floor(cloud.points, n, rng)) is not None]
    return _of_table(table, len(some), f"emd@{n}", float(np.mean(floors)) if floors else None, terms.seed)


def _of_table(table: np.ndarray, g: int, kernel: str, floor: float | None, seed: int) -> dict[str, Cell]:
    """The scores of one kernel, with the mean of the same over halvings of the reference."""
    rng, r, runs = np.random.default_rng([seed, 11]), len(table) - g, []
    for _ in range(_SPLITS if r >= 4 else 0):
        part = g + np.concatenate(halves(r, rng))
        runs.append(_of_kernel(table[np.ix_(part, part)], r // 2, kernel, seed))
    return {
        name: Cell(
            estimate,
            float(np.mean([run[name].value for run in runs])) if runs else None,
            floor if name.startswith("mmd") else None,
        )
        for name, estimate in _of_kernel(table, g, kernel, seed).items()
    }


def _of_kernel(table: np.ndarray, g: int, kernel: str, seed: int) -> dict[str, Estimate]:
    across = table[:g, g:]
    out = {f"cov_{kernel}": coverage(across), f"mmd_{kernel}": minimum_matching(across, seed)}
    if 2 <= g <= len(table) - 2:
        accuracy = neighbour_accuracy(table, g)
        out |= {f"1nna_{kernel}{end}": accuracy[f"acc{end}"] for end in ("", "_t", "_f")}
    return out


def _occupation(fake: Sequence[Indexed], true: Sequence[Indexed], seed: int) -> Cell:
    """JSD over the bounding cube of the reference, and that of its halves."""
    every = np.stack([cloud.points for cloud in true])
    low, side = every.min((0, 1)), float(np.ptp(every, axis=(0, 1)).max())
    theirs = grid_cells(every, low, side)
    ours = grid_cells(np.stack([cloud.points for cloud in fake]), low, side)
    rng, same = np.random.default_rng([seed, 11]), []
    for _ in range(_SPLITS if len(true) >= 4 else 0):
        first, second = halves(len(true), rng)
        same.append(jensen_shannon(theirs[first], theirs[second]))
    value = Estimate(jensen_shannon(ours, theirs), None, len(fake))
    return Cell(value, float(np.mean(same)) if same else None)


def _score(entry: Entry, cell: Cell) -> Score:
    found = cell.estimate
    if found is None:
        note = "not applicable: needs two clouds or more in each set"
        return Score(entry.name, None, None, 0, entry.definition, unit=entry.unit, note=note)
    return Score(
        entry.name, found.value, found.interval, found.n, entry.definition, cell.data, None, entry.unit, "", cell.floor
    )
