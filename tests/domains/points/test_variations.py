"""Variations and interpolations under the exact belief of unit Gaussian data, whose probability flow only rescales."""

from __future__ import annotations

import pytest
import torch

from scigen.domains.points.interpolation import arc, interpolate
from scigen.domains.points.process import blank
from scigen.domains.points.sampler import Plan
from scigen.domains.points.variations import Original, varied_belief, way_down
from scigen.process import affine
from scigen.solver import ddim, dpmpp_2m
from scigen.state import State, generator

PROCESSES = [affine.rectified(), affine.vp(), affine.ve(), affine.cosine()]
K, F = 40, 30


def gaussian(seen: State, logsnr: torch.Tensor, previous: object = None) -> dict[str, torch.Tensor]:
    """E[x0 | y] for x0 ~ N(0, 1): alpha y, for y of variance one."""
    alpha = torch.sigmoid(logsnr)[:, None, None].sqrt()
    return {name: alpha * seen[name] for name in ("pos", "feat")}


def shapes(count: int, seed: int = 0) -> State:
    like, rng = blank(count, K, F), torch.Generator().manual_seed(seed)
    return like.replace(**{name: torch.randn(like[name].shape, generator=rng) for name in ("pos", "feat")})


def flat(x: State) -> torch.Tensor:
    return torch.cat([x[name].flatten(1) for name in ("pos", "feat")], 1)


@pytest.mark.parametrize("process", PROCESSES, ids=["flow", "vp", "ve", "cosine"])
@pytest.mark.parametrize("strength", [0.2, 0.7])
def test_a_strength_keeps_the_same_share_of_a_shape_under_every_process(process, strength: float) -> None:
    """Noised to t and carried down by the flow, x = (alpha x0 + sigma z) / scale: regressed on x0, alpha / scale."""
    x0 = shapes(8)
    plan = Plan(process, dpmpp_2m, 40)
    out = varied_belief(gaussian, plan, x0, Original(x0, strength), [generator(0, k) for k in range(8)])
    a, b = flat(x0), flat(out)
    share = (1 - strength) / ((1 - strength) ** 2 + strength**2) ** 0.5
    assert float((a * b).mean() / (a * a).mean()) == pytest.approx(share, abs=0.02)
    assert float(b.square().mean()) == pytest.approx(1, abs=0.04)


def test_the_way_down_has_the_levels_of_rectified_flow() -> None:
    plan = Plan(affine.vp(), dpmpp_2m, 10)
    flow, vp = affine.rectified(), affine.vp()
    levels = [float(vp.logsnr(t)) for t in way_down(plan, 0.5)[:-1]]
    wanted = [float(flow.logsnr(t)) for t in (0.5, 0.4, 0.3, 0.2, 0.1)]
    assert levels == pytest.approx(wanted, abs=1e-6) and way_down(plan, 0.5)[-1] == 0
    assert way_down(plan)[0] == 1.0
    with pytest.raises(ValueError, match="`strength` must lie in"):
        Original(shapes(1), 0.0)


@pytest.mark.parametrize("process", PROCESSES, ids=["flow", "vp", "ve", "cosine"])
def test_what_is_held_stays_and_the_rest_is_drawn(process) -> None:
    x0 = shapes(2)
    mask = torch.arange(K) < 15
    for keep in ({"pos": mask, "feat": mask}, {"pos": torch.ones(K, dtype=torch.bool)}):
        rngs = [generator(0, k) for k in range(2)]
        out = varied_belief(gaussian, Plan(process, dpmpp_2m, 40), x0, Original(x0, 1.0, keep), rngs)
        for name in ("pos", "feat"):
            held = keep.get(name, torch.zeros(K, dtype=torch.bool))
            assert torch.equal(out[name][:, held], x0[name][:, held])
            free, before = out[name][:, ~held], x0[name][:, ~held]
            if held.all():
                continue
            assert float(free.square().mean()) == pytest.approx(1, abs=0.15)
            assert abs(float((free * before).mean())) < 0.1, "nothing of what is not held shows"


@pytest.mark.parametrize("process", PROCESSES, ids=["flow", "vp", "ve", "cosine"])
def test_the_way_between_two_shapes_is_their_arc(process) -> None:
    """The flow of unit Gaussian data only rescales: noise and shape are one point, the arc that of the shapes."""
    both = shapes(2)
    a, b = (both.map(lambda x, k=k: x[k : k + 1]) for k in (0, 1))
    b = b.replace(pos=a["pos"] + 1e-3 * b["pos"])  # latent points are matched by place: keep them in order
    order = torch.randperm(K, generator=torch.Generator().manual_seed(1))
    mixed = b.replace(pos=b["pos"][:, order], feat=b["feat"][:, order])
    way = interpolate(gaussian, Plan(process, ddim(0.0), 60), a, mixed, 5)
    ends = State({name: torch.cat([a[name], b[name]]) for name in ("pos", "feat")}, both.mask)
    expected = arc(ends, torch.linspace(0, 1, 5))
    assert max(way.returned) < 0.02
    assert torch.allclose(flat(way.shapes), flat(expected), atol=0.1)


def test_an_arc_keeps_its_distance_from_the_origin() -> None:
    ends = shapes(2, 3)
    points = flat(arc(ends, torch.linspace(0, 1, 7)))
    assert torch.allclose(points[0], flat(ends)[0]) and torch.allclose(points[-1], flat(ends)[1])
    first, last = flat(ends).norm(dim=1)
    assert torch.allclose(points.norm(dim=1), torch.lerp(first, last, torch.linspace(0, 1, 7)), rtol=0.012), (
        "a chord would sag by 0.29"
    )
    angles = [float(torch.cosine_similarity(a, b, 0)) for a, b in zip(points, points[1:])]
    assert max(angles) - min(angles) < 1e-2, "even steps"
    same = arc(State({k: torch.cat([v[:1]] * 2) for k, v in ends.fields.items()}, ends.mask), torch.tensor([0.5]))
    assert torch.allclose(flat(same)[0], flat(ends)[0])
    with pytest.raises(ValueError, match="at least 2"):
        interpolate(gaussian, Plan(PROCESSES[0], dpmpp_2m, 4), shapes(1), shapes(1), 1)
