"""What a picture to a mesh costs, piece by piece, and views a second of every renderer that is here. Prints Markdown.

    python -m benchmarks.view_costs                         # a network of the preset's size, untrained
    python -m benchmarks.view_costs --weights images-views --pixels 48 96

Processor time of one thread, the median of `--repeats`, on one generated shape of each of a few families.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from benchmarks.meshes import seconds
from scigen.domains.image3d.carve import Carving, carve
from scigen.domains.image3d.diffusion_prior import DiffusionPrior, Draws
from scigen.domains.image3d.photograph import photograph
from scigen.domains.image3d.reconstruct import reprojection
from scigen.domains.image3d.render import render
from scigen.domains.image3d.rig import CUBE, Viewpoint
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.rays import draw_mesh, trace_all
from scigen.io.shape import Mesh
from scigen.run import weights as store
from scigen.run.build import affine_process, named_solver
from scigen.run.build_views import diffusion_prior, views_network
from scigen.run.schema_views import SidesNetworkConfig

STEPS = 30


def renderers(meshes: Sequence[Mesh], sides: Sequence[int], repeats: int) -> list[str]:
    """Views a second by backend and side, one ray a pixel, the building of the tree counted in."""
    backends: dict[str, Callable[..., Any]] = {"z-buffer (numpy)": lambda m, poses: [draw_mesh(m, p) for p in poses]}
    if find_spec("embreex"):
        backends = {"Embree": trace_all} | backends
    lines = ["| renderer | " + " | ".join(f"views/s at {n} px" for n in sides) + " |", "|---" * (len(sides) + 1) + "|"]
    for name, trace in backends.items():
        rates = []
        for n in sides:
            took = seconds(lambda n=n, trace=trace: [trace(mesh, CUBE.poses(n)) for mesh in meshes], repeats)
            rates.append(f"{len(CUBE) * len(meshes) / took:,.0f}")
        lines.append(f"| {name} | {' | '.join(rates)} |")
    return lines


def pieces(meshes: Sequence[Mesh], prior: Callable[[bool], DiffusionPrior], repeats: int) -> list[str]:
    """Seconds of every stage, and how many a second."""
    n, rng = prior(True).pixels, np.random.default_rng(0)
    subjects = [photograph(mesh, Viewpoint(30, 20), n, rng)[0] for mesh in meshes]
    views = [render(mesh, CUBE, n) for mesh in meshes]
    work: dict[str, Callable[[int], Any]] = {
        "render the six views, 9 rays a pixel": lambda k: render(meshes[k], CUBE, n),
        "photograph": lambda k: photograph(meshes[k], Viewpoint(30, 20), n, np.random.default_rng(k)),
        "views by regression": lambda k: prior(False).sample(subjects[k]),
        f"views by diffusion, {STEPS} steps": lambda k: prior(True).sample(subjects[k]),
        f"four draws of them, {STEPS} steps": lambda k: prior(True).sample(subjects[k], 4),
        "carve, 64^3": lambda k: carve(views[k], Carving(64)),
        "carve, 96^3": lambda k: carve(views[k], Carving(96)),
        "agreement with the picture, 72 sides": lambda k: reprojection(meshes[k], subjects[k]),
    }
    lines = [f"| {n} pixels | cpu-s | a cpu-second |", "|---|---|---|"]
    for name, job in work.items():
        took = seconds(lambda job=job: [job(k) for k in range(len(meshes))], repeats) / len(meshes)
        lines.append(f"| {name} | {took:.3g} | {1 / took:.3g} |")
    return lines


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="of `images/views` [an untrained network of the preset's size]")
    parser.add_argument("--pixels", type=int, nargs="*", default=[48, 96, 256])
    parser.add_argument("--families", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    made = ProceduralSet(1)
    meshes = [made.mesh(k) for k in np.linspace(0, len(FAMILIES) - 1, args.families).astype(int)]

    def prior(drawn: bool) -> DiffusionPrior:
        solver = named_solver("dpmpp2m", 0.0, STEPS) if drawn else None
        draws = Draws(affine_process("flow"), solver, STEPS)
        if args.weights:
            return diffusion_prior(store.read(args.weights), draws, "cpu")
        return DiffusionPrior(views_network(SidesNetworkConfig()).eval(), 1.0, draws)

    print("\n".join([*renderers(meshes, args.pixels, args.repeats), "", *pieces(meshes, prior, args.repeats)]))


if __name__ == "__main__":
    main()
