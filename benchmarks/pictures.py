"""Photograph-like pictures of our own, and what a fresh installation makes of them. Prints Markdown.

    python -m benchmarks.pictures                                                # reconstruct those in data/pictures
    python -m benchmarks.pictures --sheet docs/images/reconstruct-pictures.png   # and show them
    python -m benchmarks.pictures --draw                                         # render data/pictures anew

Objects of generated families that were held out of training, objects that no family knows, and pictures that must
fail. A lens, paint by part, a lamp with soft shadows, a floor, and a sensor's noise; every picture is a function of its
line in `SCENES`. Shown, not scored: agreement is with the picture, not with the object.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from scigen.domains.image3d.carve import Carving
from scigen.domains.image3d.light import Light, shaded
from scigen.domains.image3d.prior import MultiViewPrior, RetrievalPrior
from scigen.domains.image3d.reconstruct import Reconstruct
from scigen.domains.image3d.rig import CUBE, CameraRig
from scigen.domains.image3d.sheet import turntable
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.viewset import MEMORY
from scigen.domains.shapes.procedural.corpus import ProceduralSet
from scigen.domains.shapes.procedural.solids import Solid, box, prism, revolve, rod, unite
from scigen.domains.shapes.rays import Pose, trace_mesh
from scigen.domains.shapes.sets import SPLITS
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import ScigenError
from scigen.io.atomic import write_bytes
from scigen.io.shape import Mesh
from scigen.run.picture import Wanted, best_prior, prior_of, shipped_weights, subject_in
from scigen.run.reconstruct import Outcome, reconstruct_picture

FOLDER = Path(__file__).resolve().parents[1] / "data" / "pictures"
PIXELS, FINE, LAMPS, TILE = 256, 2, 8, 96
PER_FAMILY = 200  # the corpus that the memory is of
WOOD, WHITE, RED, STEEL = (0.55, 0.34, 0.18), (0.9, 0.88, 0.84), (0.7, 0.1, 0.08), (0.55, 0.57, 0.6)
GREEN, BRICK, CLAY, DARK = (0.2, 0.5, 0.2), (0.75, 0.6, 0.45), (0.72, 0.4, 0.25), (0.12, 0.12, 0.14)
BLUE = (0.15, 0.3, 0.6)

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """One picture: the object, where it is seen from, its paints by part, the backdrop below and above, the shadow."""

    file: str
    what: str  # "<family> <number>" of the held-out shapes, or one of UNKNOWN
    seen: tuple[float, float] = (35, 18)
    paints: tuple[Rgb, ...] = (WOOD,)
    below: Rgb = (0.86, 0.86, 0.85)
    above: Rgb = (0.8, 0.82, 0.84)
    shadow: float = 0.05
    gloss: float = 0.1
    wallpaper: bool = False


def house() -> dict[str, Solid]:
    """Walls, a roof with eaves, a chimney."""
    walls, gable = box((1.0, 0.7, 1.3), (0, 0.35, 0)), np.array([[-0.62, 0.0], [0.62, 0.0], [0.0, 0.55]])
    roof = prism((0, 0.68, -0.75), (0, 0.68, 0.75), gable)
    return {"walls": walls, "roof": roof, "chimney": box((0.16, 0.5, 0.16), (0.25, 1.1, -0.3))}


def cactus() -> dict[str, Solid]:
    """A trunk and two raised arms in a pot."""
    trunk = rod((0, 0.2, 0), (0, 1.5, 0), 0.2, 0.16)
    arms = [rod((0, y, 0), (s * 0.45, y, 0), 0.1) + rod((s * 0.45, y - 0.08, 0), (s * 0.45, y + h, 0), 0.11, 0.09)
            for s, y, h in ((-1, 0.7, 0.55), (1, 0.95, 0.4))]  # fmt: skip
    pot = revolve([(0.22, -0.1), (0.32, 0.28), (0.36, 0.28), (0.36, 0.36), (0.05, 0.36)])
    return {"pot": pot, "plant": unite([trunk, *arms])}


def dumbbell() -> dict[str, Solid]:
    """A bar and two six-sided weights."""
    ends = [rod((s * 0.35, 0, 0), (s * 0.75, 0, 0), 0.32, count=6) for s in (-1, 1)]
    return {"bar": rod((-0.5, 0, 0), (0.5, 0, 0), 0.08), "weights": unite(ends)}


UNKNOWN: dict[str, Callable[[], dict[str, Solid]]] = {"house": house, "cactus": cactus, "dumbbell": dumbbell}
SCENES = (
    Scene("chair.jpg", "chair 3", (35, 18), (WOOD, CLAY)),
    Scene("mug.png", "mug 2", (50, 25), (BLUE, WHITE)),
    Scene("airplane.jpg", "airplane 4", (55, 12), (WHITE, BLUE, STEEL), (0.72, 0.82, 0.92), (0.5, 0.66, 0.86), 0.0),
    Scene(
        "car.jpg",
        "car 1",
        (40, 15),
        (RED, RED, DARK, DARK, STEEL, WHITE),
        (0.72, 0.72, 0.72),
        (0.66, 0.67, 0.7),
        gloss=0.5,
    ),
    Scene("teapot.jpg", "teapot 5", (70, 20), (WHITE,), (0.45, 0.55, 0.68), (0.36, 0.46, 0.6), gloss=0.4),
    Scene("house.jpg", "house", (35, 15), (BRICK, RED, CLAY), (0.62, 0.74, 0.55), (0.58, 0.7, 0.56)),
    Scene("cactus.png", "cactus", (15, 10), (CLAY, GREEN)),
    Scene("dumbbell.jpg", "dumbbell", (30, 25), (STEEL, DARK), (0.85, 0.8, 0.7), (0.8, 0.76, 0.68), gloss=0.4),
    Scene("sunlight.jpg", "table 2", (30, 25), (WOOD,), shadow=0.55),
    Scene("wallpaper.jpg", "vase 1", (20, 12), (CLAY,), wallpaper=True),
)


def model(what: str) -> Mesh:
    """The object in the unit frame, a part for each face."""
    if what in UNKNOWN:
        from scigen.domains.shapes.procedural.family import assemble

        solids = UNKNOWN[what]()
        mesh, _ = unit_shape(assemble(solids, tuple(solids)))
        assert isinstance(mesh, Mesh)
        return mesh
    family, number = what.split()
    made = ProceduralSet(PER_FAMILY)
    held = np.flatnonzero((made.split == SPLITS.index("test")) & (made.category == made.categories.index(family)))
    return made.mesh(int(held[int(number)]))


def photograph(scene: Scene) -> np.ndarray:
    """The picture `[N, N, 4]` in [0, 1], opacity that of the object."""
    mesh, rng = model(scene.what), np.random.default_rng(len(scene.file))
    azimuth, elevation = scene.seen
    far = 0.56 / float(np.sin(np.radians(15)))
    rig = CameraRig((azimuth,), (elevation,), "absolute", "canonical", "persp", 30.0, far)
    (pose,) = rig.poses(FINE * PIXELS)
    hits, rays = trace_mesh(mesh, pose), pose.rays()
    assert hits.normals is not None and hits.face is not None and mesh.part is not None
    light = Light(gloss=scene.gloss, strength=0.65, ambient=0.3)
    shade = replace(light, strength=0, gloss=0)
    flat = backdrop(scene, mesh, pose, light, rng)
    paint = np.array(scene.paints)[mesh.part[hits.face] % len(scene.paints)]
    lit = sunlit(mesh, hits.points + 2e-3 * hits.normals, pose, light, rng)[:, None]
    bright, dim = (shaded(paint, hits.normals, rays[hits.pixel], pose.axes, x) for x in (light, shade))
    rgba = np.concatenate([flat, np.zeros((len(flat), 1))], 1)
    rgba[hits.pixel] = np.concatenate([lit * bright + (1 - lit) * dim, np.ones((len(lit), 1))], 1)
    small = rgba.reshape(PIXELS, FINE, PIXELS, FINE, 4).mean((1, 3))
    small[..., :3] += rng.normal(0, 0.006 * scene.file.endswith("jpg"), small[..., :3].shape)
    return small.clip(0, 1)


def backdrop(scene: Scene, mesh: Mesh, pose: Pose, light: Light, rng: np.random.Generator) -> np.ndarray:
    """What is behind the object `[N^2, 3]`: a sweep from floor to wall, darker to the corners, and the shadow."""
    n, rays = pose.pixels, pose.rays()
    y, x = np.meshgrid(*[np.linspace(-1, 1, n)] * 2, indexing="ij")
    colour = np.array(scene.above) + (y[..., None] + 1) / 2 * (np.array(scene.below) - np.array(scene.above))
    colour *= 1 - 0.04 * (x**2 + y**2)[..., None]
    if scene.wallpaper:
        colour *= 1 - 0.45 * (((x * 5).astype(int) + (y * 5).astype(int) + (x < 0) + (y < 0)) % 2)[..., None]
    flat, down = colour.reshape(-1, 3), np.flatnonzero(rays[:, 1] < -1e-3)
    floor = float(mesh.vertices[:, 1].min())
    points = pose.eye + ((floor - pose.eye[1]) / rays[down, 1])[:, None] * rays[down]
    near = np.linalg.norm(points, axis=1) < 2
    lit = sunlit(mesh, points[near] + [0, 2e-3, 0], pose, light, rng)
    flat[down[near]] *= 1 - scene.shadow * (1 - lit[:, None])
    return flat


def sunlit(mesh: Mesh, points: np.ndarray, pose: Pose, light: Light, rng: np.random.Generator) -> np.ndarray:
    """The share of a round lamp that the object does not hide from each of the points `[P]`."""
    import trimesh

    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    middle = np.array(light.lamp) / np.linalg.norm(light.lamp) * [1, 1, -1] @ pose.axes
    lamps = middle + rng.normal(0, 0.06, (LAMPS, 3))
    return 1 - np.mean([solid.ray.intersects_any(points, np.broadcast_to(lamp, points.shape)) for lamp in lamps], 0)


def draw(folder: Path) -> None:
    """Render every scene into the folder: JPEG with its backdrop, PNG cut out."""
    for scene in SCENES:
        data, cut = io.BytesIO(), scene.file.endswith("png")
        pixels = np.rint(255 * photograph(scene)).astype(np.uint8)
        pixels[pixels[..., 3] == 0, :3] *= not cut
        Image.fromarray(pixels if cut else pixels[..., :3]).save(data, "PNG" if cut else "JPEG", quality=88)
        write_bytes(folder / scene.file, data.getvalue())


@dataclass(frozen=True)
class Shown:
    """What became of one picture: the object cut out, the outcome and the prior's name for it, or why not."""

    scene: Scene
    seconds: float
    subject: Subject | None = None
    outcome: Outcome | None = None
    found: str = ""
    refusal: str = ""


