"""Exact log-likelihoods against densities in closed form, and their parts against linear algebra (float64)."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from scigen.denoiser import from_network
from scigen.domains.molecules.process import molecule_process
from scigen.errors import NumericError
from scigen.likelihood import bits_per_dim, exact, hutchinson, log_likelihood, rademacher
from scigen.oracle import gaussian
from scigen.process.affine import rectified, vp
from scigen.process.product import Product
from scigen.state import State, center, expand
from tests.anchors.problems import COVARIANCES, MEANS, PROCESSES, WEIGHTS, on_mixture
from tests.nn.problems import MOLECULES, orthogonal, small

F64 = torch.float64
MEAN, VAR = torch.tensor([0.7, -0.3, 1.1], dtype=F64), torch.tensor([0.49, 1.3, 0.2], dtype=F64)
X = MEAN + VAR.sqrt() * torch.randn(8, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
every_process = pytest.mark.parametrize("affine", PROCESSES.values(), ids=PROCESSES)


def log_normal(x, mean, var):
    return (-((x - mean) ** 2) / var / 2 - (2 * math.pi * var).log() / 2).sum(1)


def ends(affine):
    """The data's extra variance at the clean end, and the exact log p_T at the other."""
    low, high = max(-20.0, float(affine.logsnr(1.0))), min(20.0, float(affine.logsnr(0.0)))
    t = affine.time_of_logsnr(torch.tensor(low, dtype=F64))
    a, s = affine.alpha(t), affine.sigma(t)
    return math.exp(-high), lambda x: log_normal(x, a * MEAN, a**2 * VAR + s**2), s**2 * torch.ones(3, dtype=F64)


@every_process
def test_gaussian_density_with_the_exact_prior(affine):
    blur, prior, _ = ends(affine)
    out = log_likelihood(affine, gaussian(affine, MEAN, VAR), X, prior=prior)
    assert (out.log_p - log_normal(X, MEAN, VAR + blur)).abs().max() < 3.6e-5  # measured 3.6e-6
    assert out.evaluations == 31


def test_error_follows_the_tolerance():
    blur, prior, _ = ends(vp())
    errors = {}
    for tol in (1e-5, 1e-7, 1e-9):
        out = log_likelihood(vp(), gaussian(vp(), MEAN, VAR), X, prior=prior, tol=tol)
        errors[tol] = float((out.log_p - log_normal(X, MEAN, VAR + blur)).abs().max())
    assert errors[1e-9] < 1.5e-8 < errors[1e-7] < 1.5e-6 < errors[1e-5], errors  # 1.5e-9, 1.2e-7, 3.6e-6


@every_process
def test_the_usual_prior_is_wrong_by_its_own_gap(affine):
    """With N(0, sigma^2) for p_T the error is log p_T - log N at the path's end, whatever the tolerance."""
    blur, prior, var_T = ends(affine)
    out = log_likelihood(affine, gaussian(affine, MEAN, VAR), X, tol=1e-7)
    gap = prior(out.x_T) - log_normal(out.x_T, 0.0, var_T)
    assert (out.log_p + gap - log_normal(X, MEAN, VAR + blur)).abs().max() < 1.5e-6
    if affine is PROCESSES["vp"]:
        assert 7e-3 < gap.abs().max() < 3e-2


def test_every_process_gives_the_same_number():
    levels = (-7.0, 9.0)
    each = [log_likelihood(a, on_mixture(a), MEANS, levels=levels) for a in PROCESSES.values()]
    reference = each[0].log_p + 2 * math.log(float(each[0].x_T.norm()))
    assert reference.isfinite().all()
    assert max(float((out.log_p - each[0].log_p).abs().max()) for out in each) < 1e-11
    assert len({out.evaluations for out in each}) == 1


def test_mixture_density():
    flow, x = rectified(), torch.cat([MEANS, torch.randn(5, 2, dtype=F64, generator=torch.Generator().manual_seed(1))])
    normals = [torch.distributions.MultivariateNormal(m, c) for m, c in zip(MEANS, COVARIANCES)]
    truth = torch.logsumexp(torch.stack([w.log() + p.log_prob(x) for w, p in zip(WEIGHTS, normals)]), 0)
    out = log_likelihood(flow, on_mixture(flow), x, levels=(-30.0, 22.0), tol=1e-7)
    assert (out.log_p - truth).abs().max() < 2e-6


def test_the_density_integrates_to_one_over_a_wrong_flow():
    """Any smooth field makes a normalised density: a belief that is no conditional mean included."""
    flow = rectified()
    grid = torch.linspace(-8, 8, 401, dtype=F64)[:, None]
    wrong = lambda x, t, previous=None: 0.3 * torch.sin(2 * x) + 0.5 * x * expand(1 - t, x)  # noqa: E731
    p = log_likelihood(flow, wrong, grid, levels=(-12.0, 3.0), tol=1e-7).log_p.exp()
    assert abs(float(p.sum()) * 0.04 - 1) < 1e-6


