"""Seconds a mesh: latent points to oriented points, spectral Poisson, marching cubes, checks; and what others take.

    python -m benchmarks.meshes                                  # networks of the default size, untrained: same cost
    python -m benchmarks.meshes --codec points-codec --decoder runs/implicit/weights.safetensors

Oriented points are those of a generated shape, as many as `scigen sample meshes` decodes. `skimage alone` is marching
cubes on the finished field. The implicit decoder is asked in the band around a ball of radius 0.4, more surface than
most shapes have: an untrained network has no band of its own. open3d and pymeshlab (screened Poisson, depth 6 for 64^3,
else 7) join where they are installed. Processor time of one thread, the median of `--repeats`; prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import torch

from scigen.domains.meshes.decode import cover
from scigen.domains.meshes.implicit import signed_field
from scigen.domains.meshes.surface import extract, point_areas, surface_of
from scigen.domains.points.codec import CloudCodec
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.io.shape import Cloud
from scigen.nn.implicit import ImplicitNetwork
from scigen.nn.point_codec import PointCodec
from scigen.nn.poisson import indicator
from scigen.run import weights as store
from scigen.run.build import network
from scigen.run.schema import CodecShapeConfig, ImplicitShapeConfig

SIZES = (64, 96, 128)


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """The median processor time of a few runs, after one that warms up."""
    took = []
    for _ in range(repeats + 1):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return float(np.median(took[1:]))


def field_of(cloud: Cloud, size: int) -> np.ndarray:
    """chi of a cloud in the unit frame."""
    assert cloud.normals is not None
    arrays = (cloud.points, cloud.normals, point_areas(cloud.points))
    points, normals, areas = (torch.from_numpy(np.ascontiguousarray(a, np.float32))[None] for a in arrays)
    return indicator(points, normals, areas, size)[0].numpy()


def ours(codec: PointCodec, implicit: ImplicitNetwork, cloud: Callable[[int], Cloud], repeats: int) -> dict[str, list]:
    """Rows by name: seconds at each size."""
    latents = CloudCodec(codec).encode(cloud(2048))
    known = implicit.read(latents)
    rows: dict[str, list[float]] = {}
    for size in SIZES:
        points = cloud(cover(size))
        work = {
            "decode oriented points": lambda size=size: CloudCodec(codec, cover(size)).decode(latents),
            "spectral Poisson, marching cubes, checks": lambda points=points, size=size: surface_of(points, size),
            "implicit: distances, marching cubes, checks": lambda size=size: asked(implicit, known, size),
        }
        for name, job in work.items():
            rows.setdefault(name, []).append(seconds(job, repeats))
    return rows


@torch.inference_mode()
def asked(net: ImplicitNetwork, known: Any, size: int) -> None:
    """A ball whose distances cost what those of the network cost."""

    def value(x: torch.Tensor) -> torch.Tensor:
        for part in x.split(4096):
            net.ask(*known, part[None])
        return x.norm(dim=-1) - 0.4

    extract(signed_field(value, size).numpy())


def others(cloud: Callable[[int], Cloud], repeats: int) -> dict[str, list[float]]:
    """Marching cubes alone, and the Poisson reconstructions that are installed."""
    from skimage.measure import marching_cubes

    rows: dict[str, list[float]] = {}
    for size in SIZES:
        points = cloud(cover(size))
        field = field_of(points, size)
        rows.setdefault("skimage alone", []).append(seconds(lambda f=field: marching_cubes(f, 0.0), repeats))
        for name, job in (("open3d", open3d_poisson), ("pymeshlab", pymeshlab_poisson)):
            if find_spec(name):
                depth = 6 if size == 64 else 7
                rows.setdefault(name, []).append(seconds(lambda j=job, p=points, d=depth: j(p, d), repeats))
    return rows


def open3d_poisson(cloud: Cloud, depth: int) -> None:
    """Screened Poisson by open3d."""
    import open3d

    points = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(cloud.points))
    points.normals = open3d.utility.Vector3dVector(cloud.normals)
    open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(points, depth=depth)


def pymeshlab_poisson(cloud: Cloud, depth: int) -> None:
    """Screened Poisson by pymeshlab."""
    import pymeshlab

    meshes = pymeshlab.MeshSet()
    meshes.add_mesh(pymeshlab.Mesh(vertex_matrix=cloud.points, v_normals_matrix=cloud.normals))
    meshes.generate_surface_reconstruction_screened_poisson(depth=depth)


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", help="weights, by name or file")
    parser.add_argument("--decoder", help="weights of meshes/implicit")
    parser.add_argument("--family", default="mug")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    codec = store.read(args.codec).network if args.codec else network(CodecShapeConfig())
    implicit = store.read(args.decoder).network if args.decoder else network(ImplicitShapeConfig())
    shapes = ProceduralSet(1, seed=3, families=[f for f in FAMILIES if f.name == args.family])

    def cloud(n: int) -> Cloud:
        return shapes.cloud(0, n, np.random.default_rng(0))

    rows = ours(cast(PointCodec, codec.eval()), cast(ImplicitNetwork, implicit.eval()), cloud, args.repeats)
    rows |= others(cloud, args.repeats)
    print("| ms a mesh | " + " | ".join(f"{size}^3" for size in SIZES) + " |\n|" + "---|" * (1 + len(SIZES)))
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{1e3 * value:.0f}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
