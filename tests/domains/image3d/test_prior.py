"""Priors: the true views, the nearest, the mean, and those of others; all as the reconstructor takes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scigen.domains.image3d.folder import FolderPrior, read_views, read_wonder3d, write_views
from scigen.domains.image3d.prior import MeanPrior, OraclePrior, RetrievalPrior
from scigen.domains.image3d.render import render
from scigen.domains.image3d.rendering import render_set
from scigen.domains.image3d.rig import CUBE, WONDER3D, ZERO123PLUS_12, Viewpoint
from scigen.domains.image3d.score import score_mesh, score_views
from scigen.domains.image3d.viewset import ViewSet, load_views, pack_depth, save_views, unpack_depth
from scigen.domains.shapes.procedural.catalogue import FAMILIES
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.errors import InputError
from scigen.io.npz import write_npz
from tests.domains.points.solids import packed
from tests.domains.shapes.bodies import ball, box

SHAPES = ProceduralSet(2, families=[FAMILIES[k] for k in (0, 5, 12)])  # chairs, mugs, cars
EVERY = np.arange(6)


@pytest.fixture(scope="module")
def views() -> ViewSet:
    return render_set(SHAPES, pixels=24, pictures=2).views


def test_a_set_is_a_function_of_its_seed(views: ViewSet) -> None:
    fewer = ProceduralSet(1, families=[FAMILIES[5]])
    alone = render_set(fewer, pixels=24, pictures=2).views
    assert alone.ids[0] == views.ids[2]
    for name in ("normal", "depth", "picture", "azimuth"):
        assert np.array_equal(getattr(alone, name)[0], getattr(views, name)[2])
    assert not np.array_equal(render_set(fewer, 24, 2, seed=1).views.picture, alone.picture)
    assert len(np.unique(views.azimuth)) == 12 and views.elevation.min() >= -10 and views.elevation.max() <= 40


def test_packed_views_are_the_rendered_ones(views: ViewSet, tmp_path: Path) -> None:
    true, stored = render(SHAPES.mesh(2), CUBE, 24), views.views(2)
    np.testing.assert_allclose(stored.mask, true.mask, atol=0.034)
    seen = true.mask > 0
    np.testing.assert_allclose(stored.depth[seen], true.depth[seen], atol=2e-4)
    assert (stored.depth[~seen] == CUBE.radius).all()
    assert ((stored.normal * true.normal).sum(-1)[seen] > 0.999).all()
    save_views(tmp_path / "x.npz", views)
    again = load_views(tmp_path / "x.npz")
    assert again.content_hash() == views.content_hash()
    assert (tmp_path / "x.npz").stat().st_size < 6 * 24 * 24 * 6 * 4, "a sixth of what the arrays hold raw"


def test_depth_and_coverage_share_a_number() -> None:
    rng = np.random.default_rng(0)
    mask, depth = rng.integers(0, 16, (2, 9, 9)) / 15, rng.uniform(1.5, 2.5, (2, 9, 9))
    found = unpack_depth(pack_depth(mask, depth, CUBE), CUBE)
    np.testing.assert_allclose(found[0], mask, atol=1e-6)
    np.testing.assert_allclose(found[1][mask > 0], depth[mask > 0], atol=1.3e-4)


def test_points_alone_are_given_a_surface() -> None:
    made = render_set(packed(2, 2000), pixels=16, pictures=1)
    assert len(made.views) == 2 and not made.failed and made.views.views(0).solid.mean() > 0.1
    bare = packed(2, 300, normals=False)
    with pytest.raises(InputError, match="None of 2 shapes"):
        render_set(bare, 16, 1)


def test_retrieval_finds_its_own_picture(views: ViewSet) -> None:
    prior = RetrievalPrior(views, EVERY)
    for k in EVERY:
        assert prior.nearest(views.subject(int(k), 1))[0] == k
    first, second = prior.sample(views.subject(0, 0), k=2)
    assert np.array_equal(first.mask, views.views(0).mask) and not np.array_equal(second.mask, first.mask)
    others = RetrievalPrior(views, EVERY[1:])
    category = views.category[others.nearest(views.subject(0, 0))[0]]
    assert category == views.category[0], "the nearest to a chair is the other chair"
    with pytest.raises(InputError, match="32 pixels"):
        prior.sample(replace(views.subject(0, 0), mask=np.ones((32, 32)), rgb=np.ones((32, 32, 3))))
    with pytest.raises(InputError, match="no training shapes"):
        RetrievalPrior(views, EVERY[:0])


def test_the_mean_of_one_is_itself(views: ViewSet) -> None:
    (mean,) = MeanPrior(views, EVERY[2:3]).sample(views.subject(0, 0), k=3)
    true = views.views(2)
    score = score_views(mean, true)
    assert score["mask_iou"] > 0.85 and score["normal_angle"] < 1 and score["depth_mae"] < 0.05
    (blend,) = MeanPrior(views, EVERY).sample(views.subject(0, 0))
    areas = np.mean([views.views(int(k)).mask.mean((1, 2)) for k in EVERY], 0)
    np.testing.assert_allclose(blend.mask.mean((1, 2)), areas, atol=0.1)
    with pytest.raises(InputError, match="no training shapes"):
        MeanPrior(views, EVERY[:0]).sample(views.subject(0, 0))


def test_the_oracle_scores_perfectly(views: ViewSet) -> None:
    mesh = SHAPES.mesh(0)
    (found,) = OraclePrior(mesh, pixels=24).sample(views.subject(0, 0), k=4)
    perfect = score_views(found, render(mesh, CUBE, 24))
    assert perfect == {"mask_iou": 1.0, "normal_angle": pytest.approx(0, abs=0.1), "depth_mae": 0.0}
    (hung,) = OraclePrior(mesh, WONDER3D, 24, Viewpoint(40, 10)).sample(views.subject(0, 0))
    assert hung.seen == Viewpoint(40, 10)
    with pytest.raises(ValueError, match="one rig"):
        score_views(found, hung)


def test_scores_of_meshes_have_known_ends() -> None:
    rng = np.random.default_rng(0)
    same = score_mesh(ball(0.4), ball(0.4), rng, points=2000)
    assert same["iou"] > 0.99 and same["f_score@0.02"] > 0.65 and same["normal_consistency"] > 0.95
    assert same["chamfer_l1"] == pytest.approx(same["chamfer_l1_floor"], rel=0.1)
    half = score_mesh(box((0.2, 0.2, 0.2)), box((0.2, 0.2, 0.4)), rng, points=2000)
    assert half["iou"] == pytest.approx(0.5, abs=0.01)


def test_views_of_others(views: ViewSet, tmp_path: Path) -> None:
    one, subject = views.views(0), views.subject(0, 0)
    for k in (0, 1):
        write_views(tmp_path / f"sample_{k}.npz", views.views(k))
    found = FolderPrior(tmp_path, CUBE).sample(subject, k=5)
    assert len(found) == 2 and len(FolderPrior(tmp_path, CUBE).sample(subject, k=1)) == 1
    for name in ("mask", "normal", "depth"):
        np.testing.assert_allclose(getattr(found[0], name), getattr(one, name), atol=1e-6)
    write_npz(tmp_path / "bytes.npz", {"mask": (255 * one.mask).astype(np.uint8), "normal": 3 * one.normal})
    loose = read_views(tmp_path / "bytes.npz", CUBE)
    np.testing.assert_allclose(loose.mask, one.mask, atol=0.01)
    np.testing.assert_allclose(loose.normal, one.normal, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask": None}, "holds"),
        ({"extra": np.zeros(3)}, "extra"),
        ({"mask": np.zeros((6, 24, 20), np.uint8)}, "6, 24, 20"),
        ({"mask": np.full((6, 24, 24), 1.5)}, "1.5"),
        ({"mask": np.zeros((5, 24, 24), np.uint8)}, "rig of 6 views"),
        ({"depth": np.zeros((6, 20, 20))}, "`depth`"),
        ({"azimuth": np.array(ZERO123PLUS_12.azimuth, float)}, "name the rig"),
        ({"normal": np.full((6, 24, 24, 3), np.nan)}, "NaN"),
    ],
)
def test_strange_views_are_refused(change: dict, words: str, views: ViewSet, tmp_path: Path) -> None:
    one = views.views(0)
    arrays = {"mask": one.mask, "depth": one.depth} | change
    write_npz(tmp_path / "x.npz", {name: x for name, x in arrays.items() if x is not None})
    with pytest.raises(InputError, match=words):
        read_views(tmp_path / "x.npz", CUBE)
    with pytest.raises(InputError, match="holds no views"):
        FolderPrior(tmp_path / "none", CUBE).sample(views.subject(0, 0))


def test_wonder3d_writes_normals_in_the_axes_of_the_front(tmp_path: Path) -> None:
    names = ("front", "front_right", "right", "back", "left", "front_left")
    true = render(ball(0.4, rings=30), WONDER3D, 32, smooth=1)
    world, alpha = true.world_normals(), (255 * true.mask).astype(np.uint8)
    for v, name in enumerate(names):
        for kind, plane in (("normals", (world[v] + 1) / 2), ("rgb", np.full((32, 32, 3), 0.3))):
            rgba = np.concatenate([np.rint(255 * plane).astype(np.uint8), alpha[v, ..., None]], -1)
            Image.fromarray(rgba).save(tmp_path / f"{kind}_000_{name}.png")
    (found,) = FolderPrior(tmp_path, WONDER3D).sample(None)
    score = score_views(found, true)
    assert score["mask_iou"] == 1 and score["normal_angle"] < 1.0 and "depth_mae" not in score
    Image.fromarray(alpha[0]).save(tmp_path / "rgb_000_back.png")
    with pytest.raises(InputError, match="opaque"):
        read_wonder3d(tmp_path)
    (tmp_path / "rgb_000_back.png").unlink()
    with pytest.raises(InputError, match="does not exist"):
        read_wonder3d(tmp_path)


def test_files_that_hold_no_views(views: ViewSet, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data prepare views nothing"):
        load_views("nothing")
    write_npz(tmp_path / "x.npz", {"name": np.array("x")})
    with pytest.raises(InputError, match="missing|rendered views"):
        load_views(tmp_path / "x.npz")
    save_views(tmp_path / "y.npz", replace(views, depth=views.depth[:, :5]))
    with pytest.raises(InputError, match="do not fit"):
        load_views(tmp_path / "y.npz")
