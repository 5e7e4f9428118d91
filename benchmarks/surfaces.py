"""Meshes from oriented points, one object of each generated family: validity, genus, distance, overlap, time.

    python -m benchmarks.surfaces

CD / floor is the Chamfer distance of 8,192 points of each surface over what two samplings of the true one score; genus
is right where it is the true mesh's. Times are processor time of `closed_surface` on one thread. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np
import torch

from scigen.domains.meshes.surface import closed_surface
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.surface import sample_surface
from scigen.metrics.chamfer import chamfer_l1, indexed, match
from scigen.metrics.floor import chamfer_l1_floor
from scigen.metrics.mesh import examine
from scigen.metrics.mesh_pairs import volume_overlap

SETTINGS = ((2048, 64), (8192, 64), (8192, 128))  # points, grid
COMPARED = 8192


def row(shapes: ProceduralSet, n: int, size: int) -> str:
    """One line of the table."""
    rng, out = np.random.default_rng(0), []
    for k in range(len(shapes)):
        true, cloud = shapes.mesh(k), shapes.cloud(k, n, rng)
        began = time.process_time()
        made = closed_surface(cloud, size)
        milliseconds = 1e3 * (time.process_time() - began)
        want, found = (examine(m.vertices, m.faces) for m in (true, made))
        distance = chamfer_l1(match(*(indexed(sample_surface(m, COMPARED, rng)[0].points) for m in (made, true))))
        overlap = volume_overlap((made.vertices, made.faces), (true.vertices, true.faces)).iou
        whole = found.solid and found.manifold and found.watertight
        right = found.genus == want.genus
        floor = chamfer_l1_floor(want.area, COMPARED)
        out.append((whole, found.intersections == 0, right, distance / floor, overlap, milliseconds))
    return f"| {n:,}, {size}^3 | " + " | ".join(cells(np.array(out, np.float64))) + " |"


def cells(found: np.ndarray) -> Sequence[str]:
    """Counts, then medians with means, then the times."""
    counts = [f"{int(column.sum())}/{len(found)}" for column in found.T[:3]]
    ratio, overlap, took = found.T[3:]
    return [
        *counts, f"{np.median(ratio):.2f} ({ratio.mean():.2f})", f"{np.median(overlap):.3f} ({overlap.mean():.3f})",
        f"{np.median(took):.0f} ({took.max():.0f})",
    ]  # fmt: skip


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    shapes = ProceduralSet(1, seed=args.seed)
    print("| points, grid | solid, manifold | no self-intersection | genus right | CD / floor, median (mean) |", end="")
    print(" IoU, median (mean) | ms, median (max) |\n|" + "---|" * 7)
    for n, size in SETTINGS:
        print(row(shapes, n, size), flush=True)


if __name__ == "__main__":
    main()
