"""Solvers: one reverse loop, and the moves it can make."""

from scigen.solver.adaptive import rk45
from scigen.solver.adaptive_sde import adaptive_sde, improved_euler
from scigen.solver.analytic import analytic, learned_variance
from scigen.solver.banded import in_band
from scigen.solver.bridge import bridge_ode, bridge_sde
from scigen.solver.churn import churn
from scigen.solver.discrete import euler_tokens, tau_leap, token_corrector, with_tokens
from scigen.solver.dpm import ddim, dpmpp_2m
from scigen.solver.fewstep import renoise
from scigen.solver.gddim import gddim
from scigen.solver.integral import DATA, NATURAL, NOISE
from scigen.solver.interpolant import interpolate
from scigen.solver.inversion import edit, invert
from scigen.solver.loop import Memory, Solver, ancestral, sample
from scigen.solver.multistep import adams, unipc
from scigen.solver.ode import euler, heun
from scigen.solver.record import recorded
from scigen.solver.sde import dpmpp_2m_sde, euler_maruyama, predictor_corrector
from scigen.solver.singlestep import dpm_solver

__all__ = [
    "DATA",
    "NATURAL",
    "NOISE",
    "Memory",
    "Solver",
    "adams",
    "adaptive_sde",
    "analytic",
    "ancestral",
    "bridge_ode",
    "bridge_sde",
    "churn",
    "ddim",
    "dpm_solver",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "edit",
    "euler",
    "euler_maruyama",
    "euler_tokens",
    "gddim",
    "heun",
    "improved_euler",
    "in_band",
    "interpolate",
    "invert",
    "learned_variance",
    "predictor_corrector",
    "recorded",
    "renoise",
    "rk45",
    "sample",
    "tau_leap",
    "token_corrector",
    "unipc",
    "with_tokens",
]
