"""Completion of held-out shapes from one depth-camera scan, beside what needs no bridge. Prints Markdown.

    python -m benchmarks.completion --weights points-bridge --data procedural --shapes 200
    python -m benchmarks.completion --weights points-bridge --gaussian noise.safetensors --data modelnet10
    python -m benchmarks.completion --methods "the scan" "bridge, ODE" --draws 10 --steps 20

Test shapes of a packed collection, the same number of every category as far as it goes; one scan of 2,048 points of
each, without normals unless `--normals`. The truth is 16,384 points of the mesh for generated shapes (`procedural`) and
all stored points of others (`scigen data prepare points ... --points 16384` stores as many). Everything stands in the
whole shape's own frame, y up, bounding sphere of diameter 1.

No method is told the category, nor the frame of the whole; only the mirror image is given the true plane. Retrieval
searches the very pairs that the bridge was trained on, so it takes the bridge's latents from the cache or makes them;
`--recall N` searches N scans of each training shape instead. `--gaussian` are weights of `scigen train points/bridge
-s start=noise`. Decoded shapes are scored, without the observed points. Times are processor seconds of one cloud.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial as bind
from typing import cast

import numpy as np

from scigen.domains.points.baselines import mirrored, recalled
from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.collect import Item, fingerprint
from scigen.domains.points.complete import Draw, Poses, bridged, complete
from scigen.domains.points.floors import chamfer_floor
from scigen.domains.points.pairs import distances, regions
from scigen.domains.points.pose import rotations
from scigen.domains.points.scores import Terms, mean_estimate
from scigen.domains.shapes.camera import scan
from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.pack import PackedShapes, load_shapes
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.surface import sample_surface, surface_area
from scigen.io.shape import Cloud, Mesh
from scigen.metrics.chamfer import Indexed, directed_hausdorff, indexed
from scigen.metrics.completion import mutual_difference
from scigen.nn.point_codec import PointCodec
from scigen.parallel import one_each_core
from scigen.run import weights as store
from scigen.run.complete import FIT, Bridge, Request, drawing, fitting, load_bridge, pose_finder, start_of
from scigen.run.draw import scale_on
from scigen.run.encode import Encoding, encode_scans
from scigen.run.shape_pool import Pool, shape_sets

SEEN, TRUTH = 2048, 16_384  # points of a scan and of what it is held against
ENCODED = 2048  # points the codec sees, as in its training
RANKED = 8  # training pairs of which the one that agrees best with the scan is the answer
TERMS = Terms("none", TRUTH, emd_points=0)
F_SCORE = f"f_score@{TERMS.tau:g}"
HEADS = {
    "chamfer_l1": ("CD-L1 x1000", 1e3), "over_floor": ("CD / floor", 1.0), "chamfer_l2": ("CD-L2 x1000", 1e3),
    F_SCORE: ("F@1%", 1.0), "dcd": ("DCD", 1.0), "seen_l1": ("seen / floor", 1.0),
    "missing_l1": ("missing / floor", 1.0), "uhd": ("UHD", 1.0), "tmd": ("TMD x1000", 1e3),
}  # fmt: skip

Values = dict[str, float]


@dataclass(frozen=True)
class Case:
    """One test shape: its scan, the truth to be met, and what another sampling of the truth would score."""

    id: str
    category: str
    partial: Cloud
    truth: Indexed
    floor: Mapping[str, float]
    seed: int


Method = Callable[[Case], Sequence[Cloud]]  # one completion or several, in the frame of the whole


@dataclass(frozen=True)
class Row:
    """One line of the table: a value for every case, and processor seconds of a cloud."""

    label: str
    values: Sequence[Values]
    points: int
    seconds: float | None = None


def surface_of(shapes: PackedShapes, k: int) -> Mesh | Cloud:
    """The mesh of a generated shape, built again from its id; all points of any other."""
    if shapes.name != ProceduralSet.name:
        return shapes.full(k)
    name, _, number = str(shapes.ids[k]).rpartition("-")
    return ProceduralSet(int(number) + 1, families=[f for f in FAMILIES if f.name == name]).mesh(int(number))


def chosen(shapes: PackedShapes, count: int, seed: int) -> list[int]:
    """`count` test shapes in turn from every category, in an order that only the seed decides."""
    rng = np.random.default_rng(seed)
    piles = [rng.permutation(shapes.where("test", name)).tolist() for name in shapes.categories]
    rounds = range(max(map(len, piles)))
    return [pile[turn] for turn in rounds for pile in piles if turn < len(pile)][:count]


def case_of(shapes: PackedShapes, seed: int, normals: bool, k: int) -> Case | None:
    """Shape k seen from a side of its own; None, and a word about it, when none of 20 sides shows enough."""
    name, surface = str(shapes.ids[k]), surface_of(shapes, k)
    try:
        partial = scan(surface, shape_rng(seed, name, 1), SEEN)
    except ValueError as error:
        _say(f"{name} is left out: {error}")
        return None
    is_mesh = isinstance(surface, Mesh)
    whole = sample_surface(surface, TRUTH, shape_rng(seed, name, 2))[0] if is_mesh else surface
    truth = indexed(whole.points[:TRUTH])
    area = surface_area(surface) if is_mesh else None
    floor = chamfer_floor(Item(name, truth.points, area), truth, 1.0, TERMS.tau)
    category = shapes.categories[shapes.category[k]]
    return Case(name, category, partial if normals else Cloud(partial.points), truth, floor, seed)


def measured(cloud: Cloud, case: Case) -> Values:
    """Every score of one completion but TMD."""
    fake = indexed(cloud.points)
    found = distances(fake, case.truth, TERMS, np.random.default_rng(0))
    floor, parts = case.floor["chamfer_l1"], regions([fake], case.truth, indexed(case.partial.points))
    found |= {"over_floor": found["chamfer_l1"] / floor, **{name: value / floor for name, value in parts.items()}}
    return found | {"uhd": directed_hausdorff(case.partial.points, fake)}


def by_codec(codec: CloudCodec, case: Case) -> list[Cloud]:
    """The truth through the codec: no completion on its latent points can be better."""
    seen = case.truth.points[np.random.default_rng(case.seed).permutation(len(case.truth.points))[:ENCODED]]
    return list(codec.decode(codec.encode(Cloud(seen.astype(np.float32)))))


def completed(
    codec: CloudCodec, draw: Draw, n: int, best: bool, case: Case, poses: Poses | None = None, steps: int = 0
) -> list[Cloud]:
    """Decoded shapes of n draws, fitted in so many steps, in the order of their rank, or the one that agrees best.

    With `poses` the scan is turned at random before, and the answers are turned back.
    """
    turn = rotations(10_000)[shape_rng(case.seed, case.id, 3).integers(10_000)].numpy() if poses else np.eye(3)
    lying = Cloud((case.partial.points @ turn).astype(np.float32), None)
    partial = lying if poses else case.partial
    ranked = complete(partial, codec, draw, n, case.seed, False, poses, fitting(codec, steps)).ranked
    return [Cloud((one.cloud.points @ turn.T).astype(np.float32)) for one in (ranked[:1] if best else ranked)]


def rows_of(label: str, method: Method, cases: Sequence[Case], several: bool = False) -> list[Row]:
    """The row of a method; of several draws the mean, the first ranked, and the best by the truth (CD-L1)."""

    def run(k: int) -> tuple[list[Values], Values, int, float]:
        case, began = cases[k], time.process_time()
        clouds = method(case)
        spent = (time.process_time() - began) / len(clouds)
        tmd = mutual_difference([indexed(c.points) for c in clouds]) if len(clouds) > 1 else None
        shared = {} if tmd is None else {"tmd": tmd}
        return [measured(cloud, case) for cloud in clouds], shared, len(clouds[0]), spent

    found = list(one_each_core(run, range(len(cases))))
    points, seconds = found[0][2], float(np.mean([spent for *_, spent in found]))
    means = [{key: float(np.mean([one[key] for one in each])) for key in each[0]} | tmd for each, tmd, *_ in found]
    rows = [Row(f"{label}, mean of {len(found[0][0])}" if several else label, means, points, seconds)]
    if several:
        rows += [Row(f"{label}, first ranked", [each[0] for each, *_ in found], points)]
        best = [min(each, key=lambda one: one["chamfer_l1"]) for each, *_ in found]
        rows += [Row(f"{label}, best of {len(found[0][0])}", best, points)]
    for row in rows:  # an hour may lie between this row and the table
        print(line(row, 0), file=sys.stderr, flush=True)
    return rows


def line(row: Row, seed: int) -> str:
    """One line of Markdown: means with 95 % intervals over shapes."""
    cells = []
    for name, (_, unit) in HEADS.items():
        found = mean_estimate([values[name] * unit for values in row.values if name in values], seed)
        low, high = (found and found.interval) or (np.nan, np.nan)
        cells.append("" if found is None else f"{found.value:.3g} ({low:.3g} to {high:.3g})")
    cells += [f"{row.points:,}", "" if row.seconds is None else f"{row.seconds:.2f}"]
    return f"| {row.label} | {' | '.join(cells)} |"


def table(rows: Sequence[Row], cases: Sequence[Case], seed: int) -> Iterator[str]:
    """All rows; the last is what two samplings of the truth score against each other."""
    yield "| | " + " | ".join(head for head, _ in HEADS.values()) + " | points | s a cloud |"
    yield "|---" * (len(HEADS) + 3) + "|"
    yield from (line(row, seed) for row in rows)
    ones = dict.fromkeys(("over_floor", "seen_l1", "missing_l1"), 1.0)
    floors = [{**case.floor, F_SCORE: case.floor["f_score"], **ones} for case in cases]
    yield line(Row("sampling floor", floors, len(cases[0].truth.points)), seed)


def by_category(rows: Sequence[Row], cases: Sequence[Case]) -> Iterator[str]:
    """CD-L1 over its floor, category by category."""
    yield "| CD / floor | shapes | " + " | ".join(row.label for row in rows) + " |"
    yield "|---" * (len(rows) + 2) + "|"
    for name in sorted({case.category for case in cases}):
        own = [k for k, case in enumerate(cases) if case.category == name]
        means = (float(np.mean([row.values[k]["over_floor"] for k in own])) for row in rows)
        yield f"| {name} | {len(own)} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |"


def memory(bridge: Bridge, training: Sequence[str], draws: int | None) -> Draw:
    """Retrieval over the bridge's own training pairs, or over `draws` scans of each of its training shapes."""
    recipe, latents = bridge.weights.card["recipe"], int(bridge.weights.card["codec"]["latents"])
    pool = Pool.of(shape_sets(training or bridge.weights.card["data"]["name"], _say), latents)
    how = Encoding(pool, bridge.codec, draws or recipe["scans"], recipe["train"]["seed"], "cpu", _told)
    return recalled(encode_scans(how)[0], scale_on(bridge.weights, "scale"))


