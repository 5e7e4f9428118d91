"""Meshes as one HTML file that shows them in any browser, offline: a small WebGL page with the data inside.

The page is `assets/viewer.html`, in which one JSON list takes the place of a mark. A mesh is its name, its counts, and
base64 of little-endian integers: vertices `uint16 [V, 3]` in the box from `low` with `step` to a unit, faces
`uint32 [F, 3]`. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scigen.io.atomic import write_text
from scigen.io.shape import Mesh

__all__ = ["viewer_page", "write_viewer"]

_PAGE = Path(__file__).with_name("assets") / "viewer.html"
_TITLE, _MESHES = "{{title}}", "{{meshes}}"
_LEVELS = 65535


def write_viewer(path: str | Path, meshes: Mapping[str, Mesh], title: str = "meshes") -> None:
    """Write `viewer_page` atomically. Raises as it does, and ResourceError."""
    write_text(path, viewer_page(meshes, title))


def viewer_page(meshes: Mapping[str, Mesh], title: str = "meshes") -> str:
    """One page that shows `meshes` by name, each in a frame of its own size, y up.

    Positions are rounded to 1 / 65535 of the mesh's longest side: the page is for looking, the files are for use. About
    25 bytes a triangle. Raises ValueError where there is no mesh, or one is empty or not finite.
    """
    if not meshes:
        raise ValueError("no mesh to show; give one or more.")
    # `<` would let a name end the script, whatever quotes it stands in.
    data = json.dumps([_entry(name, mesh) for name, mesh in meshes.items()]).replace("<", "\\u003c")
    page = _PAGE.read_text(encoding="utf-8")
    return page.replace(_TITLE, html.escape(title)).replace(_MESHES, data)


def _entry(name: str, mesh: Mesh) -> dict[str, Any]:
    if not len(mesh.faces) or not np.isfinite(mesh.vertices).all():
        raise ValueError(f"`{name}` has {len(mesh.faces)} triangles, or NaN or infinite vertices; show whole meshes.")
    x = mesh.vertices.astype(np.float64)
    low = x.min(0)
    step = float(np.ptp(x, axis=0).max()) / _LEVELS or 1.0
    return {
        "name": name,
        "low": low.tolist(),
        "step": step,
        "counts": [len(x), len(mesh.faces)],
        "vertices": _base64(np.rint((x - low) / step).astype("<u2")),
        "faces": _base64(mesh.faces.astype("<u4")),
    }


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode("ascii")
