"""Small networks with random weights, real molecules noised half way, and the symmetries to put them through."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from scigen.domains.molecules.codec import encode, project
from scigen.domains.molecules.data import load_fixture
from scigen.nn.tensor_product import TensorProductConfig, TensorProductNetwork
from scigen.nn.transformer import GraphTransformer, TransformerConfig
from scigen.state import State, pair_mask

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}
TRANSFORMER = TransformerConfig(width=32, pair=8, message=16, vectors=4, heads=4, layers=3)
E3NN = TensorProductConfig(width=16, vectors=6, tensors=4, pair=8, message=16, layers=2)
SMALL: dict[str, Callable[[], nn.Module]] = {
    "transformer": lambda: GraphTransformer(TRANSFORMER),
    "e3nn": lambda: TensorProductNetwork(E3NN),
}
MOLECULES = encode([load_fixture()[k] for k in (3, 100, 200, 300)])


@cache
def small(kind: str, dtype: torch.dtype = torch.float32, silent: bool = False) -> nn.Module:
    """A network of that kind, shared by tests; unless `silent`, nothing that starts at zero stays there.

    e3nn computes its constants in the default type when it is built: cast later, they stay rounded to float32.
    """
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            net = SMALL[kind]()
            for p in net.parameters():
                if not silent and not p.any():
                    torch.nn.init.normal_(p, std=0.3)
    finally:
        torch.set_default_dtype(torch.float32)
    return net.eval()


def noised(dtype: torch.dtype = torch.float32, seed: int = 0) -> State:
    """Four molecules of different sizes with noise on the coordinates and some tokens and bonds redrawn."""
    rng = torch.Generator().manual_seed(seed)
    x = MOLECULES
    swap = torch.rand(x["atom"].shape, generator=rng) < 0.3
    atom = torch.where(swap, torch.randint(9, swap.shape, generator=rng), x["atom"])
    swap = torch.rand(x["bond"].shape, generator=rng) < 0.1
    bond = torch.where(swap, torch.randint(4, swap.shape, generator=rng), x["bond"])
    pos = x["pos"].to(dtype) + 0.5 * torch.randn(x["pos"].shape, generator=rng, dtype=dtype)
    return project(x.replace(pos=pos, atom=atom, bond=bond))


def belief_of(x: State, seed: int = 1) -> dict[str, Tensor]:
    """Some belief of the step before, as the sampler would hand it on."""
    rng, dtype = torch.Generator().manual_seed(seed), x["pos"].dtype
    atom = torch.randn(*x["atom"].shape, 9, generator=rng, dtype=dtype).softmax(-1)
    bond = torch.randn(*x["bond"].shape, 4, generator=rng, dtype=dtype)
    pos = x["pos"] + 0.3 * torch.randn(x["pos"].shape, generator=rng, dtype=dtype)
    return {"pos": project(x.replace(pos=pos))["pos"], "atom": atom, "bond": (bond + bond.transpose(1, 2)).softmax(-1)}


def levels(x: State) -> Tensor:
    """A different log-SNR for each molecule."""
    return torch.linspace(-4, 5, len(x.mask), dtype=x["pos"].dtype)


def orthogonal(determinant: int, dtype: torch.dtype, seed: int = 2) -> Tensor:
    """A random rotation, or a rotation and a mirror."""
    q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[0]
    q = q * torch.tensor([torch.linalg.det(q).sign() * determinant, 1, 1])
    return q.to(dtype)


def gap(a: dict[str, Tensor], b: dict[str, Tensor], mask: Tensor) -> float:
    """Largest difference of two outputs over real atoms and pairs."""
    real = {"pos": mask, "atom": mask, "bond": pair_mask(mask)}
    return max(float((a[name] - b[name])[real[name]].abs().max()) for name in a)


def widen(x: State, belief: dict[str, Tensor] | None, extra: int) -> tuple[State, dict[str, Tensor] | None]:
    """The same molecules, and the belief about them, in a batch with `extra` more columns of padding."""
    f = torch.nn.functional.pad

    def wider(v: Tensor) -> Tensor:
        channels, square = v.dim() > 2 and v.shape[-1] in (3, 4, 9), v.dim() > 2 and v.shape[1] == v.shape[2]
        return f(v, [*(0, 0) * channels, *(0, extra) * (2 if square else 1)])

    return x.map(wider), belief and {name: wider(v) for name, v in belief.items()}
