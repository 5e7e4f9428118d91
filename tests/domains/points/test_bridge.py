"""The completion bridge: I2SB's moves on two fields at once, three ways to draw, and the pairs it is trained on."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from scigen.domains.points.bridge import (
    bridge_denoiser,
    bridge_process,
    displaced,
    draw_ode,
    draw_sde,
    guessed,
    observed,
    regress,
    repeated,
    with_start,
)
from scigen.domains.points.bridge_task import BridgeLoss, BridgeTask, bridge_loss, laid_onto, spread_of
from scigen.domains.points.latents import LatentBatches
from scigen.domains.points.process import Scale, joined, shape_process
from scigen.nn.latent_transformer import LatentConfig, LatentTransformer
from scigen.nn.latent_vectors import VectorConfig, VectorTransformer
from scigen.process.affine import Affine
from scigen.solver import ancestral, bridge_sde, ddim, dpmpp_2m, sample
from scigen.solver.grids import uniform
from scigen.state import State
from tests.nn.problems import orthogonal

SPREAD = Scale(0.4, 1.3)
ALONE = SimpleNamespace(rank=0, size=1)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def latents(count: int = 4, tokens: int = 8, features: int = 4, seed: int = 0) -> State:
    g = rng(seed)
    fields = {name: torch.randn(count, tokens, d, generator=g).double() for name, d in (("pos", 3), ("feat", features))}
    mask = torch.arange(tokens)[None] < torch.tensor([tokens, 5, tokens, 6] * (count // 4))[:, None]
    return State({name: v * mask[..., None] for name, v in fields.items()}, mask)


def network(seed: int = 0, vector: bool = False) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = VectorTransformer(VectorConfig(1, 1, width=16, channels=8, layers=1, heads=2)) if vector else (
            LatentTransformer(LatentConfig(4, width=16, layers=1, heads=2)))  # fmt: skip
        for p in net.parameters():
            if not p.any():
                torch.nn.init.normal_(p, std=0.3)
    return net.double().eval()


def known(x0: State, spread: Scale = SPREAD):
    """The network that knows where the shape is: D = (x0 - start) / spread."""

    def net(x, logsnr, previous=None):
        assert torch.isfinite(x["pos"]).all() and torch.isfinite(logsnr).all()
        start = x["start"].split([3, x0["feat"].shape[-1]], -1)
        return {n: (x0[n] - s) / getattr(spread, n) for n, s in zip(("pos", "feat"), start)}

    return net


def gaussian(mean: float, var: float):
    """The exact network of displacements D ~ N(mean, var), independent of the start."""

    def net(x, logsnr, previous=None):
        a, s2 = logsnr.sigmoid().sqrt()[:, None, None], (-logsnr).sigmoid()[:, None, None]
        gain = a * var / (a**2 * var + s2)
        return {name: (mean + gain * (x[name] - a * mean)) * x.mask[..., None] for name in ("pos", "feat")}

    return net


WALKS = {
    "sde": draw_sde, "bridge_sde": partial(draw_sde, solver=bridge_sde), "ode": draw_ode,
    "ddim": partial(draw_ode, solver=ddim()),
}  # fmt: skip


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS)
def test_every_walk_ends_where_the_network_says(walk):
    x0, x1 = latents(seed=1), with_start(latents(seed=2), latents(seed=2))
    end = walk(known(x0), SPREAD, x1, rng(), steps=5)
    assert all((end[name] - x0[name]).abs().max() < 1e-9 for name in ("pos", "feat"))
    assert torch.equal(end["given"], x1["given"])


def test_seen_from_its_start_the_bridge_is_a_variance_preserving_process():
    """Posterior draws of both Brownian bridges are those of alpha = sqrt(1 - t), sigma = sqrt(t) on displacements."""
    net, x1 = network(), with_start(latents(seed=2), latents(seed=3))
    plain = Affine(lambda t: torch.log1p(-t) / 2, lambda t: torch.log(t) / 2)

    def denoise(y, t, previous=None):
        x = y.replace(**{n: begin + (1 - t) ** 0.5 * getattr(SPREAD, n) * y[n] for n, begin in starts.items()})
        found = displaced(net, x, t, SPREAD)
        return {n: (found[n] - begin) / getattr(SPREAD, n) for n, begin in starts.items()}

    starts = {name: x1[name] for name in ("pos", "feat")}
    with torch.no_grad():
        y1 = x1.replace(pos=0 * x1["pos"], feat=0 * x1["feat"])
        end, _ = sample(shape_process(plain), denoise, y1, uniform(6), rng(), ancestral)
        x, _ = sample(bridge_process(SPREAD), bridge_denoiser(net, SPREAD), x1, uniform(6), rng(), ancestral)
    for name, begin in starts.items():
        assert (begin + getattr(SPREAD, name) * end[name] - x[name]).abs().max() < 1e-12
        assert (x[name] - begin).abs().max() > 0.1, "the test could not fail"


def narrowed(steps: int, var: float) -> float:
    """Spread of I2SB's posterior draws: each sets out from the belief's mean and forgets its variance.

    y_s = c y_t + f z + const with c = r + (a_s - r a_t) g_t, so the variance obeys v_s = c^2 v_t + f^2.
    """
    v = 0.0
    for t, s in zip(uniform(steps), uniform(steps)[1:]):
        a_t, a_s = (1 - t) ** 0.5, (1 - s) ** 0.5
        gain = a_t * var / (a_t**2 * var + t)
        ratio = s / t * a_t / a_s
        v = (ratio + (a_s - ratio * a_t) * gain) ** 2 * v + s * (1 - s / t * (1 - t) / (1 - s))
    return v**0.5


@pytest.mark.parametrize(("name", "walk"), WALKS.items(), ids=WALKS)
def test_draws_have_the_law_of_the_displacement(name, walk):
    """D ~ N(0.5, 0.36): the ends lie at start + spread (0.5 +- 0.6), in both fields; posterior draws are narrower."""
    expected = narrowed(60, 0.36) if name == "sde" else 0.6
    assert narrowed(60, 0.36) < 0.58 and narrowed(4000, 0.36) == pytest.approx(0.6, abs=2e-3)
    x = latents(64, 32)
    x1 = with_start(State(x.fields, x.mask), x)
    steps = 240 if name == "ddim" else 60  # of first order, and 4 % narrow at 60
    end = walk(gaussian(0.5, 0.36), SPREAD, x1, rng(), steps=steps)
    for name in ("pos", "feat"):
        d = ((end[name] - x1[name]) / getattr(SPREAD, name))[x.mask]
        assert float(d.mean()) == pytest.approx(0.5, abs=0.03)
        assert float(d.std()) == pytest.approx(expected, abs=0.02)


def test_one_step_is_the_regression_and_draws_nothing():
    net, x1 = network(), with_start(latents(seed=2), latents(seed=3))
    mean = regress(net, SPREAD, x1)
    assert (mean["pos"] - x1["pos"]).abs().max() > 1e-2
    for walk in WALKS.values():
        one = walk(net, SPREAD, x1, rng(), steps=1)
        assert all((one[name] - mean[name]).abs().max() < 1e-12 for name in ("pos", "feat"))


def test_seeds_decide_and_samples_are_alone_what_they_are_together():
    net = network()
    one = latents(seed=2).map(lambda v: v[:1])
    x1 = repeated(with_start(one, one), 3)
    for walk in (draw_sde, draw_ode):
        together = walk(net, SPREAD, x1, [rng(k) for k in range(3)], steps=4)["pos"]
        alone = walk(net, SPREAD, x1.map(lambda v: v[:1]), [rng(2)], steps=4)["pos"]
        assert (together[2] - alone[0]).abs().max() < 1e-9
        assert (together[0] - together[1]).abs().max() > 0.01


@pytest.mark.parametrize("t", [1.0, 0.5, 1e-3])
def test_the_bridge_turns_with_the_shape(t):
    """With the equivariant network pose may be unknown: feature = one scalar and one vector."""
    net, q = network(vector=True), orthogonal(1, torch.float64)

    def turned(v):
        return torch.cat([v[..., :3] @ q, v[..., 3:4], v[..., 4:7] @ q], -1)

    x1, noise = with_start(latents(seed=2), latents(seed=3)), latents(seed=5)
    x_t = x1.replace(**{n: (x1[n] + (t < 1) * 0.3 * noise[n]) for n in ("pos", "feat")})
    token = turned(joined(x_t))
    other = x_t.replace(pos=token[..., :3], feat=token[..., 3:], start=turned(x_t["start"]), given=turned(x_t["given"]))
    with torch.no_grad():
        plain, got = (torch.cat(list(displaced(net, x, t, SPREAD).values()), -1) for x in (x_t, other))
    assert (got - turned(plain)).abs().max() < 1e-12
    assert (got - plain).abs().max() > 0.1, "the test could not fail"


def test_pairs_are_assigned_and_carry_what_the_bridge_needs():
    part, whole = latents(seed=2), latents(seed=3)
    pairs = laid_onto(whole, part)
    assert torch.equal(pairs["start"], joined(part)) and torch.equal(pairs["given"], joined(part))
    before, after = ((x["pos"] - part["pos"]).square().sum() for x in (whole, pairs))
    assert after < 0.8 * before
    shuffled = whole.map(lambda v: v.clone())
    shuffled = State({n: torch.cat([v[:, :5].flip(1), v[:, 5:]], 1) for n, v in shuffled.fields.items()}, whole.mask)
    assert torch.equal(laid_onto(shuffled, part)["feat"], pairs["feat"]), "the stored order of tokens means nothing"
    spread = spread_of(pairs)
    assert spread.pos == pytest.approx(float((pairs["pos"] - part["pos"])[part.mask].square().mean().sqrt()))
    fewer = State({n: v[:, :5] for n, v in part.fields.items()}, part.mask[:, :5])
    with pytest.raises(ValueError, match="as many latent points"):
        laid_onto(whole, fewer)


def test_a_guess_is_nearer_than_what_was_observed():
    """The start is any function: the regression of a first bridge leaves what that regression could not know."""
    part, whole = latents(seed=2), latents(seed=3)
    far = laid_onto(whole, part, observed)
    half = known(State({n: (far[n] + joined(part).split([3, 4], -1)[k]) / 2 for k, n in enumerate(("pos", "feat"))},
                       part.mask), spread_of(far))  # fmt: skip
    near = laid_onto(whole, part, guessed(half, spread_of(far)))
    assert spread_of(near).pos <= 0.5 * spread_of(far).pos + 1e-9
    assert torch.equal(near["given"], joined(part)), "it still looks at what was observed"


def test_the_loss_vanishes_for_the_network_that_knows_and_shows_unit_variance():
    x0 = laid_onto(latents(400, seed=3), latents(400, seed=2))
    spread = spread_of(x0)
    total, terms = bridge_loss(known(x0, spread), spread, x0, rng(), BridgeLoss())
    assert total < 1e-12 and set(terms) == {"pos", "feat"}
    shown = []

    def lazy(x, logsnr, previous=None):
        shown.append((x, logsnr))
        return {name: torch.zeros_like(x[name]) for name in ("pos", "feat")}

    config = BridgeLoss(at_start=0.25, feat=3.0)
    total, terms = bridge_loss(lazy, spread, x0, rng(), config)
    weight = (1 + shown[0][1].exp()).clamp(max=config.snr_cap).mean()
    assert float(terms["feat"]) == pytest.approx(float(weight), rel=0.1), "D has variance one"
    assert float(total) == pytest.approx(float(terms["pos"] + 3 * terms["feat"]))
    x, logsnr = shown[0]
    first = logsnr == -10
    assert 70 < int(first.sum()) < 130 and not x["pos"][first].any(), "at the start there is no displacement to see"
    assert float(x["feat"][~first][x.mask[~first]].square().mean()) == pytest.approx(1, abs=0.05)


def test_the_task_learns_a_shift():
    part = latents(16, seed=2)
    whole = part.replace(pos=(part["pos"] + 0.5) * part.mask[..., None])
    torch.manual_seed(0)
    x0 = laid_onto(whole, part).map(lambda v: v.float() if v.is_floating_point() else v)
    task = BridgeTask(LatentTransformer(LatentConfig(4, width=16, layers=1, heads=2)), LatentBatches(x0, 8, 0),
                      Scale(0.5, 1.0), BridgeLoss())  # fmt: skip
    optimizer, totals = torch.optim.Adam(task.network.parameters(), 1e-2), []
    for step in range(60):
        total, _, count = task.loss(task.network, step, ALONE, rng(step))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert count == 8 and sum(totals[-6:]) < 0.2 * sum(totals[:6])
    assert task.loss(task.network, 0, ALONE, rng(3))[0] == task.loss(task.network, 0, ALONE, rng(3))[0]


def test_an_affine_solver_is_refused_no_bridge_and_a_bridge_solver_no_noise():
    x1 = with_start(latents(), latents())
    with pytest.raises(ValueError, match="needs a bridge"):
        draw_ode(gaussian(0, 1), SPREAD, x1, rng(), solver=bridge_sde)
    with pytest.raises(ValueError):
        draw_sde(gaussian(0, 1), SPREAD, x1, rng(), solver=dpmpp_2m)
