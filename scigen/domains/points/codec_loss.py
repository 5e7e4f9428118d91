"""How well decoded points stand for a surface: chamfer distance, normals, spread."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scigen.domains.points.batches import Oriented
from scigen.nn.chamfer import nearest
from scigen.nn.neighbours import gather

__all__ = ["CodecLoss", "codec_loss"]

_UNIT = 0.01  # distances are counted in this: about what two samples of 2,048 points of one shape are apart


@dataclass(frozen=True)
class CodecLoss:
    """Weights of the terms, and the noise on latents and on their places in training."""

    normal: float = 0.5
    pos_noise: float = 0.015  # the largest, in units of the bounding sphere's diameter
    feat_noise: float = 0.1  # the largest; features have unit RMS
    unoriented: float = 0.25  # share of the inputs without normals
    moved: float = 0.5  # share of the shapes whose latents follow places off their farthest points
    place_noise: float = 0.06  # how far off, at most


def codec_loss(decoded: Oriented, target: Oriented, config: CodecLoss) -> tuple[Tensor, dict[str, Tensor]]:
    """Total loss of a batch and its terms (scalars).

    cd: (mean |x - y(x)| + mean |y - x(y)|) / 2 in units of .01, the very distance that is scored, to a sample of the
    surface drawn anew each step. Its second half is a quantisation error, least when the points spread evenly.
    normal: mean of 1 - n(x) . n(y(x)).
    """
    out, met = nearest(decoded.points, target.points)
    home = nearest(target.points, decoded.points)[0]
    agreement = (decoded.normals * gather(target.normals, met)).sum(-1)
    terms = {"cd": (out.mean() + home.mean()) / (2 * _UNIT), "normal": (1 - agreement).mean()}
    return terms["cd"] + config.normal * terms["normal"], terms
