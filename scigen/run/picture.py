"""What `scigen reconstruct` and `scigen views` begin with: the object in a picture, and a prior by its name."""

from __future__ import annotations

from pathlib import Path

from scigen.domains.image3d.folder import FolderPrior
from scigen.domains.image3d.prior import MeanPrior, MultiViewPrior, OraclePrior, RetrievalPrior
from scigen.domains.image3d.rig import CameraRig
from scigen.domains.image3d.subject import Subject, subject_of
from scigen.domains.image3d.viewset import load_views
from scigen.domains.shapes.unit import unit_shape
from scigen.errors import InputError
from scigen.io.images import read_mask, read_picture
from scigen.io.meshes import read_mesh
from scigen.io.shape import Mesh

__all__ = ["PIXELS", "prior_of", "subject_in"]

PIXELS = 48  # a side of the framed object


def subject_in(file: Path, mask: Path | None, pixels: int = PIXELS) -> Subject:
    """The object in a picture file, by the outline in `mask` if told. Raises InputError where there is none."""
    picture = read_picture(file)
    height, width = picture.rgb.shape[:2]
    outline = None if mask is None else read_mask(mask, (height, width))
    try:
        return subject_of(picture, pixels, outline)
    except InputError as error:
        raise InputError(f"`{file}`: {error}") from error


def prior_of(name: str, views_of: str, source: Path | None, rig: CameraRig) -> MultiViewPrior:
    """The prior that goes by `name`. Raises InputError for a set, mesh or folder that it cannot use."""
    if name == "folder" and source is not None:
        if not source.is_dir():
            raise InputError(f"`{source}` is not a folder; name the one that holds the views.")
        return FolderPrior(source, rig)
    if name == "oracle" and source is not None:
        try:
            mesh, _ = unit_shape(read_mesh(source))
        except ValueError as error:
            raise InputError(f"`{source}` cannot be looked at: {error}") from error
        assert isinstance(mesh, Mesh)
        return OraclePrior(mesh, rig, PIXELS)
    views = load_views(views_of)
    rows = views.where("train")
    return RetrievalPrior(views, rows) if name == "retrieval" else MeanPrior(views, rows)
