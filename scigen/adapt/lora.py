"""Low-rank adapters: W + (alpha / r) B A on the linear maps of a trained network, B = 0 at the start.

The adapter is a parametrization of each weight, so a network adapts without a line of its own: B A costs r d^2 once a
pass, whatever the number of atoms and pairs, where (x A') B' would cost a pass over all of them and keep its
activations. Linear maps that act on channels alone still do, so every symmetry stays. Hu et al. 2021, arXiv:2106.09685.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["LowRank", "attach", "detach", "load", "merge", "tensors", "unmerge"]


class LowRank(nn.Module):
    """weight + scale up @ down: `weight [out, in]`, `up [out, r]`, `down [r, in]`."""

    scale: Tensor

    def __init__(self, down: Tensor, up: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.down, self.up = nn.Parameter(down), nn.Parameter(up)
        self.register_buffer("scale", scale)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down)


def attach(
    network: nn.Module, rank: int, rng: torch.Generator, where: str = "*", alpha: float | None = None
) -> list[nn.Parameter]:
    """Adapt in place every `nn.Linear` whose name matches `where` (`layers.*.feed_*`), and freeze all else.

    Returns the parameters to train. Until they move the outputs are bit for bit those of the frozen network. `alpha` is
    `rank` unless given; a map of lower rank than `rank` takes its own. Raises ValueError for a rank below 1, a pattern
    without a match, and a network that already has adapters.
    """
    linears = {name: m for name, m in network.named_modules() if isinstance(m, nn.Linear)}
    chosen = [name for name in linears if fnmatchcase(name, where)]
    if rank < 1:
        raise ValueError(f"`rank` must be at least 1, got {rank}; 4 to 16 are usual.")
    if not chosen:
        raise ValueError(f"`where` '{where}' matches no linear map; names are like {', '.join(list(linears)[-3:])}.")
    new = {}
    for name in chosen:
        weight = linears[name].weight
        r = min(rank, *weight.shape)
        draw = torch.randn(r, weight.shape[1], generator=rng, dtype=weight.dtype, device=rng.device)
        new[f"{name}.down"] = draw.to(weight.device) / weight.shape[1] ** 0.5
        new[f"{name}.up"] = weight.new_zeros(weight.shape[0], r)
        new[f"{name}.scale"] = weight.new_tensor((rank if alpha is None else alpha) / rank)
    return load(network, new)


def load(network: nn.Module, adapters: Mapping[str, Tensor]) -> list[nn.Parameter]:
    """Attach the adapters that `tensors` returned, freeze all else; returns their parameters.

    Raises ValueError when the network has adapters already, or no such linear map of that shape.
    """
    if any(True for _ in _adapters(network)):
        raise ValueError("the network already has adapters; `merge` or `detach` them first.")
    modules = dict(network.named_modules())
    lows = {name: _fitted(modules, name, adapters) for name in sorted({key.rpartition(".")[0] for key in adapters})}
    network.requires_grad_(False)
    for name, low in lows.items():
        parametrize.register_parametrization(modules[name], "weight", low)
    return [p for low in lows.values() for p in (low.down, low.up)]


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """The adapters by flat name (`layers.0.node_in.down`, `.up`, `.scale`), ready for safetensors."""
    return {f"{name}.{k}": v.detach() for name, low in _adapters(network) for k, v in low.state_dict().items()}


def merge(network: nn.Module) -> dict[str, Tensor]:
    """Fold the adapters into the weights, W <- W + scale B A, and return them: inference then costs what it did."""
    kept = tensors(network)
    _release(network, keep=True)
    return kept


def unmerge(network: nn.Module, adapters: Mapping[str, Tensor]) -> list[nn.Parameter]:
    """Undo `merge`: subtract scale B A, which restores W to rounding, and attach the adapters again."""
    negative = {k: -v if k.endswith(".scale") else v for k, v in adapters.items()}
    load(network, negative)
    _release(network, keep=True)
    return load(network, adapters)


def detach(network: nn.Module) -> None:
    """Take the adapters off; the trunk is bit for bit what it was, and stays frozen."""
    _release(network, keep=False)


def _release(network: nn.Module, keep: bool) -> None:
    for name in [name for name, _ in _adapters(network)]:
        parametrize.remove_parametrizations(network.get_submodule(name), "weight", leave_parametrized=keep)


def _adapters(network: nn.Module) -> Iterator[tuple[str, LowRank]]:
    """Names of the adapted maps, and what adapts them."""
    for name, module in network.named_modules():
        if isinstance(module, LowRank):
            yield name.removesuffix("parametrizations.weight.0").rstrip("."), module


def _fitted(modules: Mapping[str, nn.Module], name: str, adapters: Mapping[str, Tensor]) -> LowRank:
    linear, keys = modules.get(name), [f"{name}.{part}" for part in ("down", "up", "scale")]
    if isinstance(linear, nn.Linear) and all(key in adapters for key in keys):
        down, up, scale = (adapters[key].detach().clone().to(linear.weight) for key in keys)
        if (*up.shape, *down.shape) == (linear.out_features, len(down), len(down), linear.in_features):
            return LowRank(down, up, scale)
    raise ValueError(f"the adapter of '{name}' does not fit; load it into the kind of network it was made for.")
