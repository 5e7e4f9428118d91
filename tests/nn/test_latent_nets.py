"""Networks on sets of points: no order, no padding, no neighbours in the batch; classes, observations, turns."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from scigen.nn.attention import Attention, fourier
from scigen.nn.latent_transformer import LatentConfig, LatentTransformer
from scigen.nn.latent_vectors import VectorConfig, VectorTransformer
from scigen.nn.point_process import PointConfig, PointNetwork
from scigen.state import State
from tests.nn.problems import orthogonal

FEATURES, VECTORS = 10, VectorConfig(4, 2, 3, categories=3, width=32, channels=8, layers=2, heads=4)
MAKERS = {
    "latent": lambda: LatentTransformer(LatentConfig(FEATURES, categories=3, width=32, layers=2, heads=4)),
    "vector": lambda: VectorTransformer(VECTORS),
    "raw": lambda: PointNetwork(PointConfig(categories=3, width=32, tokens=6, rounds=2, blocks=1, heads=4)),
}
ON_TOKENS = ("latent", "vector")
every_network = pytest.mark.parametrize("kind", MAKERS)
SIZES, GIVEN = [9, 6, 7], [5, 3, 0]


@cache
def small(kind: str, dtype: torch.dtype = torch.float64, silent: bool = False) -> torch.nn.Module:
    """Shared by tests; unless `silent`, nothing that starts at zero stays there."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = MAKERS[kind]()
        for p in net.parameters():
            if not silent and not p.any():
                torch.nn.init.normal_(p, std=0.2)
    return net.to(dtype).eval()


def shapes(kind: str, dtype: torch.dtype = torch.float64, seed: int = 0, **more: torch.Tensor) -> State:
    """Three sets of different sizes, with a class, a start and observed tokens where the network takes them."""
    rng = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64).to(dtype)

    mask = torch.arange(max(SIZES))[None] < torch.tensor(SIZES)[:, None]
    fields = {"pos": randn(3, 9, 3), "feat": randn(3, 9, FEATURES), "category": torch.tensor([0, 2, 1])}
    fields |= {"start": randn(3, 9, 3 + FEATURES), "given": randn(3, 5, 3 + FEATURES)}
    fields["given_mask"] = torch.arange(5)[None] < torch.tensor(GIVEN)[:, None]
    if kind == "raw":
        fields = {name: fields[name] for name in ("pos", "category")}
    return State({**fields, **more}, mask)


def without(x: State, *names: str) -> State:
    return State({k: v for k, v in x.fields.items() if k not in names}, x.mask)


def run(net, x: State, logsnr=None) -> torch.Tensor:
    """Positions and features side by side."""
    with torch.no_grad():
        levels = torch.linspace(-4, 5, len(x.mask), dtype=x["pos"].dtype) if logsnr is None else logsnr
        return torch.cat(list(net(x, levels).values()), -1)


def gap(a, b, mask) -> float:
    return float((a - b)[mask].abs().max())


@every_network
def test_the_order_of_tokens_means_nothing(kind):
    net, x = small(kind), shapes(kind)
    rng = torch.Generator().manual_seed(1)
    order = (torch.rand(x.mask.shape, generator=rng) + ~x.mask * 10).argsort(1)
    rows = torch.arange(3)[:, None]
    moved = x.replace(**{name: x[name][rows, order] for name in ("pos", "feat", "start") if name in x})
    assert gap(run(net, moved), run(net, x)[rows, order], x.mask) < 1e-12
    assert gap(run(net, moved), run(net, x), x.mask) > 0.1, "the test could not fail"
    if kind in ON_TOKENS:
        flipped = x.replace(given=x["given"].flip(1), given_mask=x["given_mask"].flip(1))
        assert gap(run(net, flipped), run(net, x), x.mask) < 1e-12


@every_network
def test_padding_does_not_show(kind):
    net, x = small(kind), shapes(kind)
    junk = {name: torch.where(x.mask[..., None], x[name], 7.0) for name in ("pos", "feat", "start") if name in x}
    if kind in ON_TOKENS:
        junk["given"] = torch.where(x["given_mask"][..., None], x["given"], -9.0)
    out = run(net, x)
    assert gap(run(net, x.replace(**junk)), out, x.mask) < 1e-12
    assert not out[~x.mask].any()
    net_free = {name: v.clone() for name, v in x.fields.items()}
    net_free["pos"][0, 0] += 1.0  # a real token does show
    assert gap(run(net, State(net_free, x.mask)), out, x.mask) > 1e-3


