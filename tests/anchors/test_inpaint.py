"""Inpainting against closed forms: the forward move composes, replacement alone is biased by a known amount, resampling
converges to the conditional law, and a held fragment leaves every symmetry of a state alone."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch

from scigen import oracle
from scigen.guidance.inpaint import inpaint, jumps, renoise
from scigen.process.affine import rectified, vp
from scigen.process.brownian import Brownian
from scigen.process.categorical import absorbing, keep_of, marginal, uniform_tokens
from scigen.process.transition import ordinal
from scigen.solver import ddim, sample
from scigen.solver.grids import late, shared, uniform
from scigen.state import normal, pair_mask
from tests.anchors.problems import PROCESSES, fitted
from tests.anchors.test_product import empty, equivariant, molecules, rngs

MEAN = torch.tensor([0.7, -0.3], dtype=torch.float64)
COVARIANCE = torch.tensor([[0.49, 0.42], [0.42, 0.81]], dtype=torch.float64)
OBSERVED, VALUE = torch.tensor([True, False]), 1.5
every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)


# The forward move.


@every_process
@pytest.mark.parametrize(("s", "t"), [(0.0, 0.4), (0.2, 0.7), (0.6, 1.0), (0.0, 1.0)])
def test_affine_forward_moves_compose(affine, s, t, monkeypatch):
    """q(x_t | x_s) q(x_s | x_0) = q(x_t | x_0): read off the code as (slope, noise), then multiplied."""
    monkeypatch.setattr("scigen.guidance.inpaint.normal", lambda like, rng: torch.tensor([[0.0], [1.0]]).to(like))
    plain = renoise(affine, torch.zeros(2, 1, dtype=torch.float64), s, t, None)
    slope = float((renoise(affine, torch.ones(2, 1, dtype=torch.float64), s, t, None) - plain)[0])
    spread = float(plain[1] - plain[0])
    alpha, sigma = (lambda u: float(affine.alpha(u))), (lambda u: float(affine.sigma(u)))
    assert slope * alpha(s) == pytest.approx(alpha(t), rel=1e-14, abs=1e-300)
    assert math.hypot(slope * sigma(s), spread) == pytest.approx(sigma(t), rel=1e-14)


@pytest.mark.parametrize("kind", ["uniform", "marginal", "absorbing"])
def test_categorical_forward_moves_compose(kind, monkeypatch):
    """The same of tokens: the transition matrix is counted over strata of both uniforms, so it is exact."""
    keep = keep_of(rectified())
    process = {
        "uniform": uniform_tokens(4, keep),
        "marginal": marginal(torch.tensor([4, 2, 1, 1]), keep),
        "absorbing": absorbing(3, keep),
    }[kind]
    s, t, m, strata = 0.2, 0.5, process.m, 8  # keep_t / keep_s = 5/8

    def grid(shape, device, rng):
        first, second = torch.meshgrid(*[(torch.arange(strata) + 0.5) / strata] * 2, indexing="ij")
        rows.append(first if rows else second)
        return rows[-1].reshape(-1).expand(shape)

    monkeypatch.setattr("scigen.process.categorical.uniform", grid)
    forward = []
    for token in range(4):
        rows: list[torch.Tensor] = []
        drawn = renoise(process, torch.full((1, strata**2), token), s, t, None)
        forward.append(torch.bincount(drawn[0], minlength=4).double() / strata**2)
    noised = [keep(torch.tensor(u)).double() * torch.eye(4).double() + u * m for u in (s, t)]
    assert torch.allclose(noised[0] @ torch.stack(forward), noised[1], rtol=0, atol=1e-7)


def test_walking_tokens_compose_too(monkeypatch):
    """Of a chain that moves to neighbours: the drawn law itself, caught before the draw."""
    monkeypatch.setattr("scigen.process.transition.draw", lambda p, rng: p)
    process, each = ordinal(5, keep_of(rectified())), torch.eye(5, dtype=torch.float64)
    forward = renoise(process, torch.arange(5), 0.2, 0.7, None)
    assert (process.law(each, 0.2) @ forward - process.law(each, 0.7)).abs().max() < 1e-15


# A Gaussian: the law of a whole run, exactly.


def on_correlated(affine):
    def denoise(x_t, t, previous=None):
        a, s = float(affine.alpha(t)), float(affine.sigma(t))
        gain = a * COVARIANCE @ torch.linalg.inv(a**2 * COVARIANCE + s**2 * torch.eye(2).double())
        return MEAN + (x_t - a * MEAN) @ gain.mT

    return denoise


@cache
def law(affine, times):
    """Mean and variance of the free coordinate: rows of one batch answer to one unit impulse of noise each."""
    moves = sum(3 if s < t else 1 for t, s in zip(times, times[1:]))
    rows, draw = 2 * moves + 5, iter(range(moves + 2))

    def impulse(like, rng):
        z, k = torch.zeros_like(like), next(draw)
        z[2 * k + 1, 0] = z[2 * k + 2, 1] = 1
        return z

    with pytest.MonkeyPatch.context() as patch:
        for module in ("guidance.inpaint", "process.affine"):
            patch.setattr(f"scigen.{module}.normal", impulse)
        x = affine.source(torch.zeros(rows, 2, dtype=torch.float64), None)
        known = torch.tensor([VALUE, 0.0], dtype=torch.float64).expand(rows, 2)
        x, _ = inpaint(affine, on_correlated(affine), x, times, None, known, OBSERVED.expand(rows, 2))
    assert bool((x[:, 0] == VALUE).all()), "the known coordinate came out as given"
    return float(x[0, 1]), float((x[1:, 1] - x[0, 1]).square().sum())


def errors(steps, repeats, affine=PROCESSES["flow"], length=1):
    """Mean and variance of the free coordinate less those of the Schur complement, 0.386 and 0.45."""
    times = tuple(jumps(shared(affine, late(steps)), repeats, length))
    mean, variance = oracle.condition(MEAN, COVARIANCE, OBSERVED, torch.tensor([VALUE], dtype=torch.float64))
    got = law(affine, times)
    return got[0] - float(mean), got[1] - float(variance)


def test_replacement_alone_is_biased_at_any_number_of_steps():
    """It moves the mean less than half of the way from -0.3 to 0.386, and more steps hardly help."""
    assert errors(20, 1)[0] == pytest.approx(-0.40597, abs=1e-5)
    assert errors(40, 1)[0] == pytest.approx(-0.37962, abs=1e-5)
    assert errors(160, 1)[0] == pytest.approx(-0.36, abs=0.01)


def test_resampling_converges_to_the_schur_complement():
    """The error of the mean falls like 1 / repeats; that of the variance to the chain's own, of order 1 / steps."""
    repeats = [5, 10, 20]
    means = [abs(errors(20, r)[0]) for r in repeats]
    print("mean errors over repeats", means, "slope", fitted(repeats, means))
    assert fitted(repeats, means) == pytest.approx(-1, abs=0.1) and means[-1] < 0.042
    coarse, fine = errors(20, 20)[1], errors(40, 20)[1]
    print("variance errors over steps", coarse, fine)
    assert coarse == pytest.approx(-0.08473, abs=1e-5) and 1.8 < coarse / fine < 2.1