def beginning(weights: store.Weights) -> Draw:
    """What the bridge sets out from in the place of what it arrives at: the scan's latents, or remembered ones."""
    return bridged(lambda x1, rng: x1, scale_on(weights, "scale"), start_of(weights))


def methods(args: argparse.Namespace, bridge: Bridge) -> dict[str, tuple[Callable[[], Method], bool]]:
    """What makes each method by its label, and whether it draws several; nothing is made before it is asked for."""
    codec = CloudCodec(cast(PointCodec, bridge.codec.network), TRUTH)
    poses = pose_finder(bridge.weights) if args.unknown_pose else None

    def nearest(steps: int = 0) -> Method:
        return bind(completed, codec, memory(bridge, args.training, args.recall), RANKED, True, steps=steps)

    def drawn(mode: str, n: int, steps: int = 0, weights: store.Weights = bridge.weights) -> Method:
        draw = drawing(weights, Request(mode=mode, steps=args.steps, unknown_pose=args.unknown_pose))
        return bind(completed, codec, draw, n, False, poses=poses, steps=steps)

    def gaussian(mode: str, n: int, steps: int = 0) -> Method:
        return drawn(mode, n, steps, load_bridge(store.read(args.gaussian), str(bridge.codec.path)).weights)

    made: dict[str, tuple[Callable[[], Method], bool]] = {
        "the scan": (lambda: lambda case: [case.partial], False),
        "the scan and its mirror image": (lambda: lambda case: [mirrored(case.partial)], False),
        "retrieval": (nearest, False),
        "where the bridge begins": (lambda: bind(completed, codec, beginning(bridge.weights), 1, False), False),
    }
    walks: dict[str, tuple[Callable[..., Method], bool]] = {"deterministic network": (bind(drawn, "regress", 1), False)}
    if args.gaussian:
        walks["diffusion from noise, ODE"] = (bind(gaussian, "ode", 1), False)
        walks["diffusion from noise, SDE"] = (bind(gaussian, "sde", args.draws), True)
    walks |= {"bridge, ODE": (bind(drawn, "ode", 1), False), "bridge, SDE": (bind(drawn, "sde", args.draws), True)}
    made |= walks
    if args.fit:
        fits = {"retrieval": (nearest, False), **walks}
        made |= {f"{label}, fitted": (bind(make, steps=args.fit), many) for label, (make, many) in fits.items()}
    made["codec ceiling"] = (lambda: bind(by_codec, codec), False)
    return made


