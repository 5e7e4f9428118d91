"""Molecules that contain a fragment: its atoms, charges, bonds and shape are held while the rest is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from scigen.denoiser import Belief, Denoiser
from scigen.domains.molecules.codec import SCALE, encode
from scigen.domains.molecules.data import Molecule
from scigen.domains.molecules.fragment import Fragment
from scigen.guidance.inpaint import inpaint, jumps
from scigen.process.affine import Affine, rectified
from scigen.process.product import Product
from scigen.solver.loop import Solver
from scigen.state import State, Streams, Time, center, pair_mask

__all__ = ["grow", "held", "place", "put_back", "saturated"]

SETTLED = 0.2  # noise share below which the fragment's place is the sample's own


def grow(
    process: Product,
    denoise: Denoiser,
    fragment: Fragment,
    like: State,
    grid: Sequence[float],
    rng: Streams,
    solver: Solver,
    repeats: int,
) -> Belief:
    """The belief about molecules of the sizes of `like` that hold `fragment` as their first atoms.

    Every interval but the first and the last is walked `repeats` times (`guidance.inpaint.jumps`). At high noise, where
    a network cannot yet see the fragment, it is held where `place` puts it in the molecule; later it may move.
    """
    affine = process.parts["pos"]
    assert isinstance(affine, Affine), "coordinates are noised by an affine process"
    known, where = held(fragment, like)
    known = known.replace(pos=place(fragment, known, rng))
    until = float(affine.time_of_logsnr(rectified().logsnr(SETTLED)))
    x, times = process.source(like, rng), jumps(grid, repeats)
    denoise = saturated(denoise, fragment)
    _, belief = inpaint(process, denoise, x, times, rng, known, where, solver, loose={"pos": until})
    return belief


def held(fragment: Fragment, like: State) -> tuple[State, dict[str, Tensor]]:
    """What is known of every molecule of `like`, and where: masks of nodes for `pos` and `atom`, of pairs for `bond`.

    Bonds are known among the fragment's atoms, and known to be none between those without a port and all that grows.
    """
    n, device = len(fragment), like.mask.device
    encoded = encode([fragment.molecule], pad_to=like.mask.shape[1])
    fields = {name: x.to(device).expand(len(like.mask), *x.shape[1:]) for name, x in encoded.fields.items()}
    kept = torch.zeros_like(like.mask)
    kept[:, :n] = True
    closed = kept.clone()
    closed[:, fragment.atom] = False
    pairs = (kept[:, :, None] & kept[:, None, :]) | closed[:, :, None] | closed[:, None, :]
    return State(fields, like.mask), {"pos": kept, "atom": kept, "bond": pairs & pair_mask(like.mask)}


def saturated(denoise: Denoiser, fragment: Fragment) -> Denoiser:
    """`denoise` whose bonds between an atom with ports and all that grows are conditioned on filling its free valence.

    A belief treats bonds as independent; given sum_j order_j = v its marginals are
    p(order_j = k) ∝ p_j(k) P(the others sum to v - k), by recursion from both ends. Without it every bond alone may be
    likely and the atom over-full.
    """
    free = {a: v for a, v in enumerate(fragment.open.tolist()) if v}

    def conditioned(x_t: State, t: Time, previous: Belief | None = None) -> Belief:
        belief = denoise(x_t, t, previous)
        bond = belief["bond"].clone()
        grown = x_t.mask.clone()
        grown[:, : len(fragment)] = False
        for a, v in free.items():
            none = torch.nn.functional.one_hot(torch.zeros_like(x_t["atom"]), bond.shape[-1])
            p = torch.where(grown[..., None], bond[:, a].double(), none.double())
            bond[:, a] = bond[:, :, a] = torch.where(grown[..., None], _given_sum(p, v).to(bond), bond[:, a])
        return {**belief, "bond": bond}

    return conditioned


def _given_sum(p: Tensor, total: int) -> Tensor:
    """Marginals of independent numbers with probabilities `p [B, N, K]`, given that they sum to `total`."""

    def partial_sums(q: Tensor) -> Tensor:
        """P(the first j numbers sum to s), `[B, N + 1, total + 1]`."""
        sums = [torch.nn.functional.one_hot(torch.zeros(len(q), dtype=torch.long), total + 1).to(q)]
        for j in range(q.shape[1]):
            terms = [pad(sums[-1] * q[:, j, k, None], (k, 0))[:, : total + 1] for k in range(q.shape[-1])]
            sums.append(torch.stack(terms).sum(0))
        return torch.stack(sums, 1)

    pad = torch.nn.functional.pad
    before, after = partial_sums(p)[:, :-1], partial_sums(p.flip(1)).flip(1)[:, 1:]
    marginal = torch.zeros_like(p)
    for k in range(min(total + 1, p.shape[-1])):
        marginal[..., k] = p[..., k] * (before[..., : total + 1 - k] * after[..., : total + 1 - k].flip(-1)).sum(-1)
    weight = marginal.sum(-1, keepdim=True)
    return torch.where(weight > 0, marginal / weight.clamp(min=1e-300), p)


def place(fragment: Fragment, known: State, rng: Streams) -> Tensor:
    """Coordinates `[B, N, 3]` centred on each whole molecule: the fragment, and all new atoms at one guessed centroid.

    The new atoms are shared out among the ports by a uniform composition. A branch of m atoms at a port has its
    centroid 2.7 - 1.6 e^(-(m - 1) / 5) Å out, give or take sqrt(m - 1) times 0.15 Å along and 0.25 Å across: what
    cutting QM9 at its acyclic bonds gives.
    """
    pos, n = known["pos"].clone(), len(fragment)
    for k, (size, generator) in enumerate(zip(rng.sizes, rng.generators, strict=True)):
        centre = torch.from_numpy(_centroid(fragment, size - n, generator) - fragment.molecule.pos.mean(0)) / SCALE
        pos[k, n:size] = centre.to(pos)
    return center(pos, known.mask)


def _centroid(fragment: Fragment, atoms: int, generator: torch.Generator) -> np.ndarray:
    ports = len(fragment.atom)
    spare = max(atoms - ports, 0)
    cuts = np.sort((torch.rand(ports - 1, generator=generator).double().numpy() * (spare + 1)).astype(int))
    m = 1 + np.diff(cuts, prepend=0, append=spare)[:, None]
    z = torch.randn(ports, 3, generator=generator).double().numpy()
    across = z - (z * fragment.way).sum(1, keepdims=True) * fragment.way
    along = (z * fragment.way).sum(1, keepdims=True) * fragment.way
    far = 2.7 - 1.6 * np.exp(-(m - 1) / 5)
    ends = fragment.molecule.pos[fragment.atom] + far * fragment.way + np.sqrt(m - 1) * (0.15 * along + 0.25 * across)
    return (m * ends).sum(0) / m.sum()


def put_back(molecule: Molecule, fragment: Fragment) -> Molecule:
    """The molecule moved, never turned, to where its fragment lies in the file, with the file's coordinates there."""
    n, home = len(fragment), fragment.molecule.pos
    pos = molecule.pos.astype(np.float64)
    pos += home.mean(0) - pos[:n].mean(0)
    pos[:n] = home
    return Molecule(molecule.z, molecule.charge, pos, molecule.bond)
