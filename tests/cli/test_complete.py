"""`scigen complete` with an untrained bridge: what is kept, in which units, in which order, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scigen.io.clouds import read_cloud, write_cloud
from scigen.io.meshes import read_mesh, write_mesh
from scigen.io.shape import Cloud
from scigen.metrics.mesh import examine
from scigen.run.partial import MOST, SAMPLED, read_partial
from tests.cli import tiny_points as tiny
from tests.cli.scans import complete, half_ball, told
from tests.domains.shapes.bodies import box

FAR = np.array([4.5e5, 120.0, -5.4e6])  # metres, as maps have them: float32 would round by half a metre


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.bridge(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Half a ball of 8 m, far from the origin."""
    cloud = half_ball()
    write_cloud(tmp_path / "scan.ply", Cloud(8 * cloud.points.astype(np.float64) + FAR, cloud.normals))
    return tmp_path / "scan.ply"


def xyz(rows: np.ndarray) -> np.ndarray:
    return np.stack([rows["x"], rows["y"], rows["z"]], 1)


def test_the_scan_is_kept_and_the_rest_stands_around_it(bridge: Path, scan: Path, tmp_path: Path, capsys) -> None:
    assert complete(scan, bridge, tmp_path / "out", "--n", 3) == 0
    out, err = capsys.readouterr()
    assert "3 completions" in out and "400 points observed" in out and err == ""
    mine = read_cloud(scan)
    for rank in (1, 2, 3):
        rows = tiny.columns(tmp_path / "out" / f"completion_{rank}.ply")
        assert np.array_equal(xyz(rows)[:400], mine.points), "bit for bit, in double precision"
        assert np.array_equal(rows["nx"][:400], mine.normals[:, 0])
        assert rows["observed"].tolist() == [1] * 400 + [0] * (len(rows) - 400) and 400 < len(rows) <= 700
        assert not rows["uncertainty"][:400].any() and (rows["uncertainty"][400:] > 0).all()
        assert np.abs(xyz(rows) - FAR).max() < 40, "metres around the scan, not in some frame of ours"
        added = xyz(rows)[400:]
        assert len(np.unique(added, axis=0)) == len(added), "an offset of 5,400 km has not rounded points together"
    assert (tmp_path / "out" / "completions.png").read_bytes().startswith(b"\x89PNG")
    facts = told(tmp_path / "out")
    assert facts["input"]["points"] == 400 and facts["input"]["treatment"] == [] and facts["failed"] == {}
    assert facts["input"]["diameter"] == pytest.approx(8, rel=0.02)
    ranking = facts["ranking"]
    assert [row["agreement"] for row in ranking] == sorted(row["agreement"] for row in ranking)
    assert sorted(row["draw"] for row in ranking) == [0, 1, 2]
    for row in ranking:
        rows = tiny.columns(tmp_path / "out" / row["file"])
        assert row["uncertainty"] == pytest.approx(rows["uncertainty"][400:].mean(), rel=1e-6)
        assert row["observed"] == 400 and row["added"] == len(rows) - 400 and 0 < row["agreement"] <= row["farthest"]


def test_units_do_not_matter(bridge: Path, scan: Path, tmp_path: Path) -> None:
    mine = read_cloud(scan)
    write_cloud(tmp_path / "mm.ply", Cloud(1e6 * (mine.points - FAR), mine.normals))
    for name, file in (("m", scan), ("mm", tmp_path / "mm.ply")):
        assert complete(file, bridge, tmp_path / name, "--n", 2, "--quiet") == 0
    for rank in (1, 2):
        a, b = (tiny.columns(tmp_path / name / f"completion_{rank}.ply") for name in ("m", "mm"))
        assert len(a) == len(b) and np.abs(1e6 * (xyz(a) - FAR) - xyz(b)).max() < 1e6 * 1e-4
        assert np.allclose(1e6 * a["uncertainty"], b["uncertainty"], atol=1e6 * 1e-4)


def test_a_draw_depends_on_its_seed_and_number_alone(bridge: Path, scan: Path, tmp_path: Path) -> None:
    found = {}
    for name, words in {"two": (2, 0), "four": (4, 0), "other": (2, 1)}.items():
        assert complete(scan, bridge, tmp_path / name, "--n", words[0], "--seed", words[1], "--quiet") == 0
        rows = {row["draw"]: row["file"] for row in told(tmp_path / name)["ranking"]}
        found[name] = {draw: xyz(tiny.columns(tmp_path / name / file)) for draw, file in rows.items()}
    for draw in (0, 1):
        assert np.abs(found["two"][draw] - found["four"][draw]).max() < 1e-4
        assert found["two"][draw].shape != found["other"][draw].shape or (
            np.abs(found["two"][draw] - found["other"][draw]).max() > 1e-2
        )


