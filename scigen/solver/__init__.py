"""Solvers: one reverse loop, and the moves it can make."""

from scigen.solver.dpm import ddim, dpmpp_2m
from scigen.solver.loop import Memory, Solver, ancestral, sample
from scigen.solver.ode import euler, heun
from scigen.solver.sde import euler_maruyama, predictor_corrector

__all__ = [
    "Memory",
    "Solver",
    "ancestral",
    "ddim",
    "dpmpp_2m",
    "euler",
    "euler_maruyama",
    "heun",
    "predictor_corrector",
    "sample",
]