@every_network
def test_the_batch_does_not_show(kind):
    net, x = small(kind), shapes(kind)
    together, levels = run(net, x), torch.linspace(-4, 5, 3, dtype=torch.float64)
    for k, n in enumerate(SIZES):
        one = x.map(lambda v, k=k: v[k : k + 1])
        own = {name: v[:, :n] if v.dim() > 1 and v.shape[1] == 9 else v for name, v in one.fields.items()}
        alone = run(net, State(own, x.mask[k : k + 1, :n]), levels[k : k + 1])
        assert (alone[0] - together[k, :n]).abs().max() < 1e-12


@every_network
def test_no_class_is_the_null_class(kind):
    net, x = small(kind), shapes(kind)
    null = run(net, x.replace(category=torch.full((3,), 3)))
    assert gap(run(net, without(x, "category")), null, x.mask) == 0
    assert gap(run(net, x), null, x.mask) > 1e-3


@pytest.mark.parametrize("kind", ON_TOKENS)
def test_an_empty_observation_is_none_and_no_start_is_zero(kind):
    net, x = small(kind), shapes(kind)
    bare = run(net, without(x, "given", "given_mask"))
    assert (run(net, x)[2] - bare[2]).abs().max() < 1e-12, "the third sample is given nothing"
    assert (run(net, x)[0] - bare[0]).abs().max() > 1e-3
    nowhere = run(net, without(x, "start"))
    assert gap(run(net, x), nowhere, x.mask) > 1e-3
    if kind == "vector":
        assert gap(run(net, x.replace(start=0 * x["start"])), nowhere, x.mask) < 1e-12


@every_network
def test_starts_from_the_best_guess_that_ignores_everything(kind):
    net, x = small(kind, silent=True), shapes(kind)
    alpha = torch.sigmoid(torch.linspace(-4, 5, 3, dtype=torch.float64)).sqrt()[:, None, None]
    seen = torch.cat([x[name] for name in ("pos", "feat") if name in x], -1)
    assert gap(run(net, x), alpha * seen, x.mask) < 1e-12
    assert gap(run(small(kind), x), run(small(kind), x, torch.zeros(3).double()), x.mask) > 1e-2, "log-SNR matters"