def test_processes_agree_on_shared_levels():
    assert errors(20, 5, vp()) == pytest.approx(errors(20, 5), abs=1e-4)  # but for VP's source, log-SNR -10


def test_longer_jumps_resample_too():
    alone, short, long = errors(40, 1)[0], errors(40, 5)[0], errors(40, 5, length=5)[0]
    assert abs(short) < abs(long) < abs(alone) / 2


def test_resampling_serves_tokens():
    """p(second = 0 | first = 0) is 0.8 in the table, 0.5 without the condition."""
    process = uniform_tokens(2, keep_of(rectified()))
    denoise = oracle.tokens(process, torch.tensor([[0.4, 0.1], [0.1, 0.4]], dtype=torch.float64))
    count = 4_000  # standard error 0.007
    known, where = torch.zeros(count, 2, dtype=torch.long), torch.tensor([True, False]).expand(count, 2)

    def share(repeats):
        rng = torch.Generator().manual_seed(3)
        times = jumps(uniform(24), repeats)
        x, _ = inpaint(process, denoise, process.source(known, rng), times, rng, known, where)
        assert not x[:, 0].any()
        return float((x[:, 1] == 0).double().mean())

    alone, resampled = share(1), share(12)
    print("tokens", alone, resampled)
    assert alone < 0.67
    assert 0.72 < resampled < 0.82


# Schedules and limits.


