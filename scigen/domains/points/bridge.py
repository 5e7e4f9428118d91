"""The completion bridge: from tokens guessed out of a partial cloud (x1) to the tokens of the whole shape (x0).

Positions and features are Brownian bridges, the noise of each as large as its displacement. In units of that spread,
D = (x0 - x1) / spread, x_t = x1 + spread sqrt(1 - t) y_t with y_t = sqrt(1 - t) D + sqrt(t) z: variance preserving,
log-SNR log((1 - t) / t). The network sees y_t, which has variance one, and its start; at t = 1 it sees no displacement
and answers with the regression E[x0 | x1, given]. So one network is three methods: `draw_sde` (I2SB's posterior draws),
`draw_ode` (the probability flow of the bridge, from noise around the start) and `regress` (one evaluation).
I2SB's OT-ODE, a bridge without noise, is the regression here: x_t and the start together would give x0 away.
Liu et al. 2023 (I2SB), arXiv:2302.05872; in a latent space BridgeShape, arXiv:2506.23205.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser, Network
from scigen.domains.points.process import LOGSNR_RANGE, Scale, joined
from scigen.process.brownian import Brownian
from scigen.process.product import Product
from scigen.solver.bridge import given_start
from scigen.solver.dpm import dpmpp_2m
from scigen.solver.grids import uniform
from scigen.solver.loop import Solver, ancestral, sample
from scigen.state import Rng, State, Time, as_time, expand

__all__ = [
    "Start", "bridge_denoiser", "bridge_process", "displaced", "draw_ode", "draw_sde", "guessed", "logsnr_of",
    "observed", "regress", "repeated", "with_start",
]  # fmt: skip

Start = Callable[[State], State]  # latents of partial clouds, a row for each draw -> the K tokens each sets out from


def bridge_process(spread: Scale) -> Product:
    """`pos` and `feat` by Brownian bridges of their own scale; padding stays zero, all else is carried."""
    parts = {"pos": Brownian(spread.pos), "feat": Brownian(spread.feat)}
    return Product(parts, lambda x: x.replace(**{name: x[name] * x.mask[..., None] for name in parts}))


def logsnr_of(t: Time) -> Tensor:
    """log((1 - t) / t), cut to what the network is trained on."""
    t = as_time(t)
    return (torch.log1p(-t) - torch.log(t)).clamp(*LOGSNR_RANGE)


def bridge_denoiser(network: Network, spread: Scale) -> Denoiser:
    """Belief about x0 on states that carry `start [B, K, 3 + F]`, and `given` tokens to look at."""

    def denoise(x_t: State, t: Time, previous: Belief | None = None) -> Belief:
        return displaced(network, x_t, t, spread)

    return denoise


def displaced(network: Network, x_t: State, t: Time, spread: Scale) -> dict[str, Tensor]:
    """x0 = start + spread Dhat(y_t, t): the network's answer in the units of the state; y_1 = 0."""
    begin = dict(zip(("pos", "feat"), x_t["start"].split([3, x_t["feat"].shape[-1]], -1), strict=True))
    keep = expand((1 - as_time(t)).sqrt(), x_t["pos"])
    keep = torch.where(keep > 0, keep, torch.inf)
    y = {name: (x_t[name] - x1) / (keep * getattr(spread, name)) for name, x1 in begin.items()}
    logsnr = logsnr_of(t).to(x_t["pos"])
    out = network(x_t.replace(**y), logsnr.expand(len(x_t.mask)), None)
    return {name: x1 + getattr(spread, name) * out[name] for name, x1 in begin.items()}


def observed(partial: State) -> State:
    """The tokens of the partial cloud themselves: what is missing must come from where something is."""
    return partial


def guessed(network: Network, spread: Scale, start: Start = observed) -> Start:
    """A network's regression from another start: E[x0 | x1], near which the whole shape lies.

    A bridge from here learns what the regression leaves open, which is far less than what is missing.
    """

    def begin(partial: State) -> State:
        with torch.no_grad():
            x1 = start(partial)
            belief = displaced(network, with_start(x1, partial), 1.0, spread)
        return x1.replace(**belief)

    return begin


def with_start(x: State, partial: State) -> State:
    """`x`, that stands at its start, with that start and the tokens of the partial cloud to look at."""
    return x.replace(start=joined(x), given=joined(partial), given_mask=partial.mask)


def draw_sde(
    network: Network, spread: Scale, x1: State, rng: Rng, steps: int = 10, solver: Solver = ancestral
) -> State:
    """Shapes from `with_start` states by a bridge solver (`ancestral`, `bridge_sde`): draws of x0 given the start."""
    denoise = bridge_denoiser(network, spread)
    with torch.inference_mode():
        _, belief = sample(bridge_process(spread), denoise, x1, uniform(steps), rng, solver)
    return x1.replace(**belief)


def draw_ode(network: Network, spread: Scale, x1: State, rng: Rng, steps: int = 10, solver: Solver = dpmpp_2m) -> State:
    """The same law by an affine solver on the bridge's probability flow (`solver.given_start`): noise is drawn once."""
    bridge, denoise = bridge_process(spread), bridge_denoiser(network, spread)
    parts = dict(bridge.parts)
    for name, part in bridge.parts.items():
        assert isinstance(part, Brownian)
        parts[name], denoise = given_start(part, denoise, x1, name)
    process = replace(bridge, parts=parts)
    with torch.inference_mode():
        _, belief = sample(process, denoise, process.source(x1, rng), uniform(steps), rng, solver)
    return x1.replace(**belief)


def regress(network: Network, spread: Scale, x1: State) -> State:
    """E[x0 | x1, given]: one evaluation at t = 1, the deterministic baseline."""
    with torch.inference_mode():
        return x1.replace(**displaced(network, x1, 1.0, spread))


def repeated(x: State, count: int) -> State:
    """A batch of one, `count` times."""
    return x.map(lambda v: v.expand(count, *v.shape[1:]))
