"""Encoder and decoder as one network to train: a cloud through its latent points, noise on the way."""

from __future__ import annotations

from torch import Tensor, nn

from scigen.nn.point_decoder import PointDecoder
from scigen.nn.point_encoder import CodecShape, Patches, PointEncoder

__all__ = ["PointCodec"]


class PointCodec(nn.Module):
    """`(points, normals)`, each `[B, M K, 3]`, decoded from `Patches` at codes `[M, 2]`.

    `pos_noise [B, K, 3]` and `feat_noise [B, K, F]` are added to the latents, so that latents close by decode alike.
    """

    def __init__(self, shape: CodecShape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = PointEncoder(shape)
        self.decoder = PointDecoder(shape)

    def forward(self, x: Patches, code: Tensor, pos_noise: Tensor, feat_noise: Tensor) -> tuple[Tensor, Tensor]:
        latents = self.encoder(x)
        noisy = latents.replace(pos=latents["pos"] + pos_noise, feat=latents["feat"] + feat_noise)
        return self.decoder(noisy, code)
