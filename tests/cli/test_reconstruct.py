"""From rendered shapes to a trained prior, views and meshes, all of it by the command line, in seconds."""

from __future__ import annotations

import json
import resource
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scigen.cli.app import run
from scigen.domains.image3d.folder import read_views
from scigen.domains.image3d.photograph import random_look, taken
from scigen.domains.image3d.rig import CUBE, Viewpoint
from scigen.domains.image3d.viewset import MEMORY
from scigen.io.meshes import read_mesh, write_mesh
from scigen.metrics.mesh import examine
from scigen.metrics.mesh_pairs import volume_overlap
from scigen.run import weights as weights_store
from tests.cli import tiny_points as tiny
from tests.domains.shapes.bodies import ball, box, joined

SHAPE = {"pixels": 48, "patch": 8, "width": 16, "layers": 1, "heads": 2, "near": 2}
BODY = joined(box((0.35, 0.1, 0.2), (0, -0.15, 0)), box((0.15, 0.12, 0.15), (0.1, 0.05, 0)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("place")
    for k in range(4):
        folder = root / "shapes" / "train" / ("balls" if k % 2 else "boxes")
        folder.mkdir(parents=True, exist_ok=True)
        write_mesh(folder / f"{k}.stl", ball(1 + k, rings=6) if k % 2 else box((1, 1 + k, 2)))
    write_mesh(root / "body.glb", BODY)
    rgb, cover = taken(BODY, random_look(BODY, np.random.default_rng(0)), Viewpoint(35, 20), 120, 30.0)
    rgb = cover[..., None] * rgb * 0.6 + (1 - cover[..., None])
    Image.fromarray(np.rint(255 * rgb).astype(np.uint8)).save(root / "photo.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 60, 3)).astype(np.uint8)).save(root / "noise.png")
    Image.fromarray(np.full((40, 60), 255, np.uint8)).save(root / "wide.png")
    return root


@pytest.fixture(autouse=True)
def _cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIGEN_CACHE", str(place / "cache"))


def line(*words: object) -> int:
    return run([str(word) for word in words])


def test_what_the_documentation_shows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared = ["data", "prepare", "views", "folder", "--source", place / "shapes", "--name", "mine", "--quiet"]
    assert line(*prepared, "--pixels", 24, "--pictures", 2) == 0
    facts = json.loads((place / "cache" / "views" / "mine.json").read_text())
    assert facts["shapes"] == 4 and facts["splits"] == {"train": 4, "val": 0, "test": 0} and not facts["failed"]
    assert line("train", "images/views", "--out", place / "run", "--quiet", "-s", "data=mine",
                "-s", "network.pixels=24",
                "-s", "network.width=16", "-s", "network.heads=2", "-s", "network.layers=1", "-s", "train.batch=2",
                "-s", "train.steps=2", "-s", "train.minutes=null") == 0  # fmt: skip
    card = json.loads((place / "run" / "weights.json").read_text())
    assert card["domain"] == "image-views" and card["scale"]["view"] > 0 and card["data"]["shapes"] == 4
    capsys.readouterr()

    weights = ["--prior", "scigen", "--weights", place / "run" / "weights.safetensors", "--steps", 2, "--set", "mine"]
    assert line("views", place / "photo.png", *weights, "--samples", 2, "--out", place / "views") == 0
    assert "2 sets of 6 views" in capsys.readouterr().out
    assert read_views(place / "views" / "views_2.npz", CUBE).pixels == 24 and (place / "views" / "views.png").is_file()

    assert line("views", place / "photo.png", *weights[:-2], "--out", place / "views") == 3
    assert "48 pixels a side and the network 24" in capsys.readouterr().err, "unless told it asks the shipped memory"
    assert line("views", place / "photo.png", *weights[:-1], "procedural", "--out", place / "views") == 3
    assert "prepare views procedural" in capsys.readouterr().err, "it looks at neighbours, which must be there"

    nearest = ["--prior", "retrieval", "--set", "mine", "--samples", 2, "--grid", 32, "--json"]
    assert line("reconstruct", place / "photo.png", *nearest, "--out", place / "near") == 0
    rows = json.loads(capsys.readouterr().out)["ranking"]
    assert rows[0]["reprojection_iou"] >= rows[1]["reprojection_iou"] > 0.3
    for row in rows:
        mesh = read_mesh(place / "near" / row["file"])
        assert examine(mesh.vertices, mesh.faces).solid
    again = ["--prior", "folder", "--folder", place / "near", "--samples", 1, "--grid", 32, "--quiet"]
    assert line("reconstruct", place / "photo.png", *again, "--out", place / "again") == 0
    # The set holds pictures of 24 pixels and a folder of views says nothing of them: the surface is the same, the paint
    # that is taken from the picture is not.
    first, second = (read_mesh(place / folder / "mesh_1.glb") for folder in ("near", "again"))
    assert np.array_equal(first.vertices, second.vertices) and np.array_equal(first.faces, second.faces)
    assert capsys.readouterr().out == ""


def test_a_fresh_machine_reconstructs_with_what_is_shipped(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No option, no cache, no network; what was taken is said, unless it was asked for."""
    monkeypatch.setenv("SCIGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights_store, "shipped", dict)
    out, few = tmp_path / "out", ["--grid", 32, "--json"]
    assert line("reconstruct", place / "photo.png", *few, "--out", out) == 0
    told, err = capsys.readouterr()
    assert err.startswith("--prior retrieval: no weights") and err.count("\n") == 1
    assert json.loads(told)["ranking"][0]["reprojection_iou"] > 0.6
    config = json.loads((out / "run.json").read_text())["config"]
    assert config["prior"] == "retrieval" and config["views"] == MEMORY and not (tmp_path / "cache").exists()
    assert line("reconstruct", place / "photo.png", *few, "--prior", "retrieval", "--out", tmp_path / "named") == 0
    assert capsys.readouterr().err == ""
    meshes = [(folder / "mesh_1.glb").read_bytes() for folder in (out, tmp_path / "named")]
    assert meshes[0] == meshes[1]
    import trimesh

    colours = np.asarray(trimesh.load(out / "mesh_1.glb", force="mesh").visual.vertex_colors)[:, :3].astype(float)
    assert colours.std(0).min() > 5 and colours.mean() < 120, "the light on the grey object of the picture"


def test_shipped_weights_come_before_retrieval(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tiny.export(tmp_path / "images-views.safetensors", "image-views", SHAPE, scale={"view": 0.5})
    monkeypatch.setattr(weights_store, "shipped", lambda: {"images-views": own})
    for named in ([], ["--prior", "scigen"], ["--prior", "regression"]):
        out = tmp_path / f"out{len(named)}{named[-1:]}"
        assert line("views", place / "photo.png", *named, "--steps", 2, "--out", out) == 0
        told, err = capsys.readouterr()
        assert "1 sets of 6 views" in told and bool(err) == (not named)
        assert named or err.startswith("--prior scigen: the shipped weights images-views")
        assert json.loads((out / "run.json").read_text())["config"]["weights"] == "images-views"
    assert line("views", place / "photo.png", "--prior", "latent", "--out", tmp_path / "none") == 2
    assert "--weights goes with" in capsys.readouterr().err, "none of these are shipped, and nothing else is taken"


def test_the_oracle_is_the_mesh_it_looked_at(place: Path) -> None:
    out = place / "oracle"
    words = ["--prior", "oracle", "--mesh", place / "body.glb", "--grid", 48, "--quiet"]
    assert line("reconstruct", place / "photo.png", *words, "--out", out) == 0
    from scigen.domains.shapes.unit import unit_shape

    true, _ = unit_shape(BODY)
    found = read_mesh(out / "mesh_1.glb")
    assert volume_overlap((found.vertices, found.faces), (true.vertices, true.faces), 64).iou > 0.88
    told = json.loads((out / "run.json").read_text())
    assert told["ranking"][0]["reprojection_iou"] > 0.85 and told["config"]["prior"] == "oracle"
    files = {"views.png", "turntable.png", "turntable.gif", "views_1.npz", "meshes.html"}
    assert files <= {p.name for p in out.iterdir()}
    page = (out / "meshes.html").read_text()
    assert '"mesh_1"' in page and "http" not in page.replace("http://www.w3.org", ""), (
        "the page asks nothing of a network"
    )


ORACLE = "--prior oracle --mesh {dir}/body.glb"


@pytest.mark.parametrize(
    ("code", "words", "culprit"),
    [
        (2, "reconstruct {dir}/photo.png --prior magic", "--prior magic"),
        (2, "reconstruct {dir}/photo.png --prior oracle", "--mesh goes with"),
        (2, "reconstruct {dir}/photo.png --prior mean --mesh {dir}/body.glb", "--mesh goes with"),
        (2, "reconstruct {dir}/photo.png --mesh {dir}/body.glb", "--mesh goes with"),
        (2, "reconstruct {dir}/photo.png --weights x", "with --prior what they are weights of"),
        (2, "reconstruct {dir}/photo.png --prior scigen", "--weights goes with"),
        (2, "reconstruct {dir}/photo.png --prior mean --rig wonder3d", "cube alone"),
        (2, "reconstruct {dir}/photo.png --prior oracle --mesh {dir}/body.glb --rig cubes", "did you mean 'cube'"),
        (2, f"reconstruct {{dir}}/photo.png {ORACLE} --recon dig", "--recon dig"),
        (2, f"reconstruct {{dir}}/photo.png {ORACLE} --grid 63", "even"),
        (3, "reconstruct {dir}/photo.png --set none", "No views"),
        (3, f"reconstruct {{dir}}/none.png {ORACLE}", "does not exist"),
        (3, f"reconstruct {{dir}}/noise.png {ORACLE}", "nothing separates"),
        (3, f"reconstruct {{dir}}/body.glb {ORACLE}", "not a picture"),
        (3, f"reconstruct {{dir}}/photo.png {ORACLE} --mask {{dir}}/wide.png", "60 x 40"),
        (3, "reconstruct {dir}/photo.png --prior oracle --mesh {dir}/photo.png", "photo.png"),
        (3, "reconstruct {dir}/photo.png --prior folder --folder {dir}/shapes", "holds no views"),
        (3, "reconstruct {dir}/photo.png --prior folder --folder {dir}/photo.png", "not a folder"),
        (3, "reconstruct {dir}/photo.png --prior scigen --weights molecules-qm9", "not for views"),
        (2, "reconstruct {dir}/photo.png --category chair", "--category chair"),
        (
            2,
            "reconstruct {dir}/photo.png --prior scigen --weights x --pipeline {dir}/photo.png",
            "--pipeline goes with",
        ),
        (2, "reconstruct {dir}/photo.png --prior zero123plus --weights x", "--pipeline goes with"),
        (2, "data prepare views", "Which views"),
        (2, "data prepare views procedural --pixels 4", "4 pixels"),
        (2, "data prepare views procedural --split half", "--split half"),
        (2, "data prepare points procedural --split test", "--split test"),
        (3, "data prepare views nowhere", "nowhere"),
        (2, "train images/views -s network.patch=7", "multiple of `patch`"),
        (3, "train images/views -s data=none --minutes 1 --out {dir}/x", "No views"),
    ],
)
def test_one_sentence_each(
    code: int, words: str, culprit: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [] if words.startswith(("data", "train")) else ["--out", str(place / "new")]
    assert run([*words.format(dir=place).split(), *where]) == code
    out, err = capsys.readouterr()
    assert err.startswith("scigen: ") and err.count("\n") == 1 and out == "" and culprit in err


def _bad(name: str, path: Path) -> None:
    """A picture that must be refused."""
    white = np.full((40, 40, 3), 255, np.uint8)
    frames = [Image.fromarray(np.full((40, 40), k, np.uint8)) for k in (9, 200)]
    if name == "text":
        path.write_text("a chair")
    elif name == "dot":
        Image.fromarray(white[:1, :1]).save(path, "PNG")
    elif name == "vast":
        header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0d" + header + struct.pack(">I", zlib.crc32(header)))
        with path.open("ab") as handle:
            handle.write(b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    elif name == "animated":
        frames[0].save(path, "GIF", save_all=True, append_images=frames[1:])
    elif name == "deep":
        Image.fromarray(np.full((40, 40), 9000, np.uint16)).save(path, "PNG")
    elif name == "inks":
        Image.fromarray(white).convert("CMYK").save(path, "JPEG")
    elif name == "clear":
        Image.fromarray(np.zeros((40, 40, 4), np.uint8)).save(path, "PNG")
    elif name == "blank":
        Image.fromarray(white).save(path, "PNG")
    else:
        noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
        Image.fromarray(noise).save(path, "PNG")
        path.write_bytes(path.read_bytes()[:5000] + b"?" * 5000)


@pytest.mark.parametrize(
    ("name", "culprit"),
    [
        ("text", "not a picture"),
        ("dot", "1 x 1 pixels"),
        ("vast", "400,000,000 pixels"),
        ("animated", "2 pictures"),
        ("deep", "more than 8 bits"),
        ("inks", "CMYK"),
        ("clear", "no object"),
        ("blank", "no object"),
        ("torn", "damaged"),
    ],
)
@pytest.mark.parametrize("command", ["reconstruct", "views"])
def test_pictures_that_are_none(
    command: str, name: str, culprit: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _bad(name, tmp_path / "x.png")
    words = [tmp_path / "x.png", "--prior", "oracle", "--mesh", place / "body.glb", "--out", tmp_path / "out"]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert line(command, *words) == 3
    out, err = capsys.readouterr()
    assert err.startswith("scigen: ") and err.count("\n") == 1 and out == "" and culprit in err
    assert not (tmp_path / "out").exists(), "nothing is begun"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kilobytes: nothing vast is decoded"


def test_views_of_another_rig_are_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracle = ["--prior", "oracle", "--mesh", place / "body.glb", "--rig", "wonder3d", "--quiet"]
    assert line("views", place / "photo.png", *oracle, "--out", tmp_path / "made") == 0
    folder = ["--prior", "folder", "--folder", tmp_path / "made", "--out", tmp_path / "out"]
    assert line("reconstruct", place / "photo.png", *folder) == 3
    err = capsys.readouterr().err
    assert "those of the rig" in err and err.count("\n") == 1
    assert line("views", place / "photo.png", *folder, "--rig", "wonder3d") == 0


def test_the_mean_of_a_class(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared = ["data", "prepare", "views", "folder", "--source", place / "shapes", "--name", "classed", "--quiet"]
    assert line(*prepared, "--pixels", 24, "--pictures", 1) == 0
    mean = ["views", place / "photo.png", "--prior", "mean", "--set", "classed", "--quiet"]
    assert line(*mean, "--category", "balls", "--out", place / "mean") == 0
    ball_views = read_views(place / "mean" / "views_1.npz", CUBE)
    share = ball_views.solid.mean((1, 2))
    np.testing.assert_allclose(share, np.pi / 4 / 1.04**2, atol=0.03)
    assert line(*mean, "--category", "ball", "--out", place / "none") == 3
    assert "balls, boxes" in capsys.readouterr().err


def test_presets_and_library_agree() -> None:
    from scigen.domains.image3d.views_task import ViewsLoss
    from scigen.nn.multiview import MultiViewConfig
    from scigen.nn.picture_latents import PictureLatentsShape
    from scigen.run import schema_views as schema
    from scigen.run.config import load_config

    assert schema.ViewsLossConfig().model_dump() == vars(ViewsLoss())
    of = vars(MultiViewConfig())
    assert schema.SidesNetworkConfig().model_dump() == {k: of[k] for k in schema.SidesNetworkConfig.model_fields}
    assert load_config("images/views").network == schema.SidesNetworkConfig()
    of, own = vars(PictureLatentsShape()), schema.PictureLatentsNetworkConfig
    assert own().model_dump() == {k: of[k] for k in own.model_fields}
    assert load_config("images/latents").network == own()
