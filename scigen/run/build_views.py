"""From a config to what learns from pictures, views or latent points, and from weights to a prior."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from torch import nn

from scigen.domains.image3d.diffusion_prior import DiffusionPrior, Draws
from scigen.domains.image3d.prior import RetrievalPrior
from scigen.domains.image3d.tokens import CHANNELS, GIVEN
from scigen.domains.image3d.views_task import SPARE, Neighbours, ViewBatches, ViewsLoss, ViewsTask, views_scale
from scigen.domains.image3d.viewset import MEMORY, ViewSet, load_views
from scigen.errors import InputError
from scigen.nn.multiview import MultiViewConfig, MultiViewTransformer
from scigen.process.affine import Affine
from scigen.run.schema_views import (
    PictureLatentsConfig,
    PictureLatentsNetworkConfig,
    SidesConfig,
    SidesNetworkConfig,
    ViewsConfig,
    ViewsNetworkConfig,
)
from scigen.run.weights import Weights
from scigen.state import State

if TYPE_CHECKING:
    from scigen.domains.image3d.latent_prior import LatentPrior
    from scigen.domains.image3d.latents_task import PictureLatentsTask
    from scigen.domains.points.sampler import Plan
    from scigen.run.shape_pool import Pool

__all__ = ["diffusion_prior", "latent_prior", "views_network", "views_task"]

_GRID = 64  # cells a side of the surface of drawn latents


def views_network(config: ViewsNetworkConfig) -> nn.Module:
    """An untrained network of the given shape."""
    if isinstance(config, PictureLatentsNetworkConfig):
        from scigen.nn.picture_latents import PictureLatents, PictureLatentsShape

        return PictureLatents(PictureLatentsShape(given=GIVEN, **config.model_dump()))
    return MultiViewTransformer(MultiViewConfig(channels=CHANNELS, given=GIVEN, **config.model_dump()))


def views_task(
    config: ViewsConfig, net: nn.Module, source: str | Path, device: str, affine: Affine
) -> ViewsTask | PictureLatentsTask:
    """What a config on rendered views trains, on the training shapes of the set `source`."""
    views = load_views(source)
    if views.depth.shape[2] != config.network.pixels:
        raise InputError(
            f"The views of '{views.name}' have {views.depth.shape[2]} pixels a side and the network"
            f" {config.network.pixels}; set `-s network.pixels={views.depth.shape[2]}`."
        )
    if isinstance(config, PictureLatentsConfig):
        return _latents_task(config, net, views, device, affine)
    return _sides_task(config, net, views, device, affine)


def _sides_task(config: SidesConfig, net: nn.Module, views: ViewSet, device: str, affine: Affine) -> ViewsTask:
    """Views from noise and a picture."""
    rows = views.where("train")
    scale = views_scale(views, rows)
    c, near = config.train, None
    if count := config.network.near:
        near = Neighbours(RetrievalPrior(views, rows).others(max(count, min(count + SPARE, len(rows) - 1))), count)
    batches = ViewBatches(views, rows, config.network.patch, scale, c.batch, c.seed, device, near)
    facts = {"data": _data(views, len(rows)), "scale": {"view": scale}, "categories": list(views.categories)}
    return ViewsTask(net, affine, batches, ViewsLoss(**config.loss.model_dump()), facts)


def _latents_task(
    config: PictureLatentsConfig, net: nn.Module, views: ViewSet, device: str, affine: Affine
) -> PictureLatentsTask:
    """Latent points from noise and a picture; shapes that have views are encoded first, unless the cache has them."""
    from scigen.domains.image3d.latents_task import PictureLatentBatches, PictureLatentsTask
    from scigen.domains.points.prior_task import PriorLoss
    from scigen.domains.points.process import Scale, shape_process
    from scigen.run.codec_of import codec_weights, latent_space
    from scigen.run.encode import Encoding, encode_shapes

    codec = codec_weights(config.codec)
    latents, features = int(codec.card["network"]["latents"]), int(codec.card["network"]["feature"])
    if features != config.network.features:
        raise InputError(
            f"The codec '{config.codec}' has {features} features a latent point and the network"
            f" {config.network.features}; set `-s network.features={features}`."
        )
    pool, rows = _with_views(config.shapes, latents, views)
    x, content = encode_shapes(Encoding(pool, codec, config.samples, config.train.seed, device, lambda *told: None))
    x = State({name: x[name].to(device) for name in ("pos", "feat")}, x.mask.to(device))
    c, scale = config.train, Scale.of(x)
    batches = PictureLatentBatches(views, np.repeat(rows, config.samples), x, config.network.patch, c.batch, c.seed)
    facts = {
        "data": _data(views, len(rows)) | {"shapes_sha256": content},
        "codec": {"name": config.codec, "space": latent_space(codec), "latents": latents},
        "scale": vars(scale),
    }
    return PictureLatentsTask(net, shape_process(affine), batches, scale, PriorLoss(**config.loss.model_dump()), facts)


def _with_views(shapes: str, least: int, views: ViewSet) -> tuple[Pool, np.ndarray]:
    """The training shapes of a packed collection that have views, and where those are."""
    from scigen.run.shape_pool import Pool, shape_sets

    pool = Pool.of(shape_sets([shapes], lambda sentence: None), least)
    where = {str(views.ids[k]): int(k) for k in views.where("train")}
    kept = [i for i, (packed, k) in enumerate(pool.rows) if str(packed.ids[k]) in where]
    if not kept:
        raise InputError(f"None of the training shapes of '{shapes}' has views in '{views.name}'; name its own shapes.")
    rows = tuple(pool.rows[i] for i in kept)
    ids = [str(packed.ids[k]) for packed, k in rows]
    content = hashlib.sha256("\n".join([pool.content, *ids]).encode()).hexdigest()
    return replace(pool, rows=rows, category=pool.category[kept], content=content), np.array([where[i] for i in ids])


def _data(views: ViewSet, shapes: int) -> dict[str, object]:
    about = {"licences": [views.licence], "content_sha256": views.content_hash()}
    return {"name": views.name, "shapes": shapes, **about}


def diffusion_prior(weights: Weights, draws: Draws, device: str, memory: str = MEMORY) -> DiffusionPrior:
    """The prior that weights of `images/views` are; one that looks at neighbours finds them in the set `memory`.

    Raises `InputError` for other weights, for a card without a scale, and where the set is not there or does not fit.
    """
    if (domain := weights.card.get("domain")) != "image-views":
        raise InputError(f"The weights '{weights.path}' are for {domain}, not for views; give those of `images/views`.")
    try:
        scale = float(weights.card["scale"]["view"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"The card of '{weights.path}' names no scale; export the weights again.") from None
    config = SidesNetworkConfig.model_validate(weights.card["network"])
    if not config.near:
        return DiffusionPrior(weights.network, scale, draws, device)
    views = load_views(memory)
    if (n := views.depth.shape[2]) != config.pixels:
        raise InputError(
            f"The views of '{views.name}' have {n} pixels a side and the network {config.pixels}; name others."
        )
    return DiffusionPrior(weights.network, scale, draws, device, RetrievalPrior(views, views.where("train")))


def latent_prior(weights: Weights, plan: Plan, device: str) -> LatentPrior:
    """The prior that weights of `images/latents` are, with the codec that their card names.

    Raises `InputError` for others, and where the codec is not there.
    """
    from scigen.domains.image3d.latent_prior import LatentPrior
    from scigen.domains.meshes.decode import PoissonDecoder
    from scigen.io.shape import Mesh
    from scigen.nn.point_codec import PointCodec
    from scigen.run.codec_of import matching_codec
    from scigen.run.draw import scale_on

    if (domain := weights.card.get("domain")) != "image-latents":
        raise InputError(
            f"The weights '{weights.path}' are for {domain}, not for latent points; give those of `images/latents`."
        )
    codec = matching_codec(weights, None)
    decoder = PoissonDecoder(cast(PointCodec, codec.network).to(device), _GRID)

    def decode(latents: State) -> Mesh:
        mesh = decoder(latents).mesh
        return Mesh(mesh.vertices.astype(np.float32), mesh.faces)

    tokens = int(weights.card["codec"]["latents"])
    return LatentPrior(weights.network, scale_on(weights, "scale"), plan, tokens, decode, device)
