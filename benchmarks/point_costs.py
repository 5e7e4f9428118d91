"""What clouds cost at the default settings, in one run: completion, generation, and training against raw points.

    python -m benchmarks.point_costs [--turns 2 --batch 8]

Processor time on one thread; rivals take turns and the fastest turn of each counts. Networks are those of the presets
with random weights, which do not change the time; the data are random too, and nothing outside the repository is read.
Targets: four completions in 5 s, a cloud in 0.3 s, latent training at least twice as fast as training on raw points.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial as bind
from typing import cast

import numpy as np
import torch
from torch import nn

from benchmarks.molecule_networks import seconds
from benchmarks.point_ops import clouds
from scigen.domains.points.bridge import draw_sde
from scigen.domains.points.codec import CloudCodec
from scigen.domains.points.complete import bridged, complete
from scigen.domains.points.latents import LatentBatches
from scigen.domains.points.prior_task import PriorLoss, PriorTask
from scigen.domains.points.process import Scale, blank, shape_process
from scigen.domains.points.raw_task import RawTask
from scigen.domains.points.sampler import Plan, draw_shapes
from scigen.io.shape import Cloud
from scigen.nn.point_codec import PointCodec
from scigen.process.affine import rectified
from scigen.run.build import network
from scigen.run.complete import Request
from scigen.run.config import load_config
from scigen.run.distributed import World
from scigen.solver import dpmpp_2m
from scigen.state import State, normal

LATENTS, FEATURES, POINTS = 32, 32, 2048
STEPS = 50  # the default of `scigen sample points`
UNIT = Scale(1.0, 1.0)


def built(preset: str) -> nn.Module:
    """The preset's network with every weight drawn, so that no shortcut is timed."""
    torch.manual_seed(0)
    net = network(load_config(preset).network)
    for p in net.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.02)
    return net.eval()


def codec(points: int) -> CloudCodec:
    """The preset's codec."""
    return CloudCodec(cast(PointCodec, built("points/codec")), points)


def completion() -> Callable[[], object]:
    """Four completions of one scan, as `scigen complete` draws them: encoded, drawn, decoded, ranked."""
    asked, whole = Request(), clouds(1, 2 * POINTS)[0].astype(np.float32)
    partial = Cloud(whole[whole[:, 1] > np.median(whole[:, 1])])
    net, decoder = built("points/bridge"), codec(asked.points)
    draw = bridged(lambda x1, rng: draw_sde(net, UNIT, x1, rng, asked.steps), UNIT)
    return lambda: complete(partial, decoder, draw, asked.n, asked.seed)


def generation(batch: int) -> dict[str, Callable[[], object]]:
    """A batch of clouds by the prior and its codec, and by the model of raw points."""
    plan, decoder = Plan(rectified(), dpmpp_2m, STEPS), codec(POINTS)
    prior, raw = built("points/prior"), built("points/raw")

    def latent() -> None:
        for group in draw_shapes(prior, plan, range(batch), 0, UNIT, None, LATENTS, FEATURES, batch):
            for one in group:
                assert one.shape is not None
                decoder.decode(one.shape)

    return {
        "prior and codec": latent,
        "raw points": lambda: list(draw_shapes(raw, plan, range(batch), 0, UNIT, None, POINTS, None, batch)),
    }


def training() -> dict[str, tuple[Callable[[], object], int]]:
    """A step on latent points and one on raw points, each as its preset takes it, and the shapes in it."""
    rng, out = torch.Generator().manual_seed(0), {}
    for name in ("prior", "raw"):
        config = load_config(f"points/{name}")
        batch, latent = config.train.batch, name == "prior"
        x = blank(batch, LATENTS if latent else POINTS, FEATURES if latent else None)
        x = State({field: normal(value, rng) for field, value in x.fields.items()}, x.mask)
        process = shape_process(rectified(), ("pos", "feat") if latent else ("pos",))
        task = (PriorTask if latent else RawTask)(
            built(f"points/{name}").train(), process, LatentBatches(x, batch, 0), UNIT, PriorLoss()
        )
        out["latent points" if latent else "raw points"] = bind(stepped, task, config.train.bf16), batch
    return out


def stepped(task: PriorTask | RawTask, bf16: bool) -> None:
    """Forward, backward and AdamW."""
    optimizer = torch.optim.AdamW(task.network.parameters(), 1e-4, fused=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        total, _, _ = task.loss(task.network, 0, World(0, 1, torch.device("cpu")), torch.Generator().manual_seed(0))
    total.backward()
    optimizer.step()


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=1, help="timed turns of each rival")
    parser.add_argument("--batch", type=int, default=4, help="clouds generated at once")
    args = parser.parse_args()
    torch.set_num_threads(1)
    (spent,) = seconds({"": completion()}, args.turns).values()
    print(f"four completions{spent:28.2f} s, target 5")
    took = {name: s / args.batch for name, s in seconds(generation(args.batch), args.turns).items()}
    for name, s in took.items():
        print(f"a cloud of {POINTS} points, {name:16}{s:9.3f} s{', target 0.3' if name.startswith('prior') else ''}")
    print(f"  raw points take {took['raw points'] / took['prior and codec']:.1f} times as long")
    steps = training()
    spent_on = seconds({name: call for name, (call, _) in steps.items()}, args.turns)
    rates = {name: batch / spent_on[name] for name, (_, batch) in steps.items()}
    for name, rate in rates.items():
        print(f"training on {name:30}{rate:8.1f} shapes a core-second")
    print(f"  latent points train {rates['latent points'] / rates['raw points']:.1f} times as fast, target 2")


if __name__ == "__main__":
    main()
