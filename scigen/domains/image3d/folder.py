"""Views made elsewhere: archives of arrays, or the pictures that Wonder3D leaves; and our own to be read again.

An archive holds `mask [V, N, N]` (bool, uint8 up to 255, or numbers in [0, 1]) and any of `normal [V, N, N, 3]` (in
the camera's axes: right, up, towards it), `depth [V, N, N]` (forward from the camera's plane, in diameters of the
object) and `colour [V, N, N, 3]` (uint8, or in [0, 1]); with `azimuth [V]` and `elevation [V]` it says from where.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scigen.domains.image3d.rig import WONDER3D, CameraRig
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.views import Views
from scigen.errors import InputError
from scigen.io.images import read_picture
from scigen.io.npz import read_npz, write_npz

__all__ = ["FolderPrior", "read_views", "read_wonder3d", "write_views"]

_MOST = 1024  # pixels a side
_NAMES = ("front", "front_right", "right", "back", "left", "front_left")  # of Wonder3D's files, in its rig's order
_KEPT = 128  # pixels a side that Wonder3D's pictures are brought to


@dataclass(frozen=True)
class FolderPrior:
    """The samples that lie in a folder as `*.npz`, in the order of their names, or one of Wonder3D's pictures."""

    folder: Path
    rig: CameraRig
    pixels: int = 48

    def sample(self, subject: Subject, k: int = 1, seed: int = 0) -> list[Views]:
        """The first `k` samples, fewer where there are fewer.

        Raises InputError for a folder without views and for views that are broken or of another rig.
        """
        files = sorted(self.folder.glob("*.npz"))[:k]
        if files:
            return [read_views(file, self.rig) for file in files]
        if self.rig == WONDER3D:
            return [read_wonder3d(self.folder)]
        raise InputError(f"`{self.folder}` holds no views; put archives of them there (`*.npz`), one for each sample.")


def read_views(path: Path, rig: CameraRig) -> Views:
    """The views in one archive. Raises InputError for whatever is not as the module says, and for another rig."""
    arrays = read_npz(path)
    for name, angles in (("azimuth", rig.azimuth), ("elevation", rig.elevation)):
        told = arrays.pop(name, None)
        if told is not None and (told.shape != (len(rig),) or np.abs((told - angles + 180) % 360 - 180).max() > 0.01):
            raise InputError(f"`{path}`: its views are at {name} {told.ravel().tolist()[:8]}, those of the rig at"
                             f" {list(angles)}; name the rig they were made with.")  # fmt: skip
    unknown = set(arrays) - {"mask", "normal", "depth", "colour"}
    if unknown or "mask" not in arrays:
        raise InputError(
            f"`{path}` holds {', '.join(arrays) or 'nothing'}; views are `mask`, `normal`, `depth`, `colour`."
        )
    if arrays["mask"].ndim != 3 or not 8 <= arrays["mask"].shape[1] <= _MOST:
        raise InputError(f"`{path}`: `mask` is {list(arrays['mask'].shape)}; [V, N, N] with N of 8 to {_MOST} is read.")
    try:
        mask, colour = (_share(arrays[name], name) if name in arrays else None for name in ("mask", "colour"))
        normal, depth = (arrays[name].astype(np.float32) if name in arrays else None for name in ("normal", "depth"))
        if normal is not None and normal.ndim == 4:
            length = np.linalg.norm(normal, axis=-1, keepdims=True)
            normal = np.where(length > 1e-3, normal / np.maximum(length, 1e-3), 0)
        assert mask is not None
        return Views(rig, mask, normal, depth, colour)
    except ValueError as error:
        raise InputError(f"`{path}` cannot be used: {error}") from error


def write_views(path: Path, views: Views) -> None:
    """An archive that `read_views` reads. Raises ResourceError."""
    known = {name: getattr(views, name) for name in ("mask", "normal", "depth", "colour")}
    angles = {"azimuth": np.array(views.rig.azimuth, float), "elevation": np.array(views.rig.elevation, float)}
    write_npz(path, angles | {name: array for name, array in known.items() if array is not None})


def read_wonder3d(folder: Path) -> Views:
    """Wonder3D's output: `normals_000_front.png` and `rgb_000_front.png` for each of its six views, cut out (RGBA).

    Its normals are stored as 255 (n + 1) / 2 in the axes of the front view. Raises InputError for a missing, damaged or
    opaque picture, or one of another size.
    """
    planes = []
    for v, name in enumerate(_NAMES):
        normal, alpha = _cut_out(folder / f"normals_000_{name}.png")
        colour, _ = _cut_out(folder / f"rgb_000_{name}.png")
        if colour.shape != normal.shape:
            raise InputError(f"`{folder}`: normals and colours of view '{name}' differ in size; make them again.")
        planes.append((alpha, (2 * normal - 1) @ WONDER3D.axes()[v].T, colour))
    if len({alpha.shape for alpha, _, _ in planes}) > 1:
        raise InputError(f"`{folder}`: its six views differ in size; make them again.")
    mask, normal, colour = (np.stack(parts).astype(np.float32) for parts in zip(*planes))
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal = np.where((mask[..., None] > 0) & (length > 1e-3), normal / np.maximum(length, 1e-3), 0)
    return Views(WONDER3D, mask, normal.astype(np.float32), None, colour)


def _cut_out(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Colours and opacities in [0, 1] of a square picture, no larger than the views that are kept."""
    picture = read_picture(path)
    height, width = picture.rgb.shape[:2]
    if height != width or picture.alpha is None:
        raise InputError(f"`{path}` is {width} x {height}{'' if picture.alpha is not None else ' and opaque'}; a square"
                         " with the object cut out (RGBA) is needed.")  # fmt: skip
    fold = max(1, -(-width // _KEPT))
    n = width // fold
    whole = np.concatenate([picture.rgb, picture.alpha[..., None]], -1)[: n * fold, : n * fold].astype(np.float32) / 255
    small = whole.reshape(n, fold, n, fold, 4).mean((1, 3))
    return small[..., :3], small[..., 3]


def _share(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    array = array.astype(np.float32)
    if array.size and (array.min() < 0 or array.max() > 1):
        raise ValueError(
            f"`{name}` runs from {array.min():g} to {array.max():g}; bytes, or numbers in [0, 1], are read."
        )
    return array
