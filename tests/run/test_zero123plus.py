"""Zero123++'s interface: a sheet's tiles in their order, seeds, and folders that are loaded or refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scigen.cli.app import run
from scigen.domains.image3d.fit import Fitting
from scigen.domains.image3d.photograph import random_look
from scigen.domains.image3d.reconstruct import Reconstruct
from scigen.domains.image3d.render import Look, render
from scigen.domains.image3d.rig import CUBE, ZERO123PLUS_11, ZERO123PLUS_12
from scigen.domains.image3d.sheets import SheetPrior, views_of_sheet
from scigen.domains.image3d.subject import Subject
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError
from scigen.metrics.mesh import examine
from scigen.metrics.mesh_pairs import volume_overlap
from scigen.run.zero123plus import load_sheets
from tests.domains.shapes.bodies import box, joined

GREY = 127
BODY = unit_shape(joined(box((0.35, 0.1, 0.2), (0, -0.15, 0)), box((0.15, 0.12, 0.15), (0.1, 0.05, 0))))[0]
SUBJECT = Subject(np.ones((32, 32, 3), np.float32), np.ones((32, 32), np.float32))

# A pipeline as users name it: parts of diffusers and transformers, and noise from the global generator too.
PIPELINE = """
import torch
from diffusers import AutoencoderKL, DiffusionPipeline, ImagePipelineOutput, UNet2DConditionModel
from diffusers.image_processor import VaeImageProcessor
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection


class TinySheets(DiffusionPipeline):
    def __init__(self, vae, unet, scheduler, vision_encoder, feature_extractor):
        super().__init__()
        self.register_modules(
            vae=vae, unet=unet, scheduler=scheduler, vision_encoder=vision_encoder, feature_extractor=feature_extractor
        )

    @torch.no_grad()
    def __call__(self, image, guidance_scale=4.0, num_inference_steps=28, width=64, height=96, generator=None):
        pixels = self.feature_extractor(images=image.convert("RGB"), return_tensors="pt").pixel_values
        seen = self.vision_encoder(pixels).image_embeds[:, None]
        x = torch.randn(1, 4, height // 2, width // 2, generator=generator)
        self.scheduler.set_timesteps(num_inference_steps)
        x = x * self.scheduler.init_noise_sigma
        for t in self.scheduler.timesteps:
            noisy = self.scheduler.scale_model_input(x + 1e-3 * torch.randn_like(x), t)
            out = self.unet(noisy, t, encoder_hidden_states=guidance_scale * seen).sample
            x = self.scheduler.step(out, t, x, generator=generator).prev_sample
        drawn = self.vae.decode(x).sample
        return ImagePipelineOutput(images=VaeImageProcessor(vae_scale_factor=2).postprocess(drawn, output_type="pil"))
"""


def sheet_of(colours: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Six pictures `[6, n, n, 3]` as Zero123++ lays them out."""
    tiles = np.where(mask[..., None], colours, GREY).astype(np.uint8)
    rows = [np.concatenate(list(tiles[2 * r : 2 * r + 2]), axis=1) for r in range(3)]
    return np.concatenate(rows, axis=0)


def test_tiles_are_the_views_of_the_rig_row_by_row() -> None:
    paints = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255]])
    mask = np.zeros((6, 40, 40), bool)
    mask[:, 10:30, 10:30] = True
    for v in range(6):
        mask[v, 10 : 14 + v, 10:12] = False
    views = views_of_sheet(sheet_of(np.broadcast_to(paints[:, None, None], (6, 40, 40, 3)), mask), ZERO123PLUS_12)
    assert views.colour is not None and views.depth is None and views.normal is None
    for v in range(6):
        assert np.array_equal(views.solid[v], mask[v]), "the background is grey, the object is not"
        np.testing.assert_allclose(views.colour[v][mask[v]], np.tile(paints[v] / 255, (mask[v].sum(), 1)), atol=1e-6)
        assert (views.colour[v][~mask[v]] == 1).all()


@pytest.mark.parametrize("shape", [(96, 64), (96, 66, 3), (64, 96, 3), (96, 64, 4), (12, 8, 3)])
def test_other_pictures_are_no_sheets(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="3 rows of 2"):
        views_of_sheet(np.zeros(shape, np.uint8), ZERO123PLUS_11)
    with pytest.raises(InputError, match="3 rows of 2"):
        views_of_sheet(np.zeros((96, 64, 3), np.uint8), type(CUBE)((0,), (0,)))


def test_sheets_of_renders_become_the_mesh() -> None:
    paint = random_look(BODY, np.random.default_rng(1)).colour * 0 + [0.9, 0.2, 0.1]
    true = render(BODY, ZERO123PLUS_12, 96, look=Look(paint))
    assert true.colour is not None
    asked: list[tuple[tuple[int, ...], int]] = []

    def imagine(rgba: np.ndarray, seed: int) -> np.ndarray:
        asked.append((rgba.shape, seed))
        return sheet_of(np.rint(255 * true.colour), true.mask > 0.5)

    first, second = SheetPrior(imagine).sample(SUBJECT, 2, seed=3)
    assert SheetPrior(imagine).sample(SUBJECT, 1, seed=3)[0].mask.shape == (6, 48, 48)
    assert asked[0][0] == (32, 32, 4) and asked[0][1] == asked[2][1] != asked[1][1], "every draw has its seed"
    assert np.array_equal(first.mask, second.mask) and np.abs(first.mask - _halved(true.mask > 0.5)).max() < 1e-6
    mesh = Reconstruct(fitting=Fitting(size=32, steps=30))(first)
    assert examine(mesh.vertices, mesh.faces).solid
    assert volume_overlap((mesh.vertices, mesh.faces), (BODY.vertices, BODY.faces), 64).iou > 0.55


