"""Draws fitted to what was observed: the minimum in closed form, and how far it may go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.fit import fitted
from scigen.io.shape import Cloud
from scigen.nn.point_codec import PointCodec
from scigen.nn.point_encoder import CodecShape
from scigen.state import State

K, F = 8, 6


class Dots(nn.Module):
    """Decodes a latent to its own place; what the features say moves nothing."""

    def forward(self, latents: State, code: Tensor) -> tuple[Tensor, Tensor]:
        points = latents["pos"][:, None].expand(-1, len(code), -1, -1).flatten(1, 2) + 0 * latents["feat"].sum()
        return points, points


def drawn() -> State:
    g = torch.Generator().manual_seed(0)
    pos = 0.4 * torch.tensor([[x, y, z] for x in (-1.0, 1) for y in (-1.0, 1) for z in (-1.0, 1)])[None]
    return State({"pos": pos, "feat": torch.randn(1, K, F, generator=g)}, torch.ones(1, K, dtype=torch.bool))


def test_a_shift_is_followed_but_for_what_staying_near_is_worth() -> None:
    """All points seen t further on: s = argmin |t - s|^2 / d^2 + lambda |s|^2 / (3 a^2), d .01, a .03, lambda .3."""
    x, t = drawn(), np.array([0.02, -0.01, 0.03])
    found = fitted(Dots(), x, x["pos"][0].numpy() + t, 600)
    assert (found["pos"] - x["pos"] - torch.from_numpy(t) / (1 + 0.3 / 27)).abs().max() < 1e-3, "a tenth of a step"
    assert torch.equal(found["feat"], x["feat"]), "no slope, no step"


def test_what_was_not_observed_asks_for_nothing() -> None:
    x = drawn()
    seen = x["pos"][0, :3].numpy() + np.array([0.02, 0, 0])
    found = fitted(Dots(), x, seen, 200)
    assert (found["pos"] - x["pos"])[0, 3:].abs().max() == 0 and (found["pos"] - x["pos"])[0, :3, 0].min() > 0.015


@pytest.fixture(scope="module")
def codec() -> CloudCodec:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        shape = CodecShape(latents=K, feature=F, width=16, heads=2, encoder_layers=1, decoder_layers=1, point_width=16)
        return CloudCodec(PointCodec(shape).eval(), 512)


def test_a_real_decoder_comes_closer_and_nothing_else_changes(codec: CloudCodec) -> None:
    x = drawn()
    seen = codec.decode(x)[0].points + np.array([0.03, 0.0, -0.02], np.float32)

    def off(latents: State) -> float:
        cloud = torch.from_numpy(codec.decode(latents)[0].points)
        return float(torch.cdist(torch.from_numpy(seen), cloud).amin(1).mean())

    found = fitted(codec.network.decoder, x, seen, 20)
    assert off(found) < 0.5 * off(x) and not found["pos"].requires_grad
    assert all(p.grad is None for p in codec.network.parameters())
    again, still = fitted(codec.network.decoder, x, seen, 20), fitted(codec.network.decoder, x, seen, 0)
    assert torch.equal(again["pos"], found["pos"]) and torch.equal(still["feat"], x["feat"])


def test_any_number_of_points_is_fitted(codec: CloudCodec) -> None:
    x = drawn()
    for n in (1, 50, 5000):
        seen = np.random.default_rng(n).normal(size=(n, 3)) / 4
        assert fitted(codec.network.decoder, x, Cloud(seen).points, 2)["pos"].isfinite().all()
