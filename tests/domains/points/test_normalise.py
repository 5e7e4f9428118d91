"""Frames of clouds: what each fixes, what it does not see, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from scigen.domains.points.normalise import NORMS, global_transform, own_transform


@pytest.fixture
def cloud(numpy_rng):
    return numpy_rng.random((200, 3)) * [3.0, 1.0, 2.0] + [10.0, -5.0, 0.0]


def test_each_frame_fixes_what_it_says(cloud):
    box = own_transform(cloud, "bbox")(cloud)
    assert np.abs(box).max() == pytest.approx(1) and box.max(0) + box.min(0) == pytest.approx(np.zeros(3), abs=1e-12)
    unit = own_transform(cloud, "unit")(cloud)
    assert np.linalg.norm(unit, axis=1).max() == pytest.approx(1) and unit.mean(0) == pytest.approx(0, abs=1e-12)
    assert np.array_equal(own_transform(cloud, "none")(cloud), cloud)


@pytest.mark.parametrize("norm", ["bbox", "unit"])
def test_place_and_scale_of_a_cloud_do_not_show(cloud, norm):
    moved = 1e3 * cloud + [7.0, 8.0, 9.0]
    assert own_transform(moved, norm)(moved) == pytest.approx(own_transform(cloud, norm)(cloud), abs=1e-9)


def test_one_transform_for_a_set_keeps_its_sizes_apart(cloud):
    clouds = [cloud, 2 * cloud]
    frame = global_transform(clouds)
    every = np.concatenate([frame(x) for x in clouds])
    assert every.mean(0) == pytest.approx(0, abs=1e-9) and every.std() == pytest.approx(1)
    assert np.ptp(frame(clouds[1]), axis=0) == pytest.approx(2 * np.ptp(frame(clouds[0]), axis=0))


def test_refusals(cloud):
    for norm in ("bbox", "unit"):
        with pytest.raises(ValueError, match="no extent"):
            own_transform(np.full((5, 3), 1e6), norm)
    with pytest.raises(ValueError, match="no extent"):
        global_transform([np.zeros((4, 3))])
    with pytest.raises(ValueError, match="no normalisation `global` of a single cloud"):
        own_transform(cloud, "global")


def test_the_command_offers_the_same_names():
    from scigen.cli.score_points import Norm

    assert tuple(norm.value for norm in Norm) == NORMS
