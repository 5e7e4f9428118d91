"""Operations on point clouds side by side, in one run: read the ratios, the rest is this machine.

    python -m benchmarks.point_ops [--clouds 8 --turns 3]

Nearest neighbours, farthest points, Chamfer and earth mover's distance: ours, the plain way in SciPy or torch, and
point-cloud-utils, fpsample and POT where they are installed. All answer the same question and must agree before they
are timed. Processor time on one thread; rivals take turns and the fastest turn of each counts.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from benchmarks.molecule_networks import seconds
from scigen.metrics.chamfer import chamfer_sum, indexed, match
from scigen.metrics.transport import emd
from scigen.nn.neighbours import farthest, knn

POINTS = 2048
Clouds = Sequence[np.ndarray]


def clouds(n: int, points: int = POINTS) -> list[np.ndarray]:
    """Ellipsoids of random axes, points uniform in angle."""
    rng = np.random.default_rng(0)
    unit = rng.standard_normal((n, points, 3))
    return list(unit / np.linalg.norm(unit, axis=2, keepdims=True) * rng.uniform(0.3, 1, (n, 1, 3)))


def optional(name: str) -> ModuleType | None:
    """The package, or None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def pairs(all_clouds: Clouds) -> Iterator[tuple[int, int]]:
    """Every pair once."""
    return ((i, j) for i in range(len(all_clouds)) for j in range(i))


def neighbour_rivals(all_clouds: Clouds, k: int = 16) -> dict[str, Callable[[], np.ndarray]]:
    """Distances to the k nearest of the same cloud."""
    batch = torch.from_numpy(np.stack(all_clouds))
    rivals = {
        "scigen knn": lambda: knn(batch, batch, k)[0].numpy(),
        "torch cdist, topk": lambda: torch.cdist(batch, batch).topk(k, largest=False).values.numpy(),
        "scipy cKDTree": lambda: np.stack([cKDTree(c).query(c, k)[0] for c in all_clouds]),
    }
    if pcu := optional("point_cloud_utils"):
        rivals["point-cloud-utils"] = lambda: np.stack([pcu.k_nearest_neighbors(c, c, k)[0] for c in all_clouds])
    return rivals


def farthest_rivals(all_clouds: Clouds, k: int = 512) -> dict[str, Callable[[], np.ndarray]]:
    """Index of k farthest points, the first of the cloud to start with."""
    batch = torch.from_numpy(np.stack(all_clouds))
    start = torch.zeros(len(batch), dtype=torch.long)

    def plain(cloud: np.ndarray) -> np.ndarray:
        chosen, near = [0], np.full(len(cloud), np.inf)
        while len(chosen) < k:
            near = np.minimum(near, np.square(cloud - cloud[chosen[-1]]).sum(1))
            chosen.append(int(near.argmax()))
        return np.array(chosen)

    rivals = {
        "scigen farthest": lambda: farthest(batch, k, start=start).numpy(),
        "numpy loop": lambda: np.stack([plain(cloud) for cloud in all_clouds]),
    }
    if fps := optional("fpsample"):
        rivals["fpsample"] = lambda: np.stack([fps.fps_sampling(c, k, start_idx=0) for c in all_clouds])
    return rivals


def chamfer_rivals(all_clouds: Clouds) -> dict[str, Callable[[], np.ndarray]]:
    """The matrix of mean a + mean b."""

    def table(distance: Callable[[int, int], float]) -> np.ndarray:
        return np.array([distance(i, j) for i, j in pairs(all_clouds)])

    def ours() -> np.ndarray:
        ready = [indexed(cloud) for cloud in all_clouds]
        return table(lambda i, j: chamfer_sum(match(ready[i], ready[j])))

    def plain(i: int, j: int) -> float:
        a, b = all_clouds[i], all_clouds[j]
        return float(cKDTree(b).query(a)[0].mean() + cKDTree(a).query(b)[0].mean())

    def dense(i: int, j: int) -> float:
        d = torch.cdist(*(torch.from_numpy(all_clouds[k]) for k in (i, j)))
        return float(d.min(0).values.mean() + d.min(1).values.mean())

    rivals = {"scigen match": ours, "scipy, trees by pair": lambda: table(plain), "torch cdist": lambda: table(dense)}
    if pcu := optional("point_cloud_utils"):
        rivals["point-cloud-utils"] = lambda: table(lambda i, j: pcu.chamfer_distance(all_clouds[i], all_clouds[j]))
    return rivals


def transport_rivals(all_clouds: Clouds) -> dict[str, Callable[[], np.ndarray]]:
    """The matrix of exact EMD."""

    def table(distance: Callable[[np.ndarray, np.ndarray], float]) -> np.ndarray:
        return np.array([distance(all_clouds[i], all_clouds[j]) for i, j in pairs(all_clouds)])

    def plain(a: np.ndarray, b: np.ndarray) -> float:
        cost = cdist(a, b)
        return float(cost[linear_sum_assignment(cost)].mean())

    rivals = {"scigen emd": lambda: table(emd), "scipy assignment": lambda: table(plain)}
    if ot := optional("ot"):
        rivals["POT emd2"] = lambda: table(lambda a, b: ot.emd2([], [], cdist(a, b)))
    return rivals


def compare(title: str, rivals: Mapping[str, Callable[[], np.ndarray]], units: int, turns: int) -> None:
    """Time of a unit of work and the ratio to ours; refuses to time rivals that answer differently."""
    answers = {name: call() for name, call in rivals.items()}
    ours = next(iter(answers.values()))
    for name, answer in answers.items():
        if not np.allclose(answer, ours, rtol=1e-6, atol=1e-6):
            raise SystemExit(f"{title}: {name} answers differently, by {np.abs(answer - ours).max():.2e}")
    took = seconds(rivals, turns)
    first = next(iter(took.values()))
    print(f"\n{title}")
    for name, spent in took.items():
        print(f"  {name:22}{1e3 * spent / units:10.3f} ms  {spent / first:7.2f} times ours")


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clouds", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3, help="timed turns of each rival")
    args = parser.parse_args()
    torch.set_num_threads(1)
    some = clouds(args.clouds)
    count = len(list(pairs(some)))
    compare(f"16 nearest of {POINTS} points, a cloud", neighbour_rivals(some), len(some), args.turns)
    compare(f"512 farthest of {POINTS} points, a cloud", farthest_rivals(some), len(some), args.turns)
    compare(f"Chamfer of {POINTS} points, a pair of {len(some)} clouds", chamfer_rivals(some), count, args.turns)
    for n in (512, 1024):
        few = clouds(args.clouds, n)
        compare(f"EMD of {n} points, a pair", transport_rivals(few), count, args.turns)


if __name__ == "__main__":
    main()