def centred_problem():
    """Positions of independent N(0, 0.3) nodes seen from their centre of mass; sizes 4, 2, 5 in one batch."""
    mask = torch.arange(5)[None] < torch.tensor([4, 2, 5])[:, None]
    pos = center(0.3**0.5 * torch.randn(3, 5, 3, dtype=F64, generator=torch.Generator().manual_seed(2)), mask)
    return mask, pos


@pytest.mark.parametrize("name", ["vp", "flow"])
def test_centred_coordinates_have_n_minus_one_nodes(name):
    affine, (mask, pos) = PROCESSES[name], centred_problem()
    low, high = max(-20.0, float(affine.logsnr(1.0))), 20.0
    belief = gaussian(affine, 0.0, 0.3)
    dim = 3.0 * (mask.sum(1) - 1).double()
    var = 0.3 + math.exp(-high)
    truth = -pos.square().sum((1, 2)) / (2 * var) - dim * math.log(2 * math.pi * var) / 2
    t = affine.time_of_logsnr(torch.tensor(low, dtype=F64))
    var_T = float(affine.alpha(t) ** 2 * 0.3 + affine.sigma(t) ** 2)
    prior = lambda x: -x.square().sum((1, 2)) / (2 * var_T) - dim * math.log(2 * math.pi * var_T) / 2  # noqa: E731
    # The oracle knows nothing of the constraint, so its own drift of the centre and the padding must be projected out.
    drifting = lambda x, t, previous=None: {"pos": belief(x["pos"], t) + 1.7}  # noqa: E731
    process = Product({"pos": affine}, lambda x: x.replace(pos=center(x["pos"], x.mask)))
    out = log_likelihood(process, drifting, State({"pos": pos}, mask), "pos", prior=prior, tol=1e-7)
    assert (out.log_p - truth).abs().max() < 2e-6
    assert out.x_T[~mask].abs().max() == 0 and out.x_T.sum(1).abs().max() < 1e-12
    naive = log_likelihood(affine, belief, pos, prior=prior, tol=1e-3)
    assert (naive.log_p - truth).abs().min() > 0.1, "the test could not fail"


def linear(matrix):
    return lambda x: x @ matrix.mT


def test_exact_divergence_is_the_trace():
    matrix = torch.randn(6, 6, dtype=F64, generator=torch.Generator().manual_seed(3))
    x = torch.randn(4, 6, dtype=F64, generator=torch.Generator().manual_seed(4))
    y, div = exact(lambda u: linear(matrix)(u) + u**3, x)
    assert (y - (x @ matrix.mT + x**3)).abs().max() < 1e-14
    assert (div - (matrix.trace() + 3 * x.square().sum(1))).abs().max() < 1e-13
    assert exact(torch.zeros_like, x)[1].abs().max() == 0


def test_hutchinson_is_unbiased_over_all_signs_and_exact_on_a_diagonal():
    matrix = torch.randn(4, 4, dtype=F64, generator=torch.Generator().manual_seed(3))
    x = torch.randn(3, 4, dtype=F64, generator=torch.Generator().manual_seed(4))
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=F64)] * 4)[:, None].expand(-1, 3, -1)  # all 16
    assert (hutchinson(signs)(linear(matrix), x)[1] - matrix.trace()).abs().max() < 1e-14
    one = torch.stack([hutchinson(e[None])(linear(matrix), x)[1] for e in signs])
    symmetric = (matrix + matrix.mT) / 2
    off = symmetric - symmetric.diag().diag()
    assert (one.var(0, correction=0) - 2 * off.square().sum()).abs().max() < 1e-13
    assert (hutchinson(signs[:1])(torch.sin, x)[1] - x.cos().sum(1)).abs().max() < 1e-14


def test_hutchinson_likelihood_is_unbiased():
    """The mean over all signs of the volume is the exact one; each alone is off."""
    flow = rectified()
    turn = orthogonal(1, F64)
    denoise = lambda x, t, previous=None: gaussian(flow, MEAN, VAR)(x @ turn, t) @ turn.mT  # noqa: E731
    x = X[:1] @ turn.mT
    truth = log_likelihood(flow, denoise, x, tol=1e-7).log_p
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=F64)] * 3)[:, None]
    each = [log_likelihood(flow, denoise, x, divergence=hutchinson(e[None]), tol=1e-7).log_p for e in signs[:4]]
    assert abs(float(torch.stack(each).mean() - truth)) < 1e-6  # e and -e agree: four of the eight are enough
    assert max(abs(float(p - truth)) for p in each) > 0.1


