"""A family of objects: its parameters, its named parts, and the one way from parameters to a labelled mesh."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scigen.domains.shapes.frame import bounding_frame
from scigen.domains.shapes.procedural.solids import Solid
from scigen.io.shape import Mesh

__all__ = ["Family", "assemble", "build"]

_SLIVER = 1e-5


@dataclass(frozen=True)
class Family:
    """`solids(parameters)` names the parts of one object, in the family's own units, y up, its front towards +z.

    `parts` lists every name that any variant has; a face's label is an index into it.
    """

    name: str
    parameters: type[Any]
    parts: tuple[str, ...]
    solids: Callable[[Any], Mapping[str, Solid]]


def build(family: Family, parameters: Any) -> Mesh:
    """The object as one closed mesh in the unit frame, with a part for each face.

    Raises `ValueError` when the parts do not hold together (parameters outside their ranges).
    """
    mesh = assemble(family.solids(parameters), family.parts)
    return Mesh(bounding_frame(mesh.vertices).enter(mesh.vertices), mesh.faces, mesh.part)


def assemble(solids: Mapping[str, Solid], parts: tuple[str, ...]) -> Mesh:
    """The union of named solids; each face is labelled with the solid it comes from, exactly.

    Every solid becomes an original of manifold3d, which carries an original's identity through the union.
    Raises `ValueError` when the union is not one piece, or for a name that is not among the parts.
    """
    import manifold3d

    originals = [(parts.index(name), solid.as_original()) for name, solid in solids.items()]
    label = {solid.original_id(): part for part, solid in originals}
    union = manifold3d.Manifold.batch_boolean([solid for _, solid in originals], manifold3d.OpType.Add)
    # A sealed void is a piece of negative volume, turned inside out: nobody sees it, so it is filled.
    pieces = [piece for piece in union.decompose() if piece.volume() > 0]
    if len(pieces) != 1:
        raise ValueError(f"the parts {', '.join(solids)} make {len(pieces)} pieces ({union.status().name}), not one.")
    # Booleans leave slivers where surfaces graze; corners closer than this to their neighbours go.
    x0, y0, z0, x1, y1, z1 = pieces[0].bounding_box()
    mesh = pieces[0].simplify(_SLIVER * max(x1 - x0, y1 - y0, z1 - z0)).to_mesh64()
    ends = np.asarray(mesh.run_index).astype(np.int64) // 3
    part = np.repeat([label[i] for i in mesh.run_original_id], ends[1:] - ends[:-1]).astype(np.int16)
    return Mesh(np.asarray(mesh.vert_properties)[:, :3], np.asarray(mesh.tri_verts).astype(np.int32), part)
