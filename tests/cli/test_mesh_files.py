"""Broken meshes on the command line: one sentence and exit code 3, from every command that reads one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scigen.cli.app import run
from scigen.io.meshes import write_mesh
from tests.cli import tiny_points as tiny
from tests.domains.shapes.bodies import ball

OUTSIDE = {
    "asset": {"version": "2.0"},
    "buffers": [{"uri": "../secret.bin", "byteLength": 36}],
    "bufferViews": [{"buffer": 0, "byteLength": 36}],
    "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
    "nodes": [{"mesh": 0}],
    "scenes": [{"nodes": [0]}],
    "scene": 0,
}
BROKEN = {
    "nan.obj": ("v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
    "bare.obj": ("# nothing\n", "holds no vertices"),
    "beyond.obj": ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n", "names the vertex 8"),
    "nothing.glb": ("", "is empty"),
    "outside.gltf": (json.dumps(OUTSIDE), "only files in its own folder"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("weights")
    tiny.prior(root)
    write_mesh(root / "good.glb", ball(1.0, rings=4))
    for name, (text, _) in BROKEN.items():
        (root / name).write_text(text)
    return root


def code(folder: Path, command: str, file: Path, out: Path) -> int:
    codec, prior = folder / "codec.safetensors", folder / "prior.safetensors"
    words = {
        "encode": ["encode", file, "--codec", codec, "--out", out / "x.npz"],
        "decode": ["decode", file, "--codec", codec, "--out", out],
        "interpolate": ["interpolate", file, folder / "good.glb", "--weights", prior, "--out", out],
        "like": ["sample", "meshes", "--like", file, "--weights", prior, "--n", 1, "--out", out],
        "score": ["score", "meshes", file, "--reference", folder / "good.glb", "--norm", "unit"],
    }
    return run([str(word) for word in words[command]])


@pytest.mark.parametrize("command", ["encode", "decode", "interpolate", "like", "score"])
@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_mesh_is_one_sentence(name: str, command: str, folder: Path, tmp_path: Path, capsys) -> None:
    assert code(folder, command, folder / name, tmp_path / "out") == 3
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1 and BROKEN[name][1] in told and name in told
    assert not (tmp_path / "out" / "x.npz").exists()


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply", "stl"])
def test_spoilt_bytes_never_end_in_a_traceback(
    suffix: str, folder: Path, tmp_path: Path, numpy_rng: np.random.Generator, capsys
) -> None:
    write_mesh(tmp_path / f"a.{suffix}", ball(1.0, rings=4))
    raw, spoilt = (tmp_path / f"a.{suffix}").read_bytes(), tmp_path / f"b.{suffix}"
    for k in range(12):
        data = bytearray(raw[: numpy_rng.integers(1, len(raw))] if k % 2 else raw)
        for at in numpy_rng.integers(len(data), size=1 + k):
            data[at] = numpy_rng.integers(256)
        spoilt.write_bytes(bytes(data))
        assert code(folder, "encode", spoilt, tmp_path) in (0, 3)
        told = capsys.readouterr().err
        assert len(told.splitlines()) <= 1 and "internal error" not in told
