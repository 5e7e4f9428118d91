"""From a config to objects: networks, processes and tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from scigen.process import affine
from scigen.run import build_meshes, build_points
from scigen.run.schema import (
    BridgeConfig,
    CodecConfig,
    Config,
    DetailConfig,
    ImplicitConfig,
    ImplicitShapeConfig,
    MoleculeConfig,
    Network,
    NetworkConfig,
    PriorConfig,
    RefineConfig,
    ViewsConfig,
    ViewsNetworkConfig,
)
from scigen.solver.loop import Solver

if TYPE_CHECKING:
    from scigen.domains.molecules.data import MoleculeSet
    from scigen.domains.molecules.refine.task import RefineTask
    from scigen.domains.molecules.task import MoleculeTask
    from scigen.run.train import Task

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
        "edm": lambda: solver.churn(steps, solver=solver.in_band((0.03, 2.0), solver.heun, solver.euler)),
        "pc": lambda: solver.predictor_corrector(),
        "tokens-pc": lambda: solver.token_corrector(),
        "sde": lambda: solver.euler_maruyama,
        "sde2": lambda: solver.improved_euler,
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


def network(config: Network) -> nn.Module:
    """An untrained network of the given kind and shape."""
    if isinstance(config, ImplicitShapeConfig):
        return build_meshes.implicit_network(config)
    if isinstance(config, ViewsNetworkConfig):
        from scigen.run.build_views import views_network

        return views_network(config)
    if not isinstance(config, NetworkConfig):
        return build_points.points_network(config)
    if config.kind == "e3nn":
        from scigen.nn.tensor_product import TensorProductConfig, TensorProductNetwork

        return TensorProductNetwork(TensorProductConfig(**_shape(config, TensorProductConfig)))
    from scigen.nn.transformer import GraphTransformer, TransformerConfig

    return GraphTransformer(TransformerConfig(**_shape(config, TransformerConfig)))


def _shape(config: NetworkConfig, wanted: type) -> dict[str, Any]:
    """The keys of a config that a network of that kind has."""
    names = {f.name for f in fields(wanted)}
    return {k: v for k, v in config.model_dump().items() if k in names}


def training_task(
    config: Config, device: torch.device, data: Path | None, say: Callable[[str], None] = lambda sentence: None
) -> Task:
    """What a config trains: a fresh network on the training split of its data, or of `data` in its place.

    `say` hears what takes long, and what had to be left out.
    """
    from scigen.cache import cache_dir

    torch.manual_seed(config.train.seed)  # the one place that touches the global generator: initial weights
    net = network(config.network)
    if isinstance(config, ImplicitConfig):
        return build_meshes.implicit_task(config, net, [data] if data else config.data, str(device), say)
    if isinstance(config, DetailConfig):
        return build_meshes.detail_task(config, net, [data] if data else config.data, str(device), say)
    if isinstance(config, ViewsConfig):
        from scigen.run.build_views import views_task

        return views_task(config, net, data or config.data, str(device), affine_process(config.process))
    if not isinstance(config, MoleculeConfig | RefineConfig):
        return _points_task(config, net, [data] if data else config.data, str(device), say)
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


def _points_task(
    config: build_points.PointsConfig,
    net: nn.Module,
    sources: Sequence[str | Path],
    device: str,
    say: Callable[[str], None],
) -> Task:
    from scigen.domains.points.process import shape_process

    if isinstance(config, CodecConfig):
        return build_points.codec_task(config, net, sources, device, say)
    if isinstance(config, BridgeConfig):
        return build_points.bridge_task(config, net, sources, device, say)
    if isinstance(config, PriorConfig):
        process = shape_process(affine_process(config.process))
        return build_points.prior_task(config, net, sources, device, process, say)
    process = shape_process(affine_process(config.process), ("pos",))
    return build_points.raw_task(config, net, sources, device, process, say)


def _facts(path: Path, molecules: MoleculeSet, content: str) -> dict[str, Any]:
    """What the weights card says of the training data; sizes are drawn from this histogram when sampling."""
    sizes, counts = np.unique(molecules.sizes(), return_counts=True)
    return {
        "data": {"name": path.stem, "molecules": len(molecules), "content_sha256": content},
        "sizes": {str(n): int(c) for n, c in zip(sizes, counts, strict=True)},
    }
