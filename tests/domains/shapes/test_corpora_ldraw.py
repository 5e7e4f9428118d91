"""LDraw: references, transforms and windings against bodies of known volume, from a library written here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scigen.domains.shapes.corpora.ldraw import load_ldraw
from scigen.domains.shapes.corpora.ldraw_file import Library, heading
from scigen.domains.shapes.packing import pack_shapes
from scigen.errors import InputError
from tests.domains.shapes.bodies import box, categories, is_closed, volume

MM3 = 0.4**3  # a cubic LDraw unit


def cube(order: str) -> str:
    """The cube of side 2 around 0, as quadrilaterals, wound `CCW` or `CW`."""
    body = box((1, 1, 1))
    lines = []
    for first, second in zip(body.faces[::2], body.faces[1::2]):
        corners = [*first, second[2]]
        corners = corners if order == "CCW" else corners[::-1]
        lines.append("4 16 " + " ".join(f"{x:g}" for k in corners for x in body.vertices[k]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def library(tmp_path: Path) -> Path:
    files = {
        "p/cube.dat": "0 Cube\n0 BFC CERTIFY CCW\n" + cube("CCW"),
        "p/evil.dat": "0 Cube, the other way\n0 BFC CERTIFY CW\n" + cube("CW"),
        "p/mute.dat": "0 Cube that states nothing\n" + cube("CCW"),
        "parts/s/half.dat": "0 ~Sub-part\n0 BFC CERTIFY CCW\n1 16 0 0 0 1 0 0 0 1 0 0 0 1 CUBE.dat\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def part(library: Path, lines: str, name: str = "a.dat", head: str = "0 Brick  1 x  1\n0 BFC CERTIFY CCW\n") -> Path:
    path = library / "parts" / name
    path.write_text(head + lines + "\n")
    return path


IDENTITY = "1 0 0 0 1 0 0 0 1"


@pytest.mark.parametrize(
    "lines, expected",
    [
        (f"1 16 0 0 0 {IDENTITY} cube.dat", 8),
        (f"1 16 0 0 0 {IDENTITY} evil.dat", 8),
        ("1 16 5 0 0 2 0 0 0 3 0 0 0 1 cube.dat", 48),
        ("1 16 5 0 0 -2 0 0 0 3 0 0 0 1 cube.dat", 48),  # a mirror turns the winding back
        ("1 16 0 0 0 0 1 0 1 0 0 0 0 1 evil.dat", 8),
        (f"0 BFC INVERTNEXT\n1 16 0 0 0 {IDENTITY} cube.dat", -8),
        ("0 BFC INVERTNEXT\n1 16 0 0 0 1 0 0 0 -1 0 0 0 1 cube.dat", -8),
        (f"0 BFC INVERTNEXT\n1 16 0 0 0 {IDENTITY} cube.dat\n1 16 9 0 0 2 0 0 0 1 0 0 0 1 cube.dat", 8),
        (f"1 16 0 0 0 {IDENTITY} s\\Half.DAT", 8),
        (cube("CCW"), 8),
        ("0 BFC CW\n" + cube("CW"), 8),
        ("0 BFC CW\n" + cube("CW") + "0 BFC CCW\n1 16 9 0 0 1 0 0 0 1 0 0 0 1 cube.dat", 16),
    ],
)
def test_transforms_and_windings_give_the_right_volume(library: Path, lines: str, expected: float) -> None:
    mesh = Library(library).mesh(part(library, lines))
    assert volume(mesh) == pytest.approx(expected * MM3, rel=1e-6) and is_closed(mesh)


def test_places_are_in_millimetres_with_y_up(library: Path) -> None:
    mesh = Library(library).mesh(part(library, "1 16 10 -20 30 1 0 0 0 2 0 0 0 3 cube.dat"))
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    np.testing.assert_allclose((low + high) / 2, [4, 8, -12], atol=1e-6)
    np.testing.assert_allclose(high - low, [0.8, 1.6, 2.4], atol=1e-6)


def test_transforms_compose_through_references(library: Path) -> None:
    (library / "parts/s/deep.dat").write_text("0 ~x\n0 BFC CERTIFY CCW\n1 16 1 0 0 0 0 1 0 1 0 -1 0 0 cube.dat\n")
    mesh = Library(library).mesh(part(library, "1 16 0 0 5 1 0 0 0 1 0 0 0 4 s/deep.dat"))
    # deep moves by (1, 0, 0); the part then stretches z by 4 and moves by 5.
    np.testing.assert_allclose(mesh.vertices.min(0), 0.4 * np.array([0, -1, -9]), atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.max(0), 0.4 * np.array([2, 1, -1]), atol=1e-6)


def test_certificates_pass_down_the_references(library: Path) -> None:
    known = Library(library)
    assert known.certified(part(library, f"1 16 0 0 0 {IDENTITY} cube.dat"))
    assert not known.certified(part(library, f"1 16 0 0 0 {IDENTITY} mute.dat", "b.dat"))
    head = "0 Brick\n0 BFC NOCERTIFY\n"
    assert not known.certified(part(library, f"1 16 0 0 0 {IDENTITY} cube.dat", "c.dat", head))


def test_flat_triangles_and_other_lines_are_left_out(library: Path) -> None:
    lines = "2 24 0 0 0 1 1 1\n5 24 0 0 0 1 0 0 0 1 0 0 0 1\n3 16 0 0 0 1 0 0 2 0 0\n" + cube("CCW")
    assert len(Library(library).mesh(part(library, lines)).faces) == 12


@pytest.mark.parametrize(
    "lines, reason",
    [
        (f"1 16 0 0 0 {IDENTITY} none.dat", "line 3: the reference to 'none.dat' leads nowhere"),
        ("1 16 0 0 0 1 0 0 cube.dat", "line 3: could not convert"),
        ("1 16 0 0 x 1 0 0 0 1 0 0 0 1 cube.dat", "line 3"),
        ("3 16 0 0 0 1 0 0 1 1", "8 coordinates, and 9"),
        ("3 16 0 0 0 1 0 0 1 1 nan", "infinite"),
        ("2 24 0 0 0 1 1 1", "no triangles"),
        (f"1 16 0 0 0 {IDENTITY} a.dat", "refers to itself"),
    ],
)
def test_broken_parts_are_refused(library: Path, lines: str, reason: str) -> None:
    path = part(library, lines)
    with pytest.raises(InputError, match=reason):
        Library(library).mesh(path)


def test_the_corpus_lists_parts_by_family(library: Path) -> None:
    for k in range(12):
        part(library, f"1 16 0 0 0 {1 + k % 11} 0 0 0 1 0 0 0 1 cube.dat", f"30{k:02d}.dat")
    part(library, f"1 16 0 0 0 {IDENTITY} cube.dat", "w.DAT".lower(), "0 Wheel  9\n0 !CATEGORY Tyre\n")
    part(library, f"1 16 0 0 0 {IDENTITY} cube.dat", "m.dat", "0 ~Moved to 3001\n")
    corpus = load_ldraw(library)
    assert len(corpus) == 13 and categories(corpus)["3001"] == "Brick" and categories(corpus)["w"] == "Other"
    assert heading(library / "parts/w.dat") == ("Wheel 9", "Tyre") and not corpus.published
    packing = pack_shapes(corpus, 16)
    assert len(packing.shapes) == 11, "3000 and 3011 are one shape, and so are 3000 and w"
    with pytest.raises(InputError, match="parts/\\*.dat"):
        load_ldraw(library / "p")
