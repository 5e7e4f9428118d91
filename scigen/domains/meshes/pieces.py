"""One body instead of several: what hangs near it is joined by rods, in the field whose zero level is the surface."""

from __future__ import annotations

import numpy as np

__all__ = ["join_pieces"]

_LEAST = 0.005  # of the volume of the largest piece: a leg may be this, what is smaller is a crumb
_REACH = 0.1  # of the side of the grid: the widest gap that is bridged
_ROD = 1.75  # cells, the radius of a rod


def join_pieces(field: np.ndarray) -> tuple[np.ndarray, int]:
    """`field [R, R, R]`, below 0 inside, with the pieces of its inside joined to the largest; how many were.

    Legs and handles come loose by a cell or two where a decoder draws them thin. From each piece of at least 0.5 % of
    the largest one's volume a rod 3.5 cells thick leads to the nearest place of what is joined already, the nearest
    piece first, across gaps of up to a tenth of the grid. Others stay as they are, and apart.
    """
    from scipy.ndimage import distance_transform_edt, label

    pieces, _ = label(field < 0)  # by faces of cells: marching cubes parts none of these
    volume = np.bincount(pieces.ravel())
    volume[0] = 0
    body = pieces == volume.argmax()
    waiting = [k for k in np.flatnonzero(volume >= _LEAST * volume.max()) if k != volume.argmax()]
    field, count = field.copy(), 0
    while waiting:
        away, foot = distance_transform_edt(~body, return_indices=True)
        nearest = [np.unravel_index(np.where(pieces == k, away, np.inf).argmin(), away.shape) for k in waiting]
        k = int(np.argmin([away[at] for at in nearest]))
        start = np.array(nearest[k])
        if away[nearest[k]] > _REACH * len(field):
            break
        _rod(field, start, foot[(slice(None), *start)])
        body |= pieces == waiting.pop(k)
        count += 1
    return field, count


def _rod(field: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    """Put what is within `_ROD` nodes of the segment from node a to node b inside."""
    reach = int(np.ceil(_ROD)) + 2
    low = np.maximum(np.minimum(a, b) - reach, 1)  # the border stays outside
    high = np.minimum(np.maximum(a, b) + reach + 1, np.array(field.shape) - 1)
    box = tuple(slice(i, j) for i, j in zip(low, high))
    x = np.stack(np.meshgrid(*(np.arange(i, j) for i, j in zip(low, high)), indexing="ij"), -1) - a
    along = (b - a).astype(np.float64)
    share = (x @ along / max(along @ along, 1e-12)).clip(0, 1)
    off = np.linalg.norm(x - share[..., None] * along, axis=-1) - _ROD
    field[box] = np.minimum(field[box], (np.ptp(field) / 8 * off).astype(field.dtype))
