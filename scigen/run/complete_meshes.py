"""Completions as closed meshes: the decoder of the latent points, in the units and place of the input file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scigen.domains.meshes.decode import MeshDecoder
from scigen.domains.shapes.frame import Frame
from scigen.errors import NumericError
from scigen.io.shape import Mesh
from scigen.io.viewer import write_viewer
from scigen.run.complete import Outcome
from scigen.run.mesh_files import mesh_rows, placed, save_mesh
from scigen.run.partial import Partial
from scigen.run.report import write_json

__all__ = ["outer", "write_meshes"]


def write_meshes(outcome: Outcome, partial: Partial, decoder: MeshDecoder, suffix: str, folder: Path) -> dict[int, str]:
    """Write `completion_<rank>.<suffix>`, the page `completions.html` and `meshes.json`; failures by the draw's number.

    The decoder knows nothing of the input but what the latent points say: what was observed is drawn anew. Raises
    `UsageError` where the format cannot hold a mesh in its place.
    """
    failed: dict[int, str] = {}
    shown: dict[str, Mesh] = {}
    rows: list[dict[str, Any]] = []
    for rank, one in enumerate(outcome.ranked, start=1):
        try:
            found = decoder(one.latents)
        except NumericError as error:
            failed[one.index] = str(error)
            continue
        name = f"completion_{rank}.{suffix}"
        lying = replace(found.mesh, vertices=found.mesh.vertices @ one.turn)
        save_mesh(folder / name, placed(lying, outer(one.frame, partial.frame)))
        shown[f"completion {rank}"] = found.mesh
        rows += mesh_rows([name], [found])
    write_json(folder / "meshes.json", rows)
    if shown:
        write_viewer(folder / "completions.html", shown, "completions")
    return failed


def outer(inner: Frame, outer: Frame) -> Frame:
    """The frame that leads out of `inner`, then out of `outer`."""
    return Frame(outer.leave(np.asarray(inner.center)[None])[0], inner.scale * outer.scale)
