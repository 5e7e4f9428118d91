"""Solvers on whole states: affine fields by the solver's rule, tokens by their exact draw, constraints kept."""

from __future__ import annotations

import math

import pytest
import torch

from scigen import oracle
from scigen.process.affine import Affine, cosine, rectified, subvp, ve, vp
from scigen.process.categorical import absorbing, keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ancestral, ddim, dpmpp_2m, euler, heun, predictor_corrector, sample
from scigen.solver.grids import late, shared, uniform
from scigen.state import State, Streams, center, mirror, normal, pair_mask

ATOMS, BONDS = 4, 3
SIZES = (6, 4, 1)
SOLVERS = {
    "ancestral": ancestral,
    "ddim": ddim(),
    "ddim_half": ddim(0.5),
    "euler": euler,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "corrected": predictor_corrector(dpmpp_2m, 2),
}
every_solver = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)


def project(x: State) -> State:
    """Zero centre of mass; symmetric bonds between real nodes."""
    return x.replace(pos=center(x["pos"], x.mask), bond=mirror(x["bond"]) * pair_mask(x.mask))


def molecules(affine: Affine) -> Product:
    keep = keep_of(affine)
    parts = {"pos": affine, "atom": uniform_tokens(ATOMS, keep), "bond": absorbing(BONDS, keep)}
    return Product(parts, project)


def empty(sizes=SIZES) -> State:
    b, n = len(sizes), max(sizes)
    fields = {
        "pos": torch.zeros(b, n, 3, dtype=torch.float64),
        "atom": torch.zeros(b, n, dtype=torch.long),
        "bond": torch.zeros(b, n, n, dtype=torch.long),
    }
    return State(fields, torch.arange(n)[None] < torch.tensor(sizes)[:, None])


def rngs(seed=0, count=3):
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def equivariant(affine: Affine):
    """A belief that mixes everything: distances and tokens weigh the neighbours. Not exact, only lawful."""

    def denoise(x_t: State, t: float, previous=None):
        pos, pairs = x_t["pos"] / affine.scale(t), pair_mask(x_t.mask)
        step = pos[:, :, None] - pos[:, None]
        pull = torch.exp(-step.square().sum(-1)) * pairs * (1 + 0.1 * x_t["bond"] + 0.05 * x_t["atom"][:, None])
        mean = center((pull[..., None] * step).sum(2) + 0.3 * pos, x_t.mask)
        if previous is not None:
            mean = mean + 0.1 * previous["pos"]
        atom = (pull.sum(2)[..., None] * torch.arange(ATOMS)).softmax(-1)
        bond = torch.nn.functional.pad((pull[..., None] * torch.arange(1.0, BONDS + 1)).softmax(-1), (0, 1))
        return {"pos": mean, "atom": atom, "bond": bond}

    return denoise


def lawful(x: State) -> None:
    assert all(x[name].isfinite().all() for name in x.fields)
    assert x["pos"].sum(1).abs().max() < 1e-12 * (1 + x["pos"].abs().max())
    assert not x["pos"][~x.mask].any() and not x["bond"][~pair_mask(x.mask)].any()
    assert torch.equal(x["bond"], x["bond"].mT)


@every_solver
@pytest.mark.parametrize("affine", [vp(), subvp(), ve(), cosine(), rectified()], ids="vp subvp ve cosine flow".split())
def test_whole_runs_are_lawful(solver, affine):
    process = molecules(affine)
    x = process.source(empty(), rngs())
    x, belief = sample(process, equivariant(affine), x, uniform(8), rngs(), solver)
    lawful(x)
    assert x["atom"].max() < ATOMS and x["bond"].max() <= BONDS
    if float(affine.sigma(0.0)) == 0:  # at keep = 1 no mask is left and only the belief speaks
        assert x["bond"].max() < BONDS
        assert solver is euler or (x["pos"] - belief["pos"]).abs().max() < 1e-12


def turned(x: State, rotation) -> State:
    return x.replace(pos=x["pos"] @ rotation)


