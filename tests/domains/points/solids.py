"""Packed shapes without a cache or a mesh library: ellipsoids and boxes, sampled in closed form."""

from __future__ import annotations

import numpy as np

from scigen.domains.shapes.pack import PackedShapes


def ellipsoid(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`n` points of a random ellipsoid in the unit frame and their outward normals."""
    axes = rng.uniform(0.2, 0.5, 3)
    unit = rng.normal(size=(n, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    normal = unit / axes
    return axes * unit, normal / np.linalg.norm(normal, axis=1, keepdims=True)


def packed(count: int, points: int, seed: int = 0, name: str = "ellipsoids", normals: bool = True) -> PackedShapes:
    """`count` ellipsoids of `points` points; the last of them is the test split."""
    rng = np.random.default_rng(seed)
    clouds = [ellipsoid(points, rng) for _ in range(count)]
    return PackedShapes(
        name=name,
        licence="Apache-2.0",
        categories=("ellipsoid",),
        ids=np.array([f"{name}-{k}" for k in range(count)]),
        category=np.zeros(count, np.int32),
        split=np.array([0] * (count - 1) + [2], np.uint8),
        points=np.stack([p for p, _ in clouds]).astype(np.float16),
        normals=np.stack([np.round(127 * n) for _, n in clouds]).astype(np.int8) if normals else None,
        size=np.full(count, points, np.int32),
        center=np.zeros((count, 3)),
        scale=np.ones(count),
    )
