"""`scigen sample points` as a library call: draw latent points, or raw ones, decode, write the run folder."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import numpy as np

from scigen.domains.points.codec import CloudCodec
from scigen.domains.shapes.picture import write_contact_sheet
from scigen.errors import NumericError
from scigen.io.clouds import write_cloud
from scigen.io.npz import write_npz
from scigen.io.shape import Cloud
from scigen.nn.point_codec import PointCodec
from scigen.run.draw import Failure, Model, Outcome, Progress, Request, draw_decoded
from scigen.run.report import sha256, write_run
from scigen.state import State

__all__ = ["clear_numbered", "sample_points", "sheet_rows", "write_outcome"]

_SHOWN, _COLUMNS = 24, 6  # shapes on the contact sheet


def sample_points(
    model: Model, request: Request, progress: Progress, failure: Failure = lambda drawn: None
) -> Outcome[Cloud]:
    """Draw clouds; raises as `draw_decoded`."""

    def decode(shape: State) -> Cloud:
        if model.codec is None:
            cloud = Cloud(shape["pos"][0].cpu().numpy())
        else:
            net = cast(PointCodec, model.codec.network).to(request.device)
            (cloud,) = CloudCodec(net, request.points).decode(shape)
        if not np.isfinite(cloud.points).all():
            raise NumericError("non-finite points")
        return cloud

    return draw_decoded(model, request, decode, progress, failure)


def write_outcome(
    outcome: Outcome[Cloud], request: Request, model: Model, config: dict[str, Any], folder: Path, archive: bool = False
) -> list[str]:
    """Write one PLY per cloud, or one `clouds.npz` of them all, the contact sheet and `run.json`; names of the files.

    Clouds of an earlier run in the folder go, so that what lies there is of one run.
    """
    clear_numbered(folder, "cloud")
    (folder / "clouds.npz").unlink(missing_ok=True)
    files = ["clouds.npz"] if archive else [f"cloud_{k:05}.ply" for k in outcome.shapes]
    if archive:
        write_npz(folder / "clouds.npz", _archive(outcome.shapes), compress=False)
    else:
        for name, cloud in zip(files, outcome.shapes.values(), strict=True):
            write_cloud(folder / name, cloud)
    write_contact_sheet(folder / "clouds.png", sheet_rows(list(outcome.shapes.values())))
    codec = model.codec and {"file": model.codec.path.name, "sha256": sha256(model.codec.path)}
    write_run(
        folder, config, request.seed, model.weights.path, outcome.timings,
        codec=codec, indices=list(outcome.shapes), files=files,
    )  # fmt: skip
    return files


def sheet_rows(shapes: list[Any]) -> list[list[Any]]:
    """The first shapes by rows of six, as a contact sheet takes them."""
    shown = shapes[:_SHOWN]
    return [shown[i : i + _COLUMNS] for i in range(0, len(shown), _COLUMNS)]


def clear_numbered(folder: Path, stem: str, suffixes: tuple[str, ...] = ("ply",)) -> None:
    """Remove the files `<stem>_<number>.<suffix>` of an earlier run, and no other."""
    for old in folder.glob(f"{stem}_*"):
        if re.fullmatch(rf"{stem}_[0-9]+\.({'|'.join(suffixes)})", old.name):
            with suppress(OSError):
                old.unlink()


def _archive(clouds: dict[int, Cloud]) -> dict[str, np.ndarray]:
    """`points [M, N, 3]`, `normals` where there are, `ids` and `index`."""
    index = np.array(list(clouds))
    arrays = {"points": np.stack([c.points for c in clouds.values()]), "index": index}
    arrays["ids"] = np.array([f"cloud_{k:05}" for k in index])
    normals = [c.normals for c in clouds.values() if c.normals is not None]
    return arrays | ({"normals": np.stack(normals)} if len(normals) == len(clouds) else {})
