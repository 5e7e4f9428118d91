"""The solvers of azula, diffusers and torchdiffeq behind one signature, on any grid of ours; absent ones are left out.

A run is `(affine, grid, denoise, x) -> x at the end of the grid`, in our scale; beside it stands what a step costs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine

__all__ = ["Run", "azula", "diffusers", "dopri5", "peers", "torchdiffeq"]

Run = Callable[[Affine, Sequence[float], Denoiser, Tensor], Tensor]


def peers() -> Iterator[tuple[str, int, Run | None]]:
    """Name, evaluations a step and run of every peer's solver; None in place of runs for a package that is absent."""
    for package, list_all in (("azula", azula), ("diffusers", diffusers), ("torchdiffeq", torchdiffeq)):
        try:
            module = importlib.import_module("azula.sample" if package == "azula" else package)
        except ImportError:
            yield package, 0, None
            continue
        yield from list_all(module)


def azula(module: Any) -> Iterator[tuple[str, int, Run]]:
    """Float64; multistep ones of every order up to 4."""

    def run(maker: type, **settings: int) -> Run:
        def go(affine: Affine, grid: Sequence[float], denoise: Denoiser, x: Tensor) -> Tensor:
            belief = _Belief(affine, denoise)
            times = torch.tensor(grid, dtype=torch.float64)
            on_grid = type("OnGrid", (maker,), {"timesteps": times})
            return on_grid(belief, silent=True, **settings)(x)

        return go

    yield "azula DDIM", 1, run(module.DDIMSampler)
    yield "azula Heun", 2, run(module.HeunSampler)
    for name in ("zAB", "vAB", "zEAB", "xEAB"):
        for order in (2, 3, 4):
            yield f"azula {name}-{order}", 1, run(getattr(module, f"{name}Sampler"), order=order)
    yield "azula REAB-2", 1, run(module.REABSampler, order=2)


class _Belief:
    """Our process and belief behind azula's denoiser contract."""

    def __init__(self, affine: Affine, denoise: Denoiser) -> None:
        self.denoise, self.schedule = denoise, lambda t: (affine.alpha(t), affine.sigma(t))

    def __call__(self, x_t: Tensor, t: Tensor) -> SimpleNamespace:
        return SimpleNamespace(mean=self.denoise(x_t, float(t)))


def diffusers(module: Any) -> Iterator[tuple[str, int, Run]]:
    """Float32 inside, on the unit-variance scale, the levels put in by hand."""
    shared = {"prediction_type": "sample", "lower_order_final": False}
    makers = {
        "DPM++{}M": (module.DPMSolverMultistepScheduler, shared | {"final_sigmas_type": "sigma_min"}),
        "UniPC-{}": (module.UniPCMultistepScheduler, shared),
        "DEIS-{}": (module.DEISMultistepScheduler, shared),
    }
    for name, (maker, settings) in makers.items():
        for order in (2, 3):
            yield "diffusers " + name.format(order), 1, _scheduled(maker, **settings, solver_order=order)


def _scheduled(maker: Callable[..., Any], **settings: Any) -> Run:
    def go(affine: Affine, grid: Sequence[float], denoise: Denoiser, x: Tensor) -> Tensor:
        scheduler = maker(**settings)
        times = torch.tensor(grid, dtype=torch.float64)
        scheduler.set_timesteps(len(grid) - 1)
        scheduler.sigmas = affine.sigma(times) / affine.alpha(times)
        scheduler.timesteps = torch.arange(len(grid) - 1, 0, -1)
        scheduler.set_begin_index(0)
        x = x / affine.scale(grid[0])
        for k, t in zip(scheduler.timesteps, grid[:-1]):
            x = scheduler.step(denoise(x * affine.scale(t), t), k, x).prev_sample
        return x * affine.scale(grid[-1])

    return go


def torchdiffeq(module: Any) -> Iterator[tuple[str, int, Run]]:
    """d(x / alpha) / d log rho = x / alpha - x0, rho = sigma / alpha, at the same levels."""

    def run(method: str) -> Run:
        def go(affine: Affine, grid: Sequence[float], denoise: Denoiser, x: Tensor) -> Tensor:
            clock = -affine.half_logsnr(torch.tensor(grid, dtype=torch.float64))
            slope = _slope(affine, denoise)
            y = module.odeint(slope, x / affine.alpha(grid[0]), clock, method=method)[-1]
            return y * affine.alpha(grid[-1])

        return go

    yield "torchdiffeq midpoint", 2, run("midpoint")
    yield "torchdiffeq rk4 (3/8)", 4, run("rk4")


def dopri5(module: Any, affine: Affine, ends: Sequence[float], denoise: Denoiser, x: Tensor, tol: float) -> Tensor:
    """torchdiffeq's adaptive pair between two times, in the same clock."""
    clock = -affine.half_logsnr(torch.tensor(ends, dtype=torch.float64))
    y = module.odeint(_slope(affine, denoise), x / affine.alpha(ends[0]), clock, rtol=tol, atol=tol, method="dopri5")
    return y[-1] * affine.alpha(ends[1])


def _slope(affine: Affine, denoise: Denoiser) -> Callable[[Tensor, Tensor], Tensor]:
    def slope(log_rho: Tensor, y: Tensor) -> Tensor:
        t = float(affine.time_of_logsnr(-2 * log_rho))
        return y - denoise(y * affine.alpha(t), t)

    return slope