def test_modes_classes_and_one_draw(bridge: Path, scan: Path, tmp_path: Path) -> None:
    found = []
    for words in ((), ("--mode", "ode"), ("--category", "chair"), ("--category", "table")):
        assert complete(scan, bridge, tmp_path / "out", "--n", 1, "--steps", 4, "--quiet", *words) == 0
        rows = tiny.columns(tmp_path / "out" / "completion_1.ply")
        assert "uncertainty" not in rows.dtype.names, "one draw has no spread"
        found.append(xyz(rows)[400:])
    for k, one in enumerate(found):
        for other in found[:k]:
            assert one.shape != other.shape or np.abs(one - other).max() > 1e-3


def test_resample_gives_the_decoded_shape_alone(bridge: Path, scan: Path, tmp_path: Path) -> None:
    assert complete(scan, bridge, tmp_path / "out", "--n", 2, "--resample", "--quiet") == 0
    rows = tiny.columns(tmp_path / "out" / "completion_2.ply")
    assert len(rows) == 300 and not rows["observed"].any() and (rows["uncertainty"] > 0).all()
    assert np.allclose(rows["nx"] ** 2 + rows["ny"] ** 2 + rows["nz"] ** 2, 1, atol=1e-5)
    assert told(tmp_path / "out")["ranking"][0] | {"observed": 0, "added": 300} == told(tmp_path / "out")["ranking"][0]


def test_a_smaller_run_leaves_nothing_of_a_larger_one(bridge: Path, scan: Path, tmp_path: Path) -> None:
    for n in (2, 1):
        assert complete(scan, bridge, tmp_path / "out", "--n", n, "--quiet") == 0
        (tmp_path / "out" / "completion_of_mine.ply").write_text("mine")
    left = sorted(path.name for path in (tmp_path / "out").glob("*.ply"))
    assert left == ["completion_1.ply", "completion_of_mine.ply"]


def test_a_completion_may_be_completed_but_not_overwritten(bridge: Path, scan: Path, tmp_path: Path, capsys) -> None:
    assert complete(scan, bridge, tmp_path / "out", "--n", 1, "--quiet") == 0
    first = tmp_path / "out" / "completion_1.ply"
    assert complete(first, bridge, tmp_path / "out", "--n", 1) == 2
    assert "choose another folder" in capsys.readouterr().err and first.is_file()
    assert complete(first, bridge, tmp_path / "again", "--n", 1, "--quiet") == 0


def test_a_mesh_is_sampled_and_many_points_are_thinned(bridge: Path, tmp_path: Path, capsys) -> None:
    write_mesh(tmp_path / "part.stl", box((2, 1, 0.5), (7, 8, 9)))
    assert complete(tmp_path / "part.stl", bridge, tmp_path / "mesh", "--n", 1) == 0
    assert "a mesh of 12 triangles: 8,192 points of its surface stand for it" in capsys.readouterr().out
    rows = tiny.columns(tmp_path / "mesh" / "completion_1.ply")
    assert rows["observed"].sum() == SAMPLED
    off = np.abs(xyz(rows)[:SAMPLED] - (7, 8, 9)) / (2, 1, 0.5)
    assert np.abs(off.max(1) - 1).max() < 1e-5, "on the faces of the box, in the file's units"

    many = np.random.default_rng(0).normal(size=(30_000, 3))
    np.save(tmp_path / "many.npy", many)
    assert complete(tmp_path / "many.npy", bridge, tmp_path / "many", "--n", 1) == 0
    assert "30,000 points: 16,384 of them are looked at, all are kept" in capsys.readouterr().out
    rows = tiny.columns(tmp_path / "many" / "completion_1.ply")
    assert np.array_equal(xyz(rows)[:30_000], many) and rows["observed"].sum() == 30_000
    assert told(tmp_path / "many")["input"]["treatment"] == [
        "30,000 points: 16,384 of them are looked at, all are kept"
    ]
    a, b = (read_partial(tmp_path / "many.npy").seen.points for _ in range(2))
    assert np.array_equal(a, b) and len(a) == MOST


@pytest.mark.slow
def test_five_million_points(bridge: Path, tmp_path: Path) -> None:
    many = np.random.default_rng(0).normal(size=(5_000_000, 3)).astype(np.float32)
    np.save(tmp_path / "many.npy", many)
    assert complete(tmp_path / "many.npy", bridge, tmp_path / "out", "--n", 1, "--quiet") == 0
    rows = tiny.columns(tmp_path / "out" / "completion_1.ply")
    assert np.array_equal(xyz(rows)[: len(many)], many)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--mode pde", 2, "choose sde or ode"),
        ("--category chiar", 2, "did you mean 'chair'?"),
        ("--n 0", 2, "--n"),
        ("--points 3", 2, "--points"),
        ("--weights nowhere.safetensors", 3, "No weights 'nowhere.safetensors'"),
        ("--weights molecules-qm9", 3, "are for molecules, not for completion"),
    ],
)
def test_wrong_requests(options: str, code: int, words: str, bridge: Path, scan: Path, tmp_path: Path, capsys) -> None:
    assert complete(scan, bridge, tmp_path / "out", *options.split()) == code
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_weights_that_do_not_fit(bridge: Path, scan: Path, tmp_path: Path, capsys) -> None:
    assert complete(scan, bridge, tmp_path / "out", "--codec", tiny.codec(tmp_path, "other", seed=5)) == 3
    assert "is another" in capsys.readouterr().err
    assert complete(scan, tiny.bridge(tmp_path / "w", spread={}), tmp_path / "out") == 3
    assert "no usable `spread`" in capsys.readouterr().err
    assert complete(tmp_path / "missing.ply", bridge, tmp_path / "out") == 3
    assert "missing.ply" in capsys.readouterr().err


