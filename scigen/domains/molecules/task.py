"""Molecules as a training task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from scigen.domains.molecules.batches import Batches
from scigen.domains.molecules.loss import Coupling, LossConfig, molecule_loss
from scigen.process.product import Product

__all__ = ["MoleculeTask"]


@dataclass(frozen=True)
class MoleculeTask:
    """A network, the noise, the batches and the weights of the loss."""

    network: nn.Module
    process: Product
    batches: Batches
    loss_config: LossConfig
    couple: Coupling | None = None

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, molecules)."""
        x0 = self.batches.at(step, world.rank, world.size)
        total, terms = molecule_loss(network, self.process, x0, rng, self.loss_config, self.couple)
        return total, terms, len(x0.mask)
