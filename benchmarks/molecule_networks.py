"""Molecule networks side by side, in one run: read the ratios, the rest is this machine.

    python -m benchmarks.molecule_networks [--minutes 5]

1. Our sampler at its default settings against 1000 evaluations of a network of EDM's published shape.
2. The graph transformer against the e3nn tensor-product network: molecules a core-second forward and in training and,
   with `--minutes`, the held-out loss after equal core time on the repository's fixture.

All times are processor time on one thread; rivals take turns and the fastest turn of each counts, so that a busy
machine disturbs both alike. Weights are random: they do not change the time. Nothing outside the repository is read.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from benchmarks.egnn import Egnn
from scigen.domains.molecules.batches import Batches
from scigen.domains.molecules.data import load_fixture
from scigen.domains.molecules.loss import LossConfig, molecule_loss
from scigen.domains.molecules.process import molecule_process
from scigen.domains.molecules.sampler import Plan, draw_molecules
from scigen.process.affine import rectified
from scigen.run.build import network
from scigen.run.config import load_config
from scigen.solver import churn

EDM_EVALUATIONS = 1000
KINDS = {"transformer": "molecules/qm9", "e3nn": "molecules/qm9-e3nn"}


def seconds(rivals: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Processor seconds of one call of each, the best of `turns` alternating calls after one to warm up."""
    best = dict.fromkeys(rivals, float("inf"))
    for turn in range(turns + 1):
        for name, call in rivals.items():
            began = time.process_time()
            call()
            if turn:
                best[name] = min(best[name], time.process_time() - began)
    return best


def built(kind: str) -> nn.Module:
    """The preset's network; its silent last layer woken, so that no shortcut is timed."""
    torch.manual_seed(0)
    net = network(load_config(KINDS[kind]).network)
    nn.init.normal_(net.vector_out.weight, std=0.02)
    return net


def weights(net: nn.Module) -> str:
    """Number of parameters in millions."""
    return f"{sum(p.numel() for p in net.parameters()) / 1e6:.2f} M"


def against_edm(args: argparse.Namespace) -> None:
    """Samples a core-second, ours measured whole, EDM's extrapolated from a few evaluations."""
    ours, edm = built("transformer").eval(), Egnn().eval()
    solver = churn(args.steps)
    plan, evaluations = Plan(rectified(), solver, args.steps), args.steps * solver.evaluations
    n, sizes = args.batch, [args.atoms] * args.batch
    x, h = torch.randn(n, args.atoms, 3), torch.randn(n, args.atoms, 6)
    mask, t = torch.ones(n, args.atoms, dtype=torch.bool), torch.full((n,), 0.5)

    def evaluate(half: bool) -> Callable[[], object]:
        def call() -> None:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
                edm(x, h, t, mask)

        return call

    took = seconds(
        {
            "scigen": lambda: list(draw_molecules(ours, plan, range(n), 0, sizes, n)),
            "float32": evaluate(False),
            "bfloat16": evaluate(True),
        },
        args.turns,
    )
    own = took["scigen"] / n
    print(f"\nSampling, {n} molecules of {args.atoms} atoms at once")
    print(f"  scigen transformer  {weights(ours):>7}  {evaluations:5d} evaluations  {1 / own:9.3f} samples/core-s")
    for kind in ("float32", "bfloat16"):
        each, share = took[kind] * EDM_EVALUATIONS / n, took[kind] / took["scigen"] * evaluations
        rate = f"{EDM_EVALUATIONS:5d} evaluations  {1 / each:9.3f} samples/core-s"
        print(f"  EDM's shape {kind:8}{weights(edm):>7}  {rate}, extrapolated from single evaluations")
        print(f"    scigen draws {each / own:.0f} times the samples, and evaluates {share:.2f} times as fast")


def training_step(net: nn.Module, batches: Batches, half: bool) -> Callable[[int], float]:
    """One forward and backward pass with an optimiser step, as in training; returns the loss."""
    process, optimizer = molecule_process(rectified()), torch.optim.AdamW(net.parameters(), 1e-3, betas=(0.9, 0.99))

    def step(k: int) -> float:
        rng = torch.Generator().manual_seed(k)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            total, _ = molecule_loss(net, process, batches.at(k), rng, LossConfig())
        total.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float(total.detach())

    return step


def speeds(args: argparse.Namespace) -> None:
    """Molecules a core-second of both networks."""
    data = load_fixture()
    batches = Batches.of(data.subset(data.where("train")), args.batch, 0)
    nets = {kind: built(kind) for kind in KINDS}
    process, x = molecule_process(rectified()), batches.at(0)
    steps = {kind: training_step(net, batches, half=True) for kind, net in nets.items()}

    def forward(kind: str) -> Callable[[], object]:
        def call() -> None:
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                molecule_loss(nets[kind], process, x, torch.Generator().manual_seed(0), LossConfig(self_condition=0))

        return call

    def train(kind: str) -> Callable[[], object]:
        return lambda: [steps[kind](k) for k in range(2)]  # about half of the steps look twice (self-conditioning)

    ahead = seconds({kind: forward(kind) for kind in KINDS}, args.turns)
    learn = seconds({kind: train(kind) for kind in KINDS}, args.turns)
    print(f"\nNetworks, batches of {args.batch}, bf16 outside geometry, not compiled")
    for kind, net in nets.items():
        print(
            f"  {kind:12}{weights(net):>8}  forward {args.batch / ahead[kind]:8.1f}  training"
            f" {2 * args.batch / learn[kind]:8.1f} molecules/core-s"
        )
    print(
        f"  transformer / e3nn     forward {ahead['e3nn'] / ahead['transformer']:8.2f}"
        f"  training {learn['e3nn'] / learn['transformer']:8.2f}"
    )


def held_out(net: nn.Module, batches: Batches) -> float:
    """Mean loss on fixed noise."""
    process = molecule_process(rectified())
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        rngs = [torch.Generator().manual_seed(k) for k in range(8)]
        totals = [molecule_loss(net, process, batches.at(k), rng, LossConfig())[0] for k, rng in enumerate(rngs)]
    return float(torch.stack(totals).mean())


def learning(args: argparse.Namespace) -> None:
    """Held-out loss of both networks after the same core time, a few points on the way."""
    data = load_fixture()
    train, test = (Batches.of(data.subset(data.where(split)), args.batch, 0) for split in ("train", "test"))
    print(f"\nHeld-out loss on the fixture after equal core time ({args.minutes:g} minutes each)")
    for kind in KINDS:
        net = built(kind)
        step, spent, k, row = training_step(net, train, half=True), 0.0, 0, []
        for part in range(1, 5):
            while spent < 60 * args.minutes * part / 4:
                began = time.process_time()
                step(k)
                spent, k = spent + time.process_time() - began, k + 1
            row.append(f"{spent / 60:.2f} min {held_out(net, test):.3f}")
        print(f"  {kind:12}{'   '.join(row)}   ({k * args.batch} molecules seen)")


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--atoms", type=int, default=18, help="atoms of the sampled molecules")
    parser.add_argument("--steps", type=int, default=32, help="intervals of our sampler")
    parser.add_argument("--turns", type=int, default=3, help="timed turns of each rival")
    parser.add_argument("--minutes", type=float, default=0.0, help="core minutes of training for each network")
    args = parser.parse_args()
    torch.set_num_threads(1)
    against_edm(args)
    speeds(args)
    if args.minutes:
        learning(args)


if __name__ == "__main__":
    main()
