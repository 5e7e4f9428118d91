"""From a config to objects: networks, processes and tasks."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch
from torch import nn

from scigen.process import affine
from scigen.run.config import Config, NetworkConfig

__all__ = ["affine_process", "molecule_task", "network"]


def affine_process(name: str) -> affine.Affine:
    """The affine process a config names."""
    makers = {
        "flow": affine.rectified, "vp": affine.vp, "ve": affine.ve, "subvp": affine.subvp, "cosine": affine.cosine,
    }  # fmt: skip
    return makers[name]()


def network(config: NetworkConfig) -> nn.Module:
    """An untrained network of the given shape."""
    from scigen.nn.transformer import GraphTransformer, TransformerConfig

    names = {f.name for f in fields(TransformerConfig)}
    return GraphTransformer(TransformerConfig(**{k: v for k, v in config.model_dump().items() if k in names}))


def molecule_task(config: Config, device: torch.device, data: Path | None):
    """The training task of a molecule config, on its training split."""
    from scigen.domains.molecules.batches import Batches
    from scigen.domains.molecules.data import cache_dir, load
    from scigen.domains.molecules.loss import LossConfig
    from scigen.domains.molecules.process import molecule_process
    from scigen.domains.molecules.task import MoleculeTask

    molecules = load(data or cache_dir() / f"{config.data}.npz")
    molecules = molecules.subset(molecules.where("train"))
    couple = None
    if config.coupling == "optimal":
        from scigen.coupling import optimal_transport

        couple = optimal_transport
    torch.manual_seed(config.train.seed)  # the one place that touches the global generator: initial weights
    return MoleculeTask(
        network(config.network),
        molecule_process(affine_process(config.process)),
        Batches.of(molecules, config.train.batch, config.train.seed, str(device)),
        LossConfig(**config.loss.model_dump()),
        couple,
    )
