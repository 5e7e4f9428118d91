"""Completions against the reference of their name: every score a reference at a time, then means over references."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scigen.domains.points.catalogue import pair_catalogue
from scigen.domains.points.collect import Collection, Item
from scigen.domains.points.floors import chamfer_floor, emd_floor
from scigen.domains.points.normalise import Transform, global_transform, own_transform
from scigen.domains.points.scores import Progress, Terms, mean_estimate, readable
from scigen.errors import InputError
from scigen.metrics.chamfer import Indexed, chamfer_l1, chamfer_l2, density_aware, f_score, indexed, match
from scigen.metrics.completion import fidelity, mutual_difference, seen
from scigen.metrics.density import spacing_spread, stray_share
from scigen.metrics.score import Score
from scigen.metrics.transport import emd, random_subset

__all__ = ["Pairing", "distances", "pair_up", "regions", "score_pairs"]

_NUMBERED = re.compile(r"(.+)_\d+")
_BARE = {"tmd": "needs two completions of a reference: name them `<id>_<k>`", "emd": "a cloud has too few points"}
_UNSEEN = "needs `--partial`"


@dataclass(frozen=True)
class Pairing:
    """A reference, its completions, and the partial cloud they came from where it is given."""

    reference: Item
    completions: tuple[Item, ...]
    partial: Item | None


def pair_up(gen: Collection, ref: Collection, partial: Collection | None) -> tuple[list[Pairing], list[dict[str, Any]]]:
    """Pairings in the order of the reference, and a row for every name that has no partner.

    A completion of `id` is called `id` or `id_<k>`; a single file pairs with a single file. Raises `InputError` when
    nothing pairs.
    """
    seen_by = {item.id: item for item in partial.items} if partial else {}
    if _alone(gen) and _alone(ref):
        first = next(iter(seen_by.values()), None) if partial and _alone(partial) else seen_by.get(ref.items[0].id)
        return [Pairing(ref.items[0], gen.items, first)], []
    own: dict[str, list[Item]] = {item.id: [] for item in ref.items}
    errors = []
    for item in gen.items:
        numbered = _NUMBERED.fullmatch(item.id)
        name = item.id if item.id in own or numbered is None else numbered[1]
        if name in own:
            own[name].append(item)
        else:
            errors.append(_orphan(gen, item.id, "no reference has this name"))
    errors += [_orphan(ref, name, "no completion has this name") for name in own if not own[name]]
    if partial:
        bare = [name for name in own if own[name] and name not in seen_by]
        errors += [_orphan(partial, name, "no partial cloud has this name") for name in bare]
    pairs = [Pairing(item, tuple(own[item.id]), seen_by.get(item.id)) for item in ref.items if own[item.id]]
    if not pairs:
        names = f"`{gen.items[0].id}` and `{ref.items[0].id}`"
        raise InputError(
            f"`{gen.path}` and `{ref.path}` share no name (they begin with {names}); name completions `<id>_<k>`."
        )
    return pairs, errors


def score_pairs(
    pairs: Sequence[Pairing], refused: int, terms: Terms, progress: Progress
) -> tuple[list[Score], list[dict[str, Any]]]:
    """The scores of the catalogue in its order, and a row for each reference.

    Completions and partial clouds stand in the frame of their reference. `floor` is what two samplings of the
    references score, `baseline` the partial clouds taken for completions.
    """
    shared = global_transform([pair.reference.points for pair in pairs]) if terms.norm == "global" else None
    rows, floors, inputs = [], [], []
    for k, pair in enumerate(pairs):
        frame = shared or own_transform(pair.reference.points, terms.norm)
        row, floor, taken = _measure(pair, frame, terms, np.random.default_rng([terms.seed, 13, k]))
        rows.append({"id": pair.reference.id, "completions": len(pair.completions), **row})
        floors.append(floor)
        inputs.append(taken)
        progress("pairs", k + 1, len(pairs))
    good = sum(len(pair.completions) for pair in pairs)
    scores = []
    for entry in pair_catalogue(terms.emd_points, terms.tau):
        name = entry.name
        estimate = readable(good, refused) if name == "readable" else mean_estimate(_values(rows, name), terms.seed)
        note = "" if estimate else f"not applicable: {_BARE.get(name.partition('@')[0], _UNSEEN)}"
        value, interval, n = (estimate.value, estimate.interval, estimate.n) if estimate else (None, None, 0)
        beside = {"baseline": _mean(_values(inputs, name)), "floor": _mean(_values(floors, name))}
        scores.append(Score(name, value, interval, n, entry.definition, unit=entry.unit, note=note, **beside))
    return scores, rows


def _measure(
    pair: Pairing, frame: Transform, terms: Terms, rng: np.random.Generator
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Scores of a reference's completions, their floors, and the scores of the partial cloud in their place."""
    reference, tau = pair.reference, f"f_score@{terms.tau:g}"
    true = indexed(frame(reference.points))
    fakes = [indexed(frame(item.points)) for item in pair.completions]
    partial = indexed(frame(pair.partial.points)) if pair.partial else None
    each = [distances(fake, true, terms, rng) for fake in fakes]
    floor = chamfer_floor(reference, true, frame.scale, terms.tau)
    floor[tau] = floor.pop("f_score")
    row = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    row |= {"chamfer_l1_over_floor": row["chamfer_l1"] / floor["chamfer_l1"]}
    row |= {"chamfer_l1_best": min(one["chamfer_l1"] for one in each), f"{tau}_best": max(one[tau] for one in each)}
    row |= {"spacing_spread": float(np.mean([spacing_spread(fake) for fake in fakes]))}
    row |= {"stray_share": float(np.mean([stray_share(fake) for fake in fakes]))}
    if len(fakes) > 1:
        row["tmd"] = mutual_difference(fakes)
    if terms.emd_points and (least := emd_floor(true.points, terms.emd_points, rng)) is not None:
        floor[f"emd@{terms.emd_points}"] = least
    floor |= {"chamfer_l1_best": floor["chamfer_l1"], f"{tau}_best": floor[tau], "chamfer_l1_over_floor": 1.0}
    floor |= {"spacing_spread": spacing_spread(true), "stray_share": stray_share(true)}
    if partial is None:
        return row, floor, {}
    row |= {"uhd": fidelity(partial.points, fakes)} | regions(fakes, true, partial)
    return row, floor, distances(partial, true, terms, rng)