def turned(token: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Positions and vectors of `[..., 3 + S + 3 V]` turned, scalars left."""
    pos, scalar, vector = token.split([3, VECTORS.scalars, 3 * VECTORS.vectors], -1)
    return torch.cat([pos @ q, scalar, (vector.unflatten(-1, (-1, 3)) @ q).flatten(-2)], -1)


def turn_all(x: State, q: torch.Tensor) -> State:
    token = turned(torch.cat([x["pos"], x["feat"]], -1), q)
    both = {name: turned(x[name], q) for name in ("start", "given")}
    return x.replace(pos=token[..., :3], feat=token[..., 3:], **both)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("determinant", [1, -1], ids=["rotation", "reflection"])
def test_turning_the_input_turns_the_answer(dtype, tolerance, determinant):
    net, x, q = small("vector", dtype), shapes("vector", dtype), orthogonal(determinant, dtype)
    expected, got = turned(run(net, x), q), run(net, turn_all(x, q))
    assert float((got - expected).norm() / expected.norm()) < tolerance
    assert float((got - run(net, x)).norm() / expected.norm()) > 0.1, "the test could not fail"


def test_a_frame_breaks_the_symmetry_and_turns_with_the_rest():
    net, q = small("vector"), orthogonal(1, torch.float64)
    axes = torch.eye(3, dtype=torch.float64).expand(3, 3, 3)
    x = shapes("vector", frame=axes)
    expected, fixed = turned(run(net, x), q), run(net, turn_all(x, q))
    assert float((fixed - expected).norm() / expected.norm()) > 1e-2
    carried = run(net, turn_all(x, q).replace(frame=q.T @ axes))
    assert float((carried - expected).norm() / expected.norm()) < 1e-12
    none = run(net, x.replace(frame=0 * axes))
    assert gap(none, run(net, without(x, "frame")), x.mask) == 0


def test_the_up_axis_alone_leaves_turns_about_it():
    net = small("vector")
    up = torch.zeros(3, 3, 3, dtype=torch.float64)
    up[:, 1, 0] = 1
    x, c, s = shapes("vector", frame=up), 0.6, 0.8
    about = torch.tensor([[c, 0, -s], [0, 1, 0], [s, 0, c]], dtype=torch.float64)
    tilt = torch.tensor([[1, 0, 0], [0, c, s], [0, -s, c]], dtype=torch.float64)
    expected = {q: turned(run(net, x), q) for q in (about, tilt)}
    assert gap(run(net, turn_all(x, about)), expected[about], x.mask) < 1e-12
    assert gap(run(net, turn_all(x, tilt)), expected[tilt], x.mask) > 1e-3


def test_features_may_be_scalars_alone():
    net = VectorTransformer(VectorConfig(FEATURES, 0, width=32, channels=8, layers=1, heads=4)).double()
    torch.nn.init.normal_(net.vector_out.weight)
    x, q = without(shapes("vector"), "category"), orthogonal(1, torch.float64)
    spun = {name: torch.cat([x[name][..., :3] @ q, x[name][..., 3:]], -1) for name in ("start", "given")}
    out, got = run(net, x), run(net, x.replace(pos=x["pos"] @ q, **spun))
    assert gap(got[..., :3], out[..., :3] @ q, x.mask) < 1e-12 and gap(got[..., 3:], out[..., 3:], x.mask) < 1e-12


@every_network
@pytest.mark.parametrize("autocast", [False, True], ids=["full", "bf16"])
def test_every_weight_learns_and_no_gradient_breaks(kind, autocast):
    net, x = MAKERS[kind]().train(), shapes(kind, torch.float32)
    for p in net.parameters():  # a step of training away from the zeros
        if not p.any():
            torch.nn.init.normal_(p, std=0.01)
    extra = {"frame": torch.eye(3).expand(3, 3, 3)} if kind == "vector" else {}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = net(x.replace(category=torch.tensor([0, 2, 3]), **extra), torch.tensor([-10.0, 0.0, 10.0]))
    assert all(v.dtype == torch.float32 for v in out.values()), "beliefs leave in single precision"
    sum((v - 1).square()[x.mask].sum() for v in out.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert [name for name, p in net.named_parameters() if not p.grad.any()] == []


@every_network
def test_coincident_points_have_finite_gradients(kind):
    net, x = small(kind, torch.float32), shapes(kind, torch.float32)
    at = {name: torch.zeros_like(x[name]).requires_grad_() for name in ("pos", "feat") if name in x}
    sum(v.square().sum() for v in net(x.replace(**at), torch.zeros(3)).values()).backward()
    assert all(v.grad.isfinite().all() for v in at.values())


def test_attention_is_a_softmax_of_cosines():
    """Rows of one head by hand, and the logits stay within tau however large the tokens are."""
    torch.manual_seed(0)
    attend = Attention(8, 1).double()
    x, source = torch.randn(1, 2, 8).double(), torch.randn(1, 3, 8).double()
    mask = torch.tensor([[True, False, True]])
    q, (k, v) = attend.query(x)[0], attend.key_value(source)[0].split(8, -1)
    cosine = torch.stack([torch.nn.functional.cosine_similarity(row[None], k) for row in q])
    weight = (attend.tau.detach().squeeze() * cosine[:, [0, 2]]).exp()
    by_hand = attend.out(weight @ v[[0, 2]] / weight.sum(1, keepdim=True))
    assert (attend(x, source, mask)[0] - by_hand).abs().max() < 1e-12
    assert (attend(1e6 * x, source, mask)[0] - by_hand).abs().max() < 1e-9


def test_fourier_features():
    x = torch.tensor([[0.3, -1.0]], dtype=torch.float64)
    wave = torch.tensor([0.3, 0.6, -1.0, -2.0], dtype=torch.float64)
    assert torch.allclose(fourier(x, 2)[0], torch.cat([x[0], wave.sin(), wave.cos()]))
