"""Generation as a training task: the belief about the latent points of a shape from their noise, class known or not.

With tokens to look at (`given`) the same task trains the conditional diffusion that the completion bridge is set
against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from scigen.coupling import optimal_transport
from scigen.domains.points.latents import LatentBatches
from scigen.domains.points.process import LOGSNR_RANGE, Scale
from scigen.objective import even_times, truncated_snr
from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.state import State, normal

__all__ = ["PriorLoss", "PriorTask", "forget_class", "prior_loss", "squared_error"]


@dataclass(frozen=True)
class PriorLoss:
    """Weights of the loss, in units of variance one."""

    snr_cap: float = 25.0
    feat: float = 1.0  # beside the positions' 1, both as means over their coordinates
    forget: float = 0.1  # share of samples that are shown the null class
    transport: float | None = None  # share of fresh noise in noise dealt to tokens by assignment; None: no assignment


@dataclass(frozen=True)
class PriorTask:
    """A network, the noise, the shapes and their scale, the weights of the loss, and facts about the data.

    `null` is the index of the null class, the number of categories.
    """

    network: nn.Module
    process: Product
    batches: LatentBatches
    scale: Scale
    loss_config: PriorLoss
    null: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, shapes)."""
        x0 = self.scale.enter(self.batches.at(step, world.rank, world.size))
        total, terms = prior_loss(network, self.process, forget_class(x0, self.null, self.loss_config.forget, rng),
                                  rng, self.loss_config)  # fmt: skip
        return total, terms, len(x0.mask)


def prior_loss(
    network: Callable[..., Any], process: Product, x0: State, rng: torch.Generator, config: PriorLoss
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean of min(1 + SNR, cap) |x0 - x0hat|^2 for every field of the process, and their sum, t even on (0, 1)."""
    affine = process.parts["pos"]
    assert isinstance(affine, Affine), "positions are noised by an affine process"
    t = even_times(len(x0.mask), rng).clamp(1e-4, 1 - 1e-4)
    x1 = process.each(lambda name, part: normal(x0[name], rng), x0)
    if config.transport is not None:
        x1 = _dealt(process, x0, x1, config.transport, rng)
    x_t = process.noise(x0, x1, t, rng)
    logsnr = affine.logsnr(t).clamp(*LOGSNR_RANGE).to(x0["pos"])
    std = affine.scale(t).to(x0["pos"])[:, None, None]
    out = network(x_t.replace(**{name: x_t[name] / std for name in process.parts}), logsnr, None)
    weight = truncated_snr(logsnr, config.snr_cap)
    terms = {name: squared_error(out[name], x0[name], x0.mask, weight) for name in process.parts}
    return terms["pos"] + (config.feat * terms["feat"] if "feat" in terms else 0.0), terms


def forget_class(x: State, null: int, share: float, rng: torch.Generator) -> State:
    """A `share` of the samples with the null class in place of their own, for guidance. arXiv:2207.12598"""
    if "category" not in x:
        return x
    forgotten = torch.rand(len(x.mask), generator=rng, device=rng.device).to(x.mask.device) < share
    return x.replace(category=torch.where(forgotten, torch.full_like(x["category"], null), x["category"]))


def squared_error(out: Tensor, x0: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Mean over real tokens and coordinates of weight |x0 - x0hat|^2, `weight [B]`."""
    square = (out - x0).square().mean(-1) * weight[:, None]
    return (square * mask).sum() / mask.sum().clamp(min=1)


def _dealt(process: Product, x0: State, x1: State, blend: float, rng: torch.Generator) -> State:
    """Noise of positions dealt to the tokens nearest to it, then sqrt(1 - b) of it and sqrt(b) fresh: unit variance.

    Tokens have no order, so the noise keeps its law. Straighter paths, but the belief is then that of one process only;
    full transport (b = 0) is harder to learn. NSOT, arXiv:2502.12456.
    """
    near = optimal_transport("pos", rotate=False)(x0, x1)["pos"]
    mixed = (1 - blend) ** 0.5 * near + blend**0.5 * normal(near, rng)
    return process.project(x1.replace(pos=mixed))
