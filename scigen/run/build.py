"""From a config to objects: networks, processes and tasks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from scigen.process import affine
from scigen.run.schema import CodecConfig, CodecShapeConfig, Config, MoleculeConfig, NetworkConfig, RefineConfig
from scigen.solver.loop import Solver

if TYPE_CHECKING:
    from scigen.domains.molecules.data import MoleculeSet
    from scigen.domains.molecules.refine.task import RefineTask
    from scigen.domains.molecules.task import MoleculeTask
    from scigen.domains.points.codec_task import CodecTask

__all__ = ["affine_process", "named_grid", "named_solver", "network", "training_task"]


def affine_process(name: str) -> affine.Affine:
    """The affine process a config names."""
    makers = {
        "flow": affine.rectified, "vp": affine.vp, "ve": affine.ve, "subvp": affine.subvp, "cosine": affine.cosine,
    }  # fmt: skip
    return makers[name]()


def named_solver(name: str, eta: float = 0.0, steps: int = 100) -> Solver:
    """The solver a command names; `eta` is DDIM's share of fresh noise, `steps` the run's, over which EDM churns."""
    from scigen import solver

    makers: dict[str, Callable[[], Solver]] = {
        "ancestral": lambda: solver.ancestral,
        "ddim": lambda: solver.ddim(eta),
        "dpm2": lambda: solver.dpm_solver(2),
        "dpm3": lambda: solver.dpm_solver(3),
        "dpmpp2m": lambda: solver.dpmpp_2m,
        "dpmpp3m": lambda: solver.adams(3),
        "dpmpp2m-sde": lambda: solver.dpmpp_2m_sde(),
        "pndm": lambda: solver.adams(4, solver.NATURAL),
        "unipc": lambda: solver.unipc(2),
        "euler": lambda: solver.euler,
        "heun": lambda: solver.heun,
        "edm": lambda: solver.churn(steps),
        "pc": lambda: solver.predictor_corrector(),
        "tokens-pc": lambda: solver.token_corrector(),
        "sde": lambda: solver.euler_maruyama,
    }
    return makers[name]()


def named_grid(name: str) -> Callable[[int], list[float]]:
    """The time grid a command names, as times of rectified flow for a number of intervals."""
    from scigen.solver import grids

    makers: dict[str, Callable[[int], list[float]]] = {
        "late": grids.late,
        "uniform": grids.uniform,
        "quadratic": grids.quadratic,
        "logsnr": lambda steps: grids.logsnr_uniform(affine.rectified(), steps),
        "karras": lambda steps: grids.karras(affine.rectified(), steps),
    }
    return makers[name]


def network(config: NetworkConfig | CodecShapeConfig) -> nn.Module:
    """An untrained network of the given kind and shape."""
    if isinstance(config, CodecShapeConfig):
        from scigen.nn.point_codec import PointCodec
        from scigen.nn.point_encoder import CodecShape

        return PointCodec(CodecShape(**config.model_dump()))
    if config.kind == "e3nn":
        from scigen.nn.tensor_product import TensorProductConfig, TensorProductNetwork

        return TensorProductNetwork(TensorProductConfig(**_shape(config, TensorProductConfig)))
    from scigen.nn.transformer import GraphTransformer, TransformerConfig

    return GraphTransformer(TransformerConfig(**_shape(config, TransformerConfig)))


def _shape(config: NetworkConfig, wanted: type) -> dict[str, Any]:
    """The keys of a config that a network of that kind has."""
    names = {f.name for f in fields(wanted)}
    return {k: v for k, v in config.model_dump().items() if k in names}


def training_task(config: Config, device: torch.device, data: Path | None) -> MoleculeTask | RefineTask | CodecTask:
    """What a config trains: a fresh network on the training split of its data."""
    from scigen.domains.molecules.data import cache_dir

    torch.manual_seed(config.train.seed)  # the one place that touches the global generator: initial weights
    net = network(config.network)
    if isinstance(config, CodecConfig):
        return _codec_task(config, net, [data] if data else config.data, str(device))
    path = data or cache_dir() / f"{config.data}.npz"
    if isinstance(config, RefineConfig):
        return _refine_task(config, net, path, str(device))
    return _molecule_task(config, net, path, str(device))


def _molecule_task(config: MoleculeConfig, net: nn.Module, path: Path, device: str) -> MoleculeTask:
    from scigen.coupling import independent, optimal_transport
    from scigen.domains.molecules.batches import Batches
    from scigen.domains.molecules.data import load
    from scigen.domains.molecules.loss import LossConfig
    from scigen.domains.molecules.process import molecule_process
    from scigen.domains.molecules.task import MoleculeTask

    molecules = load(path)
    bonded = np.diff(molecules.bond_start) > 0  # the few whose SMILES could not be laid on have nothing to teach
    rows = molecules.where("train")
    molecules = molecules.subset(rows[bonded[rows]])
    return MoleculeTask(
        net,
        molecule_process(affine_process(config.process)),
        Batches.of(molecules, config.train.batch, config.train.seed, device),
        LossConfig(**config.loss.model_dump()),
        optimal_transport("pos") if config.coupling == "optimal" else independent,
        _facts(path, molecules, molecules.content_hash()),
    )


def _refine_task(config: RefineConfig, net: nn.Module, path: Path, device: str) -> RefineTask:
    from scigen.domains.molecules.refine.pairs import load_pairs
    from scigen.domains.molecules.refine.task import PairBatches, RefineLoss, RefineTask

    pairs = load_pairs(path)
    pairs = pairs.subset(pairs.molecules.where("train"))
    batches = PairBatches.of(pairs, config.train.batch, config.train.seed, device)
    facts = _facts(path, pairs.molecules, pairs.content_hash())
    return RefineTask(net, batches, RefineLoss(**config.loss.model_dump()), facts)


def _codec_task(config: CodecConfig, net: nn.Module, sources: Sequence[str | Path], device: str) -> CodecTask:
    from scigen.domains.points.batches import CloudBatches
    from scigen.domains.points.codec_loss import CodecLoss
    from scigen.domains.points.codec_task import CodecTask
    from scigen.domains.shapes.pack import load_shapes
    from scigen.nn.point_encoder import CodecShape

    sets = [load_shapes(source) for source in sources]
    batches = CloudBatches.of(sets, config.train.batch, config.train.seed, device)
    content = hashlib.sha256("".join(shapes.content_hash() for shapes in sets).encode()).hexdigest()
    names = [shapes.name for shapes in sets]
    facts = {"data": {"name": names, "shapes": len(batches.points), "content_sha256": content}}
    loss = CodecLoss(**config.loss.model_dump())
    return CodecTask(net, CodecShape(**config.network.model_dump()), batches, loss, facts)


def _facts(path: Path, molecules: MoleculeSet, content: str) -> dict[str, Any]:
    """What the weights card says of the training data; sizes are drawn from this histogram when sampling."""
    sizes, counts = np.unique(molecules.sizes(), return_counts=True)
    return {
        "data": {"name": path.stem, "molecules": len(molecules), "content_sha256": content},
        "sizes": {str(n): int(c) for n, c in zip(sizes, counts, strict=True)},
    }
