"""From a config to what trains on clouds: the codec, the prior, the completion bridge, the baseline of raw points."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import nn

from scigen.errors import InputError
from scigen.run.schema import (
    BridgeConfig,
    CodecConfig,
    CodecShapeConfig,
    LatentNetworkConfig,
    PointNetworkConfig,
    PriorConfig,
    RawConfig,
)
from scigen.state import State

if TYPE_CHECKING:
    from scigen.domains.points.bridge_task import BridgeTask
    from scigen.domains.points.codec_task import CodecTask
    from scigen.domains.points.prior_task import PriorTask
    from scigen.domains.points.process import Scale
    from scigen.domains.points.raw_task import RawTask
    from scigen.domains.points.recalled import RecalledBatches
    from scigen.process.product import Product
    from scigen.run.encode import Encoding
    from scigen.run.shape_pool import Pool
    from scigen.run.weights import Weights

__all__ = ["PointsConfig", "bridge_task", "codec_task", "points_network", "prior_task", "raw_task"]

PointsConfig: TypeAlias = CodecConfig | PriorConfig | BridgeConfig | RawConfig
Say: TypeAlias = Callable[[str], None]
_RAW = 2048  # points of a shape kept for the baseline
_MATCHED = 4096  # pairs whose assignments are found at once
_TOLD_EVERY = 8192  # encodings


def points_network(config: CodecShapeConfig | LatentNetworkConfig | PointNetworkConfig) -> nn.Module:
    """An untrained network of the given shape."""
    if isinstance(config, CodecShapeConfig):
        from scigen.nn.point_codec import PointCodec
        from scigen.nn.point_encoder import CodecShape

        return PointCodec(CodecShape(**config.model_dump()))
    if isinstance(config, PointNetworkConfig):
        from scigen.nn.point_process import PointConfig, PointNetwork

        return PointNetwork(PointConfig(**config.model_dump()))
    from scigen.nn.latent_transformer import LatentConfig, LatentTransformer

    return LatentTransformer(LatentConfig(**config.model_dump()))


def codec_task(config: CodecConfig, net: nn.Module, sources: Sequence[str | Path], device: str, say: Say) -> CodecTask:
    """The autoencoder on the training shapes of all `sources`."""
    from scigen.domains.points.batches import CloudBatches
    from scigen.domains.points.codec_loss import CodecLoss
    from scigen.domains.points.codec_task import CodecTask
    from scigen.nn.point_encoder import CodecShape
    from scigen.run.shape_pool import shape_sets

    sets = shape_sets(sources, say)
    batches = CloudBatches.of(sets, config.train.batch, config.train.seed, device)
    content = hashlib.sha256("".join(shapes.content_hash() for shapes in sets).encode()).hexdigest()
    names = [shapes.name for shapes in sets]
    about = {"licences": sorted({shapes.licence for shapes in sets}), "content_sha256": content}
    facts = {"data": {"name": names, "shapes": len(batches.points), **about}}
    loss = CodecLoss(**config.loss.model_dump())
    return CodecTask(net, CodecShape(**config.network.model_dump()), batches, loss, facts)


def prior_task(
    config: PriorConfig, net: nn.Module, sources: Sequence[str | Path], device: str, process: Product, say: Say
) -> PriorTask:
    """Generation of latent points; shapes are encoded first, unless the cache has them."""
    from scigen.domains.points.latents import LatentBatches
    from scigen.domains.points.prior_task import PriorLoss, PriorTask
    from scigen.domains.points.process import Scale
    from scigen.run.encode import encode_shapes

    how, facts = _encoding(config, config.samples, sources, device, say)
    x, content = encode_shapes(how)
    scale = Scale.of(x)
    batches = LatentBatches(x.map(lambda v: v.to(device)), config.train.batch, config.train.seed)
    facts |= {"data": _data(how.pool, content), "scale": vars(scale)}
    return PriorTask(net, process, batches, scale, PriorLoss(**config.loss.model_dump()), config.network.categories,
                     facts)  # fmt: skip


def bridge_task(
    config: BridgeConfig, net: nn.Module, sources: Sequence[str | Path], device: str, say: Say
) -> BridgeTask | PriorTask:
    """Completion of scans; shapes are scanned and encoded first, unless the cache has them.

    With `start: noise` the same network learns from the same pairs by conditional diffusion. Raises `InputError` where
    there is nothing to remember.
    """
    from scigen.domains.points.bridge_task import BridgeLoss, BridgeTask, spread_of
    from scigen.domains.points.latents import LatentBatches
    from scigen.domains.points.process import Scale
    from scigen.run.encode import encode_scans

    how, facts = _encoding(config, config.scans, sources, device, say)
    x, content = encode_scans(how)
    scale = Scale.of(x)
    facts |= {"data": {**_data(how.pool, content), "scans": len(x.mask)}, "scale": vars(scale), "start": config.start}
    if config.start == "noise":
        return _looking_task(config, net, x, scale, device, facts)
    loss = BridgeLoss(**config.loss.model_dump())
    if config.start == "remembered":
        batches, spread, kept = _recalled(config, how, x, scale, device)
        facts |= {"spread": vars(spread), "memory": len(kept["pos"])}
        return BridgeTask(net, batches, spread, loss, config.network.categories, facts, kept)
    pairs = _pairs(scale.enter(x))
    spread = spread_of(pairs)
    plain = LatentBatches(pairs.map(lambda v: v.to(device)), config.train.batch, config.train.seed)
    return BridgeTask(net, plain, spread, loss, config.network.categories, facts | {"spread": vars(spread)})


def _recalled(
    config: BridgeConfig, how: Encoding, x: State, scale: Scale, device: str
) -> tuple[RecalledBatches, Scale, dict[str, torch.Tensor]]:
    """Every scan with what it recalls, the spread from there, and the memory as the weights keep it."""
    from scigen.domains.points.bridge_task import spread_of
    from scigen.domains.points.latents import LatentBatches
    from scigen.domains.points.memory import chosen, memorised, packed, unpacked
    from scigen.domains.points.recalled import RecalledBatches, recalled_by, set_out, turns
    from scigen.run.encode import encode_followers
    from scigen.state import generator

    seed, shape, scans = config.train.seed, x["shape"].numpy(), scale.enter(x)
    rows = chosen(shape, x["category"].numpy(), config.memory, seed)
    kept = packed(memorised(scans, rows))
    memory = unpacked(kept)  # training knows what completion will know, to the bit
    own = np.full(shape.max() + 1, -1)
    own[shape[rows]] = np.arange(len(rows))
    try:
        near = recalled_by(scans, memory, torch.from_numpy(own[shape]))
    except ValueError as error:
        raise InputError(f"{str(error).capitalize()}; give more shapes, or `-s start=observed`.") from None
    unit = torch.tensor([scale.pos] * 3 + [scale.feat] * config.network.features)
    ends = encode_followers(how, x, scale, memory, near) / unit
    seen = State({name: scans[name] for name in ("given", "given_mask", "category")}, scans.mask)
    pairs = seen.replace(near=near, ends=ends)
    spread = spread_of(set_out(pairs, memory, turns(pairs, generator(seed))))
    plain = LatentBatches(pairs.map(lambda v: v.to(device)), config.train.batch, seed)
    return RecalledBatches(plain, memory), spread, kept


def _looking_task(
    config: BridgeConfig, net: nn.Module, x: State, scale: Scale, device: str, facts: dict[str, Any]
) -> PriorTask:
    """Diffusion from noise that looks at the scan, with the bridge's weights of the loss."""
    from scigen.domains.points.latents import LatentBatches
    from scigen.domains.points.prior_task import PriorLoss, PriorTask
    from scigen.domains.points.process import shape_process
    from scigen.process.affine import rectified

    batches = LatentBatches(x.map(lambda v: v.to(device)), config.train.batch, config.train.seed)
    loss = PriorLoss(config.loss.snr_cap, config.loss.feat, config.loss.forget)
    process = shape_process(rectified())
    return PriorTask(net, process, batches, scale, loss, config.network.categories, facts)


