"""Fine-tune the shipped molecule network towards a reward; reward, validity and uniqueness before and after.

    python -m benchmarks.alignment --reward qed --rounds 80 --batch 64 --seed 0                   DDPO
    python -m benchmarks.alignment --reward qed --rounds 80 --batch 64 --seed 0 --method dpo        or weighted

A molecule that is not whole (RDKit accepts it, one fragment, no radical) has reward 0, so validity is part of what is
asked for. Each round draws molecules of a few sizes, 16 of each, and compares a molecule with its own size only. One
group a core at a time. Prints Markdown; the samples measured are fresh, never those trained on.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scigen.adapt.lora import attach
from scigen.align.ddpo import Rollout, advantages, ddpo_loss, replay, rollout
from scigen.align.dpo import diffusion_dpo_loss
from scigen.align.policy import kl
from scigen.align.value import tilt_weights, weighted_loss
from scigen.deadline import Deadline
from scigen.denoiser import Denoiser, from_network, sharpen
from scigen.domains.molecules.codec import decode, to_rdkit
from scigen.domains.molecules.data import Molecule
from scigen.domains.molecules.process import blank, molecule_process
from scigen.domains.molecules.sampler import Plan, draw_molecules, sizes_for
from scigen.metrics.chem import pack
from scigen.metrics.stats import bootstrap, wilson
from scigen.objective import late_times
from scigen.process.affine import rectified
from scigen.run import weights as store
from scigen.solver import churn
from scigen.solver.grids import late
from scigen.state import State, generator

GROUP = 16  # molecules of one size that are compared with each other
SHARPNESS = Plan(rectified(), churn(1)).sharpness  # the sampler's own
EVALUATION_STEPS = 32  # of the sampler's default solver
FRESH = 1_000_000  # seeds of the samples that are measured, apart from those trained on
REWARDS: dict[str, Callable[[dict[str, Any]], float]] = {
    "qed": lambda row: row["qed"],
    "sa": lambda row: (10 - row["sa"]) / 9,  # 1 is easy to make
}
BETAS = {"ddpo": 0.01, "dpo": 50.0, "weighted": 0.5}
AFFINE = rectified()
PROCESS = molecule_process(AFFINE)


@dataclass(frozen=True)
class Judge:
    """Rows of checks from a child process that outlives the rounds, and the reward read off a row."""

    checks: Deadline
    reward: str

    def rows(self, molecules: Sequence[Molecule]) -> list[dict[str, Any]]:
        """The checks of each molecule; empty where they failed."""
        return [outcome.value or {} for outcome in self.checks.each([pack(to_rdkit(m)) for m in molecules])]

    def rewards(self, rows: Iterable[dict[str, Any]]) -> np.ndarray:
        """One number a row, 0 where the molecule is not whole."""
        return np.array([REWARDS[self.reward](row) if whole(row) else 0.0 for row in rows])


def whole(row: dict[str, Any]) -> bool:
    """One molecule without radicals that RDKit accepts."""
    return bool(row.get("valid") and row["strict_stable"] and row["fragments"] == 1)


def denoiser(network: nn.Module, card: Any, sharpness: float) -> Denoiser:
    """The network's belief, or the sharper one that the sampler draws from."""
    plain = from_network(network, AFFINE, logsnr_range=tuple(card["logsnr_range"]))
    return plain if sharpness == 1 else sharpen(plain, {"atom": sharpness, "bond": sharpness})


def draw(denoise: Denoiser, sizes: list[int], steps: int, rng: torch.Generator) -> Rollout:
    """The chains of one group, from the source to the data."""
    with torch.autocast("cpu", torch.bfloat16):
        return rollout(PROCESS, denoise, PROCESS.source(blank(sizes), rng), late(steps), rng)


def ends(chain: Rollout) -> State:
    """What the sampler would decode: the last belief's coordinates and most probable tokens."""
    tokens = {name: chain.belief[name].argmax(-1) for name in ("atom", "bond")}
    return PROCESS.project(chain.x.replace(pos=chain.belief["pos"].float(), **tokens))


Losses = Iterable[list[Callable[[], Tensor]]]  # for every update, one loss per group


