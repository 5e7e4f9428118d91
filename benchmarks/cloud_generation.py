"""Generated clouds against held-out ones, category by category, beside what needs no model. Prints Markdown.

    python -m benchmarks.cloud_generation --weights points-prior --data procedural --categories chair table
    python -m benchmarks.cloud_generation --weights points-prior --raw runs/raw/weights.safetensors --n 50 --emd 0
    python -m benchmarks.cloud_generation --rows "other half" prior --steps 25 --process vp --solver heun

1-NNA (50 % is one law), COV and MMD by Chamfer distance and by exact EMD of 512 points, of at most `--emd` clouds a
set. The held-out shapes of a category (test and validation) are dealt in two halves of up to `--n`: the first is the
reference of every row, the second is the row `other half`, the score of one law, which no model beats but by luck; the
same shapes through the codec are the ceiling of any model on its latent points.

All clouds have `--points` points in the shapes' own frame (y up, bounding sphere of diameter 1); shapes that hold fewer
are left out. A decoder spreads points more evenly than a random sample, and 1-NNA sees it: four times as many are
decoded and thinned at random, like the reference's own points. A line a row and category, 95 % intervals; on an idle
core 100 clouds a set take a minute for CD and 50 for EMD another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial as bind
from typing import cast

import numpy as np

from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.collect import Item, fingerprint
from scigen.domains.points.sampler import Plan
from scigen.domains.points.scores import Terms, mean_estimate, score_sets
from scigen.domains.shapes.identity import shape_rng
from scigen.domains.shapes.pack import PackedShapes, load_shapes
from scigen.io.shape import Cloud
from scigen.metrics.chamfer import indexed
from scigen.metrics.density import stray_share
from scigen.metrics.score import Score
from scigen.metrics.stats import wilson
from scigen.metrics.transport import random_subset
from scigen.nn.point_codec import PointCodec
from scigen.run import weights as store
from scigen.run.build import affine_process, named_solver
from scigen.run.draw import Model, Request, load_model
from scigen.run.sample_points import sample_points

EMD = 512
DENSER = 4  # decoded points of which one in so many is kept
NOISE = 0.02  # standard deviation of the noise on the class mean, in diameters
KERNELS = ("cd", f"emd@{EMD}")

Clouds = list[np.ndarray]  # [P, 3] each


def halves(shapes: PackedShapes, category: str, n: int, points: int, seed: int) -> tuple[list[int], list[int]]:
    """Up to n held-out shapes for the reference and as many others, test and validation shapes together.

    Raises `SystemExit` when there are not two of each.
    """
    held = np.concatenate([shapes.where(split, category) for split in ("test", "val")])
    held = np.random.default_rng(seed).permutation(held[shapes.size[held] >= points]).tolist()
    half = min(n, len(held) // 2)
    if half < 2:
        raise SystemExit(f"{len(held)} held-out shapes of '{category}' with {points} points; two halves need four.")
    return held[:half], held[half : 2 * half]


def sampled(shapes: PackedShapes, rows: Sequence[int], points: int, seed: int, draw: int) -> Clouds:
    """So many of each shape's points."""
    return [shapes.cloud(k, points, shape_rng(seed, str(shapes.ids[k]), draw)).points for k in rows]


def mean_shapes(shapes: PackedShapes, rows: np.ndarray, n: int, count: int, rng: np.random.Generator) -> Clouds:
    """n clouds of the class mean with noise: every point is one of a training shape drawn for it alone."""

    def one() -> np.ndarray:
        k = rng.choice(rows, count)
        points = shapes.points[k, rng.integers(shapes.size[k])].astype(np.float32)
        return points + NOISE * rng.standard_normal(points.shape).astype(np.float32)

    return [one() for _ in range(n)]


def thinned(clouds: Sequence[Cloud], points: int, rng: np.random.Generator) -> Clouds:
    """A random sample of what was decoded."""
    return [random_subset(cloud.points, points, rng) for cloud in clouds]