def raw_task(
    config: RawConfig, net: nn.Module, sources: Sequence[str | Path], device: str, process: Product, say: Say
) -> RawTask:
    """Generation of raw points, the first 2,048 of every shape that has as many as a step takes."""
    from scigen.domains.points.latents import LatentBatches
    from scigen.domains.points.prior_task import PriorLoss
    from scigen.domains.points.process import Scale
    from scigen.domains.points.raw_task import RawTask
    from scigen.run.shape_pool import Pool, shape_sets

    pool = Pool.of(shape_sets(sources, say), config.points)
    _room(pool, config.network.categories)
    width = max(config.points, min(_RAW, *(int(shapes.size[k]) for shapes, k in pool.rows)))
    points = np.stack([shapes.points[k, :width] for shapes, k in pool.rows]).astype(np.float32)
    fields = {"pos": torch.from_numpy(points), "category": torch.from_numpy(pool.category).long()}
    x = State(fields, torch.ones(points.shape[:2], dtype=torch.bool))
    scale = Scale.of(x)
    batches = LatentBatches(x.map(lambda v: v.to(device)), config.train.batch, config.train.seed)
    facts = {"data": _data(pool, pool.content), "categories": list(pool.categories), "scale": vars(scale)}
    loss = PriorLoss(**config.loss.model_dump())
    return RawTask(net, process, batches, scale, loss, config.points, config.network.categories, facts)