def ddpo_losses(
    now: Denoiser, before: Denoiser, chains: Sequence[Rollout], score: Tensor, args: Any, rng: torch.Generator
) -> Losses:
    """Clipped policy gradients on a random subset of moves, in two updates, plus beta KL to the reference.

    The last move only reads the answer off the belief, and an argmax has no density: it is left out.
    """

    def loss(chain: Rollout, advantage: Tensor, which: Sequence[int]) -> Tensor:
        total = torch.zeros(())
        for k in which:
            move = chain.transitions[k]
            log_prob, belief = replay(PROCESS, now, move)
            with torch.no_grad():
                old = before(move.x_t, move.t, move.previous)
            cost = kl(PROCESS, belief, old, move.x_t, move.t, move.s).mean()
            total = total + ddpo_loss(log_prob, move.log_prob, advantage) + args.beta * cost
        return total / len(which)

    order = torch.randperm(args.steps - 1, generator=rng)[: args.moves].tolist()
    for which in filter(None, (order[::2], order[1::2])):
        yield [partial(loss, c, advantages(r), which) for c, r in zip(chains, score)]


def dpo_losses(
    now: Denoiser, before: Denoiser, chains: Sequence[Rollout], score: Tensor, args: Any, rng: torch.Generator
) -> Losses:
    """Preferences within a group: the best over the worst, the second best over the second worst ..."""

    def loss(x0: State, reward: Tensor, seed: int) -> Tensor:
        order, half = reward.argsort(descending=True), len(reward) // 2
        better, worse = order[:half], order.flip(0)[:half]
        told = reward[better] > reward[worse]
        if not told.any():  # a group of equals prefers nothing
            return torch.zeros((), requires_grad=True)
        winner, loser = (x0.map(lambda y, i=i: y[i]) for i in (better[told], worse[told]))
        rng = torch.Generator().manual_seed(seed)
        t = late_times(len(winner.mask), rng)
        return diffusion_dpo_loss(PROCESS, now, before, winner, loser, t, rng, args.beta)

    for _ in range(max(args.moves // 2, 1)):
        seeds = torch.randint(2**31, (len(chains),), generator=rng).tolist()
        yield [partial(loss, ends(c), r, s) for c, r, s in zip(chains, score, seeds)]


def weighted_losses(
    now: Denoiser, before: Denoiser, chains: Sequence[Rollout], score: Tensor, args: Any, rng: torch.Generator
) -> Losses:
    """Imitate the better of each group more, weight exp(advantage / beta), and what is not whole not at all."""

    def loss(x0: State, reward: Tensor, seed: int) -> Tensor:
        rng = torch.Generator().manual_seed(seed)
        weight = tilt_weights(advantages(reward), args.beta) * (reward > 0)
        t = late_times(len(reward), rng)
        return weighted_loss(PROCESS, now, x0, weight / weight.mean().clamp(min=1e-6), t, rng)

    for _ in range(max(args.moves // 2, 1)):
        seeds = torch.randint(2**31, (len(chains),), generator=rng).tolist()
        yield [partial(loss, ends(c), r, s) for c, r, s in zip(chains, score, seeds)]


def gradients(loss: Callable[[], Tensor], trained: Sequence[Tensor]) -> list[Tensor]:
    """Gradients of one group's loss; workers share the parameters, so nothing is accumulated in place."""
    with torch.autocast("cpu", torch.bfloat16):
        value = loss()
    found = torch.autograd.grad(value, list(trained), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(trained, found)]


def train(args: argparse.Namespace, weights: store.Weights, judge: Judge) -> None:
    """Fine-tune the network of `weights` in place, through adapters unless the rank is 0."""
    rng, network, card = generator(args.seed, -1), weights.network, weights.card
    reference = copy.deepcopy(network)
    trained = attach(network, args.rank, rng) if args.rank else list(network.parameters())
    optimiser = torch.optim.AdamW(trained, lr=args.lr, weight_decay=0.0)
    sharpness = SHARPNESS if args.method == "ddpo" else 1.0  # the policy draws sharply; DPO compares plain likelihoods
    now, before = (denoiser(n, card, sharpness) for n in (network, reference))
    methods = {"ddpo": ddpo_losses, "dpo": dpo_losses, "weighted": weighted_losses}
    learn, sampler = methods[args.method], denoiser(network, card, SHARPNESS)
    count, began = max(args.batch // GROUP, 1), time.perf_counter()
    with ThreadPoolExecutor(torch.get_num_threads(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for turn in range(args.rounds):
            rngs = [generator(args.seed, turn * count + k) for k in range(count)]
            sizes = [[size] * GROUP for size in sizes_for(rngs, histogram(card))]
            chains = list(pool.map(lambda size, rng: draw(sampler, size, args.steps, rng), sizes, rngs))
            rows = judge.rows([m for c in chains for m in decode(c.belief, c.x.mask)])
            score = torch.from_numpy(judge.rewards(rows)).float().reshape(count, GROUP)
            for losses in learn(now, before, chains, score, args, rng):
                parts = list(pool.map(lambda loss: gradients(loss, trained), losses))
                for p, *grads in zip(trained, *parts, strict=True):
                    p.grad = torch.stack(grads).mean(0)
                nn.utils.clip_grad_norm_(trained, 1.0)
                optimiser.step()
            said = f"{args.reward} {score.mean():.3f}  whole {np.mean([whole(r) for r in rows]):.2f}"
            print(f"round {turn + 1}/{args.rounds}  {said}  {time.perf_counter() - began:.0f} s", file=sys.stderr)


def measure(label: str, weights: store.Weights, judge: Judge, n: int, seed: int) -> str:
    """A row of the table from n fresh samples, with 95 % intervals."""
    plan = Plan(AFFINE, churn(EVALUATION_STEPS), EVALUATION_STEPS, logsnr_range=tuple(weights.card["logsnr_range"]))
    groups = draw_molecules(weights.network, plan, range(n), FRESH + seed, histogram(weights.card))
    rows = judge.rows([d.molecule for group in groups for d in group if d.molecule is not None])
    rows += [{}] * (n - len(rows))  # samples that are not finite count as not whole
    reward, good = judge.rewards(rows), [row for row in rows if whole(row)]
    low, high = bootstrap(reward, np.mean, seed) or (np.nan, np.nan)
    cells = [f"{reward.mean():.3f} ({low:.3f} to {high:.3f})", f"{judge.rewards(good).mean() if good else np.nan:.3f}"]
    cells += [share(len(good), n), share(len({row["smiles"] for row in good}), len(good))]
    return f"| {label} | " + " | ".join(cells) + " |"


def share(count: int, n: int) -> str:
    """Per cent with Wilson's interval."""
    low, high = wilson(count, n) or (np.nan, np.nan)
    return f"{100 * count / max(n, 1):.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def histogram(card: Any) -> dict[int, int]:
    """Atom counts of the training set."""
    return {int(k): int(v) for k, v in card["sizes"].items()}


def main() -> None:
    """Measure, train, measure again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="molecules-qm9")
    parser.add_argument("--reward", choices=sorted(REWARDS), default="qed")
    parser.add_argument("--method", choices=sorted(BETAS), default="ddpo")
    parser.add_argument("--rounds", type=int, default=80)
    parser.add_argument("--batch", type=int, default=64, help=f"molecules a round, in groups of {GROUP}")
    parser.add_argument("--steps", type=int, default=20, help="moves of a training chain")
    parser.add_argument("--moves", type=int, default=8, help="moves of each chain that are learnt from")
    parser.add_argument("--rank", type=int, default=8, help="rank of the adapters; 0 trains every weight")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--beta", type=float, help=f"price of leaving the reference; unless given {BETAS}")
    parser.add_argument("--n", type=int, default=500, help="fresh molecules measured before and after")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.beta = BETAS[args.method] if args.beta is None else args.beta
    weights = store.read(args.weights)
    print(f"| | {args.reward}, not whole = 0 | {args.reward} of whole | whole | unique |\n|---|---|---|---|---|")
    with Deadline("scigen.metrics.describe:describe_packed", warm="scigen.metrics.describe:warm") as checks:
        judge = Judge(checks, args.reward)
        print(measure("before", weights, judge, args.n, args.seed), flush=True)
        train(args, weights, judge)
        label = f"after {args.rounds} rounds of {args.batch}, {args.method}, seed {args.seed}"
        print(measure(label, weights, judge, args.n, args.seed))


if __name__ == "__main__":
    main()
