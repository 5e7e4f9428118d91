"""Point clouds in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scigen.io.arrays import write_cloud_npz
from scigen.io.atomic import atomic_file
from scigen.io.ply_write import write_ply
from scigen.io.recognise import read_shape
from scigen.io.shape import Cloud

__all__ = ["read_cloud", "read_shape", "write_cloud", "write_ply"]


def read_cloud(path: str | Path) -> Cloud:
    """Read the points of `path`, and their normals where the file has them: any format of `read_shape`.

    Of a mesh these are the vertices, all of them, without normals; sample its surface instead where density matters.
    The points are float64 and as the file has them. Raises InputError, ResourceError.
    """
    shape = read_shape(path)
    return shape if isinstance(shape, Cloud) else Cloud(shape.vertices)


def write_cloud(path: str | Path, cloud: Cloud) -> None:
    """Write a cloud atomically as .ply (binary), .npz or .xyz (text `x y z [nx ny nz]`), in the precision it has.

    Text carries the digits that bring the same float32 or float64 back, no more.

    Raises ValueError for another suffix or an empty or infinite cloud, ResourceError when it cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if not len(cloud) or not np.isfinite(cloud.points).all():
        raise ValueError(f"a cloud of {len(cloud)} points, or NaN or infinite ones; write finite points.")
    if suffix == ".ply":
        write_ply(path, cloud)
    elif suffix == ".npz":
        write_cloud_npz(path, cloud)
    elif suffix == ".xyz":
        _write_xyz(path, cloud)
    else:
        raise ValueError(f"`{path}`: clouds are written as .ply, .npz or .xyz, not `{suffix}`.")


def _write_xyz(path: str | Path, cloud: Cloud) -> None:
    columns = [cloud.points] if cloud.normals is None else [cloud.points, cloud.normals]
    style = [("%.9g" if column.dtype == np.float32 else "%.17g") for column in columns for _ in range(3)]
    with atomic_file(path) as handle:
        handle.write(b"# x y z\n" if cloud.normals is None else b"# x y z nx ny nz\n")
        np.savetxt(handle, np.concatenate(columns, axis=1), fmt=style)
