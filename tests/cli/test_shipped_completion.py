"""`scigen complete` as installed: shapes that no training saw come nearer to the truth, whichever way they lie."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.domains.points.pose import rotations
from scigen.domains.shapes.camera import scan
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.sets import SPLITS
from scigen.domains.shapes.surface import sample_surface
from scigen.io.clouds import read_cloud, write_cloud
from scigen.io.shape import Cloud, Mesh
from scigen.metrics.chamfer import chamfer_l1, indexed, match

pytestmark = pytest.mark.slow

SEEN_TO_1500 = 1500  # of each family were shared out; those beyond are new, test or not
METRES, PLACE = 12.0, np.array([300.0, -20.0, 7.0])


@cache
def unseen(family: str) -> Mesh:
    objects = ProceduralSet(SEEN_TO_1500 + 100, families=[f for f in FAMILIES if f.name == family])
    later = np.flatnonzero(objects.split[SEEN_TO_1500:] == SPLITS.index("test"))
    return objects.mesh(SEEN_TO_1500 + int(later[0]))


def completed(seen: Cloud, out: Path, *options: str) -> list[np.ndarray]:
    """The completions without the points of the scan, in its units and place, best first."""
    write_cloud(out.with_suffix(".ply"), Cloud(METRES * seen.points.astype(np.float64) + PLACE))
    assert run(["complete", str(out.with_suffix(".ply")), "--out", str(out), "--resample", "--quiet", *options]) == 0
    ranking = json.loads((out / "run.json").read_text())["ranking"]
    return [(read_cloud(out / row["file"]).points - PLACE) / METRES for row in ranking]


def off(points: np.ndarray, truth: Cloud) -> float:
    return chamfer_l1(match(indexed(points), indexed(truth.points)))


def test_unseen_shapes_are_completed_upright_and_in_any_pose(tmp_path: Path) -> None:
    seen, upright, lying, best = [], [], [], []
    for family in ("airplane", "chair", "boat", "hammer"):
        mesh = unseen(family)
        truth = sample_surface(mesh, 8192, np.random.default_rng(0))[0]
        shown = scan(mesh, np.random.default_rng(1), 2048)
        turn = rotations(50)[17].numpy()
        turned = Cloud((shown.points @ turn).astype(np.float32))
        found = completed(shown, tmp_path / family)
        back = [x @ turn.T for x in completed(turned, tmp_path / f"{family}-lying", "--unknown-pose")]
        assert len(found) == len(back) == 4
        seen.append(off(shown.points, truth))
        upright.append(off(found[0], truth))
        lying.append(off(back[0], truth))
        best.append(min(off(x, truth) for x in back))
    assert sum(upright) < 0.65 * sum(seen) and all(a < b for a, b in zip(upright, seen, strict=True))
    assert sum(lying) < 0.8 * sum(seen) and sum(best) < 0.7 * sum(seen)
