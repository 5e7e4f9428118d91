"""What every training config shares: strictness, the optimisation, networks with heads."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Headed", "Process", "Run", "Strict", "TrainConfig"]

Momentum = Annotated[float, Field(ge=0, lt=1)]
Process = Literal["flow", "vp", "ve", "subvp", "cosine"]


class Strict(BaseModel):
    """Frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Headed(Strict):
    """Networks whose heads share out the width."""

    width: int = Field(192, ge=8)
    heads: int = Field(6, ge=1)

    @property
    def _attends(self) -> bool:
        return True

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self._attends and self.width % self.heads:
            raise ValueError(f"`width` must be a multiple of `heads`, got {self.width} and {self.heads}")
        return self


class TrainConfig(Strict):
    """Optimisation; `batch` is per worker."""

    batch: int = Field(64, ge=1)
    lr: float = Field(1e-3, gt=0)
    warmup: int = Field(500, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[Momentum, Momentum] = (0.9, 0.99)
    clip: float = Field(1.0, gt=0)
    ema: float = Field(0.999, ge=0, lt=1)
    minutes: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    checkpoint_minutes: float = Field(3.0, gt=0)
    seed: int = Field(0, ge=0)
    compile: bool = False
    bf16: bool = True
    freeze: tuple[str, ...] = ()  # parts of the network that stay as they begin: `--from W -s train.freeze=[encoder]`


class Run(Strict):
    """What every run says beside its domain."""

    licence: str = ""  # of the data and of the weights, for the card
    train: TrainConfig = TrainConfig()
