"""Second opinions on distances between clouds: point-cloud-utils' and POT's, where they are installed."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.metrics.chamfer import chamfer_sum, directed_hausdorff, indexed, match
from scigen.metrics.transport import emd


def test_chamfer_and_hausdorff_as_point_cloud_utils(numpy_rng):
    pcu = pytest.importorskip("point_cloud_utils", exc_type=ImportError)
    a, b = numpy_rng.random((300, 3)), numpy_rng.random((200, 3))
    assert chamfer_sum(match(indexed(a), indexed(b))) == pytest.approx(pcu.chamfer_distance(a, b), rel=1e-12)
    theirs = pcu.one_sided_hausdorff_distance(a, b, return_index=False)
    assert directed_hausdorff(a, indexed(b)) == pytest.approx(theirs, rel=1e-12)


def test_exact_transport_as_pot(numpy_rng):
    ot = pytest.importorskip("ot", exc_type=ImportError)
    a, b = numpy_rng.random((256, 3)), numpy_rng.random((256, 3)) + 0.3
    assert emd(a, b) == pytest.approx(ot.emd2([], [], ot.dist(a, b, metric="euclidean")), rel=1e-10)


def test_far_clouds_are_matched_as_pot_matches_them(numpy_rng):
    ot = pytest.importorskip("ot", exc_type=ImportError)
    a, b = numpy_rng.standard_normal((256, 3)), 30 + 5 * numpy_rng.standard_normal((256, 3)) ** 3
    plan = ot.emd([], [], ot.dist(a, b, metric="euclidean"))
    assert emd(a, b) == pytest.approx(float((plan * np.linalg.norm(a[:, None] - b, axis=-1)).sum()), rel=1e-10)