def test_a_bridge_with_a_memory(scan: Path, tmp_path: Path, capsys) -> None:
    """Draws set out from four wholes in turn, whatever their number, by every mode, as meshes too; offline."""
    weights = tiny.remembering(tmp_path / "w")
    found = {}
    for name, words in {"two": ("--n", 2), "six": ("--n", 6), "ode": ("--n", 2, "--mode", "ode")}.items():
        assert complete(scan, weights, tmp_path / name, *words, "--quiet") == 0
        rows = {row["draw"]: row["file"] for row in told(tmp_path / name)["ranking"]}
        found[name] = {draw: xyz(tiny.columns(tmp_path / name / file)) for draw, file in rows.items()}
    assert all(np.abs(found["two"][k] - found["six"][k]).max() < 1e-4 for k in (0, 1))
    assert len(found["six"]) == 6
    assert complete(scan, weights, tmp_path / "mesh", "--n", 1, "--mesh", "--resolution", 64, "--quiet") == 0
    assert (tmp_path / "mesh" / "completion_1.glb").is_file()

    memory, other = tiny.memory(), {**tiny.memory(), "feat": tiny.memory()["feat"][1:]}
    strange = {**memory, "feat": memory["feat"][..., 1:], "feat_step": memory["feat_step"][1:]}
    for k, (kept, words) in enumerate(((other, "do not fit together"), (strange, "latent points are (8, 5)"))):
        assert complete(scan, tiny.remembering(tmp_path / f"bad{k}", kept), tmp_path / "bad") == 3
        err = capsys.readouterr().err
        assert "The memory in" in err and words in err and err.count("\n") == 1
    assert complete(scan, tiny.bridge(tmp_path / "none", start="remembered"), tmp_path / "bad") == 3
    assert "are missing" in capsys.readouterr().err and not (tmp_path / "bad").exists()


def test_draws_that_are_not_finite(scan: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "w"
    facts = {**tiny.of_codec(tiny.codec(folder)), "spread": {"pos": 0.5, "feat": 1.0}}
    broken = tiny.export(folder / "broken.safetensors", "points-bridge", tiny.LATENT, spoil=True, **facts)
    assert complete(scan, broken, tmp_path / "none", "--n", 2) == 5
    assert "None of 2 draws is finite" in capsys.readouterr().err

    from scigen.run import complete as library

    def second_is_broken(network, spread, x1, rng, steps):
        x = x1.replace(pos=x1["pos"].clone())
        x["pos"][1] = float("nan")
        return x

    monkeypatch.setattr(library, "draw_sde", second_is_broken)
    assert complete(scan, broken, tmp_path / "some", "--n", 3) == 4
    out, err = capsys.readouterr()
    assert "2 completions" in out and err == "draw 1: non-finite pos\n"
    assert json.loads((tmp_path / "some" / "errors.jsonl").read_text()) == {"index": 1, "reason": "non-finite pos"}
    assert told(tmp_path / "some")["failed"] == {"1": "non-finite pos"}


def test_completions_as_meshes(bridge: Path, scan: Path, tmp_path: Path, capsys) -> None:
    options = ("--n", 2, "--mesh", "--resolution", 64, "--quiet")
    assert complete(scan, bridge, tmp_path / "out", *options) == 0
    for rank in (1, 2):
        mesh = read_mesh(tmp_path / "out" / f"completion_{rank}.glb")
        a = examine(mesh.vertices, mesh.faces)
        assert a.watertight and a.oriented and a.manifold and a.solid and a.volume > 0
        rows = tiny.columns(tmp_path / "out" / f"completion_{rank}.ply")
        cloud = xyz(rows)[rows["observed"] == 0]
        middles = [(x.min(0) + x.max(0)) / 2 for x in (mesh.vertices, cloud)]
        size = np.ptp(cloud, 0).max()
        assert np.abs(middles[0] - middles[1]).max() < 0.4 * size, "where the cloud of the same draw stands"
        assert 0.6 < np.ptp(mesh.vertices, 0).max() / size < 1.7
    assert len(json.loads((tmp_path / "out" / "meshes.json").read_text())) == 2
    assert "completion 2" in (tmp_path / "out" / "completions.html").read_text()
    assert complete(scan, bridge, tmp_path / "out", "--n", 1, "--quiet") == 0
    assert not list((tmp_path / "out").glob("*.glb")), "a run without meshes leaves none of an earlier one"
    assert complete(scan, bridge, tmp_path / "no", "--mesh", "--format", "ply") == 2
    assert complete(scan, bridge, tmp_path / "no", "--format", "obj") == 2
    assert "give --mesh" in capsys.readouterr().err