def test_the_schedule_of_jumps():
    grid = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    assert jumps(grid, 1) == grid
    assert jumps(grid, 2) == [1.0, 0.8, 0.6, 0.8, 0.6, 0.4, 0.6, 0.4, 0.2, 0.4, 0.2, 0.0]
    assert jumps(grid, 2, 3) == [1.0, 0.8, 0.6, 0.4, 0.2, 0.8, 0.6, 0.4, 0.2, 0.0]
    assert jumps(grid, 3, 9) == grid, "no stretch is as long"
    for steps, repeats, length in [(9, 3, 1), (50, 4, 5), (11, 2, 4), (2, 5, 1)]:
        times = jumps(uniform(steps), repeats, length)
        down = sum(s < t for t, s in zip(times, times[1:]))
        assert down == steps + (repeats - 1) * length * ((steps - 2) // length)


@every_process
def test_nothing_known_is_plain_sampling_and_all_known_is_known(affine):
    x = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * affine.sigma(1.0)
    grid, known = shared(affine, late(8)), torch.linspace(-2, 2, 8).double().reshape(4, 2)
    free, fixed = torch.zeros(4, 2) > 0, torch.ones(4, 2) > 0
    plain, _ = sample(affine, on_correlated(affine), x, grid, torch.Generator(), ddim())
    out, _ = inpaint(affine, on_correlated(affine), x, grid, torch.Generator(), known, free, ddim())
    assert torch.equal(out, plain)
    out, belief = inpaint(affine, on_correlated(affine), x, jumps(grid, 3), torch.Generator(), known, fixed)
    assert torch.equal(belief, known)
    assert (out - known).abs().max() < 5 * affine.sigma(0.0) + 1e-15, "VE ends at sigma_min"


def test_single_precision_follows_double(monkeypatch):
    for module in ("guidance.inpaint", "process.affine"):
        monkeypatch.setattr(f"scigen.{module}.normal", lambda like, rng: normal(like.double(), rng).to(like))
    affine, runs = vp(), []
    for kind in (torch.float64, torch.float32):
        x = torch.ones(3, 2, dtype=kind)
        times = jumps(shared(affine, late(20)), 3)

        def denoise(x_t, t, previous=None):
            return on_correlated(affine)(x_t.double(), t).to(x_t)

        rng = torch.Generator().manual_seed(2)
        runs.append(inpaint(affine, denoise, x, times, rng, torch.full_like(x, VALUE), OBSERVED.expand(3, 2))[0])
    assert runs[1].dtype == torch.float32
    assert (runs[0] - runs[1]).abs().max() < 1e-5


# A fragment in a state: two nodes, their bond, and one node that may not bond to the rest.

HELD = 2


def fragment(seed=4):
    generator = torch.Generator().manual_seed(seed)
    known, nodes = empty((6, 4, 3)), torch.arange(6) < HELD
    known["pos"][:, :HELD] = torch.randn(HELD, 3, dtype=torch.float64, generator=generator) + 5.0  # not centred
    known["atom"][:, :HELD] = torch.tensor([3, 1])
    known["bond"][:, 0, 1] = known["bond"][:, 1, 0] = 2
    among = (nodes[:, None] & nodes[None, :]).clone()
    among[0], among[:, 0] = True, True  # node 0 takes no further bond
    nodes = nodes.expand(3, 6)
    where = {"pos": nodes, "atom": nodes, "bond": among.expand(3, 6, 6) & pair_mask(known.mask)}
    return known, where


# What is refused.


def test_requests_that_cannot_be_met_are_refused():
    known, where = fragment()
    affine, x = vp(), torch.zeros(1, 2)
    with pytest.raises(ValueError, match="at least two times"):
        inpaint(affine, on_correlated(affine), x, [1.0], None, x, x > 0)
    with pytest.raises(ValueError, match="must be boolean"):
        inpaint(affine, on_correlated(affine), x, [1.0, 0.0], None, x, x)
    with pytest.raises(ValueError, match="name `pos`"):
        inpaint(affine, on_correlated(affine), x, [1.0, 0.0], None, x, x > 0, loose={"pos": 1.0})
    with pytest.raises(ValueError, match="name `colour`"):
        inpaint(molecules(affine), equivariant(affine), known, [1.0, 0.0], rngs(), known, {"colour": where["pos"]})
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        jumps(uniform(4), 0)
    with pytest.raises(ValueError, match="Brownian cannot be noised"):
        inpaint(Brownian(1.0), on_correlated(affine), x, [1.0, 0.0], None, x, x > 0)
    with pytest.raises(ValueError, match="no forward move"):
        renoise(object(), x, 0.1, 0.2, None)
