"""Guidance by gradients and by contrast, against the laws it is meant to sample."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.integrate import solve_ivp

from scigen.denoiser import score
from scigen.guidance.classifier import classifier, reward
from scigen.guidance.free import cfg, geometric
from scigen.guidance.interval import interval
from scigen.oracle import gaussian, gaussian_path, mixture, tokens
from scigen.process.affine import rectified
from scigen.process.categorical import absorbing, keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ancestral, ddim, sample
from scigen.solver.grids import late, uniform
from scigen.state import State
from tests.anchors.problems import (
    COVARIANCES,
    MEAN,
    MEANS,
    PROCESSES,
    RAW,
    VAR,
    WEIGHTS,
    on_gaussian,
    on_mixture,
    starts,
)

FLOW = PROCESSES["flow"]
LEVELS = [(name, t) for name in PROCESSES for t in (0.1, 0.5, 0.9)]


def log_responsibility(affine, k):
    """log p(component k | x_t), from torch's densities of the blurred components."""

    def log_p(x, t):
        a, s = float(affine.alpha(t)), float(affine.sigma(t))
        blur = a**2 * COVARIANCES + s**2 * torch.eye(2, dtype=torch.float64)
        law = torch.distributions.MultivariateNormal(a * MEANS, blur)
        return (WEIGHTS.log() + law.log_prob(x[:, None])).log_softmax(-1)[:, k]

    return log_p


@pytest.mark.parametrize("k", range(3))
@pytest.mark.parametrize("name, t", LEVELS)
def test_a_classifier_at_weight_one_gives_the_conditional_score(name, t, k):
    affine, x = PROCESSES[name], starts(PROCESSES[name], t)
    one = mixture(affine, WEIGHTS[k : k + 1], MEANS[k : k + 1], COVARIANCES[k : k + 1])
    guided = classifier(on_mixture(affine), affine, log_responsibility(affine, k))
    gap = score(affine, x, guided(x, t), t) - score(affine, x, one(x, t), t)
    assert (gap * affine.sigma(t)).abs().max() < 1e-13
    plain = classifier(on_mixture(affine), affine, log_responsibility(affine, k), 0.0)
    assert torch.equal(plain(x, t), on_mixture(affine)(x, t))
    assert (plain(x, t) - one(x, t)).abs().max() > 1e-3


def test_weight_and_time_may_differ_by_sample():
    x, log_p = starts(FLOW, 0.5, 4), log_responsibility(FLOW, 1)
    t, weight = torch.tensor([0.2, 0.4, 0.6, 0.8], dtype=torch.float64), torch.tensor([0.0, 1.0, 2.0, -1.0])
    each = lambda x, t: torch.stack([log_p(y[None], u)[0] for y, u in zip(x, t)])  # noqa: E731
    whole = classifier(on_mixture(FLOW), FLOW, each, weight)(x, t)
    for y, u, w, row in zip(x, t, weight, whole):
        alone = classifier(on_mixture(FLOW), FLOW, log_p, float(w))(y[None], float(u))
        assert (alone[0] - row).abs().max() < 1e-14


@pytest.mark.parametrize("name, t", LEVELS)
def test_a_linear_reward_tilts_the_gaussian(name, t):
    """p(x0) exp(r x0) is N(mean + r var, var): the value function is r x0hat up to a constant."""
    affine, x, r = PROCESSES[name], starts(PROCESSES[name], t), 0.8
    tilted = gaussian(affine, MEAN + r * VAR, VAR)
    guided = reward(on_gaussian(affine), affine, lambda belief: r * belief.sum(1))
    assert (guided(x, t) - tilted(x, t)).abs().max() < 1e-13
    value = classifier(on_gaussian(affine), affine, lambda x, t: on_gaussian(affine)(x, t).sum(1), r)
    assert (value(x, t) - tilted(x, t)).abs().max() < 1e-13