def distances(fake: Indexed, true: Indexed, terms: Terms, rng: np.random.Generator) -> dict[str, float]:
    """The scores of one completion that need nothing but its reference, by name, in the frame both stand in."""
    m, n = match(fake, true), terms.emd_points
    out = {"chamfer_l1": chamfer_l1(m), "chamfer_l2": chamfer_l2(m), "dcd": density_aware(m)}
    out[f"f_score@{terms.tau:g}"] = f_score(m, terms.tau)
    if n and min(len(fake.points), len(true.points)) >= n:
        out[f"emd@{n}"] = emd(random_subset(fake.points, n, rng), random_subset(true.points, n, rng))
    return out


def regions(fakes: Sequence[Indexed], true: Indexed, partial: Indexed) -> dict[str, float]:
    """`seen_l1`, `missing_l1`: mean distances to the completions from the reference's points, those that the partial
    cloud shows apart; without the name of a region that has no point.
    """
    shown = seen(true, partial)
    away = np.mean([fake.tree.query(true.points)[0] for fake in fakes], axis=0)
    parts = {"seen_l1": away[shown], "missing_l1": away[~shown]}
    return {name: float(part.mean()) for name, part in parts.items() if len(part)}


def _orphan(collection: Collection, name: str, reason: str) -> dict[str, Any]:
    return {"file": str(collection.path), "record": name, "reason": reason}


def _alone(collection: Collection) -> bool:
    return collection.path.is_file() and collection.records == 1


def _values(rows: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [row[name] for row in rows if name in row]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
