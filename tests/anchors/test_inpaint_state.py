"""A fragment in a state: two nodes, their bond, and one node that may not bond to the rest."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.guidance.inpaint import hold, inpaint, jumps
from scigen.process.affine import rectified, vp
from scigen.process.product import Product
from scigen.solver import ancestral, ddim, dpmpp_2m, heun
from scigen.solver.grids import late, shared
from scigen.state import State, Streams, center, normal
from tests.anchors.test_inpaint import HELD, fragment
from tests.anchors.test_product import equivariant, lawful, molecules, rngs, turned


def grown(known, where, solver, seed=7, repeats=2, start=None, rng=None, place_until=1.0):
    affine = vp()
    process = molecules(affine)
    x = process.source(known, rngs(1)) if start is None else start
    times = jumps(shared(affine, late(8)), repeats)
    return inpaint(
        process, equivariant(affine), x, times, rng or rngs(seed), known, where, solver, {"pos": place_until}
    )


SOLVERS = {"ancestral": ancestral, "ddim": ddim(), "dpmpp_2m": dpmpp_2m, "heun": heun}
every_solver = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)


@every_solver
def test_a_fragment_is_held_and_the_state_stays_lawful(solver):
    known, where = fragment()
    x, belief = grown(known, where, solver)
    lawful(x)
    shape = known["pos"][:, 1] - known["pos"][:, 0]
    for pos in (x["pos"], belief["pos"]):
        assert (pos[:, 1] - pos[:, 0] - shape).abs().max() < 1e-12
        assert center(pos, known.mask).sub(pos).abs().max() < 1e-12
    assert torch.equal(x["atom"][:, :HELD], known["atom"][:, :HELD])
    assert torch.equal(x["bond"][where["bond"]], known["bond"][where["bond"]])
    assert torch.equal(belief["bond"].argmax(-1)[where["bond"]], known["bond"][where["bond"]])
    assert bool((x["bond"][0, 1, HELD:] > 0).any()), "the open node has bonded to what grew"


@every_solver
def test_turning_fragment_and_noise_turns_the_sample(solver, monkeypatch):
    """sample(R fragment, R x, R z) = R sample(fragment, x, z): the fragment's own orientation sets the frame."""
    known, where = fragment()
    start = molecules(vp()).source(known, rngs(1))
    plain, _ = grown(known, where, solver, start=start)
    rotation = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)))[0]
    for module in ("guidance.inpaint", "process.affine", "solver.dpm"):
        monkeypatch.setattr(f"scigen.{module}.normal", lambda like, rng: normal(like, rng) @ rotation)
    again, _ = grown(turned(known, rotation), where, solver, start=turned(start, rotation))
    assert torch.equal(again["atom"], plain["atom"]) and torch.equal(again["bond"], plain["bond"])
    assert (again["pos"] - turned(plain, rotation)["pos"]).abs().max() < 1e-12
    assert (again["pos"] - plain["pos"]).abs().max() > 1e-2


def placed(known):
    """The same fragment with the other nodes at one point, centred as a whole: its place is known too."""
    pos = known["pos"].clone()
    pos[:, HELD:] = pos[:, :1] + torch.tensor([0.0, 0.0, 2.0]).double()
    return known.replace(pos=center(pos, known.mask))


@every_solver
def test_a_place_is_held_as_long_as_it_is_known(solver):
    known, where = fragment()
    known = placed(known)
    for until, there in ((0.0, True), (0.1, False)):
        x, _ = grown(known, where, solver, place_until=until)
        lawful(x)
        assert (x["pos"][:, 1] - x["pos"][:, 0] - known["pos"][:, 1] + known["pos"][:, 0]).abs().max() < 1e-12
        off = (x["pos"][:, :HELD] - known["pos"][:, :HELD]).abs().max()
        assert (off < 1e-12) == there


def test_moving_the_fragment_changes_nothing():
    known, where = fragment()
    shifted = known.replace(pos=known["pos"] - 40.0)
    one, other = grown(known, where, ancestral)[0], grown(shifted, where, ancestral)[0]
    assert (one["pos"] - other["pos"]).abs().max() < 1e-12


def test_a_sample_depends_on_neither_batch_nor_padding():
    known, where = fragment()
    sizes = (6, 4, 3)
    start = molecules(vp()).source(known, Streams(rngs(1), sizes))
    whole, _ = grown(known, where, ancestral, start=start, rng=Streams(rngs(7), sizes))
    for i, n in enumerate(sizes):
        row = slice(i, i + 1)
        cut = {"pos": (row, slice(n)), "atom": (row, slice(n)), "bond": (row, slice(n), slice(n))}
        alone = State({name: known[name][cut[name]] for name in cut}, known.mask[row, :n])
        start = molecules(vp()).source(alone, Streams(rngs(1 + i, 1), [n]))
        own = {name: where[name][cut[name]] for name in cut}
        x, _ = grown(alone, own, ancestral, start=start, rng=Streams(rngs(7 + i, 1), [n]))
        assert torch.equal(x["atom"][0], whole["atom"][i, :n])
        assert torch.equal(x["bond"][0], whole["bond"][i, :n, :n])
        assert (x["pos"][0] - whole["pos"][i, :n]).abs().max() < 1e-12


def test_a_held_shape_is_noised_as_the_whole_would_be():
    """About its own centroid, the fragment of a noised centred state has the law that `hold` draws: variance alike."""
    affine, count = rectified(), 40_000
    known = State({"pos": torch.zeros(count, 4, 1, dtype=torch.float64)}, torch.ones(count, 4) > 0)
    process = Product({"pos": affine}, lambda x: x.replace(pos=center(x["pos"], x.mask)))
    rng, where = torch.Generator().manual_seed(0), {"pos": (torch.arange(4) < 2).expand(count, 4)}
    x = process.noise(known, process.source(known, rng), 0.6, rng)
    held = hold(process, x, 0.6, rng, known, where, {"pos": 1.0})
    for y in (x, held):
        gap = (y["pos"][:, 1] - y["pos"][:, 0]).square().mean()
        assert float(gap) == pytest.approx(2 * 0.36, rel=4 * math.sqrt(2 / count))
    assert (held["pos"][:, :2].mean(1) - x["pos"][:, :2].mean(1)).abs().max() < 1e-15


def test_a_held_place_is_noised_as_the_whole_would_be():
    """With its place known, the centroid has the law of two nodes of four under centred noise: sigma^2 (1/2 - 1/4)."""
    affine, count = rectified(), 40_000
    spread = torch.tensor([3.0, 3.0, -3.0, -3.0], dtype=torch.float64)[:, None].expand(count, 4, 1)
    known = State({"pos": spread}, torch.ones(count, 4) > 0)
    process = Product({"pos": affine}, lambda x: x.replace(pos=center(x["pos"], x.mask)))
    rng, where = torch.Generator().manual_seed(0), {"pos": (torch.arange(4) < 2).expand(count, 4)}
    x = process.source(known, rng)
    out = hold(process, x, 0.6, rng, known, where, {"pos": 0.5})["pos"]
    centroid = out[:, :2].mean(1) - 0.4 * 3.0
    assert float(centroid.square().mean()) == pytest.approx(0.36 / 4, rel=4 * math.sqrt(2 / count))
    assert out.sum(1).abs().max() < 1e-12
    assert ((out[:, 3] - out[:, 2]) - (x["pos"][:, 3] - x["pos"][:, 2])).abs().max() < 1e-12, "the rest moved as one"
