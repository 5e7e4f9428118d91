"""Meshes from one picture of held-out shapes: priors beside each other, one reconstructor, one scorer. Prints Markdown.

    python -m benchmarks.reconstruction --weights images-views --latents images-latents --data procedural --shapes 200
    python -m benchmarks.reconstruction --weights images-views --data random-objects --train procedural --shapes 90
    python -m benchmarks.reconstruction --rows retrieval "oracle views" --shapes 50      # needs no weights
    python -m benchmarks.reconstruction --split val --votes 1 2 3 --shapes 57 --rows "retrieval" "mean of the nearest 2"

Shapes of `--split` of a set of rendered views (`scigen data prepare views`), the same number of every category as far
as it goes, one of its photographs each. The truth is the mesh of generated shapes, and for a set of points the surface
that its views were rendered from. Nothing is aligned: mesh and truth stand in the truth's unit frame, y up, front to
+z, sphere of diameter 1; volumes on 128^2 columns, `POINTS` points of each surface for CD-L1 = (mean a + mean b) / 2,
F, and the mean |n . n'| of nearest points. A draw that leaves no mesh has IoU 0 and F 0, and no CD.

Retrieval, the mean and the class means search the training shapes of `--train`; the class mean alone is told the class.
`retrieval, shipped` searches `--memory`. With several `--votes`, every row is printed for each.
`selected` is the draw whose mesh agrees best with the picture, `best` the one of greatest true IoU. Intervals are 95 %
bootstrap over shapes; those against retrieval are paired. Times are processor seconds of one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from functools import partial as bind

import numpy as np

from scigen.domains.image3d.carve import Carving
from scigen.domains.image3d.prior import MeanPrior, MultiViewPrior, RetrievalPrior
from scigen.domains.image3d.reconstruct import Reconstruct, reprojection
from scigen.domains.image3d.rendering import STREAM, surface_of
from scigen.domains.image3d.rig import CUBE
from scigen.domains.image3d.score import score_mesh, score_views
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.views import Views
from scigen.domains.image3d.viewset import MEMORY, ViewSet, load_views
from scigen.domains.points.scores import mean_estimate
from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.pack import PackedShapes, load_shapes
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.sets import SPLITS
from scigen.domains.shapes.surface import surface_area
from scigen.errors import NumericError
from scigen.io.shape import Mesh
from scigen.metrics.floor import chamfer_l1_floor
from scigen.parallel import one_each_core
from scigen.run.picture import Wanted, prior_of

POINTS, TAU = 10_000, 0.02
HEADS = {
    "iou": ("IoU", 1.0), "chamfer_l1": ("CD-L1 x1000", 1e3), f"f_score@{TAU:g}": (f"F@{TAU:g}", 1.0),
    "normal_consistency": ("normals", 1.0), "mask_iou": ("mask IoU", 1.0), "normal_angle": ("angle, degrees", 1.0),
    "depth_mae": ("depth MAE x1000", 1e3),
}  # fmt: skip

Values = dict[str, float]
Method = Callable[["Case"], Sequence[Views]]  # one answer or several draws


@dataclass(frozen=True)
class Case:
    """A test shape: one picture of it, its true views, its mesh, and its name and class."""

    id: str
    category: str
    subject: Subject
    views: Views
    mesh: Mesh


@dataclass(frozen=True)
class Row:
    """One line of the table: a value for every case, and processor seconds of views and of a mesh."""

    label: str
    values: Sequence[Values]
    seconds: tuple[float, float] | None = None


def chosen(views: ViewSet, count: int, seed: int, split: str = "test") -> list[int]:
    """`count` shapes of a split in turn from every category, in an order that only the seed decides."""
    rng, test = np.random.default_rng(seed), views.where(split)
    piles = [rng.permutation(test[views.category[test] == c]).tolist() for c in range(len(views.categories))]
    rounds = range(max(map(len, piles)))
    return [pile[turn] for turn in rounds for pile in piles if turn < len(pile)][:count]


def truth(views: ViewSet, k: int) -> Mesh:
    """The mesh that the views of shape k were rendered from."""
    name = str(views.ids[k])
    if views.name != ProceduralSet.name:
        shapes = _shapes(views.name)
        return surface_of(shapes, shapes.ids.tolist().index(name), shape_rng(0, name, STREAM))
    family, _, number = name.rpartition("-")
    return ProceduralSet(int(number) + 1, families=[f for f in FAMILIES if f.name == family]).mesh(int(number))


@cache
def _shapes(name: str) -> PackedShapes:
    return load_shapes(name)


def case_of(views: ViewSet, seed: int, k: int) -> Case:
    """Shape k and one of its pictures, which the seed decides."""
    name, category = str(views.ids[k]), views.categories[views.category[k]]
    picture = int(shape_rng(seed, name, 2).integers(views.azimuth.shape[1]))
    return Case(name, category, views.subject(k, picture), views.views(k), truth(views, k))


def measured(views: Views, case: Case, reconstruct: Reconstruct) -> Values:
    """Every score of one set of views and of the mesh they make, its agreement with the picture, and seconds."""
    found, began = score_views(views, case.views), time.process_time()
    try:
        mesh = reconstruct(views)
    except NumericError:
        return found | {"iou": 0.0, f"f_score@{TAU:g}": 0.0, "agreement": -1.0, "seconds": time.process_time() - began}
    found["seconds"] = time.process_time() - began
    found["agreement"] = reprojection(mesh, case.subject).iou
    return found | score_mesh(mesh, case.mesh, np.random.default_rng(0), POINTS, TAU)


def rows_of(label: str, method: Method, cases: Sequence[Case], reconstruct: Reconstruct) -> list[Row]:
    """The row of a method; of several draws their mean, the one selected by the picture, and the best by the truth."""

    def run(k: int) -> tuple[list[Values], float]:
        began = time.process_time()
        drawn = method(cases[k])
        spent = (time.process_time() - began) / len(drawn)
        return [measured(views, cases[k], reconstruct) for views in drawn], spent

    found = list(one_each_core(run, range(len(cases))))
    seconds = (
        float(np.mean([spent for _, spent in found])),
        float(np.mean([one["seconds"] for each, _ in found for one in each])),
    )
    draws = len(found[0][0])
    means = [{key: float(np.mean([v[key] for v in each if key in v])) for key in each[0]} for each, _ in found]
    rows = [Row(f"{label}, mean of {draws}" if draws > 1 else label, means, seconds)]
    if draws > 1:
        rows += [Row(f"{label}, selected", [max(each, key=lambda one: one["agreement"]) for each, _ in found])]
        rows += [Row(f"{label}, best of {draws}", [max(each, key=lambda one: one["iou"]) for each, _ in found])]
    for row in rows:  # an hour may lie between this row and the table
        print(line(row, None, 0), file=sys.stderr, flush=True)
    return rows


def methods(args: argparse.Namespace, train: ViewSet, cases: Sequence[Case]) -> dict[str, Callable[[], Method]]:
    """What makes each method by its label; nothing is made before it is asked for."""
    rows = train.where("train")

    def asked(prior: MultiViewPrior, draws: int = 1) -> Method:
        prior.sample(cases[0].subject, 1, args.seed)  # what is made once is made before the processes part
        return lambda case: prior.sample(case.subject, draws, args.seed)

    def always(prior: MeanPrior) -> Method:
        views = prior.sample(cases[0].subject)
        return lambda case: views

    def mixed(prior: RetrievalPrior, count: int) -> Method:
        return lambda case: MeanPrior(train, np.array(prior.nearest(case.subject, count))).sample(case.subject)

    def ours(name: str, weights: str, draws: int, guidance: float = 1.0) -> Method:
        wanted = Wanted(name, args.train, None, CUBE, weights, steps=args.steps, guidance=guidance)
        return asked(prior_of(wanted), draws)

    @cache
    def class_mean(category: str) -> Sequence[Views]:
        own = rows[train.category[rows] == train.categories.index(category)]
        return MeanPrior(train, own).sample(cases[0].subject)

    made: dict[str, Callable[[], Method]] = {"mean shape": lambda: always(MeanPrior(train, rows))}
    if {case.category for case in cases} <= set(train.categories):
        made["class mean (class given)"] = lambda: lambda case: class_mean(case.category)
    made["retrieval"] = lambda: asked(RetrievalPrior(train, rows))
    made["retrieval, shipped"] = lambda: asked(_nearest(load_views(args.memory)))
    made["mean of the nearest 2"] = lambda: mixed(RetrievalPrior(train, rows), 2)
    if args.weights:
        made["regression head"] = lambda: ours("regression", args.weights, 1)
        made["diffusion"] = lambda: ours("scigen", args.weights, args.draws, args.guidance)
    if args.latents:
        made["latent points"] = lambda: ours("latent", args.latents, args.draws)
    made["oracle views"] = lambda: lambda case: [case.views]
    return made


def _nearest(views: ViewSet) -> RetrievalPrior:
    return RetrievalPrior(views, views.where("train"))


def line(row: Row, rival: Row | None, seed: int) -> str:
    """One line of Markdown: means with their intervals, and what it gains over `rival`, shape by shape."""
    cells = [_cell([v[name] * unit for v in row.values if name in v], seed) for name, (_, unit) in HEADS.items()]
    for name, unit, sign in (("iou", 1.0, 1), ("chamfer_l1", 1e3, -1)):
        pairs = [] if rival is None or rival is row else zip(row.values, rival.values)
        cells.append(_cell([sign * unit * (a[name] - b[name]) for a, b in pairs if name in a and name in b], seed))
    cells.append("" if row.seconds is None else f"{row.seconds[0]:.2f} + {row.seconds[1]:.2f}")
    return f"| {row.label} | {' | '.join(cells)} |"


def _cell(values: list[float], seed: int) -> str:
    found = mean_estimate([x for x in values if np.isfinite(x)], seed)
    low, high = (found and found.interval) or (np.nan, np.nan)
    return "" if found is None else f"{found.value:.3g} ({low:.3g} to {high:.3g})"


def table(rows: Sequence[Row], cases: Sequence[Case], seed: int) -> Iterator[str]:
    """All rows; the last is what two samplings of the true surfaces score against each other."""
    heads = [head for head, _ in HEADS.values()] + ["IoU over retrieval", "CD below retrieval", "s views + mesh"]
    yield "| | " + " | ".join(heads) + " |"
    yield "|---" * (len(heads) + 1) + "|"
    rival = next((row for row in rows if row.label.split(", votes")[0] == "retrieval"), None)
    yield from (line(row, rival, seed) for row in rows)
    floors = [{"chamfer_l1": chamfer_l1_floor(surface_area(case.mesh), POINTS)} for case in cases]
    yield line(Row("sampling floor", floors), None, seed)


def by_category(rows: Sequence[Row], cases: Sequence[Case]) -> Iterator[str]:
    """IoU, category by category."""
    yield "| IoU | shapes | " + " | ".join(row.label for row in rows) + " |"
    yield "|---" * (len(rows) + 2) + "|"
    for name in sorted({case.category for case in cases}):
        own = [k for k, case in enumerate(cases) if case.category == name]
        means = (float(np.mean([row.values[k]["iou"] for k in own])) for row in rows)
        yield f"| {name} | {len(own)} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |"


def protocol(args: argparse.Namespace, views: ViewSet, train: ViewSet, count: int) -> str:
    """Everything a figure of the table must be read with."""
    return (
        f"{count} {args.split} shapes of `{views.name}` ({views.content_hash()[:12]}), one picture each, not aligned,"
        f" sphere of diameter 1; {POINTS:,} points a surface; baselines search {len(train.where('train')):,} shapes of"
        f" `{train.name}` ({train.content_hash()[:12]}), `shipped` those of `{args.memory}`; {args.steps} steps,"
        f" guidance {args.guidance:g}, grid {args.grid}, votes {' '.join(map(str, args.votes))}; seed {args.seed};"
        f" weights {args.weights or 'none'}, {args.latents or 'none'}; 95 % bootstrap intervals over shapes"
    )


def main() -> None:
    """Parse, reconstruct, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="of `images/views`, by name or file; without them their rows are left out")
    parser.add_argument("--latents", help="weights of `images/latents`, likewise")
    parser.add_argument("--data", default="procedural", help="rendered views, by name in the cache or path")
    parser.add_argument("--train", default="procedural", help="rendered views that the baselines search")
    parser.add_argument("--memory", default=MEMORY, help="rendered views that `retrieval, shipped` searches")
    parser.add_argument("--split", default="test", choices=SPLITS)
    parser.add_argument("--shapes", type=int, default=200)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--grid", type=int, default=96, help="nodes along a side when carving")
    parser.add_argument("--votes", type=int, nargs="+", default=[Carving().votes])
    parser.add_argument("--rows", nargs="*", help="labels of the rows to measure [all]")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    views, train = load_views(args.data), load_views(args.train)
    cases = list(one_each_core(bind(case_of, views, args.seed), chosen(views, args.shapes, args.seed, args.split)))
    rows: list[Row] = []
    for label, make in methods(args, train, cases).items():
        method = make() if not args.rows or label in args.rows else None
        for votes in args.votes if method else ():
            name = f"{label}, votes {votes}" if len(args.votes) > 1 else label
            rows += rows_of(name, method, cases, Reconstruct(Carving(args.grid, votes)))
    print(protocol(args, views, train, len(cases)))
    print("\n".join(["", *table(rows, cases, args.seed), "", *by_category(rows, cases)]))


if __name__ == "__main__":
    main()