def flow_end(denoise, x, t, s):
    """Where SciPy's DOP853 carries x `[B]` along the probability-flow ODE of x_t = x0 + t x1, dx/dt = (x - x0) / t."""

    def slope(t, y):
        y = torch.from_numpy(y)
        return ((y - denoise(y, t)) / t).numpy()

    return torch.from_numpy(solve_ivp(slope, (t, s), x.numpy(), method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1])


@pytest.mark.parametrize("w", [0.0, 1.0, 3.0])
def test_guided_flow_of_equal_gaussians_is_that_of_the_extrapolated_mean(w):
    mu_c, mu_u, mean = 1.1, -0.4, -0.4 + w * 1.5
    guided = cfg(gaussian(RAW, mu_c, VAR), gaussian(RAW, mu_u, VAR), RAW, w)
    x = torch.linspace(-8, 8, 9, dtype=torch.float64)
    assert (flow_end(guided, x, 4.0, 0.25) - gaussian_path(RAW, mean, VAR, x, 4.0, 0.25)).abs().max() < 1e-12
    for name, t in LEVELS:
        affine = PROCESSES[name]
        guided, y = cfg(gaussian(affine, mu_c, VAR), gaussian(affine, mu_u, VAR), affine, w), x * affine.scale(t)
        assert (guided(y, t) - gaussian(affine, mean, VAR)(y, t)).abs().max() < 1e-13


def test_guidance_of_unequal_gaussians_is_not_the_tilted_law():
    """p_u^(1-w) p_c^w has precision lerp(1/v_u, 1/v_c, w); the guided flow ends on another variance."""
    v_c, v_u, w = 0.25, 1.0, 2.0
    guided = cfg(gaussian(RAW, 0.0, v_c), gaussian(RAW, 0.0, v_u), RAW, w)
    far, near = 1e5, 1e-5  # a unit of the source ends as a deviation of the law
    end = float(flow_end(guided, torch.full((1,), far, dtype=torch.float64), far, near))
    tilted = 1 / ((1 - w) / v_u + w / v_c)
    assert abs(end**2 - v_c**w * v_u ** (1 - w)) < 1e-6  # the flow mixes log variances, not precisions
    assert abs(end**2 - tilted) > 0.05


def joint(law, keep, mask):
    return tokens(absorbing(3, keep) if mask else uniform_tokens(len(law), keep), law)


@pytest.mark.parametrize("mask", [False, True], ids=["uniform", "absorbing"])
@pytest.mark.parametrize("w", [0.0, 0.5, 1.0, 2.5, -0.5])
def test_guided_belief_about_one_token_is_that_of_the_tilted_law(mask, w):
    """Qbar^(1-w) Qbar^w = Qbar: mixing beliefs of x0 mixes the data laws, at every level."""
    keep = keep_of(FLOW)
    c, u = (torch.tensor(p, dtype=torch.float64) for p in ([0.7, 0.2, 0.1], [0.3, 0.3, 0.4]))
    tilted = u ** (1 - w) * c**w
    laws = [torch.nn.functional.pad(p / p.sum(), (0, int(mask))) for p in (c, u, tilted)]
    conditional, unconditional, exact = (joint(p, keep, mask) for p in laws)
    process = absorbing(3, keep) if mask else uniform_tokens(3, keep)
    x = torch.arange(len(laws[0]))[:, None]
    for t in (0.9, 0.5, 0.1):
        got = cfg(conditional, unconditional, process, w)(x, t)
        assert (got - exact(x, t)).abs().max() < 1e-14
    if mask:
        assert not got[..., 3].any()


def test_geometric_is_finite_where_a_belief_is_zero():
    c, u = torch.tensor([[0.5, 0.5, 0.0, 0.0]]), torch.tensor([[0.0, 0.5, 0.5, 0.0]])
    for w in (-1.0, 0.0, 0.5, 1.0, 5.0):
        p = geometric(c, u, w)
        assert p.isfinite().all() and abs(float(p.sum()) - 1) < 1e-6 and float(p[0, 3]) == 0
    assert torch.allclose(geometric(c, u, 1.0), c) and torch.allclose(geometric(c, u, 0.0), u)
    assert torch.allclose(geometric(c, c, torch.tensor([3.0])), c)