def _encoding(
    config: PriorConfig | BridgeConfig, draws: int, sources: Sequence[str | Path], device: str, say: Say
) -> tuple[Encoding, dict[str, Any]]:
    """What to encode by which codec, and what the card says of both."""
    from scigen.run.codec_of import codec_weights, latent_space
    from scigen.run.encode import Encoding
    from scigen.run.shape_pool import Pool, shape_sets

    codec = codec_weights(config.codec)
    shape = _codec_shape(codec)
    if shape.feature != config.network.features:
        raise InputError(
            f"The codec '{config.codec}' has {shape.feature} features a latent point and the network"
            f" {config.network.features}; set `-s network.features={shape.feature}`."
        )
    pool = Pool.of(shape_sets(sources, say), shape.latents)
    _room(pool, config.network.categories)
    facts = {
        "codec": {"name": config.codec, "space": latent_space(codec), "latents": shape.latents},
        "categories": list(pool.categories),
    }
    return Encoding(pool, codec, draws, config.train.seed, device, _now_and_then(say)), facts


def _codec_shape(codec: Weights) -> CodecShapeConfig:
    return CodecShapeConfig.model_validate(codec.card["network"])


def _room(pool: Pool, categories: int) -> None:
    """Raise `InputError` when the network has fewer rows of classes than the data have classes."""
    if len(pool.categories) > categories:
        raise InputError(
            f"The shapes have {len(pool.categories)} categories and the network has room for {categories}; set"
            f" `-s network.categories={len(pool.categories)}`."
        )


def _pairs(x: State) -> State:
    """Every whole laid onto its scan, a few thousand at a time: the costs of an assignment are K^2 numbers."""
    from scigen.domains.points.bridge_task import laid_onto
    from scigen.domains.points.latents import observation

    few = [x.map(lambda v, i=i: v[i : i + _MATCHED]) for i in range(0, len(x.mask), _MATCHED)]  # type: ignore[misc]
    parts = [laid_onto(part, observation(part)) for part in few]
    fields = {name: torch.cat([part[name] for part in parts]) for name in parts[0].fields}
    return State(fields, torch.cat([part.mask for part in parts]))


def _data(pool: Pool, content: str) -> dict[str, Any]:
    names = list(dict.fromkeys(shapes.name for shapes, _ in pool.rows))
    licences = sorted({shapes.licence for shapes, _ in pool.rows})
    return {"name": names, "shapes": len(pool), "licences": licences, "content_sha256": content}


def _now_and_then(say: Say) -> Callable[[str, int, int], None]:
    """Progress in sentences, one every few thousand encodings: the bar of the run has not begun."""
    told = 0

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal told
        if done >= told + _TOLD_EVERY:
            told = done
            say(f"{stage}: {done:,} of {total:,}")

    return tell
