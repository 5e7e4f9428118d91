"""The bridge from a force-field geometry x1 to a reference geometry x0, coordinates only; atoms and bonds are given.

In the displacement D = (x0 - x1) / SPREAD from the start, the Brownian bridge is x_t = x1 + SPREAD sqrt(1 - t) y_t with
y_t = sqrt(1 - t) D + sqrt(t) z: variance preserving, log-SNR log((1 - t) / t). So the network of the sampler serves:
it sees y_t of unit variance where it used to see x_t, and the start where it used to see its last belief.
Liu et al. 2023 (I2SB), arXiv:2302.05872.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from scigen.denoiser import Belief, Denoiser
from scigen.domains.molecules.codec import BOND_ORDERS, TOKENS
from scigen.process.brownian import Brownian
from scigen.process.product import Product
from scigen.state import State, Time, as_time, center, expand

__all__ = ["LOGSNR_RANGE", "SPREAD", "displaced", "logsnr_of", "refine_denoiser", "refine_process"]

# Standard deviation of a coordinate of x0 - x1 over QM9, 0.14 Å, in units of `codec.SCALE`; the bridge's noise too.
SPREAD = 0.1
LOGSNR_RANGE = (-10.0, 10.0)

Forward = Callable[[State, Tensor, Mapping[str, Tensor]], dict[str, Tensor]]


def refine_process() -> Product:
    """`pos` by a Brownian bridge of scale `SPREAD`, centred; `start`, `atom` and `bond` are carried."""
    return Product({"pos": Brownian(SPREAD)}, lambda x: x.replace(pos=center(x["pos"], x.mask)))


def logsnr_of(t: Time) -> Tensor:
    """log((1 - t) / t), cut to what the network is trained on: -10 at t = 1, where it sees no displacement."""
    t = as_time(t)
    return (torch.log1p(-t) - torch.log(t)).clamp(*LOGSNR_RANGE)


def refine_denoiser(network: Forward) -> Denoiser:
    """Belief about x0 on a state of `pos`, `start`, `atom` and `bond`; at t = 1 it is the regression E[x0 | x1]."""

    def denoise(x_t: State, t: Time, previous: Belief | None = None) -> dict[str, Any]:
        keep = expand((1 - as_time(t)).sqrt(), x_t["pos"]) * SPREAD
        y = (x_t["pos"] - x_t["start"]) / torch.where(keep > 0, keep, torch.ones_like(keep))
        logsnr = logsnr_of(t).to(x_t["pos"])
        return {"pos": displaced(network, x_t.replace(pos=y), logsnr.expand(len(y)))}

    return denoise


def displaced(network: Forward, x: State, logsnr: Tensor) -> Tensor:
    """x0 from the network: start + SPREAD D(y_t), `[B, N, 3]`; `x` holds y_t as `pos`, and `start`, `atom`, `bond`."""
    given = {
        "pos": x["start"],
        "atom": one_hot(x["atom"], len(TOKENS)).to(x["start"]),
        "bond": one_hot(x["bond"], BOND_ORDERS).to(x["start"]),
    }
    return x["start"] + SPREAD * network(x, logsnr, given)["pos"]