@every_solver
@pytest.mark.parametrize("reflect", [False, True])
def test_sample_of_turned_noise_is_the_turned_sample(solver, reflect, monkeypatch):
    """sample(R x, R z) = R sample(x, z): every normal drawn for `pos` is turned with the start."""
    affine = vp()
    process, grid = molecules(affine), shared(affine, late(12))
    x = process.source(empty(), rngs())
    plain, _ = sample(process, equivariant(affine), x, grid, rngs(7), solver)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))[0]
    rotation = rotation * torch.sign(torch.linalg.det(rotation)) * (-1 if reflect else 1)
    for module in ("process.affine", "solver.dpm", "solver.sde"):
        monkeypatch.setattr(f"scigen.{module}.normal", lambda like, rng: normal(like, rng) @ rotation)
    again, _ = sample(process, equivariant(affine), turned(x, rotation), grid, rngs(7), solver)
    assert torch.equal(again["atom"], plain["atom"]) and torch.equal(again["bond"], plain["bond"])
    assert (again["pos"] - turned(plain, rotation)["pos"]).abs().max() < 1e-13
    assert (again["pos"] - plain["pos"]).abs().max() > 1e-2


@every_solver
def test_a_sample_depends_on_neither_batch_nor_padding(solver):
    affine = rectified()
    process, denoise = molecules(affine), equivariant(affine)
    x = process.source(empty(), Streams(rngs(), SIZES))
    whole, _ = sample(process, denoise, x, late(10), Streams(rngs(3), SIZES), solver)
    for i, n in enumerate(SIZES):
        x = process.source(empty((n,)), Streams(rngs(i, 1), [n]))
        alone, _ = sample(process, denoise, x, late(10), Streams(rngs(3 + i, 1), [n]), solver)
        assert torch.equal(alone["atom"][0], whole["atom"][i, :n])
        assert torch.equal(alone["bond"][0], whole["bond"][i, :n, :n])
        assert (alone["pos"][0] - whole["pos"][i, :n]).abs().max() < 1e-13


def separate(affine: Affine, law):
    """Independent fields with exact beliefs: a Gaussian for `pos`, a table for `atom`."""
    process = Product({"pos": affine, "atom": uniform_tokens(2, keep_of(affine))})
    of_pos, of_atom = oracle.gaussian(affine, 0.7, 0.49), oracle.tokens(process.parts["atom"], law)

    def denoise(x_t, t, previous=None):
        return {"pos": of_pos(x_t["pos"], t), "atom": of_atom(x_t["atom"], t)}

    return process, denoise


@every_solver
def test_fields_move_as_they_would_alone(solver):
    """The lifted rule gives `pos` what the bare process gives it, and tokens their exact law at any number of steps."""
    affine, law, count = rectified(), torch.tensor([0.8, 0.2], dtype=torch.float64), 20_000
    process, denoise = separate(affine, law)
    x = State({"pos": torch.zeros(count, 1).double(), "atom": torch.zeros(count, 1).long()}, torch.ones(count, 1) > 0)
    x = process.source(x, torch.Generator().manual_seed(0))
    out, _ = sample(process, denoise, x, uniform(4), torch.Generator().manual_seed(1), solver)
    frequency = float((out["atom"] == 1).double().mean())
    assert abs(frequency - 0.2) < 4 * math.sqrt(0.2 * 0.8 / count)
    if solver in (SOLVERS["ddim"], euler, heun, dpmpp_2m):
        alone, _ = sample(affine, oracle.gaussian(affine, 0.7, 0.49), x["pos"], uniform(4), torch.Generator(), solver)
        assert torch.equal(alone, out["pos"])


def test_solvers_refuse_a_process_without_an_affine_field():
    tokens = uniform_tokens(3, keep_of(rectified()))
    for process in (tokens, Product({"atom": tokens})):
        with pytest.raises(ValueError, match="use `ancestral`"):
            heun(process, lambda *_: None, None, 0.5, 0.4, torch.Generator(), None)