def tried(scene: Scene, folder: Path, prior: MultiViewPrior, grid: int) -> Shown:
    """Reconstruct one picture, as `scigen reconstruct` does."""
    began = time.process_time()
    try:
        subject = subject_in(folder / scene.file, None, prior.pixels)
        outcome = reconstruct_picture(subject, prior, Reconstruct(Carving(grid)))
    except ScigenError as error:
        return Shown(scene, time.process_time() - began, refusal=str(error).partition(": ")[2])
    found = prior.views.ids[prior.nearest(subject)[0]] if isinstance(prior, RetrievalPrior) else ""
    return Shown(scene, time.process_time() - began, subject, outcome, str(found))


def row(one: Shown) -> str:
    """A line of the table."""
    best = one.outcome.ranked[0].agreement if one.outcome else None
    told = f"{one.found} | {best.iou:.2f}" if best else f"refused: {one.refusal} |"
    return f"| {one.scene.file} | {one.scene.what.split()[0]} | {told} | {one.seconds:.1f} |"


def strip(one: Shown, folder: Path) -> np.ndarray:
    """The picture, the object cut out, six imagined views, and four sides of the mesh; words below."""
    with Image.open(folder / one.scene.file) as image:
        tiles = [np.asarray(_on_white(image).resize((TILE, TILE)))]
    words = f"{one.scene.file}: {one.refusal or one.found}"
    if one.outcome and one.subject:
        best = one.outcome.ranked[0]
        views = (best.views.normal + 1) / 2 * best.views.mask[..., None] + (1 - best.views.mask[..., None])
        tiles += [_tile(x) for x in (one.subject.rgb, *views)] + list(turntable(best.mesh, best.colours, 4, TILE))
        words += f", covers {best.agreement.iou:.0%} of the outline"
    whole = np.full((TILE + 16, 12 * TILE, 3), 255, np.uint8)
    whole[:TILE, : len(tiles) * TILE] = np.concatenate(tiles, 1)
    drawn = Image.fromarray(whole)
    ImageDraw.Draw(drawn).text((4, TILE + 1), words, fill=(40, 40, 40))
    return np.asarray(drawn)


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _tile(rgb: np.ndarray) -> np.ndarray:
    image = Image.fromarray(np.rint(255 * rgb.clip(0, 1)).astype(np.uint8))
    return np.asarray(image.resize((TILE, TILE), Image.Resampling.NEAREST))


def main() -> None:
    """Parse, draw or reconstruct, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help="render the pictures into --folder, and no more")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--prior", help="retrieval, or what is best of the shipped ones [best]")
    parser.add_argument("--grid", type=int, default=96)
    parser.add_argument("--sheet", type=Path, help="PNG to write")
    args = parser.parse_args()
    if args.draw:
        return draw(args.folder)
    name = args.prior or best_prior()[0]
    prior = prior_of(Wanted(name, MEMORY, None, CUBE, shipped_weights(name)))
    shown = [tried(scene, args.folder, prior, args.grid) for scene in SCENES]
    print(f"Prior {name}; agreement is the overlap of outlines; cpu-s of one core\n")
    print("| picture | of | nearest | agreement | s |\n|---|---|---|---|---|")
    print("\n".join(row(one) for one in shown))
    if args.sheet:
        data, sheet = io.BytesIO(), Image.fromarray(np.concatenate([strip(one, args.folder) for one in shown]))
        sheet.quantize(256).save(data, "PNG", optimize=True)
        write_bytes(args.sheet, data.getvalue())


if __name__ == "__main__":
    main()
