"""The closed forms themselves, against quadrature, enumeration and linear algebra done another way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from scigen import oracle
from scigen.denoiser import score
from scigen.process.categorical import absorbing, keep_of, marginal
from tests.anchors.problems import (
    COVARIANCES,
    MEAN,
    MEANS,
    PROCESSES,
    VAR,
    WEIGHTS,
    on_gaussian,
    on_mixture,
)

X = torch.tensor([[0.3, -0.2], [1.5, 0.9], [-2.0, 0.1]], dtype=torch.float64)
FLOW = PROCESSES["flow"]


@pytest.mark.parametrize("name, t", [("vp", 0.3), ("subvp", 0.5), ("ve", 0.5), ("flow", 0.8)])
def test_gaussian_by_quadrature(name, t):
    affine, x = PROCESSES[name], 0.4
    a, s = float(affine.alpha(t)), float(affine.sigma(t))

    def moment(k):
        return quad(lambda y: y**k * norm.pdf(y, MEAN, VAR**0.5) * norm.pdf(x, a * y, s), -8, 8, epsabs=1e-13)[0]

    mean, square = moment(1) / moment(0), moment(2) / moment(0)
    assert abs(float(on_gaussian(affine)(torch.tensor([x], dtype=torch.float64), t)) - mean) < 1e-9
    assert abs(float(oracle.gaussian_variance(affine, VAR, t)) - (square - mean**2)) < 1e-8


def test_mixture_of_one_is_the_gaussian():
    mean = torch.full((1, 2), MEAN, dtype=torch.float64)
    one = oracle.mixture(FLOW, torch.ones(1), mean, VAR * torch.eye(2, dtype=torch.float64)[None])
    assert (one(X, 0.4) - on_gaussian(FLOW)(X, 0.4)).abs().max() < 1e-14
    assert one(X.float(), 0.4).dtype == torch.float32


@pytest.mark.parametrize("name, t", [("vp", 0.3), ("ve", 0.6), ("flow", 0.5), ("flow", 1.0)])
def test_mixture_score_is_the_gradient_of_the_marginal(name, t):
    """Tweedie: the belief's score against SciPy's density of x_t, differentiated numerically."""
    affine = PROCESSES[name]
    a, s = float(affine.alpha(t)), float(affine.sigma(t))

    def log_density(x):
        parts = [
            w * multivariate_normal.pdf(x, a * m, a**2 * c + s**2 * np.eye(2))
            for w, m, c in zip(WEIGHTS.numpy(), MEANS.numpy(), COVARIANCES.numpy())
        ]
        return np.log(sum(parts))

    ours = score(affine, X, on_mixture(affine)(X, t), t)
    h = 1e-5
    for x, row in zip(X.numpy(), ours):
        numeric = [(log_density(x + h * e) - log_density(x - h * e)) / (2 * h) for e in np.eye(2)]
        assert np.abs(row.numpy() - numeric).max() < 1e-8


@pytest.mark.parametrize("t", [0.2, 0.7])
def test_mixture_covariance_is_the_jacobian_of_the_belief(t):
    """Second-order Tweedie: Cov[x0 | x_t] = (sigma^2 / alpha) d belief / d x_t."""
    affine = PROCESSES["vp"]
    ours = oracle.mixture_covariance(affine, WEIGHTS, MEANS, COVARIANCES, X, t)
    for x, covariance in zip(X, ours):
        jacobian = torch.autograd.functional.jacobian(lambda y: on_mixture(affine)(y[None], t)[0], x)
        assert (covariance - affine.sigma(t) ** 2 / affine.alpha(t) * jacobian).abs().max() < 1e-12


def test_gaussian_path_keeps_the_quantile():
    x = X[:, :1]
    for affine in (FLOW, PROCESSES["ve"]):
        end = oracle.gaussian_path(affine, MEAN, VAR, x, 0.9, 0.2)
        back = oracle.gaussian_path(affine, MEAN, VAR, end, 0.2, 0.9)
        assert (back - x).abs().max() < 1e-13
        for t, y in ((0.9, x), (0.2, end)):
            a, s = float(affine.alpha(t)), float(affine.sigma(t))
            spread = (a**2 * VAR + s**2) ** 0.5
            assert np.allclose(norm.cdf(y, a * MEAN, spread), norm.cdf(x, *_law(affine, 0.9)), atol=1e-13)


def _law(affine, t):
    a, s = float(affine.alpha(t)), float(affine.sigma(t))
    return a * MEAN, (a**2 * VAR + s**2) ** 0.5


def test_condition_against_the_precision_matrix():
    """The Schur complement is the inverse of a block of the inverse."""
    covariance = torch.tensor([[1.0, 0.3, 0.3], [0.3, 0.6, 0.1], [0.3, 0.1, 0.6]], dtype=torch.float64)
    mean, observed = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64), torch.tensor([True, False, False])
    value = torch.tensor([0.9], dtype=torch.float64)
    m, c = oracle.condition(mean, covariance, observed, value)
    precision = torch.linalg.inv(covariance)
    assert (c - torch.linalg.inv(precision[1:, 1:])).abs().max() < 1e-14
    assert (m - (mean[1:] - c @ precision[1:, :1] @ (value - mean[:1]))).abs().max() < 1e-14


@pytest.mark.parametrize("mask", [True, False])
def test_tokens_by_enumeration(mask):
    """Two dependent tokens: Bayes over every (x0, x_t) pair with the matrix Qbar written out."""
    joint = torch.tensor([[0.1, 0.25, 0.05], [0.2, 0.0, 0.15], [0.05, 0.1, 0.1]], dtype=torch.float64)
    keep = keep_of(FLOW)
    process = absorbing(3, keep) if mask else marginal(torch.tensor([0.2, 0.5, 0.3]), keep)
    k = len(process.m)
    table = torch.nn.functional.pad(joint, (0, k - 3, 0, k - 3))
    qbar = 0.4 * torch.eye(k).double() + 0.6 * torch.ones(k, 1).double() * process.m
    for x_t in itertools.product(range(k), repeat=2):
        p = table * qbar[:, x_t[0]][:, None] * qbar[:, x_t[1]][None]
        if p.sum() == 0:
            continue  # a pair of values that cannot occur
        belief = oracle.tokens(process, table)(torch.tensor([x_t]), 0.6)[0]
        p = p / p.sum()
        assert (belief - torch.stack([p.sum(1), p.sum(0)])).abs().max() < 1e-15
