"""A second opinion on Sinkhorn's plan: POT's, at the same regularisation."""

from __future__ import annotations

import pytest
import torch

from scigen.coupling import sinkhorn_plan

ot = pytest.importorskip("ot", exc_type=ImportError)


def test_plan(rng):
    x, y = torch.randn(30, 2, dtype=torch.float64, generator=rng), torch.rand(20, 2, dtype=torch.float64, generator=rng)
    a, b = (torch.rand(n, dtype=torch.float64, generator=rng) for n in (30, 20))
    a, b, cost = a / a.sum(), b / b.sum(), torch.cdist(x, y) ** 2
    for reg in (0.5, 1.28):
        theirs = ot.sinkhorn(
            a.numpy(), b.numpy(), cost.numpy(), reg, method="sinkhorn_log", stopThr=1e-13, numItermax=20_000
        )
        assert (sinkhorn_plan(cost, reg, a, b, 1e-12) - torch.from_numpy(theirs)).abs().max() < 1e-10
