"""Both precisions, for whole networks."""

from __future__ import annotations

import pytest
import torch

from tests.nn.problems import TOLERANCE


@pytest.fixture(params=TOLERANCE, ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    """Either precision. The transformer keeps its geometry in full precision, `.float()`: here full means float64."""
    if request.param == torch.float64:
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    return request.param
