"""glTF and GLB: scenes become one mesh, no file outside the folder is opened, and lies are named."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from scigen.errors import InputError
from scigen.io.gltf import decode_gltf
from scigen.io.gltf_tree import pack_glb
from scigen.io.meshes import read_mesh
from tests.io import shape_seeds
from tests.io.shape_seeds import PYRAMID, soup

HERE = Path("no folder at all")


def test_a_scene_is_one_mesh_where_it_stands() -> None:
    mesh = decode_gltf(shape_seeds.glb(), HERE)
    assert mesh.faces.shape == (12, 3)
    mirrored = PYRAMID * [-1, 1, 1] + [10, 20, 30]
    assert {tuple(v) for v in mesh.vertices} == {tuple(v) for v in np.concatenate([PYRAMID, mirrored])}
    # Mirrored triangles are turned round: both copies enclose a positive volume.
    corners = soup(mesh)
    volumes = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volumes[:6].sum() == pytest.approx(4) and volumes[6:].sum() == pytest.approx(4)


def test_gltf_with_buffers_inside_and_beside(tmp_path: Path) -> None:
    expected = np.array([[[1, 2, 3], [2, 2, 3], [1, 3, 3]]])
    assert np.array_equal(soup(decode_gltf(shape_seeds.gltf(), HERE)), expected)
    (tmp_path / "a b.bin").write_bytes(shape_seeds.triangle_buffer())
    assert np.array_equal(soup(decode_gltf(shape_seeds.gltf("a%20b.bin"), tmp_path)), expected)


@pytest.mark.parametrize(
    "uri", ["../secret.bin", "/etc/hostname", "http://x.org/a.bin", "file:///etc/hostname", "..%2Fsecret.bin"]
)
def test_gltf_opens_nothing_outside_its_folder(tmp_path: Path, uri: str) -> None:
    (tmp_path / "secret.bin").write_bytes(shape_seeds.triangle_buffer())
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="only files in its own folder"):
        decode_gltf(shape_seeds.gltf(uri), tmp_path / "folder")


def test_gltf_follows_no_link_out_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(shape_seeds.triangle_buffer())
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(ValueError, match="only files in its own folder"):
        decode_gltf(shape_seeds.gltf("link.bin"), tmp_path / "folder")


def edited(**changes: object) -> bytes:
    return json.dumps(json.loads(shape_seeds.gltf()) | changes).encode()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"scenes": []}, None),
        ({"extensionsUsed": ["KHR_materials_unlit"], "extensionsRequired": ["KHR_materials_unlit"]}, None),
        ({"materials": [{}], "images": [{"uri": "http://x.org/a.png"}], "textures": [{"source": 0}]}, None),
        ({"asset": {"version": "1.0"}}, "not glTF 2"),
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "needs the extension `KHR_draco"),
        ({"scenes": [{"nodes": []}]}, "shows 0 triangles"),
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "met twice"),
        ({"nodes": [{"mesh": 5}]}, "IndexError"),
        ({"scenes": [{"nodes": [0] * 2}]}, "met twice"),
        ({"buffers": [{"byteLength": 2_000_000_000, "uri": "a.bin"}] * 9}, "its buffers have 18.0 GB"),
        ({"nodes": 7}, "TypeError"),
        ({"nodes": [{"mesh": 0, "translation": [1e999, 0, 0]}]}, "3 of 3 vertices are not finite"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "mode": 1}]}]}, "shows 0 triangles"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 1}, "mode": 5}]}]}, "strips or fans"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 1, "TEXCOORD_0": 99}}]}]}, None),
        ({"bufferViews": [{"buffer": 0, "byteLength": 600}]}, "leaves the buffer of 44"),
        ({"buffers": [{"byteLength": 45, "uri": "data:;base64,AAAA"}]}, "45 bytes is declared, and 3 are there"),
        ({"buffers": [{"byteLength": 44, "uri": "data:;base64,%"}]}, "not base64"),
    ],
)
def test_gltf_trees(changes: dict, sentence: str | None) -> None:
    if sentence is None:
        assert len(decode_gltf(edited(**changes), HERE).faces) == 1
        return
    with pytest.raises(ValueError, match=sentence):
        decode_gltf(edited(**changes), HERE)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("count", 4, "4 entries of 2 bytes, and its view 6 bytes"),
        ("count", 2, "2 corners are not a whole number"),
        ("count", 10**9, "1000000000 entries"),
        ("count", -3, "`count` is -3"),
        ("byteOffset", 2, "its view 4 bytes"),
        ("type", "VEC2", "is VEC2 of 5123, not SCALAR"),
        ("sparse", {}, "sparse"),
    ],
)
def test_gltf_accessors(key: str, value: object, sentence: str) -> None:
    tree = json.loads(shape_seeds.gltf())
    tree["accessors"][0][key] = value
    with pytest.raises(ValueError, match=sentence):
        decode_gltf(json.dumps(tree).encode(), HERE)


def test_gltf_shown_too_often() -> None:
    """Many nodes show one small mesh as more vertices than are read."""
    tree = json.loads(shape_seeds.gltf())
    del tree["meshes"][0]["primitives"][0]["indices"]
    tree["buffers"] = [{"byteLength": 36 * 1000, "uri": "data:;base64," + base64.b64encode(bytes(36_000)).decode()}]
    tree["bufferViews"] = [{"buffer": 0, "byteLength": 36_000}] * 2
    tree["accessors"][1]["count"] = 3000
    tree["nodes"] = [{"mesh": 0}] * 40_000
    tree["scenes"] = [{"nodes": list(range(40_000))}]
    with pytest.raises(ValueError, match="40000000 triangles of 120000000 vertices"):
        decode_gltf(json.dumps(tree).encode(), HERE)


def test_gltf_meshes_that_are_not_shown_are_not_read() -> None:
    tree = json.loads(shape_seeds.gltf())
    tree["meshes"].insert(0, {"primitives": [{"attributes": {"POSITION": 77}}]})
    tree["accessors"].insert(0, {"componentType": 5126, "count": 10**12, "type": "VEC3"})  # zeros, by the standard
    tree["meshes"][1]["primitives"][0] = {"attributes": {"POSITION": 2, "NORMAL": 0}, "indices": 1}
    tree["nodes"][0]["mesh"] = 1
    assert soup(decode_gltf(json.dumps(tree).encode(), HERE))[0, 1].tolist() == [2, 2, 3]


def test_gltf_index_beyond_the_vertices() -> None:
    tree = json.loads(shape_seeds.gltf())
    block = b"\x07" + shape_seeds.triangle_buffer()[1:]
    del tree["buffers"][0]["uri"]
    with pytest.raises(ValueError, match="names the vertex 7, and there are 3"):
        decode_gltf(pack_glb(tree, block), HERE)


def test_several_buffers_become_one() -> None:
    tree = json.loads(shape_seeds.gltf())
    block = shape_seeds.triangle_buffer()
    uris = [base64.b64encode(part).decode() for part in (block[:6], block[8:])]
    tree["buffers"] = [{"byteLength": n, "uri": f"data:;base64,{uri}"} for n, uri in zip((6, 36), uris)]
    tree["bufferViews"][1] = {"buffer": 1, "byteLength": 36}
    assert np.array_equal(soup(decode_gltf(json.dumps(tree).encode(), HERE))[0, 1], [2, 2, 3])


def test_glb_that_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "cut.glb"
    path.write_bytes(shape_seeds.glb()[:-7])
    with pytest.raises(
        InputError, match=f"of {len(shape_seeds.glb())} bytes is declared, and {len(shape_seeds.glb()) - 7}"
    ):
        read_mesh(path)