def _halved(mask: np.ndarray) -> np.ndarray:
    return mask.reshape(6, 48, 2, 48, 2).mean((2, 4))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of random weights as diffusers saves it, the pipeline that reads it, and a picture."""
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    import torch
    from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    root = tmp_path_factory.mktemp("zero")
    (root / "pipeline.py").write_text(PIPELINE)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(16, 32), norm_num_groups=8, latent_channels=4,
        )  # fmt: skip
        unet = UNet2DConditionModel(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(16, 32), norm_num_groups=8, layers_per_block=1, cross_attention_dim=32,
            attention_head_dim=8,
        )  # fmt: skip
        eye = CLIPVisionModelWithProjection(
            CLIPVisionConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                             image_size=32, patch_size=8, projection_dim=32)
        )  # fmt: skip
    parts = {
        "vae": vae, "unet": unet, "vision_encoder": eye,
        "scheduler": EulerDiscreteScheduler(prediction_type="v_prediction"),
        "feature_extractor": CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
    }  # fmt: skip
    index: dict[str, object] = {"_class_name": "TinySheets", "_diffusers_version": "0.42.0"}
    for name, part in parts.items():
        part.save_pretrained(root / "weights" / name)
        library = type(part).__module__.split(".")[0]
        index[name] = [library, type(part).__name__]
    (root / "weights" / "model_index.json").write_text(json.dumps(index))
    picture = np.full((64, 64, 4), 0, np.uint8)
    picture[16:48, 20:44] = [200, 80, 40, 255]
    Image.fromarray(picture).save(root / "photo.png")
    return root


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where diffusers copies a pipeline file to before it runs it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("diffusers.utils.dynamic_modules_utils", "diffusers.utils.constants"):
        if name in sys.modules:
            monkeypatch.setattr(sys.modules[name], "HF_MODULES_CACHE", str(tmp_path_factory.mktemp("modules")))


def test_a_tiny_pipeline_is_drawn_from(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imagine = load_sheets(place / "weights", place / "pipeline.py", steps=2)
    rgba = np.full((32, 32, 4), 200, np.uint8)
    first, again, other = imagine(rgba, 1), imagine(rgba, 1), imagine(rgba, 2)
    assert first.shape == (96, 64, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again) and not np.array_equal(first, other), "global noise hangs on the seed too"
    assert not np.array_equal(imagine(rgba // 4, 1), first), "the picture is looked at"
    words = ["views", place / "photo.png", "--prior", "zero123plus", "--weights", place / "weights", "--pipeline",
             place / "pipeline.py", "--steps", 2, "--samples", 2, "--out", place / "out"]  # fmt: skip
    assert run([str(word) for word in words]) == 0
    assert "2 sets of 6 views" in capsys.readouterr().out
    told = json.loads((place / "out" / "run.json").read_text())
    assert told["config"]["guidance"] == 4 and told["config"]["rig"]["elevation"][0] == 20


def refused(place: Path, weights: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    words = ["views", place / "photo.png", "--prior", "zero123plus", "--weights", weights, "--out", place / "none"]
    pipeline = [] if "--pipeline" in more else ["--pipeline", place / "pipeline.py"]
    assert run([str(word) for word in [*words, *pipeline, *more]]) in (2, 3)
    out, err = capsys.readouterr()
    assert err.startswith("scigen: ") and err.count("\n") == 1 and out == ""
    return err


def test_folders_that_are_none_are_refused(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    assert "not a folder of weights" in refused(place, tmp_path / "none", capsys)
    assert "not a folder of weights" in refused(place, place / "weights" / "unet", capsys)
    assert "not a pipeline file" in refused(place, place / "weights", capsys, "--pipeline", str(place / "photo.png"))
    assert "its own" in refused(place, place / "weights", capsys, "--rig", "wonder3d")
    broken = tmp_path / "broken"
    shutil.copytree(place / "weights", broken)
    (broken / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"x" * 100)
    assert "cannot be loaded" in refused(place, broken, capsys)
    (broken / "unet" / "diffusion_pytorch_model.safetensors").rename(broken / "unet" / "diffusion_pytorch_model.bin")
    assert "cannot be loaded" in refused(place, broken, capsys), "nothing is unpickled"


def test_no_code_of_the_folder_is_run(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    mark = tmp_path / "ran"
    for spoil in ("file", "library", "auto"):
        folder = tmp_path / spoil
        shutil.copytree(place / "weights", folder)
        if spoil == "file":
            (folder / "unet" / "evil.py").write_text(f"open({str(mark)!r}, 'w')")
        index = json.loads((folder / "model_index.json").read_text())
        if spoil == "library":
            (folder / "model_index.json").write_text(json.dumps(index | {"unet": ["evil", "Net"]}))
        if spoil == "auto":
            config = folder / "unet" / "config.json"
            config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "evil.Net"}}))
        message = refused(place, folder, capsys)
        assert any(word in message for word in ("brings code", "not from diffusers", "auto_map")) and not mark.exists()


def test_a_failing_pipeline_is_told_in_a_sentence(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, told in (
        (PIPELINE.replace("drawn = ", "raise RuntimeError('no\\\\nlight')\n        drawn = "), "fails on this picture"),
        ("import nothing_of_this_name\n" + PIPELINE, "cannot be loaded"),
        (PIPELINE.replace("width=64", "width=32"), "3 rows of 2"),
    ):
        file = tmp_path / f"pipeline_{told[:5].strip()}.py"
        file.write_text(text)
        assert told in refused(place, place / "weights", capsys, "--pipeline", str(file))
