"""Molecules as a training task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from scigen.coupling import Coupling, independent
from scigen.domains.molecules.batches import Batches
from scigen.domains.molecules.loss import LossConfig, molecule_loss
from scigen.process.product import Product

__all__ = ["MoleculeTask"]


@dataclass(frozen=True)
class MoleculeTask:
    """A network, the noise, the batches, the weights of the loss, and facts about the data."""

    network: nn.Module
    process: Product
    batches: Batches
    loss_config: LossConfig
    couple: Coupling = independent
    facts: Mapping[str, Any] = field(default_factory=dict)  # what a weights card says of the data

    def loss(self, network: Callable[..., Any], step: int, world: Any, rng: torch.Generator) -> Any:
        """Loss of this worker's batch at `step`: (total, terms by name, molecules)."""
        x0 = self.batches.at(step, world.rank, world.size)
        total, terms = molecule_loss(network, self.process, x0, rng, self.loss_config, self.couple)
        return total, terms, len(x0.mask)
