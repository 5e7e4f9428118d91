"""What a training config of views may say."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from scigen.run.schema_base import Headed, Process, Run, Strict

__all__ = ["ViewsConfig", "ViewsLossConfig", "ViewsNetworkConfig"]


class ViewsNetworkConfig(Headed):
    """Shape of the network over views (see `nn.multiview.MultiViewConfig`)."""

    pixels: int = Field(48, ge=8, le=256)
    patch: int = Field(8, ge=1)
    width: int = Field(256, ge=8)
    layers: int = Field(6, ge=1)
    heads: int = Field(4, ge=1)

    @model_validator(mode="after")
    def _patches_fill_the_picture(self) -> Self:
        if self.pixels % self.patch:
            raise ValueError(f"`pixels` must be a multiple of `patch`, got {self.pixels} and {self.patch}")
        return self


class ViewsLossConfig(Strict):
    """Weights of the loss terms (see `domains.image3d.views_task.ViewsLoss`)."""

    snr_cap: float = Field(5.0, gt=0)
    normal: float = Field(2.0, ge=0)
    depth: float = Field(2.0, ge=0)
    forget: float = Field(0.05, ge=0, le=1)
    at_start: float = Field(0.35, ge=0, le=1)


class ViewsConfig(Run):
    """Train the six sides of objects, from noise and a picture."""

    domain: Literal["image-views"]
    data: str
    network: ViewsNetworkConfig = ViewsNetworkConfig()
    process: Process = "flow"
    loss: ViewsLossConfig = ViewsLossConfig()
