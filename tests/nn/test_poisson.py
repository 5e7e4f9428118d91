"""Spectral Poisson against closed forms: the sphere's indicator, linearity, the symmetries of the grid, gradients."""

from __future__ import annotations

import math

import pytest
import torch

from scigen.nn.poisson import HALF, indicator, interpolate, splat


def sphere(n: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """`n` nearly evenly spread unit vectors (a Fibonacci spiral), `[1, n, 3]`."""
    i = torch.arange(n, dtype=dtype) + 0.5
    y, turn = 1 - 2 * i / n, math.pi * (1 + 5**0.5) * i
    ring = (1 - y * y).sqrt()
    return torch.stack([ring * turn.cos(), y, ring * turn.sin()], -1)[None]


def cloud(rng: torch.Generator, n: int = 40, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Points within 0.25 of the middle and unit normals, float64."""
    x, n_ = (torch.randn(batch, n, 3, generator=rng, dtype=torch.float64) for _ in range(2))
    return 0.25 * x / x.norm(dim=-1, keepdim=True).clamp(min=1), n_ / n_.norm(dim=-1, keepdim=True)


def zero_radius(chi: torch.Tensor, directions: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Where chi changes sign along each direction, by bisection."""
    a, b = torch.full(directions.shape[:2], low).double(), torch.full(directions.shape[:2], high).double()
    for _ in range(40):
        middle = (a + b) / 2
        below = interpolate(chi[..., None], middle[..., None] * directions)[..., 0] < 0
        a, b = torch.where(below, middle, a), torch.where(below, b, middle)
    return a


@pytest.mark.parametrize("radius", [0.2, 0.31])
def test_a_sphere_has_its_indicator_and_its_radius(radius: float) -> None:
    """Minus the indicator jumps by 1; the zero level is the sphere, the nearer the finer the grid."""
    unit = sphere(20_000)
    weights = torch.full((1, 20_000), 4 * math.pi * radius**2 / 20_000, dtype=torch.float64)
    errors = []
    for size in (16, 32, 64):
        chi = indicator(radius * unit, unit, weights, size)
        jump = chi[0, 3, 3, 3] - chi[0, size // 2, size // 2, size // 2]
        assert jump.item() == pytest.approx(1, abs=0.02)
        assert -0.65 < chi[0, size // 2, size // 2, size // 2] < -0.5 < 0.35 < chi[0, 3, 3, 3] < 0.5
        found = zero_radius(chi, sphere(200), radius - 0.1, radius + 0.1)
        assert found.mean().item() == pytest.approx(radius, abs=1e-4)
        errors.append((found - radius).abs().max().item())
    cell = 2 * HALF / 64
    assert errors[2] < 0.05 * cell
    order = math.log2(errors[0] / errors[2]) / 2
    assert 1 < order < 3


def test_without_weights_the_jump_is_one_over_the_area() -> None:
    unit = sphere(4000)
    chi = indicator(0.3 * unit, unit)
    jump = (chi[0, 4, 4, 4] - chi[0, 32, 32, 32]).item()
    assert jump == pytest.approx(1 / (4 * math.pi * 0.3**2), rel=0.02)


def test_it_is_linear_in_the_normals_and_odd(rng: torch.Generator) -> None:
    x, n = cloud(rng)
    _, m = cloud(rng)
    together = indicator(x, 2 * n - 3 * m, size=16)
    assert torch.allclose(together, 2 * indicator(x, n, size=16) - 3 * indicator(x, m, size=16), atol=1e-9)
    assert torch.allclose(indicator(x, -n, size=16), -indicator(x, n, size=16), atol=1e-12)


def test_moving_by_whole_cells_moves_the_grid(rng: torch.Generator) -> None:
    x, n = cloud(rng)
    size = 32
    shift = torch.tensor([2, -1, 3]) * (2 * HALF / size)
    moved = indicator(x + shift, n, size=size)
    assert torch.allclose(moved, indicator(x, n, size=size).roll((2, -1, 3), (1, 2, 3)), atol=1e-9)


@pytest.mark.parametrize("axes", [(0, 1), (1, 2), (2, 0)])
def test_a_quarter_turn_turns_the_grid(rng: torch.Generator, axes: tuple[int, int]) -> None:
    """The frequency R/2 included, where a careless derivative prefers one direction."""
    x, n = cloud(rng)
    a, b = axes
    turn = torch.eye(3, dtype=torch.float64)
    turn[a, a] = turn[b, b] = 0
    turn[a, b], turn[b, a] = -1, 1
    chi = indicator(x, n, size=16, sigma=0.5)
    # New axis a is minus the old b: index i there was index -i, and index 0 is its own mirror image.
    mirrored = chi.flip(b + 1).roll(1, b + 1)
    expected = mirrored.transpose(a + 1, b + 1)
    assert torch.allclose(indicator(x @ turn.T, n @ turn.T, size=16, sigma=0.5), expected, atol=1e-9)


def test_splat_and_interpolate_are_adjoint(rng: torch.Generator) -> None:
    x, _ = cloud(rng, batch=2)
    values = torch.randn(2, 40, 2, generator=rng, dtype=torch.float64)
    grid = torch.randn(2, 16, 16, 16, 2, generator=rng, dtype=torch.float64)
    spread = splat(x, values, 16)
    assert (spread * grid).sum().item() == pytest.approx((values * interpolate(grid, x)).sum().item(), rel=1e-12)
    assert torch.allclose(spread.sum((1, 2, 3)), values.sum(1))


def test_interpolation_is_exact_for_coordinates(rng: torch.Generator) -> None:
    x, _ = cloud(rng)
    node = HALF * (2 * torch.arange(16, dtype=torch.float64) / 16 - 1)
    grid = torch.stack(torch.meshgrid(node, node, node, indexing="ij"), -1)[None]
    assert torch.allclose(interpolate(grid, x), x, atol=1e-14)


def test_gradients_are_right(rng: torch.Generator) -> None:
    x, n = cloud(rng, 5)
    w = torch.rand(1, 5, generator=rng, dtype=torch.float64) + 0.5
    probe = torch.randn(1, 8, 8, 8, generator=rng, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (x, n, w)]
    assert torch.autograd.gradcheck(lambda *a: (probe * indicator(*a, size=8)).sum(), inputs)


def test_padding_and_the_batch_change_nothing(rng: torch.Generator) -> None:
    x, n = cloud(rng, 30, batch=2)
    w = torch.rand(2, 30, generator=rng, dtype=torch.float64)
    w[0, 20:] = 0
    both = indicator(x, n, w, 16)
    assert torch.allclose(both[:1], indicator(x[:1, :20], n[:1, :20], w[:1, :20], 16), atol=1e-12)
    assert torch.allclose(both[1:], indicator(x[1:], n[1:], w[1:], 16), atol=1e-12)


def test_points_outside_stay_at_the_rim_and_do_not_wrap() -> None:
    far = torch.tensor([[[0.9, 0.0, 0.0], [0.0, 0.0, 0.0]]], requires_grad=True)
    normals = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]]])
    grid = splat(far, normals, 16)
    assert grid[0, 15, 8, 8, 0] == 1 and grid[0, :8].abs().max() == 0
    indicator(far, normals, size=16).square().sum().backward()
    assert far.grad is not None and far.grad[0, 0, 0] == 0 and far.grad[0, 0].isfinite().all()


def test_float32_agrees_with_float64(rng: torch.Generator) -> None:
    unit = sphere(1000)
    single = indicator((0.3 * unit).float(), unit.float(), size=32)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), indicator(0.3 * unit, unit, size=32), atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "size", "sigma", "match"),
    [((2, 3), 16, 2.0, "give both as"), ((1, 4, 3), 15, 2.0, "even size"), ((1, 4, 3), 16, -1.0, "negative sigma")],
)
def test_refusals(shape: tuple[int, ...], size: int, sigma: float, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        indicator(torch.zeros(shape), torch.zeros(shape), size=size, sigma=sigma)
