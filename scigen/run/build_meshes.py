"""From a config to what trains on closed meshes: the implicit decoder of latent points, the bridge to detail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from scigen.errors import InputError
from scigen.run.schema import DetailConfig, ImplicitConfig, ImplicitShapeConfig
from scigen.state import State

if TYPE_CHECKING:
    from scigen.domains.meshes.implicit_task import ImplicitTask
    from scigen.domains.points.bridge_task import BridgeTask
    from scigen.run.encode_solids import Solid
    from scigen.run.weights import Weights

__all__ = ["detail_task", "implicit_network", "implicit_task"]


def implicit_network(config: ImplicitShapeConfig) -> nn.Module:
    """An untrained network of the given shape."""
    from scigen.nn.implicit import ImplicitNetwork, ImplicitShape

    return ImplicitNetwork(ImplicitShape(**config.model_dump()))


def implicit_task(
    config: ImplicitConfig, net: nn.Module, sources: Sequence[str | Path], device: str, say: Callable[[str], None]
) -> ImplicitTask:
    """Signed distances of latent points; shapes are encoded and measured first, unless the cache has them.

    A network that reads latents as the codec's decoder does begins with that one's weights.
    """
    from scigen.domains.meshes.implicit_task import ImplicitLoss, ImplicitTask
    from scigen.domains.points.latents import LatentBatches
    from scigen.nn.implicit import ImplicitNetwork
    from scigen.nn.point_codec import PointCodec
    from scigen.run.encode_solids import encode_solids, solid_sets

    codec = _codec(config.codec, config.network.feature, "feature")
    sets = solid_sets(sources, config.objects)
    x, content = encode_solids(sets, codec, config.places, config.train.seed, device, say)
    batches = LatentBatches(x.map(lambda v: v.to(device)), config.train.batch, config.train.seed)
    if not cast(ImplicitNetwork, net).read_as(cast(PointCodec, codec.network).decoder):
        say("The network's width, heads or layers are not those of the codec's decoder: it begins from nothing.")
    return ImplicitTask(net, batches, ImplicitLoss(**config.loss.model_dump()), _facts(codec, config, sets, x, content))


def detail_task(
    config: DetailConfig, net: nn.Module, sources: Sequence[str | Path], device: str, say: Callable[[str], None]
) -> BridgeTask:
    """Latent points of detailed meshes from those of coarse ones; both are made first, unless the cache has them."""
    from scigen.domains.points.bridge_task import BridgeLoss, BridgeTask, laid_onto, spread_of
    from scigen.domains.points.latents import LatentBatches, observation
    from scigen.domains.points.process import Scale
    from scigen.run.encode_coarse import encode_coarse
    from scigen.run.encode_solids import solid_sets

    codec = _codec(config.codec, config.network.features, "features")
    sets = solid_sets(sources, config.objects)
    x, content = encode_coarse(sets, codec, config.versions, config.train.seed, device, say)
    scale = Scale.of(x)
    x = scale.enter(x)
    pairs = laid_onto(x, observation(x))
    spread = spread_of(pairs)
    batches = LatentBatches(pairs.map(lambda v: v.to(device)), config.train.batch, config.train.seed)
    facts = _facts(codec, config, sets, x, content) | {"scale": vars(scale), "spread": vars(spread), "categories": []}
    return BridgeTask(net, batches, spread, BridgeLoss(**config.loss.model_dump()), config.network.categories, facts)


def _codec(name: str, features: int, key: str) -> Weights:
    """The codec of that name. Raises `InputError` where the network counts other features than it has."""
    from scigen.run.codec_of import codec_weights

    codec = codec_weights(name)
    if (held := codec.card["network"]["feature"]) != features:
        raise InputError(
            f"The codec '{name}' has {held} features a latent point and the network {features}; set"
            f" `-s network.{key}={held}`."
        )
    return codec


def _facts(
    codec: Weights, config: ImplicitConfig | DetailConfig, sets: Sequence[Solid], x: State, content: str
) -> dict[str, Any]:
    """What the card says of codec and data."""
    from scigen.run.codec_of import latent_space

    latents = codec.card["network"]["latents"]
    return {
        "codec": {"name": config.codec, "space": latent_space(codec), "latents": latents},
        "data": {
            "name": [solid.shapes.name for solid in sets],
            "shapes": len(x.mask),
            "licences": sorted({solid.shapes.licence for solid in sets}),
            "content_sha256": content,
        },
    }
