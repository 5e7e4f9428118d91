"""Solvers: one reverse loop, and the moves it can make."""

from scigen.solver.adaptive import rk45
from scigen.solver.churn import churn
from scigen.solver.dpm import ddim, dpmpp_2m
from scigen.solver.integral import DATA, NATURAL, NOISE
from scigen.solver.inversion import edit, invert
from scigen.solver.loop import Memory, Solver, ancestral, sample
from scigen.solver.multistep import adams, unipc
from scigen.solver.ode import euler, heun
from scigen.solver.sde import euler_maruyama, predictor_corrector
from scigen.solver.singlestep import dpm_solver

__all__ = [
    "DATA",
    "NATURAL",
    "NOISE",
    "Memory",
    "Solver",
    "adams",
    "ancestral",
    "churn",
    "ddim",
    "dpm_solver",
    "dpmpp_2m",
    "edit",
    "euler",
    "euler_maruyama",
    "heun",
    "invert",
    "predictor_corrector",
    "rk45",
    "sample",
    "unipc",
]
