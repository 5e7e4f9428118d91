"""The meshes a run leaves: files in the units asked for, a contact sheet, a page to turn them in, and their facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scigen.domains.meshes.surface import Extracted
from scigen.domains.shapes.frame import Frame
from scigen.domains.shapes.picture import write_contact_sheet
from scigen.errors import UsageError
from scigen.io.meshes import write_mesh
from scigen.io.shape import Mesh
from scigen.io.viewer import write_viewer
from scigen.run.sample_points import sheet_rows

__all__ = ["FORMATS", "mesh_rows", "placed", "save_mesh", "show_meshes"]

FORMATS = ("glb", "obj", "stl", "ply")
_PAGED = 24  # meshes on the page, as on the sheet: half a megabyte each


def save_mesh(path: Path, mesh: Mesh) -> None:
    """`write_mesh`, with `UsageError` where the format cannot hold the mesh: float32 of STL far from the origin."""
    try:
        write_mesh(path, mesh)
    except ValueError as error:
        raise UsageError(str(error)) from None


def placed(mesh: Mesh, frame: Frame | None) -> Mesh:
    """A mesh of the unit frame in the units and place of `frame`, float64; as it is for None."""
    return mesh if frame is None else replace(mesh, vertices=frame.leave(mesh.vertices))


def mesh_rows(files: Sequence[str], found: Sequence[Extracted]) -> list[dict[str, Any]]:
    """A row for each mesh: its file and counts, its pieces at first, how many were joined, the volume that went."""
    return [
        {"file": name, "vertices": len(one.mesh.vertices), "faces": len(one.mesh.faces), "pieces": one.pieces,
         "joined": one.joined, "dropped": one.dropped}
        for name, one in zip(files, found, strict=True)
    ]  # fmt: skip


def show_meshes(folder: Path, stem: str, meshes: Mapping[str, Mesh], title: str) -> None:
    """`<stem>.png`, the first 24 meshes side by side, and `<stem>.html`, a page that turns them, offline.

    Meshes are of the unit frame; what reaches far out of it is cut by the picture, not by the page.
    """
    write_contact_sheet(folder / f"{stem}.png", sheet_rows([_light(mesh) for mesh in meshes.values()]))
    write_viewer(folder / f"{stem}.html", dict(list(meshes.items())[:_PAGED]), title)


def _light(mesh: Mesh) -> Mesh:
    return replace(mesh, vertices=mesh.vertices.astype(np.float32))