def through(model: Model, originals: Sequence[np.ndarray], rng: np.random.Generator) -> Clouds:
    """Clouds encoded and decoded: the same shapes, as well as the codec can say them."""
    assert model.codec is not None
    count = len(originals[0])
    codec = CloudCodec(cast(PointCodec, model.codec.network), DENSER * count)
    return thinned(codec.decode(codec.encode_all([Cloud(points) for points in originals])), count, rng)


def generated(model: Model, category: str, n: int, args: argparse.Namespace, rng: np.random.Generator) -> Clouds:
    """n samples of the class; a prior's are decoded densely and thinned."""
    plan = Plan(affine_process(args.process), named_solver(args.solver, steps=args.steps), args.steps,
                guidance=args.guidance)  # fmt: skip
    points = args.points if model.codec is None else DENSER * args.points
    made = sample_points(model, Request(n, args.seed, plan, points, category), lambda stage, done, total: None)
    if made.failed:
        print(f"{category}: {len(made.failed)} of {n} samples are not finite", file=sys.stderr)
    return thinned(list(made.shapes.values()), args.points, rng)


def makers(
    shapes: PackedShapes, category: str, other: Sequence[int], models: Mapping[str, Model], args: argparse.Namespace
) -> dict[str, Callable[[], Clouds]]:
    """What makes each row's clouds, by its label; nothing is made before it is asked for."""
    rng, n = np.random.default_rng([args.seed, shapes.categories.index(category)]), len(other)
    train = shapes.where("train", category)
    rows: dict[str, Callable[[], Clouds]] = {
        "other half": lambda: sampled(shapes, other, args.points, args.seed, 1),
        "training shapes": lambda: sampled(shapes, rng.permutation(train)[:n].tolist(), args.points, args.seed, 2),
        "class mean with noise": lambda: mean_shapes(shapes, train, n, args.points, rng),
    }
    for label, model in models.items():
        if model.codec is not None:
            rows["codec ceiling"] = bind(through, model, rows["other half"](), rng)
        rows[label] = bind(generated, model, category, n, args, rng)
    return rows


def scored(clouds: Clouds, reference: Clouds, args: argparse.Namespace) -> dict[str, Score]:
    """Every set score of one row, and the share of clouds without a stray point."""
    gen, ref = ([Item(str(k), points, None) for k, points in enumerate(some)] for some in (clouds, reference))
    terms = Terms("none", args.points, EMD if args.emd else 0, args.emd, seed=args.seed)
    found = {score.name: score for score in score_sets(gen, ref, 0, terms, lambda stage, done, total: None)[0]}
    clean = sum(stray_share(indexed(points)) == 0 for points in clouds)
    share = Score("clean", clean / len(clouds), wilson(clean, len(clouds)), len(clouds), "clouds without stray points")
    return found | {"clean": share}


def heads(emd: bool) -> list[str]:
    """The columns: for each kernel 1-NNA, COV and MMD, then strays."""
    kernels = KERNELS if emd else KERNELS[:1]
    return [*(f"{name} {kernel.upper()}" for kernel in kernels for name in ("1-NNA", "COV", "MMD")), "no stray point"]


def line(category: str, label: str, scores: Mapping[str, Score], emd: bool) -> str:
    """One line of Markdown; shares in %, MMD x1000."""
    kernels = KERNELS if emd else KERNELS[:1]
    names = [f"{name}_{kernel}" for kernel in kernels for name in ("1nna", "cov", "mmd")]
    cells = [cell(scores[name], 1e3 if name.startswith("mmd") else 100.0) for name in (*names, "clean")]
    return f"| {category} | {label} | {scores['clean'].n} | " + " | ".join(cells) + " |"


def cell(score: Score, unit: float) -> str:
    """Value and interval."""
    return "-" if score.value is None else shown(unit * score.value, score.interval, unit)


def shown(value: float, interval: tuple[float, float] | None, unit: float = 1.0) -> str:
    """A number, and its interval where there is one."""
    if interval is None:
        return f"{value:.3g}"
    low, high = (round(unit * end, 6) for end in interval)
    return f"{value:.3g} ({low:.3g} to {high:.3g})"


