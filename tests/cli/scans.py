"""Half a ball to be completed, the command as a user types it, and what it says of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from scigen.cli.app import run
from scigen.domains.shapes.surface import sample_surface
from scigen.io.shape import Cloud
from tests.domains.shapes.bodies import ball

__all__ = ["complete", "half_ball", "told"]


def half_ball(n: int = 400, seed: int = 0) -> Cloud:
    cloud, _ = sample_surface(ball(), 2 * n, np.random.default_rng(seed))
    upper = np.flatnonzero(cloud.points[:, 1] > 0)[:n]
    return Cloud(cloud.points[upper], cloud.normals[upper])


def complete(file: Path, weights: Path, out: Path, *options: object) -> int:
    line = ["complete", file, "--weights", weights, "--out", out, "--points", 300, "--steps", 2, "--fit", 2, *options]
    return run([str(part) for part in line])


def told(out: Path) -> dict:
    return json.loads((out / "run.json").read_text())
