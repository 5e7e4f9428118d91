"""Gradients inside a sampler: what every rule that differentiates through x_t shares.

A score and a belief are tied by x0 = (x_t + sigma^2 score) / alpha, so a term g added to the score moves the belief by
(sigma^2 / alpha) g. Samplers run without autograd and often in inference mode: both are lifted here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from scigen.process.affine import Affine
from scigen.process.product import Product
from scigen.state import Time

__all__ = ["affine_of", "detached", "gain", "leaf", "ordinary", "put", "recording", "take"]


@contextmanager
def recording() -> Iterator[None]:
    """Autograd on, under `no_grad` and `inference_mode` too."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def affine_of(process: Affine | Product, field: str) -> Affine:
    """The process of the tensor, or of the `field` of a state; raises ValueError where that is not affine."""
    part = process.parts.get(field) if isinstance(process, Product) else process
    if not isinstance(part, Affine):
        kind = "no process" if part is None else f"a {type(part).__name__} process"
        raise ValueError(f"a gradient guides affine fields alone, and '{field}' has {kind}; set `field` to another.")
    return part


def leaf(process: Affine | Product, x_t: Any, field: str) -> tuple[Any, Tensor]:
    """A copy of x_t, and the tensor in it to differentiate by: x_t itself, or the `field` of a `State`.

    The state depends on the tensor through the process's projection, so that gradients keep its constraints (a belief
    in centred coordinates stays centred). Call it while `recording`.
    """
    x_t = ordinary(x_t)
    at = take(x_t, field).detach().requires_grad_()
    return (process.project(x_t.replace(**{field: at})) if isinstance(process, Product) else at), at


def ordinary(x: Any) -> Any:
    """A copy that backward passes may keep: tensors made in inference mode are refused by autograd."""
    if x is None:
        return None
    if isinstance(x, Tensor):
        return x.clone()
    return {k: v.clone() for k, v in x.items()} if isinstance(x, Mapping) else x.map(torch.clone)


def detached(belief: Any) -> Any:
    """The belief without its graph."""
    return belief.detach() if isinstance(belief, Tensor) else {k: v.detach() for k, v in belief.items()}


def take(x: Any, field: str) -> Tensor:
    """The tensor itself, or one field of a state or a belief."""
    return x if isinstance(x, Tensor) else x[field]


def put(belief: Any, field: str, x0: Tensor) -> Any:
    """The belief with `x0` for its `field`; the other fields pass through."""
    return x0 if isinstance(belief, Tensor) else {**belief, field: x0}


def gain(affine: Affine, t: Time) -> Tensor:
    """sigma^2 / alpha, the belief's share of a score; raises ValueError at alpha = 0, where a score says nothing."""
    alpha = affine.alpha(t)
    if bool((alpha == 0).any()):
        raise ValueError(
            f"a gradient cannot guide at t={t}, where alpha is 0; start the grid below it, or leave that level "
            "unguided with `interval`."
        )
    return affine.sigma(t) ** 2 / alpha