def means(found: Mapping[str, Sequence[Mapping[str, Score]]], emd: bool) -> Iterator[str]:
    """Means over the categories, with a bootstrap interval over them, and the worst 1-NNA by CD."""
    names = ["1nna_cd", *([f"1nna_{KERNELS[1]}"] if emd else []), "clean"]
    columns = ["1-NNA CD", "worst", *([f"1-NNA {KERNELS[1].upper()}"] if emd else []), "no stray point"]
    yield f"| mean over categories | {' | '.join(columns)} |"
    yield "|---" * (len(columns) + 1) + "|"
    for label, scores in found.items():
        cells = []
        for name in names:
            values = [100 * one[name].value for one in scores if one[name].value is not None]
            estimate = mean_estimate(values, 0)
            cells.append("-" if estimate is None else shown(estimate.value, estimate.interval))
            if name == "1nna_cd":
                cells.append(f"{max(values):.3g}" if values else "-")
        yield f"| {label} | " + " | ".join(cells) + " |"


def models_of(args: argparse.Namespace) -> dict[str, Model]:
    """The prior, and the model of raw points where its weights are given; neither with `--weights none`."""
    out = {} if args.weights == "none" else {"prior": load_model(store.read(args.weights), args.codec)}
    return out | ({"raw points": load_model(store.read(args.raw), None)} if args.raw else {})


def protocol(shapes: PackedShapes, models: Mapping[str, Model], args: argparse.Namespace) -> str:
    """Everything a figure of the table must be read with, but the fingerprints of the references."""
    names = ", ".join(model.weights.path.stem for model in models.values()) or "none"
    return (
        f"`{shapes.name}` ({shapes.content_hash()[:12]}), {args.points:,} points, the shapes' own frame, sphere of"
        f" diameter 1; CD and MMD of squared distances, EMD exact; weights {names}; {args.process}, {args.solver},"
        f" {args.steps} steps, guidance {args.guidance:g}; seed {args.seed}; 95 % intervals"
    )


def main() -> None:
    """Parse, draw, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="points-prior", help="of the prior; none: the rows that need no model")
    parser.add_argument("--codec", help="weights of its codec, where the card does not lead to them")
    parser.add_argument("--raw", help="weights of a model of raw points")
    parser.add_argument("--data", default="procedural", help="packed collection, by name or path")
    parser.add_argument("--categories", nargs="*", default=[], help="[all]")
    parser.add_argument("--rows", nargs="*", default=[], help="labels of the rows to measure [all]")
    parser.add_argument("--n", type=int, default=100, help="clouds of a set, at most")
    parser.add_argument("--emd", type=int, default=50, help="clouds of a set compared by EMD; 0: none")
    parser.add_argument("--points", type=int, default=2048)
    parser.add_argument("--process", default="flow")
    parser.add_argument("--solver", default="dpmpp2m")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    shapes, models = load_shapes(args.data), models_of(args)
    found: dict[str, list[dict[str, Score]]] = {}
    print(protocol(shapes, models, args) + "\n")
    columns = ["", "row", "n", *heads(args.emd > 0)]
    print(f"| {' | '.join(columns)} |\n" + "|---" * len(columns) + "|")
    hashes = []
    for category in args.categories or shapes.categories:
        rows, other = halves(shapes, category, args.n, args.points, args.seed)
        reference = sampled(shapes, rows, args.points, args.seed, 1)
        hashes.append(f"{category} {fingerprint([Item(str(k), x, None) for k, x in zip(rows, reference)])}")
        for label, make in makers(shapes, category, other, models, args).items():
            if not args.rows or label in args.rows:
                found.setdefault(label, []).append(scored(make(), reference, args))
                print(line(category, label, found[label][-1], args.emd > 0), flush=True)
    print("\n".join(["", *means(found, args.emd > 0)]))
    print(f"\nReferences: {'; '.join(hashes)}.")


if __name__ == "__main__":
    main()
