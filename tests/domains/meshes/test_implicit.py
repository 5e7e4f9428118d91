"""Signed distances by brute force and in closed form; surfaces from them; the task that learns them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scigen.domains.meshes.implicit import COARSE, ImplicitDecoder, signed_field
from scigen.domains.meshes.implicit_task import ImplicitLoss, ImplicitTask, implicit_loss
from scigen.domains.meshes.signed import signed_distance, signed_samples
from scigen.domains.meshes.surface import extract
from scigen.domains.points.latents import LatentBatches
from scigen.domains.points.process import blank
from scigen.errors import NumericError
from scigen.io.shape import Mesh
from scigen.metrics.mesh import examine
from scigen.nn.implicit import ImplicitNetwork, ImplicitShape
from scigen.nn.poisson import HALF
from scigen.state import State
from tests.domains.shapes.bodies import ball, box, joined

TINY = ImplicitShape(feature=4, width=16, heads=2, layers=1, neighbours=4, hidden=16)


def box_distance(x: np.ndarray, half: np.ndarray) -> np.ndarray:
    q = np.abs(x) - half
    return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0)


def test_distances_to_a_box_in_closed_form(numpy_rng: np.random.Generator) -> None:
    """Twelve large triangles: most feet outside lie on edges and corners."""
    half = np.array([0.3, 0.15, 0.4])
    x = numpy_rng.uniform(-0.5, 0.5, (2000, 3))
    assert np.abs(signed_distance(box(half), x, numpy_rng) - box_distance(x, half)).max() < 1e-6


def test_a_hollow_ball_and_a_crumb_beside_it(numpy_rng: np.random.Generator) -> None:
    inner = ball(0.2, rings=12)
    solid = joined(ball(0.4, rings=20), Mesh(inner.vertices, inner.faces[:, ::-1]), ball(0.05, (0.5, 0, 0), 8))
    x = numpy_rng.uniform(-0.55, 0.55, (2000, 3))
    radius = np.linalg.norm(x, axis=1)
    true = np.minimum(np.maximum(radius - 0.4, 0.2 - radius), np.linalg.norm(x - (0.5, 0, 0), axis=1) - 0.05)
    found = signed_distance(solid, x, numpy_rng)
    off = np.abs(found - true) > 6e-3  # the facets cut corners by up to 5e-3
    assert not off[np.abs(true) < 0.08].any()
    assert ((found < 0) == (true < 0))[np.abs(true) > 6e-3].all()


def test_places_lie_where_they_tell_most(numpy_rng: np.random.Generator) -> None:
    places, distance = signed_samples(ball(0.4, rings=24), 2000, numpy_rng)
    assert places.dtype == np.float16 and distance.dtype == np.float32 and np.abs(places).max() <= HALF
    true = np.linalg.norm(places.astype(np.float64), axis=1) - 0.4
    assert np.abs(distance - true)[np.abs(true) < 0.08].max() < 6e-3, "of the places as they are rounded"
    assert np.abs(true[:800]).mean() == pytest.approx(0.01 * (2 / np.pi) ** 0.5, rel=0.1)
    assert np.abs(true[800:1600]).mean() == pytest.approx(0.03 * (2 / np.pi) ** 0.5, rel=0.1)
    assert np.ptp(places[1600:], axis=0).min() > 1


@pytest.mark.parametrize("size", [32, 64])
def test_the_band_is_all_that_the_surface_needs(size: int) -> None:
    half = torch.tensor([0.3, 0.1, 0.42])
    asked = []

    def distance(x: torch.Tensor) -> torch.Tensor:
        asked.append(len(x))
        return torch.from_numpy(box_distance(x.double().numpy(), half.double().numpy())).float()

    field = signed_field(distance, size)
    node = HALF * (2 / size * torch.arange(size) - 1)
    whole = distance(torch.cartesian_prod(node, node, node)).reshape(size, size, size)
    a, b = (extract(f.numpy()).mesh for f in (field, whole))
    assert np.array_equal(a.faces, b.faces) and np.allclose(a.vertices, b.vertices, atol=1e-6)
    assert ((field < 0) == (whole < 0)).all()
    assert size == COARSE or sum(asked[:2]) < 0.25 * size**3
    look = examine(a.vertices, a.faces)
    assert look.watertight and look.solid and look.genus == 0
    assert look.volume == pytest.approx(8 * 0.3 * 0.1 * 0.42, rel=0.15 if size == 32 else 0.05)


def test_a_size_that_does_not_divide() -> None:
    with pytest.raises(ValueError, match="a multiple of 32"):
        signed_field(lambda x: x.norm(dim=-1), 100)


def spheres(count: int, rng: torch.Generator) -> State:
    """Spheres as eight latents on them, their radius told by the features, with places and distances."""
    radius = 0.2 + 0.25 * torch.rand(count, 1, 1, generator=rng)
    unit = torch.nn.functional.normalize(torch.randn(count, 8, 3, generator=rng), dim=-1)
    query = (torch.rand(count, 300, 3, generator=rng) - 0.5).half()
    fields = {"pos": radius * unit, "feat": torch.ones(count, 8, 4) * 4 * (radius - 0.3), "query": query}
    fields["distance"] = query.float().norm(dim=-1) - radius[..., 0]
    return State(fields, torch.ones(count, 8, dtype=torch.bool))


def tiny() -> ImplicitNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ImplicitNetwork(TINY)


class OneWorker:
    rank, size = 0, 1


def test_the_task_is_learnt_and_its_surface_is_the_sphere(rng: torch.Generator) -> None:
    net, config = tiny(), ImplicitLoss(queries=100, pos_noise=0.0, feat_noise=0.0)
    task = ImplicitTask(net, LatentBatches(spheres(32, rng), 8, 0), config)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    told = []
    for step in range(60):
        optimizer.zero_grad()
        total, terms, count = task.loss(net, step, OneWorker, rng)
        total.backward()
        optimizer.step()
        told.append(float(total.detach()))
    assert count == 8 and set(terms) == {"distance", "side"}
    assert np.mean(told[-10:]) < 0.6 * np.mean(told[:3])
    x = spheres(1, rng)
    found = ImplicitDecoder(net, 32)(x)
    a = examine(found.mesh.vertices, found.mesh.faces)
    assert a.watertight and a.solid
    radius = float(x["pos"].norm(dim=-1).mean())
    assert np.linalg.norm(found.mesh.vertices, axis=1).mean() == pytest.approx(radius, abs=0.07)


def test_the_loss_in_closed_form(rng: torch.Generator) -> None:
    x, config = spheres(4, rng), ImplicitLoss(truncate=0.05, queries=300, pos_noise=0.0, feat_noise=0.0)

    def exact(latents: State, query: torch.Tensor) -> torch.Tensor:
        return query.norm(dim=-1) - latents["pos"].norm(dim=-1).mean(1, keepdim=True)

    total, terms = implicit_loss(exact, x, rng, config)
    assert float(total) < 1e-4 and float(terms["side"]) == 0
    total, terms = implicit_loss(lambda latents, query: -exact(latents, query), x, rng, config)
    assert 1 < float(total) <= 2 and float(terms["side"]) == 1, "far from the surface the error is cut at twice tau"
    noisy = ImplicitLoss(truncate=0.05, queries=300)
    assert float(implicit_loss(exact, x, rng, noisy)[0]) > 1e-3, "noise on the latents shows"


def test_what_encloses_nothing_is_named() -> None:
    net = tiny()
    torch.nn.init.zeros_(net.out[2].weight)
    torch.nn.init.ones_(net.out[2].bias)
    with pytest.raises(NumericError, match="no zero level"):
        ImplicitDecoder(net, 32)(blank(1, 8, 4))