def two_fields(shift, law):
    """Independent coordinates and token with exact beliefs."""
    of_pos, of_atom = gaussian(FLOW, shift, VAR), tokens(uniform_tokens(2, keep_of(FLOW)), torch.tensor(law).double())

    def denoise(x_t, t, previous=None):
        return {"pos": of_pos(x_t["pos"], t), "atom": of_atom(x_t["atom"], t)}

    return denoise


def blank(count):
    fields = {"pos": torch.zeros(count, 1).double(), "atom": torch.zeros(count, 1).long()}
    return State(fields, torch.ones(count, 1) > 0)


@pytest.mark.parametrize("solver", [ancestral, ddim()], ids=["ancestral", "ddim"])
def test_cfg_on_a_state_tilts_every_field(solver):
    process, count, w = Product({"pos": FLOW, "atom": uniform_tokens(2, keep_of(FLOW))}), 20_000, 2.0
    guided = cfg(two_fields(1.0, [0.5, 0.5]), two_fields(0.0, [0.8, 0.2]), process, w)
    x = process.source(blank(count), torch.Generator().manual_seed(0))
    out, belief = sample(process, guided, x, uniform(20), torch.Generator().manual_seed(1), solver)
    odds = (0.5 / 0.2) ** w * 0.2 / ((0.5 / 0.8) ** w * 0.8)  # p_c^w p_u^(1-w)
    wanted = odds / (1 + odds)
    assert abs(float(out["atom"].double().mean()) - wanted) < 4 * math.sqrt(wanted * (1 - wanted) / count)
    assert abs(float(belief["pos"].mean()) - 2.0) < 4 * math.sqrt(VAR / count)


def test_gradients_guide_the_named_field_and_pass_the_others():
    process, plain = Product({"pos": FLOW, "atom": uniform_tokens(2, keep_of(FLOW))}), two_fields(0.7, [0.8, 0.2])
    x = process.source(blank(8), torch.Generator().manual_seed(0))
    for rule in (
        classifier(plain, process, lambda x, t: x["pos"].sum(1)),
        reward(plain, process, lambda belief: belief["pos"].sum(1) * belief["atom"][:, 0, 1]),
    ):
        got, was = rule(x, 0.5), plain(x, 0.5)
        assert torch.equal(got["atom"], was["atom"]) and (got["pos"] - was["pos"]).abs().min() > 1e-2
        assert not got["pos"].requires_grad and not got["atom"].requires_grad


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_work_where_samplers_run(mode):
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2)).double()
    plain = lambda x, t, previous=None: network(x) + (0 if previous is None else previous)  # noqa: E731
    guided = reward(plain, FLOW, lambda belief: belief.square().sum(1))
    grid = uniform(4)[1:]
    outside = sample(FLOW, guided, starts(FLOW, 0.75, 3), grid, torch.Generator(), ddim())[0].detach()
    with mode():
        inside, _ = sample(FLOW, guided, starts(FLOW, 0.75, 3), grid, torch.Generator(), ddim())
    assert torch.equal(inside, outside)
    assert all(p.grad is None for p in network.parameters())


def test_single_precision_follows_double():
    x = starts(FLOW, 0.5)
    rules = (
        classifier(on_mixture(FLOW), FLOW, log_responsibility(FLOW, 1)),
        reward(on_mixture(FLOW), FLOW, lambda belief: belief.square().sum(1)),
        cfg(on_mixture(FLOW), on_gaussian(FLOW), FLOW, 3.0, rescale=0.7),
    )
    for rule in rules:
        single = rule(x.float(), 0.5)
        assert single.dtype == torch.float32 and (single - rule(x, 0.5)).abs().max() < 1e-5


