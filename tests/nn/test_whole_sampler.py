"""sample(R x, R z) = R sample(x, z): turn the start and every draw of noise, and the whole run turns."""

from __future__ import annotations

import pytest
import torch

from scigen.denoiser import from_network
from scigen.domains.molecules.process import blank, molecule_process
from scigen.process import affine as affine_module
from scigen.process.affine import rectified
from scigen.solver import ancestral, ddim, dpmpp_2m, heun, sample
from scigen.solver import dpm as dpm_module
from scigen.solver.grids import late
from scigen.state import Streams, normal
from tests.nn.problems import SMALL, TOLERANCE, gap, orthogonal, small

SIZES = [9, 5, 7]
SOLVERS = {"ddim": ddim(), "ddim_eta": ddim(1.0), "ancestral": ancestral, "heun": heun, "dpmpp_2m": dpmpp_2m}


def streams() -> Streams:
    """One generator per sample, the same every time."""
    return Streams([torch.Generator().manual_seed(k) for k in range(len(SIZES))], SIZES)


def drawn(kind, solver, turn, monkeypatch):
    """A short run, its start and every normal draw turned by `turn`; the tokens see the same uniform draws."""
    for module in (affine_module, dpm_module):
        monkeypatch.setattr(module, "normal", lambda like, rng: normal(like, rng) @ turn)
    affine, rng = rectified(), streams()
    process, like = molecule_process(affine), blank(SIZES)
    start = process.source(like.replace(pos=like["pos"].double()), rng)
    with torch.no_grad():
        denoise = from_network(small(kind, torch.float64), affine)
        return sample(process, denoise, start, late(6, 0.1), rng, solver)


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("determinant", [1, -1], ids=["rotation", "reflection"])
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_the_sampler_is_equivariant(kind, solver, determinant, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    q, identity = orthogonal(determinant, torch.float64), torch.eye(3, dtype=torch.float64)
    plain, belief = drawn(kind, solver, identity, monkeypatch)
    turned, turned_belief = drawn(kind, solver, q, monkeypatch)
    assert torch.equal(plain["atom"], turned["atom"]) and torch.equal(plain["bond"], turned["bond"])
    assert gap(turned_belief, {**belief, "pos": belief["pos"] @ q}, plain.mask) < TOLERANCE[torch.float64]
    assert gap(turned_belief, belief, plain.mask) > 0.1, "the test could not fail"