def protocol(args: argparse.Namespace, bridge: Bridge, shapes: PackedShapes, cases: Sequence[Case]) -> str:
    """Everything a figure of the table must be read with."""
    turned = ", turned at random for the networks" if args.unknown_pose else ""
    seen = fingerprint([Item(c.id, x, None) for c in cases for x in (c.partial.points, c.truth.points)])
    return (
        f"{len(cases)} test shapes of `{shapes.name}` ({shapes.content_hash()[:12]}); whole shape's frame, sphere of"
        f" diameter 1; scan {SEEN:,} points {'with' if args.normals else 'without'} normals{turned}; truth"
        f" {len(cases[0].truth.points):,} points; F at {TERMS.tau:g}; {args.steps} steps, {args.fit} to fit; seed"
        f" {args.seed}; clouds {seen}; weights {bridge.weights.path.stem}, codec {bridge.codec.path.stem}; 95 %"
        " bootstrap intervals over shapes"
    )


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _told(stage: str, done: int, total: int) -> None:
    if done == total or done % 8192 == 0:
        _say(f"{stage}: {done:,} of {total:,}")


def main() -> None:
    """Parse, complete, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="points-bridge")
    parser.add_argument("--codec", help="weights of its codec, where the card does not lead to them")
    parser.add_argument("--gaussian", help="weights trained with `start: noise` on the same codec")
    parser.add_argument("--data", default="procedural", help="packed collection, by name or path")
    parser.add_argument("--training", nargs="*", default=[], help="collections the bridge was trained on [its card's]")
    parser.add_argument("--recall", type=int, help="scans of each training shape that retrieval searches [all]")
    parser.add_argument("--shapes", type=int, default=200)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--fit", type=int, default=FIT, help="steps of the rows that are fitted to the scan")
    parser.add_argument("--normals", action="store_true")
    parser.add_argument("--unknown-pose", action="store_true", help="turn each scan at random before a network sees it")
    parser.add_argument("--methods", nargs="*", help="labels of the rows to measure [all]")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    bridge, shapes = load_bridge(store.read(args.weights), args.codec), load_shapes(args.data)
    found = one_each_core(bind(case_of, shapes, args.seed, args.normals), chosen(shapes, args.shapes, args.seed))
    cases = [case for case in found if case is not None]
    rows: list[Row] = []
    for label, (make, several) in methods(args, bridge).items():
        if not args.methods or label in args.methods:
            rows += rows_of(label, make(), cases, several)
    print("\n".join([protocol(args, bridge, shapes, cases), "", *table(rows, cases, args.seed), ""]))
    print("\n".join(by_category(rows, cases)))


if __name__ == "__main__":
    main()
