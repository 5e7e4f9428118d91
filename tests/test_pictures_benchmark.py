"""The pictures of `data/pictures`: as the repository draws them, and what the command makes of them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import pictures
from scigen.io.images import read_picture
from scigen.metrics.mesh import examine


def test_every_scene_has_its_small_picture() -> None:
    assert {path.name for path in pictures.FOLDER.iterdir()} == {scene.file for scene in pictures.SCENES}
    for scene in pictures.SCENES:
        path = pictures.FOLDER / scene.file
        found = read_picture(path)
        assert path.stat().st_size < 60_000 and found.rgb.shape == (256, 256, 3)
        assert (found.alpha is not None) == scene.file.endswith("png")


@pytest.mark.parametrize("what", [*pictures.UNKNOWN, "car 1"])
def test_objects_are_closed_and_in_the_unit_frame(what: str) -> None:
    mesh = pictures.model(what)
    assert examine(mesh.vertices, mesh.faces).solid and mesh.part is not None and mesh.part.max() >= 1
    assert np.linalg.norm(mesh.vertices, axis=1).max() == pytest.approx(0.5, abs=0.01)


def test_the_command_draws_what_is_kept_and_shows_what_becomes_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tuple(scene for scene in pictures.SCENES if scene.file in ("cactus.png", "wallpaper.jpg"))
    monkeypatch.setattr(pictures, "SCENES", few)
    monkeypatch.setattr(sys, "argv", ["pictures", "--draw", "--folder", str(tmp_path)])
    pictures.main()
    for scene in few:
        kept, made = (read_picture(folder / scene.file).rgb.astype(int) for folder in (pictures.FOLDER, tmp_path))
        assert (np.abs(kept - made).max(-1) > 24).mean() < 0.01, "but for the rounding of another machine"
    words = ["--prior", "retrieval", "--grid", "32", "--folder", str(tmp_path), "--sheet", str(tmp_path / "sheet.png")]
    monkeypatch.setattr(sys, "argv", ["pictures", *words])
    pictures.main()
    out = capsys.readouterr().out
    assert "| cactus.png | cactus | " in out and "refused: nothing separates the object" in out
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (12 * pictures.TILE, 2 * (pictures.TILE + 16))
