"""Exponential Adams methods of any order: one evaluation a step, the rest from memory.

The polynomial through the last beliefs is integrated exactly over the step to come (`solver/integral.py`), so the
spacing of the grid never costs an order. Adams-Bashforth of order 1, 2, 3 on DATA is DDIM, DPM-Solver++(2M) and (3M),
arXiv:2211.01095; on NATURAL it is the linear multistep method behind PNDM, arXiv:2202.09778.
"""

from __future__ import annotations

from collections.abc import Container
from itertools import takewhile
from typing import Any

from torch import Tensor

from scigen.denoiser import Denoiser
from scigen.process.affine import Affine
from scigen.solver.integral import DATA, NOISE, Node, Split, advance, integral, level, nodes_of, spread
from scigen.solver.lift import adjust, move
from scigen.solver.loop import Memory, Solver, declare
from scigen.state import Rng

__all__ = ["adams", "unipc"]


def adams(order: int = 3, split: Split = DATA) -> Solver:
    """x_s = linear part + gain sum_i w_i value_i over this belief and the order - 1 before it.

    The first moves have fewer beliefs; each is mended by the next evaluation, as in `unipc`, until one more of its kind
    would not show in the order of the run. At infinite log-SNR (alpha_t = 0; sigma_s = 0 on DATA and NOISE) a move is
    DDIM's. Raises ValueError outside orders 1 to 4.
    """
    _check("order", order, most=4)
    return declare(order)(_multistep(split, order, order - 1, range(1, order - 1)))


def unipc(p: int = 3, split: Split = NOISE) -> Solver:
    """UniPC-p: `adams(p)` predicts, and the evaluation at the predicted point corrects it: order p + 1 for one
    evaluation a step.

    The corrector integrates the polynomial through the predictor's p beliefs and the new one. The last point is not
    corrected. The paper's B(h) drops out, the weights being exact: it matters only to the shortcut a = 1/2 that it
    allows at p = 1, 2. arXiv:2302.04867. Raises ValueError outside p = 1 to 4.
    """
    _check("p", p, most=4)
    return declare(p + 1)(_multistep(split, p, p + 1, range(1, p + 2)))


def _multistep(split: Split, order: int, keep: int, mended: Container[int]) -> Any:
    """A move from `order` beliefs, with `keep` remembered; with `mended` many of these it first corrects x_t.

    While the memory fills, moves are made on DATA: a run opens where noise is strong and x0 hardly moves.
    """

    def step(
        process: Any, denoise: Denoiser, x_t: Any, t: float, s: float, rng: Rng, memory: Memory | None
    ) -> tuple[Any, Memory]:
        belief = denoise(x_t, t, memory and memory.belief)
        now, past = Memory(belief, t, x_t), _past(memory, t, keep)
        used = [now, *past][:order]
        before, here = (
            split if len(past) >= full else DATA for full in (keep, keep - 1)
        )  # the move behind, the one ahead

        def correct(affine: Affine, x: Tensor, x0: Tensor, *fields: Tensor) -> Tensor:
            return _correct(before, x, *nodes_of(affine, [now, *past[:order]], fields))

        def predict(affine: Affine, x: Tensor, x0: Tensor, *fields: Tensor) -> Tensor:
            nodes = nodes_of(affine, used, fields)
            return advance(here, nodes[0]._replace(x=x), level(affine, s), nodes)

        x = adjust(process, correct, x_t, belief, *spread([now, *past[:order]])) if len(past) in mended else x_t
        return move(process, predict, t, s, rng, x, belief, *spread(used)), now.after(past[: keep - 1])

    return step


def _correct(split: Split, x: Tensor, now: Node, *past: Node) -> Tensor:
    """The move from past[0] to `now` again, its interpolant passing through the new belief too.

    Both moves have the same linear part, so the correction is a difference of integrals: no earlier x is needed.
    """
    better, used = integral(split, past[0], now.level, [now, *past]), integral(split, past[0], now.level, past)
    return x if better is None else x + better if used is None else x + (better - used)


def _past(memory: Memory | None, t: float, length: int) -> list[Memory]:
    """The moves before this one; those of a solver that left no state are of no use."""
    return list(takewhile(lambda m: m.x is not None, memory.history(t, length))) if memory else []


def _check(name: str, value: int, most: int) -> None:
    if value not in range(1, most + 1):
        raise ValueError(f"`{name}` must be a whole number from 1 to {most}, got {value}; 3 is a good choice.")