def test_probes_are_signs_and_repeatable():
    draw = lambda: rademacher(X, 5, torch.Generator().manual_seed(5))  # noqa: E731
    assert draw().shape == (5, 8, 3) and torch.equal(draw(), draw()) and torch.equal(draw().abs(), torch.ones(5, 8, 3))
    assert 0.3 < (draw() > 0).double().mean() < 0.7
    with pytest.raises(ValueError, match="probes"):
        hutchinson(draw()[0])(torch.sin, X)


def test_what_cannot_be_followed_is_told():
    with pytest.raises(NumericError, match="cannot be followed"):
        log_likelihood(vp(), lambda x, *_: x * float("nan"), X)
    with pytest.raises(ValueError, match="no affine process"):
        log_likelihood(molecule_process(rectified()), lambda *_: None, MOLECULES, "bond")
    with pytest.raises(ValueError, match="levels"):
        log_likelihood(vp(), lambda *_: None, X, levels=(-30.0, -20.0))


def test_single_precision():
    flow, x = rectified(), X.float()
    out = log_likelihood(flow, gaussian(flow, MEAN, VAR), x)
    assert out.log_p.dtype == torch.float32
    assert (out.log_p - log_normal(X, MEAN, VAR)).abs().max() < 3e-3


def test_bits_per_dim():
    """Uniform on 256 values costs 8 bits, as density 1/2 on [-1, 1] with 128 values per unit."""
    assert abs(float(bits_per_dim(torch.tensor(10 * math.log(0.5), dtype=F64), 10, 128.0)) - 8) < 1e-12


def one_molecule(dtype=F64):
    """A molecule of the fixture and a small transformer, its zeros woken gently: a smooth flow, as a trained one is."""
    n = int(MOLECULES.sizes[2])
    pos, atom, bond = (MOLECULES[name][2:3, :n] for name in ("pos", "atom", "bond"))
    x = State({"pos": pos.to(dtype), "atom": atom, "bond": bond[:, :, :n]}, MOLECULES.mask[2:3, :n])
    network = copy.deepcopy(small("transformer", silent=True))
    for p in network.parameters():
        if not p.any():
            torch.nn.init.normal_(p, std=0.05, generator=torch.Generator().manual_seed(0))
    return x, from_network(network.to(dtype), rectified())


def test_networks_run_in_double_precision():
    (x, fine), (x32, coarse) = one_molecule(), one_molecule(torch.float32)
    pos = fine(x, 0.5)["pos"]
    assert pos.dtype == F64
    assert 1e-9 < (coarse(x32, 0.5)["pos"] - pos).abs().max() < 1e-4


def molecule_log_p(x, denoise, divergence):
    process = molecule_process(rectified())
    return log_likelihood(process, denoise, x, "pos", divergence, levels=(-4.0, 4.0), tol=1e-3).log_p


def test_a_turned_molecule_is_as_likely():
    """Probes turned with it, every number of the solve is the same."""
    x, denoise = one_molecule()
    turn, e = orthogonal(-1, F64), rademacher(x["pos"], 1, torch.Generator().manual_seed(0))
    plain = molecule_log_p(x, denoise, hutchinson(e))
    turned = molecule_log_p(x.replace(pos=x["pos"] @ turn), denoise, hutchinson(e @ turn))
    assert plain.isfinite().all() and (turned - plain).abs().max() < 1e-9
    assert (molecule_log_p(x.replace(pos=1.1 * x["pos"]), denoise, hutchinson(e)) - plain).abs().max() > 1e-2


def orthogonal_probes(x):
    """D orthogonal vectors of length sqrt(D): each a fair probe by its length, together the exact trace."""
    d = x[0].numel()
    q = torch.linalg.qr(torch.randn(d, d, dtype=F64, generator=torch.Generator().manual_seed(6)))[0]
    return (d**0.5 * q).reshape(d, 1, *x.shape[1:])


def test_probes_meet_the_trace_on_a_molecule():
    x, denoise = one_molecule()
    field = lambda pos: denoise(x.replace(pos=pos), 0.3)["pos"]  # noqa: E731
    with torch.no_grad():
        truth, probed = exact(field, x["pos"])[1], hutchinson(orthogonal_probes(x["pos"]))(field, x["pos"])[1]
        alone = hutchinson(orthogonal_probes(x["pos"])[:1])(field, x["pos"])[1]
    assert (probed - truth).abs() < 1e-9 < 1e-3 < (alone - truth).abs()


@pytest.mark.slow
def test_molecules_have_an_exact_likelihood():
    """A whole solve by exact traces and by orthogonal probes; one random probe is off by its spread, a few nats."""
    x, denoise = one_molecule()
    truth = molecule_log_p(x, denoise, exact)
    assert (molecule_log_p(x, denoise, hutchinson(orthogonal_probes(x["pos"]))) - truth).abs() < 1e-6
    one = molecule_log_p(x, denoise, hutchinson(rademacher(x["pos"], 1, torch.Generator().manual_seed(0))))
    assert 1e-2 < (one - truth).abs() < 40
