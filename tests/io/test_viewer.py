"""The page that shows meshes: what is embedded is what was given, nothing is fetched, names cannot break out."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest

from scigen.io.shape import Mesh
from scigen.io.viewer import viewer_page, write_viewer
from tests.domains.shapes.bodies import ball, box


def embedded(page: str) -> list[dict]:
    return json.loads(re.search(r'<script type="application/json" id="meshes">(.*?)</script>', page, re.DOTALL)[1])


def restored(entry: dict) -> Mesh:
    grid = np.frombuffer(base64.b64decode(entry["vertices"]), "<u2").reshape(-1, 3)
    faces = np.frombuffer(base64.b64decode(entry["faces"]), "<u4").reshape(-1, 3)
    return Mesh(np.array(entry["low"]) + entry["step"] * grid, faces.astype(np.int32))


def test_what_is_embedded_is_what_was_given() -> None:
    far = Mesh(1e3 * box((1, 2, 3), (5e3, 0, 0)).vertices.astype(np.float64), box().faces)
    given = {"a ball": ball(), "a far box": far}
    found = embedded(viewer_page(given, "two"))
    assert [entry["name"] for entry in found] == list(given)
    for entry, mesh in zip(found, given.values()):
        back = restored(entry)
        assert np.array_equal(back.faces, mesh.faces) and entry["counts"] == [len(mesh.vertices), len(mesh.faces)]
        assert np.abs(back.vertices - mesh.vertices).max() <= np.ptp(mesh.vertices, axis=0).max() / 65535


def test_nothing_comes_from_elsewhere() -> None:
    page = viewer_page({"ball": ball()})
    assert not re.search(r"https?:|//[a-z]+\.|\bimport\b|\bfetch\b|XMLHttp|src=|href=|@font|url\(", page)
    assert "{{" not in page


def test_names_stay_text() -> None:
    evil = '</script><script>alert("x")</script>'
    page = viewer_page({evil: ball()}, evil)
    assert page.count("</script>") == 2 and embedded(page)[0]["name"] == evil


def test_refusals(tmp_path) -> None:
    with pytest.raises(ValueError, match="no mesh to show"):
        viewer_page({})
    with pytest.raises(ValueError, match="`x` has 0 triangles"):
        viewer_page({"x": Mesh(np.zeros((3, 3)), np.zeros((0, 3), np.int32))})
    write_viewer(tmp_path / "page.html", {"box": box()})
    assert embedded((tmp_path / "page.html").read_text())[0]["counts"] == [8, 12]
