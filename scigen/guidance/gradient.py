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
from scigen.state import Time

__all__ = ["detached", "gain", "leaf", "ordinary", "put", "recording", "take"]


@contextmanager
def recording() -> Iterator[None]:
    """Autograd on, under `no_grad` and `inference_mode` too."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def leaf(x_t: Any, field: str) -> tuple[Any, Tensor]:
    """A copy of x_t and the tensor in it to differentiate by: x_t itself, or the `field` of a `State`.

    Call it while `recording`. Raises ValueError when the field holds classes: they have no gradient.
    """
    x_t = ordinary(x_t)
    at = take(x_t, field).detach()
    if not at.is_floating_point():
        raise ValueError(f"`field` '{field}' holds {at.dtype} classes, which have no gradient; name an affine field.")
    at.requires_grad_()
    return (at if isinstance(x_t, Tensor) else x_t.replace(**{field: at})), at


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
