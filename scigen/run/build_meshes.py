"""From a config to what trains on closed meshes: the implicit decoder of a codec's latent points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from torch import nn

from scigen.errors import InputError
from scigen.run.schema import ImplicitConfig, ImplicitShapeConfig

if TYPE_CHECKING:
    from scigen.domains.meshes.implicit_task import ImplicitTask

__all__ = ["implicit_network", "implicit_task"]


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
    from scigen.run.codec_of import codec_weights
    from scigen.run.encode_solids import encode_solids, solid_sets
    from scigen.run.report import sha256

    codec = codec_weights(config.codec)
    shape = codec.card["network"]
    if shape["feature"] != config.network.feature:
        raise InputError(
            f"The codec '{config.codec}' has {shape['feature']} features a latent point and the network"
            f" {config.network.feature}; set `-s network.feature={shape['feature']}`."
        )
    sets = solid_sets(sources, config.objects)
    x, content = encode_solids(sets, codec, config.places, config.train.seed, device, say)
    batches = LatentBatches(x.map(lambda v: v.to(device)), config.train.batch, config.train.seed)
    if not cast(ImplicitNetwork, net).read_as(cast(PointCodec, codec.network).decoder):
        say("The network's width, heads or layers are not those of the codec's decoder: it begins from nothing.")
    facts = {
        "codec": {"name": config.codec, "sha256": sha256(codec.path), "latents": shape["latents"]},
        "data": {
            "name": [solid.shapes.name for solid in sets],
            "shapes": len(batches),
            "licences": sorted({solid.shapes.licence for solid in sets}),
            "content_sha256": content,
        },
    }
    return ImplicitTask(net, batches, ImplicitLoss(**config.loss.model_dump()), facts)