def test_interval_calls_one_of_the_two():
    called = []
    named = lambda name, value: lambda x, t, previous=None: called.append(name) or x * 0 + value  # noqa: E731
    rule = interval(named("guided", 1.0), named("plain", 0.0), FLOW, low=-2.0, high=3.0)
    x = torch.zeros(3, 2)
    for t, name in [(1.0, "plain"), (0.8, "plain"), (0.7, "guided"), (0.2, "guided"), (0.1, "plain"), (0.0, "plain")]:
        called.clear()
        assert float(rule(x, t).max()) == (name == "guided") and called == [name], t
    rows = rule(x, torch.tensor([0.9, 0.5, 0.1]))
    assert rows[:, 0].tolist() == [0.0, 1.0, 0.0]
    fields = interval(lambda *_: {"a": x + 1}, lambda *_: {"a": x}, FLOW, -2, 3)(x, torch.tensor([0.9, 0.5, 0.1]))
    assert torch.equal(fields["a"], rows)


def test_interval_spares_a_gradient_the_pure_source():
    """Without bounds only log-SNR -inf is left out: a run from t = 1 then works, and ends where it should."""
    guided = reward(on_gaussian(FLOW), FLOW, lambda belief: 0.8 * belief.sum(1))
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    with pytest.raises(ValueError, match="alpha is 0.*`interval`"):
        guided(x, 1.0)
    spared = interval(guided, on_gaussian(FLOW), FLOW)
    end, _ = sample(FLOW, spared, x, late(400, 1e-3), torch.Generator(), ddim())
    assert (end - gaussian_path(FLOW, MEAN + 0.8 * VAR, VAR, x, 1.0, 0.0)).abs().max() < 3e-2


def test_rescale_returns_the_spread_of_the_conditional():
    c, u = starts(FLOW, 0.5, 5) @ torch.randn(2, 12, generator=torch.Generator().manual_seed(3)).double(), 0.3
    of = lambda value: lambda x, t, previous=None: value  # noqa: E731
    full, half, none = (cfg(of(c), of(c * 0 + u), FLOW, 4.0, share)(c, 0.5) for share in (1.0, 0.5, 0.0))
    assert (full.std(1) / c.std(1) - 1).abs().max() < 1e-14
    assert (none.std(1) / c.std(1) - 4).abs().max() < 1e-13
    assert (half - (full + none) / 2).abs().max() < 1e-14
    flat = cfg(of(torch.ones(2, 3)), of(torch.zeros(2, 3)), FLOW, 2.0, 1.0)(torch.ones(2, 3), 0.5)
    assert torch.equal(flat, torch.full((2, 3), 2.0))  # nothing to match: left alone


def test_rescale_sees_neither_padding_nor_rotation():
    rng = torch.Generator().manual_seed(0)
    mask = torch.tensor([[True, True, True, False]])
    pos = torch.randn(1, 4, 3, dtype=torch.float64, generator=rng)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=rng))[0]
    process = Product({"pos": rectified()})
    guided = cfg(
        lambda x, t, p=None: {"pos": x["pos"]},
        lambda x, t, p=None: {"pos": x["pos"].square().sum(-1, keepdim=True) * x["pos"]},
        process, 3.0, 1.0,
    )  # fmt: skip
    out = guided(State({"pos": pos}, mask), 0.5)["pos"]
    turned = guided(State({"pos": pos @ turn}, mask), 0.5)["pos"]
    short = guided(State({"pos": pos[:, :3]}, mask[:, :3]), 0.5)["pos"]
    assert (turned - out @ turn).abs().max() < 1e-14
    assert (short - out[:, :3]).abs().max() < 1e-14


def test_impossible_requests_are_refused():
    with pytest.raises(ValueError, match="`rescale` must lie"):
        cfg(on_gaussian(FLOW), on_gaussian(FLOW), FLOW, 2.0, rescale=1.5)
    with pytest.raises(ValueError, match="`low` must be below"):
        interval(on_gaussian(FLOW), on_gaussian(FLOW), FLOW, low=3.0, high=-3.0)
    process = Product({"pos": FLOW, "atom": uniform_tokens(2, keep_of(FLOW))})
    for field, kind in {"atom": "a Categorical process", "charge": "no process"}.items():
        with pytest.raises(ValueError, match=f"'{field}' has {kind}"):
            reward(two_fields(0.0, [0.5, 0.5]), process, lambda belief: belief, field=field)
