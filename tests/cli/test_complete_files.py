"""`scigen complete` on files of every format, and on those that are none."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from scigen.io.clouds import write_cloud
from scigen.io.meshes import write_mesh
from scigen.run.partial import SAMPLED
from tests.cli import tiny_points as tiny
from tests.cli.scans import complete, half_ball, told
from tests.domains.shapes.bodies import ball


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bridge(tmp_path_factory.mktemp("weights"))


@pytest.mark.parametrize("name", ["scan.pcd", "scan.xyz", "scan.npy", "scan.npz", "scan.obj", "scan.stl", "wrong.stl"])
def test_every_format(name: str, bridge: Path, tmp_path: Path) -> None:
    cloud, path = half_ball(60), tmp_path / name
    if name == "scan.pcd":
        head = (
            "VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 60\nHEIGHT 1\nPOINTS 60\nDATA ascii\n"
        )
        path.write_text(head + "\n".join(" ".join(map(str, row)) for row in cloud.points.tolist()) + "\n")
    elif name == "scan.npy":
        np.save(path, cloud.points)
    elif path.suffix in (".xyz", ".npz"):
        write_cloud(path, cloud)
    elif name == "wrong.stl":  # points as text under the name of a mesh: the content decides
        write_cloud(tmp_path / "right.xyz", cloud)
        path.write_bytes((tmp_path / "right.xyz").read_bytes())
    else:
        write_mesh(path, ball(rings=8))
    assert complete(path, bridge, tmp_path / "out", "--n", 1, "--quiet") == 0
    assert told(tmp_path / "out")["input"]["points"] == (SAMPLED if name in ("scan.obj", "scan.stl") else 60)


def ply(count: int, body: bytes) -> bytes:
    fields = "".join(f"property float {axis}\n" for axis in "xyz")
    return f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{fields}end_header\n".encode() + body


def floats(points: np.ndarray) -> bytes:
    return points.astype("<f4").tobytes()


BAD = {
    "nothing": (b"", "empty"),
    "no points": (ply(0, b""), "no points"),
    "three points": (ply(3, floats(np.eye(3))), "3 different points"),
    "one place": (ply(100, floats(np.ones((100, 3)))), "without extent"),
    "few places": (ply(99, floats(np.tile(np.eye(3), (33, 1)))), "3 different points"),
    "a number that is none": (ply(40, struct.pack("<f", np.nan) + floats(np.random.rand(40, 3))[4:]), "not finite"),
    "infinity": (ply(40, struct.pack("<f", np.inf) + floats(np.random.rand(40, 3))[4:]), "not finite"),
    "cut short": (ply(100, floats(np.random.rand(90, 3))), "PLY"),
    "a header that lies": (ply(10**9, floats(np.random.rand(90, 3))), "PLY"),
    "no shape": (b"dear diary\n", "not a readable PLY"),
    "a flat triangle": (b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "area"),
}


@pytest.mark.parametrize("what", BAD)
def test_files_that_cannot_be_completed(what: str, bridge: Path, tmp_path: Path, capsys) -> None:
    data, words = BAD[what]
    (tmp_path / "bad.ply").write_bytes(data)
    assert complete(tmp_path / "bad.ply", bridge, tmp_path / "out") == 3
    out, err = capsys.readouterr()
    assert words in err and "bad.ply" in err and err.count("\n") == 1 and out == ""
    assert not (tmp_path / "out").exists(), "nothing is written for it"
