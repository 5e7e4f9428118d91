"""What training configs on rendered views may say: the six sides of an object, or its latent points."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from scigen.run.schema_base import Headed, Process, Run, Strict

__all__ = [
    "PictureLatentsConfig", "PictureLatentsLossConfig", "PictureLatentsNetworkConfig", "SidesConfig",
    "SidesNetworkConfig", "ViewsConfig", "ViewsLossConfig", "ViewsNetworkConfig",
]  # fmt: skip


class _Patched(Headed):
    """Networks that see pictures in patches."""

    pixels: int = Field(48, ge=8, le=256)
    patch: int = Field(8, ge=1)

    @model_validator(mode="after")
    def _patches_fill_the_picture(self) -> Self:
        if self.pixels % self.patch:
            raise ValueError(f"`pixels` must be a multiple of `patch`, got {self.pixels} and {self.patch}")
        return self


class SidesNetworkConfig(_Patched):
    """Shape of the network over views (see `nn.multiview.MultiViewConfig`)."""

    width: int = Field(256, ge=8)
    layers: int = Field(6, ge=1)
    heads: int = Field(4, ge=1)
    near: int = Field(2, ge=0, le=8)


class PictureLatentsNetworkConfig(_Patched):
    """Shape of the network over latent points (see `nn.picture_latents.PictureLatentsShape`)."""

    features: int = Field(32, ge=1)  # of the codec
    width: int = Field(192, ge=8)
    layers: int = Field(8, ge=1)
    looks: int = Field(3, ge=0)
    heads: int = Field(6, ge=1)
    octaves: int = Field(4, ge=0, le=12)


class ViewsLossConfig(Strict):
    """Weights of the loss terms (see `domains.image3d.views_task.ViewsLoss`)."""

    snr_cap: float = Field(5.0, gt=0)
    normal: float = Field(2.0, ge=0)
    depth: float = Field(2.0, ge=0)
    forget: float = Field(0.05, ge=0, le=1)
    at_start: float = Field(0.35, ge=0, le=1)


class PictureLatentsLossConfig(Strict):
    """Weights of the loss terms (see `domains.points.prior_task.PriorLoss`)."""

    snr_cap: float = Field(25.0, gt=0)
    feat: float = Field(1.0, ge=0)
    forget: float = Field(0.05, ge=0, le=1)


class SidesConfig(Run):
    """Train the six sides of objects, from noise and a picture."""

    domain: Literal["image-views"]
    data: str
    network: SidesNetworkConfig = SidesNetworkConfig()
    process: Process = "flow"
    loss: ViewsLossConfig = ViewsLossConfig()


class PictureLatentsConfig(Run):
    """Train the latent points of objects, from noise and a picture."""

    domain: Literal["image-latents"]
    data: str  # rendered views
    shapes: str = "procedural"  # the packed collection that holds the same shapes
    codec: str = "points-codec"  # weights by name or file
    samples: int = Field(2, ge=1, le=1000)  # encodings of each shape
    network: PictureLatentsNetworkConfig = PictureLatentsNetworkConfig()
    process: Process = "flow"
    loss: PictureLatentsLossConfig = PictureLatentsLossConfig()


ViewsConfig: TypeAlias = SidesConfig | PictureLatentsConfig
ViewsNetworkConfig: TypeAlias = SidesNetworkConfig | PictureLatentsNetworkConfig
