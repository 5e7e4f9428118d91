"""What becomes of views: fitted surfaces, colours, and agreement with the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scigen.domains.image3d.carve import Carving, carve, hull_field, zero_level
from scigen.domains.image3d.fit import Fitting, fit
from scigen.domains.image3d.light import Light
from scigen.domains.image3d.paint import painted, painted_by_picture
from scigen.domains.image3d.photograph import taken
from scigen.domains.image3d.reconstruct import Reconstruct, reprojection
from scigen.domains.image3d.render import Look, render
from scigen.domains.image3d.rig import CUBE, WONDER3D, Viewpoint
from scigen.domains.image3d.sheet import turntable, views_sheet
from scigen.domains.image3d.subject import Subject, framed
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.io.shape import Mesh
from scigen.metrics.mesh_pairs import volume_overlap
from tests.domains.shapes.bodies import ball, box, is_closed, joined

SHAPES = ProceduralSet(1)
QUICK = Fitting(size=32, steps=25, rays=400, samples=32)
CAR = SHAPES.mesh([str(i) for i in SHAPES.ids].index("car-000000"))


def test_normals_dent_the_hull() -> None:
    """Six outlines of a ball leave corners; its normals take them off."""
    mesh = ball(0.4, rings=30)
    views = replace(render(mesh, CUBE, 32), depth=None)
    hull = zero_level(hull_field(views, 32))
    fitted = fit(views, QUICK)
    ious = [volume_overlap((m.vertices, m.faces), (mesh.vertices, mesh.faces), 48).iou for m in (hull, fitted)]
    assert ious[1] > ious[0] + 0.01 and is_closed(fitted)
    again = fit(views, QUICK)
    assert np.array_equal(again.vertices, fitted.vertices)


def test_what_there_is_decides_how() -> None:
    views = render(box((0.3, 0.2, 0.25)), CUBE, 24)
    how = Reconstruct(Carving(32), replace(QUICK, steps=2))
    by_depth, by_outline = how(views), how(replace(views, depth=None, normal=None))
    assert is_closed(by_depth) and is_closed(by_outline)
    assert np.array_equal(replace(how, always_fit=True)(views).vertices, how(replace(views, depth=None)).vertices)


def test_colours_come_from_the_side_that_faces_them() -> None:
    mesh = joined(box((0.15, 0.15, 0.15), (-0.2, 0, 0)), box((0.15, 0.15, 0.15), (0.2, 0, 0)))
    red, blue = [0.9, 0.1, 0.1], [0.1, 0.1, 0.9]
    look = Look(np.repeat([red, blue], 12, 0))
    views, green = render(mesh, CUBE, 40, look=look), np.array([0.0, 1.0, 0.0])
    found = carve(views, Carving(48))
    colours, left = painted(found, views, green).astype(int), found.vertices[:, 0] < 0
    redder = colours[:, 0] - colours[:, 2]
    assert (redder[left] > 30).mean() > 0.7 and (redder[~left] < -30).mean() > 0.7
    assert not (redder[left] < -30).any() and not (redder[~left] > 30).any()
    with pytest.raises(ValueError, match="no colours"):
        painted(found, replace(views, colour=None), green)


def photographed(mesh: Mesh, paint: np.ndarray, seen: Viewpoint, pixels: int = 48) -> Subject:
    """A picture of a mesh with a colour for each face, in light that shows paint as it is."""
    flat = Look(paint, Light(ambient=1.0, sky=0.0, strength=0.0, gloss=0.0))
    return framed(*taken(mesh, flat, seen, 2 * pixels), pixels)


def test_a_mesh_takes_the_colours_of_the_picture_where_the_camera_sees_it() -> None:
    mesh = joined(box((0.1, 0.1, 0.2), (-0.25, 0, 0)), box((0.2, 0.25, 0.2), (0.2, 0.05, 0)))
    red, blue = [0.9, 0.1, 0.1], [0.1, 0.1, 0.9]
    paint, seen = np.repeat([red, blue], 12, 0), Viewpoint(-30, 20)
    found = carve(render(mesh, CUBE, 40), Carving(48))
    colours = painted_by_picture(found, photographed(mesh, paint, seen), seen).astype(int)
    redder, (x, _, z) = colours[:, 0] - colours[:, 2], found.vertices.T
    left, right, front = x < -0.18, x > 0.03, z > 0.19  # a pixel's width off the gap between the two
    assert (redder[left & front] > 100).all() and (redder[right & front] < -100).all()
    assert (redder[left] > 100).mean() > 0.9 and (redder[right] < -100).mean() > 0.9, "hidden sides are as what is near"
    ahead, back = Viewpoint(0, 0), Viewpoint(180, 0)
    turned = painted_by_picture(found, photographed(mesh, paint, back), ahead).astype(int)
    assert (turned[left & front, 2] > 150).mean() > 0.5, "it says from where the picture was taken, right or wrong"


def test_hidden_sides_of_what_is_symmetric_are_mirror_images() -> None:
    mesh = joined(box((0.1, 0.2, 0.3), (-0.2, 0, 0)), box((0.1, 0.2, 0.3), (0.2, 0, 0)))
    green, grey = [0.1, 0.8, 0.1], [0.5, 0.5, 0.5]
    flanks_and_top = np.array([green] * 6 + [grey] * 2 + [green] * 4)
    seen = Viewpoint(90, 40)  # the right flank and both tops
    found = carve(render(mesh, CUBE, 40), Carving(48))
    picture = photographed(mesh, np.tile(flanks_and_top, (2, 1)), seen)
    colours, at = painted_by_picture(found, picture, seen).astype(int), found.vertices
    far = (at[:, 0] < -0.28) & (np.abs(at[:, 1]) < 0.1)
    top = (at[:, 1] > 0.19) & (np.abs(np.abs(at[:, 0]) - 0.2) < 0.05)
    for where, paint in ((far, green), (top, grey)):
        assert where.sum() > 50 and (np.abs(colours[where] - 255 * np.array(paint)) < 15).mean() > 0.95
    corner = np.zeros((48, 48), np.float32)
    corner[0, 0] = 1
    unseen = painted_by_picture(found, Subject(np.full((48, 48, 3), 0.4, np.float32), corner), seen)
    assert (unseen == 102).all(), "nothing of it is seen: the object's mean"


def test_the_right_mesh_agrees_best_and_from_the_right_side() -> None:
    seen = Viewpoint(45, 15)
    shown = render(CAR, replace(CUBE, azimuth=(45,), elevation=(15,)), 64)
    subject = framed(np.ones((64, 64, 3), np.float32), shown.mask[0], 48)
    right = reprojection(CAR, subject)
    assert right.iou > 0.9 and right.seen.elevation == 15
    assert min(abs(right.seen.azimuth - a) for a in (45, 135, 225, 315)) <= 15, "outlines do not tell back from front"
    assert reprojection(CAR, subject, [seen]).iou > 0.9 > 0.75 > reprojection(CAR, subject, [Viewpoint(0, 15)]).iou
    assert reprojection(ball(0.4, rings=8), subject).iou < right.iou - 0.1
    with pytest.raises(ValueError, match="unit frame"):
        reprojection(ball(0.1, (9, 9, 9), rings=4), subject)


def test_sheets_show_every_channel() -> None:
    views = render(ball(0.4, rings=10), CUBE, 16, look=Look(np.array([0.2, 0.6, 0.3])))
    assert views_sheet(views, pixels=20).shape == (80, 120, 3)
    bare = replace(views, depth=None, colour=None)
    subject = framed(np.ones((64, 64, 3), np.float32), np.ones((64, 64), np.float32), 16)
    assert views_sheet(bare, subject, 20).shape == (40, 140, 3)
    frames = turntable(box((0.4, 0.1, 0.1)), np.full((8, 3), 90, np.uint8), 4, 32)
    width = (frames < 250).any(-1).any(1).sum(1)
    assert frames.shape == (4, 32, 32, 3) and width[0] > 2 * width[1], "a bar from its side, then from its end"
    relative = render(CAR, WONDER3D, 24, Viewpoint(30, 15))
    assert is_closed(Reconstruct(Carving(48))(relative))
