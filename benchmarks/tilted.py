"""Fine-tune the shipped molecule network on its training set tilted towards a reward: p(x) exp(reward(x) / beta).

    scigen data prepare qm9
    python -m benchmarks.tilted --reward qed --beta 0.05 --rounds 400 --batch 128 --seed 0

The optimum of value-weighted imitation (see `scigen.align.value`) is that law; drawing the molecules of a batch from it
weighs them with the least variance. The tilt is taken among molecules of one size, since a sampler is asked for sizes.
What is not whole has reward 0 and is never imitated.
Prints the table of `benchmarks.alignment`, and the tilted training set itself: what a perfect imitation would reach.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import nn

from benchmarks.alignment import REWARDS, Judge, gradients, measure, share, whole
from scigen.adapt.lora import attach
from scigen.align.value import tilt_weights
from scigen.deadline import Deadline
from scigen.domains.molecules.batches import Batches
from scigen.domains.molecules.data import MoleculeSet, load_qm9
from scigen.domains.molecules.loss import LossConfig, molecule_loss
from scigen.domains.molecules.process import molecule_process
from scigen.process.affine import rectified
from scigen.run import weights as store
from scigen.state import generator


def candidates(count: int, seed: int) -> MoleculeSet:
    """So many molecules of the training split, drawn without replacement."""
    data = load_qm9()
    rows = data.where("train")
    return data.subset(np.random.default_rng(seed).permutation(rows)[:count])


def tilted(reward: np.ndarray, sizes: np.ndarray, beta: float) -> np.ndarray:
    """Probability of each molecule, exp(reward / beta) among those of its own size; the sizes keep their shares."""
    law = np.zeros(len(reward))
    for size in np.unique(sizes):
        same = sizes == size
        weight = tilt_weights(torch.from_numpy(reward[same] - reward[same].max()), beta).numpy() * (reward[same] > 0)
        law[same] = same.mean() * weight / max(weight.sum(), 1e-12)
    return law / law.sum()


def train(args: argparse.Namespace, network: nn.Module, data: MoleculeSet, law: np.ndarray) -> None:
    """Fine-tune in place, through adapters, by the network's own training loss; one group of like size a core."""
    rng, process, config = generator(args.seed, -1), molecule_process(rectified()), LossConfig()
    trained = attach(network, args.rank, rng)
    optimiser = torch.optim.AdamW(trained, lr=args.lr, weight_decay=0.0)
    batches, draws, began = Batches.of(data, args.batch, args.seed), np.random.default_rng(args.seed), time.monotonic()
    workers = torch.get_num_threads()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for turn in range(args.rounds):
            rows = draws.choice(len(law), args.batch, p=law)
            rows = rows[np.argsort(batches.sizes[rows], kind="stable")]
            losses = [
                lambda part=part, seed=turn * workers + k: molecule_loss(
                    network, process, batches.take(part), generator(args.seed, seed), config
                )[0]
                for k, part in enumerate(np.array_split(rows, workers))
            ]
            parts = list(pool.map(lambda loss: gradients(loss, trained), losses))
            for p, *grads in zip(trained, *parts, strict=True):
                p.grad = torch.stack(grads).mean(0)
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.param_groups[0]["lr"] = args.lr * min(1.0, 2 * (1 - turn / args.rounds))  # level, then to zero
            optimiser.step()
            if turn % 20 == 19:
                print(f"round {turn + 1}/{args.rounds}  {time.monotonic() - began:.0f} s", file=sys.stderr)


def main() -> None:
    """Measure, weigh the training set, train, measure again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="molecules-qm9")
    parser.add_argument("--reward", choices=sorted(REWARDS), default="qed")
    parser.add_argument("--beta", type=float, default=0.05, help="the smaller, the further from the training law")
    parser.add_argument("--candidates", type=int, default=20_000, help="training molecules weighed")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--n", type=int, default=500, help="fresh molecules measured before and after")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    weights = store.read(args.weights)
    print(f"| | {args.reward}, not whole = 0 | {args.reward} of whole | whole | unique |\n|---|---|---|---|---|")
    with Deadline("scigen.metrics.describe:describe_packed", warm="scigen.metrics.describe:warm") as checks:
        judge = Judge(checks, args.reward)
        print(measure("before", weights, judge, args.n, args.seed), flush=True)
        data = candidates(args.candidates, args.seed)
        rows = judge.rows([data[k] for k in range(len(data))])
        reward = judge.rewards(rows)
        law = tilted(reward, data.sizes(), args.beta)
        for label, mean in (("training set", reward.mean()), (f"tilted, beta {args.beta:g}", law @ reward)):
            print(f"| {label} | {mean:.3f} | | {share(sum(map(whole, rows)), len(rows))} | |", flush=True)
        train(args, weights.network, data, law)
        print(
            measure(f"after {args.rounds} rounds of {args.batch}, seed {args.seed}", weights, judge, args.n, args.seed)
        )


if __name__ == "__main__":
    main()
