"""The noise of molecules: affine coordinates, tokens and bonds redrawn uniformly, all on one log-SNR clock."""

from __future__ import annotations

import torch

from scigen.domains.molecules.codec import BOND_ORDERS, TOKENS, project
from scigen.process.affine import Affine
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.process.protocol import FieldProcess
from scigen.state import State

__all__ = ["blank", "molecule_process"]


def molecule_process(affine: Affine) -> Product:
    """`pos` by `affine`; `atom` and `bond` by uniform redraws whose keep-rate follows the same log-SNR."""
    keep = keep_of(affine)
    parts: dict[str, FieldProcess] = {
        "pos": affine,
        "atom": uniform_tokens(len(TOKENS), keep),
        "bond": uniform_tokens(BOND_ORDERS, keep),
    }
    return Product(parts, project)


def blank(sizes: list[int], device: torch.device | str = "cpu", pad_to: int | None = None) -> State:
    """An empty batch of molecules with the given atom counts, to draw a source into."""
    size = torch.tensor(sizes, device=device)
    b, n = len(sizes), pad_to or max(sizes)
    fields = {
        "pos": torch.zeros(b, n, 3, device=device),
        "atom": torch.zeros(b, n, dtype=torch.long, device=device),
        "bond": torch.zeros(b, n, n, dtype=torch.long, device=device),
    }
    return State(fields, torch.arange(n, device=device)[None] < size[:, None])
