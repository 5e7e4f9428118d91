"""What `scigen reconstruct` and `scigen views` begin with: the object in a picture, and a prior by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scigen.domains.image3d.folder import FolderPrior
from scigen.domains.image3d.prior import MeanPrior, MultiViewPrior, OraclePrior, RetrievalPrior
from scigen.domains.image3d.rig import CameraRig
from scigen.domains.image3d.sheets import SheetPrior
from scigen.domains.image3d.subject import Subject, subject_of
from scigen.domains.image3d.viewset import ViewSet, load_views
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError
from scigen.io.images import read_mask, read_picture
from scigen.io.meshes import read_mesh
from scigen.io.shape import Mesh

__all__ = ["SHIPPED", "Wanted", "best_prior", "prior_of", "shipped_weights", "subject_in"]

SHIPPED = {"scigen": "images-views", "regression": "images-views", "latent": "images-latents"}  # weights of our priors


@dataclass(frozen=True)
class Wanted:
    """A prior by its `name`, and what it is made from: rendered views, a mesh or folder, weights and how to draw.

    `category` is the class of the mean, of all shapes unless told; `weights` of Zero123++ are a folder, and `pipeline`
    the program that reads it.
    """

    name: str
    views: str
    source: Path | None
    rig: CameraRig
    weights: str | None = None
    process: str = "flow"
    steps: int = 30
    guidance: float = 1.0
    device: str = "cpu"
    category: str | None = None
    pipeline: Path | None = None


def subject_in(file: Path, mask: Path | None, pixels: int) -> Subject:
    """The object in a picture file, by the outline in `mask` if told. Raises InputError where there is none."""
    picture = read_picture(file)
    height, width = picture.rgb.shape[:2]
    outline = None if mask is None else read_mask(mask, (height, width))
    try:
        return subject_of(picture, pixels, outline)
    except InputError as error:
        raise InputError(f"`{file}`: {error}") from error


def shipped_weights(prior: str) -> str | None:
    """The name of the weights that a prior of ours takes unless told, where the package holds them."""
    from scigen.run.weights import shipped

    name = SHIPPED.get(prior)
    return name if name in shipped() else None


def best_prior() -> tuple[str, str]:
    """The prior of a picture when none is named, the best that this installation has, and what that means."""
    if (weights := shipped_weights("scigen")) is not None:
        return "scigen", f"the shipped weights {weights} imagine the other sides"
    return "retrieval", (
        "no weights over views are shipped, so the other sides are those of the known shape that looks most like the"
        " picture, not of this object"
    )


def prior_of(wanted: Wanted) -> MultiViewPrior:
    """The prior. Raises InputError for a set, mesh, folder or weights that it cannot use."""
    if wanted.name == "folder" and wanted.source is not None:
        if not wanted.source.is_dir():
            raise InputError(f"`{wanted.source}` is not a folder; name the one that holds the views.")
        return FolderPrior(wanted.source, wanted.rig)
    if wanted.name == "oracle" and wanted.source is not None:
        return OraclePrior(_unit_mesh(wanted.source), wanted.rig)
    if wanted.pipeline is not None and wanted.weights is not None:
        from scigen.run.zero123plus import load_sheets

        folder = Path(wanted.weights)
        imagine = load_sheets(folder, wanted.pipeline, wanted.steps, wanted.guidance, wanted.device)
        return SheetPrior(imagine, wanted.rig)
    if wanted.weights is not None:
        return _drawn(wanted, wanted.weights)
    views = load_views(wanted.views)
    if wanted.name == "retrieval":
        return RetrievalPrior(views, views.where("train"))
    return MeanPrior(views, views.where("train") if wanted.category is None else _of_class(views, wanted.category))


def _of_class(views: ViewSet, category: str) -> np.ndarray:
    if category not in views.categories:
        raise InputError(f"'{views.name}' has no class '{category}'; its classes are {', '.join(views.categories)}.")
    rows = views.where("train")
    return rows[views.category[rows] == views.categories.index(category)]


def _unit_mesh(source: Path) -> Mesh:
    try:
        mesh, _ = unit_shape(read_mesh(source))
    except ValueError as error:
        raise InputError(f"`{source}` cannot be looked at: {error}") from error
    assert isinstance(mesh, Mesh)
    return mesh


def _drawn(wanted: Wanted, weights: str) -> MultiViewPrior:
    """Our own networks, drawn by the solver that takes fewest steps, or the regression of the one over views."""
    from scigen.domains.image3d.diffusion_prior import Draws
    from scigen.domains.points.sampler import Plan
    from scigen.run import weights as store
    from scigen.run.build import affine_process, named_solver
    from scigen.run.build_views import diffusion_prior, latent_prior

    if wanted.name == "latent":
        plan = Plan(affine_process(wanted.process), named_solver("dpmpp2m", 0.0, wanted.steps), wanted.steps)
        return latent_prior(store.read(weights), plan, wanted.device)
    solver = named_solver("dpmpp2m", 0.0, wanted.steps) if wanted.name == "scigen" else None
    draws = Draws(affine_process(wanted.process), solver, wanted.steps, guidance=wanted.guidance)
    return diffusion_prior(store.read(weights), draws, wanted.device, wanted.views)
