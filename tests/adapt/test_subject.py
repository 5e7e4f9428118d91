"""Few-shot tuning: a new mode is learnt from four examples, and the prior term keeps the rest."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from scigen.adapt.subject import prior_samples, subject_loss
from scigen.oracle import gaussian, tokens
from scigen.process.affine import rectified, ve
from scigen.process.categorical import keep_of, uniform_tokens
from scigen.process.product import Product
from scigen.solver import ddim, dpmpp_2m, sample
from scigen.solver.grids import late
from scigen.state import State, mirror
from tests.anchors.problems import COVARIANCES, MEANS, WEIGHTS, on_mixture

FLOW = rectified()
PLACE = torch.tensor([2.5, -2.0])


class Tuned(nn.Module):
    """The exact belief of M, and a perceptron beside it that is zero at first and sees the class."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x, t, label):
        level = torch.as_tensor(t, dtype=x.dtype).expand(len(x))[:, None]
        return on_mixture(FLOW)(x, t) + self.net(torch.cat([x, level, label.expand(len(x), 1)], 1))

    def labelled(self, label):
        return lambda x, t, previous=None: self(x, t, torch.full((1, 1), label))


def error(net, rng):
    """The loss of a batch (x0, label) on fresh times and noise."""

    def loss(batch):
        x0, label = batch
        t = torch.rand(len(x0), generator=rng).double() * 0.98 + 0.01
        x_t = FLOW.noise(x0, torch.randn(x0.shape, generator=rng), t)
        return (net(x_t, t, label) - x0).square().mean()

    return loss


def drawn_before(count=512):
    rng = torch.Generator().manual_seed(1)
    return prior_samples(FLOW, Tuned().labelled(0.0), torch.zeros(count, 2), late(20), rng, dpmpp_2m)


def tune(weight, prior):
    """150 steps on four examples; without a prior term where `weight` is 0."""
    net, rng = Tuned(), torch.Generator().manual_seed(2)
    own = (PLACE + 0.1 * torch.randn(4, 2, generator=rng)).repeat(32, 1), torch.ones(1, 1)
    optimizer, loss = torch.optim.Adam(net.parameters(), 3e-3), error(net, rng)
    for _ in range(150):
        rows = torch.randint(len(prior), (128,), generator=rng)
        total = subject_loss(loss, own, (prior[rows], torch.zeros(1, 1)), weight)[0] if weight else loss(own)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    return net


def loss_on(net, x0, label):
    """On the same times and noise for every network."""
    with torch.no_grad():
        return float(error(net, torch.Generator().manual_seed(3))((x0.repeat(8, 1), torch.full((1, 1), label))))


def test_a_mode_is_learnt_and_the_prior_is_kept():
    """The model starts from the exact belief, so that its loss on prior samples can only rise: by a hundredth."""
    prior = drawn_before()
    held = torch.randn(256, 2, generator=torch.Generator().manual_seed(4)) * 0.1 + PLACE
    before, tuned, careless = Tuned(), tune(1.0, prior), tune(0.0, prior)
    assert loss_on(tuned, held, 1.0) < 0.1 * loss_on(before, held, 1.0)
    assert loss_on(tuned, prior, 0.0) < 1.05 * loss_on(before, prior, 0.0)
    assert loss_on(careless, prior, 0.0) > 2 * loss_on(before, prior, 0.0), "the prior term does the keeping"
    z = torch.randn(512, 2, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        named, usual = (sample(FLOW, tuned.labelled(k), z, late(20), torch.Generator(), ddim())[0] for k in (1.0, 0.0))
    assert (named.mean(0) - PLACE).norm() < 0.5
    assert (usual.mean(0) - PLACE).norm() > 2.5


def test_the_loss_is_its_two_terms(rng):
    """And so is its gradient."""
    net = copy.deepcopy(Tuned()).double()
    nn.init.normal_(net.net[-1].weight, generator=rng)
    own, prior = ((torch.randn(8, 2, generator=rng).double(), torch.full((1, 1), k).double()) for k in (1.0, 0.0))
    total, terms = subject_loss(error(net, torch.Generator().manual_seed(0)), own, prior, 0.3)
    again = error(net, torch.Generator().manual_seed(0))
    alone = [again(own), again(prior)]
    assert float(terms["own"].detach()) == float(alone[0].detach())
    assert float(terms["prior"].detach()) == float(alone[1].detach())
    slopes = [torch.cat([g.flatten() for g in torch.autograd.grad(x, net.parameters())]) for x in (total, *alone)]
    assert (slopes[0] - slopes[1] - 0.3 * slopes[2]).abs().max() < 1e-14
    with pytest.raises(ValueError, match="`weight` must be positive, got 0"):
        subject_loss(again, own, prior, 0)


def test_prior_samples_follow_the_model():
    x0 = drawn_before(4000).double()
    mean = WEIGHTS @ MEANS
    spread = (WEIGHTS[:, None, None] * (COVARIANCES + (MEANS - mean)[:, :, None] * (MEANS - mean)[:, None])).sum(0)
    assert (x0.mean(0) - mean).abs().max() < 0.1 and (x0.T.cov() - spread).abs().max() < 0.15
    assert not x0.requires_grad and not x0.is_inference()


@pytest.mark.parametrize("affine", [FLOW, ve()], ids=["flow", "ve"])
def test_prior_samples_of_a_state_are_clean_data(affine):
    """No noise is left where sigma(0) > 0 (VE), tokens are classes, and bonds are symmetric."""
    keep, count = keep_of(affine), 400
    process = Product(
        {"pos": affine, "atom": uniform_tokens(2, keep), "bond": uniform_tokens(2, keep)},
        lambda x: x.replace(bond=mirror(x["bond"])),
    )
    certain = torch.tensor([0.0, 1.0]).double()
    point, of_atom = gaussian(affine, 0.7, 0.0), tokens(process.parts["atom"], certain)

    def denoise(x, t, previous=None):
        return {
            "pos": point(x["pos"], t),
            "atom": of_atom(x["atom"].reshape(-1, 1), t).reshape(count, 2, 2),
            "bond": torch.full((count, 2, 2, 2), 0.5),
        }

    fields = {
        "pos": torch.zeros(count, 2, 3),
        "atom": torch.zeros(count, 2).long(),
        "bond": torch.zeros(count, 2, 2).long(),
    }
    x0 = prior_samples(process, denoise, State(fields, torch.ones(count, 2) > 0), late(5), torch.Generator())
    assert torch.equal(x0["pos"], torch.full((count, 2, 3), 0.7)) and (x0["atom"] == 1).all()
    assert torch.equal(x0["bond"], x0["bond"].mT) and 0 < x0["bond"].sum() < count * 2
