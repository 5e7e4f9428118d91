"""From a config to what learns to imagine views, and from weights to a prior."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from scigen.domains.image3d.diffusion_prior import DiffusionPrior, Draws
from scigen.domains.image3d.tokens import CHANNELS, GIVEN
from scigen.domains.image3d.views_task import ViewBatches, ViewsLoss, ViewsTask, views_scale
from scigen.domains.image3d.viewset import load_views
from scigen.errors import InputError
from scigen.nn.multiview import MultiViewConfig, MultiViewTransformer
from scigen.process.affine import Affine
from scigen.run.schema import ViewsConfig, ViewsNetworkConfig
from scigen.run.weights import Weights

__all__ = ["diffusion_prior", "views_network", "views_task"]


def views_network(config: ViewsNetworkConfig) -> nn.Module:
    """An untrained network of the given shape."""
    return MultiViewTransformer(MultiViewConfig(channels=CHANNELS, given=GIVEN, **config.model_dump()))


def views_task(config: ViewsConfig, net: nn.Module, source: str | Path, device: str, affine: Affine) -> ViewsTask:
    """Views from noise and a picture, on the training shapes of a rendered set."""
    views = load_views(source)
    if views.depth.shape[2] != config.network.pixels:
        raise InputError(
            f"The views of '{views.name}' have {views.depth.shape[2]} pixels a side and the network"
            f" {config.network.pixels}; set `-s network.pixels={views.depth.shape[2]}`."
        )
    rows = views.where("train")
    scale = views_scale(views, rows)
    batches = ViewBatches(views, rows, config.network.patch, scale, config.train.batch, config.train.seed, device)
    data = {"name": views.name, "shapes": len(rows), "licences": [views.licence],
            "content_sha256": views.content_hash()}  # fmt: skip
    facts = {"data": data, "scale": {"view": scale}, "categories": list(views.categories)}
    return ViewsTask(net, affine, batches, ViewsLoss(**config.loss.model_dump()), facts)


def diffusion_prior(weights: Weights, draws: Draws, device: str) -> DiffusionPrior:
    """The prior that weights of `images/views` are. Raises `InputError` for others, and for a card without a scale."""
    if (domain := weights.card.get("domain")) != "image-views":
        raise InputError(f"The weights '{weights.path}' are for {domain}, not for views; give those of `images/views`.")
    try:
        scale = float(weights.card["scale"]["view"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"The card of '{weights.path}' names no scale; export the weights again.") from None
    return DiffusionPrior(weights.network, scale, draws, device)
