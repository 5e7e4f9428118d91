"""What a bridge remembers: the answers of brute force, small tensors, and what no scan may recall."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scigen.domains.points.bridge import draw_ode, draw_sde, regress
from scigen.domains.points.bridge_task import BridgeLoss, bridge_loss, spread_of
from scigen.domains.points.complete import bridged
from scigen.domains.points.latents import LatentBatches
from scigen.domains.points.memory import (
    AROUND,
    SHORTLIST,
    Memory,
    chosen,
    memorised,
    packed,
    recall,
    remembered,
    unpacked,
)
from scigen.domains.points.process import Scale, joined
from scigen.domains.points.recalled import RecalledBatches, recalled_by, set_out, turns
from scigen.state import State

M, K, F = 300, 8, 4


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tokens(count: int = M, seed: int = 0) -> State:
    g = rng(seed)
    # Of every size and shape: clouds of noise alone would all be alike.
    stretch = torch.rand(count, 1, 3, generator=g) + 0.2
    pos, feat = (torch.randn(count, K, d, generator=g) for d in (3, F))
    return State({"pos": pos * stretch, "feat": feat}, torch.ones(count, K, dtype=torch.bool))


def pairs(count: int = M, seed: int = 0) -> State:
    scans = tokens(count, seed)
    whole = scans.replace(pos=1.3 * scans["pos"] + 0.1, feat=-scans["feat"])
    return whole.replace(given=joined(scans), given_mask=scans.mask)


def memory(count: int = M) -> Memory:
    return memorised(pairs(count), np.arange(count))


def test_recall_is_that_of_brute_force() -> None:
    known, queries = memory(SHORTLIST), tokens(20, 9)["pos"]

    def apart(a: torch.Tensor, row: int) -> float:
        between, beyond = (torch.cdist(a, x[row]).square() for x in (known.scan, known.pos))
        return float(between.amin(1).mean() + between.amin(0).mean() + beyond.amin(1).mean())

    best = [sorted(range(SHORTLIST), key=lambda row, a=a: apart(a, row)) for a in queries]
    assert recall(known, queries, AROUND).tolist() == [rows[:AROUND] for rows in best]
    assert recall(known, queries[:1], 1000).tolist() == best[:1], "no more than there are"


def test_a_scan_finds_itself_in_any_order_of_tokens_and_pairs() -> None:
    known, order = memory(), torch.randperm(M, generator=rng(1))
    scans = known.scan[:40][:, torch.randperm(K, generator=rng(2))]
    assert recall(known, scans, 1)[:, 0].tolist() == list(range(40))
    other = Memory(known.scan[order], known.pos[order], known.feat[order])
    assert torch.equal(order[recall(other, scans, AROUND)], recall(known, scans, AROUND))


def test_its_own_shape_is_never_recalled() -> None:
    known = memory()
    own = torch.arange(M)
    own[::3] = -1
    near = recall(known, known.scan, AROUND, own)
    assert not (near == own[:, None])[own >= 0].any()
    assert (near[::3, 0] == torch.arange(M)[::3]).all(), "what bars nothing finds itself"
    few = memory(3)
    assert not (recall(few, few.scan, 2, torch.arange(3)) == torch.arange(3)[:, None]).any(), "of two others, both"


def test_a_byte_is_off_by_half_a_step_at_most_and_packing_again_changes_nothing() -> None:
    exact = memory()
    small = packed(exact)
    again = unpacked(small)
    for name in ("scan", "feat"):
        bound = getattr(exact, name).abs().amax((0, 1)) / 254
        assert ((getattr(again, name) - getattr(exact, name)).abs() <= bound * (1 + 1e-5)).all()
    assert (again.pos - exact.pos).abs().max() < 2**-11 * exact.pos.abs().max()
    twice = packed(again)
    assert all(torch.equal(twice[name], small[name]) for name in ("scan", "feat", "pos"))
    assert sum(x.numel() * x.element_size() for x in small.values()) == M * K * (9 + F) + 4 * (3 + F)


SPOILT = {
    "nothing": (lambda x: {}, "missing"),
    "a field more": (lambda x: {**x, "more": x["pos"]}, "more"),
    "another type": (lambda x: {**x, "pos": x["pos"].float()}, "pos"),
    "fewer pairs": (lambda x: {**x, "feat": x["feat"][1:]}, "fit together"),
    "no pairs": (lambda x: {k: v[:0] if v.dim() == 3 else v for k, v in x.items()}, "fit together"),
    "a step too few": (lambda x: {**x, "feat_step": x["feat_step"][1:]}, "fit together"),
    "not finite": (lambda x: {**x, "pos": x["pos"] * torch.inf}, "finite"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_what_is_no_memory_is_refused(what: str) -> None:
    spoil, words = SPOILT[what]
    with pytest.raises(ValueError, match=words):
        unpacked(spoil(packed(memory())))
    padded = pairs()
    with pytest.raises(ValueError, match="one number of latent points"):
        memorised(State(padded.fields, padded.mask & (torch.arange(K) < 5)), np.arange(3))


def test_one_of_a_shape_is_chosen_and_categories_in_turn() -> None:
    shape = np.repeat(np.arange(60), 3)
    category = (shape >= 50).astype(int)  # 50 shapes of one, 10 of the other
    for count, others in ((12, 6), (40, 10), (1000, 10)):
        rows = chosen(shape, category, count, 0)
        assert len(rows) == min(count, 60) == len(set(shape[rows])) and (np.diff(rows) > 0).all()
        assert category[rows].sum() == others
    assert np.array_equal(chosen(shape, category, 12, 0), rows_of := chosen(shape, category, 12, 0))
    assert not np.array_equal(rows_of, chosen(shape, category, 12, 1))
    assert len({row % 3 for row in chosen(shape, category, 60, 0)}) == 3, "any of its scans"


def silent(x: State, logsnr: torch.Tensor, previous: object = None) -> dict[str, torch.Tensor]:
    return {name: torch.zeros_like(x[name]) for name in ("pos", "feat")}


def test_with_a_network_that_says_nothing_a_completion_is_what_was_remembered() -> None:
    known, scale, spread = memory(), Scale(0.3, 2.0), Scale(0.4, 0.5)
    scan = State({"pos": known.scan[7][None], "feat": torch.zeros(1, K, F)}, torch.ones(1, K, dtype=torch.bool))
    n = AROUND + 2
    seen = scale.leave(scan.map(lambda x: x.expand(n, *x.shape[1:])))
    near = recall(known, known.scan[7:8], AROUND)[0]
    walks = [lambda x1, g: regress(silent, spread, x1)]
    walks += [lambda x1, g, f=f: f(silent, spread, x1, g, 3) for f in (draw_sde, draw_ode)]
    for walk in walks:
        out = bridged(walk, scale, remembered(known))(seen, [rng(k) for k in range(n)])
        for k in range(n):
            row = near[k % AROUND]
            assert (out["pos"][k] - 0.3 * known.pos[row]).abs().max() < 1e-6
            assert (out["feat"][k] - 2 * known.feat[row]).abs().max() < 1e-5
    assert near[0] == 7 and len(set(near.tolist())) == AROUND


def ready(count: int = M) -> State:
    """Pairs that have followed what they recall: as if by a step of their own from each."""
    x, known = pairs(count).replace(category=torch.arange(count) % 3), memory(count)
    near = recalled_by(x, known, torch.arange(count))
    begin = torch.stack([joined(known.whole(rows)) for rows in near.T], 1)
    step = torch.tensor([0.1, 0.2, 0.3, 0.4])[None, : near.shape[1], None, None]
    return x.replace(near=near, ends=begin + step)


def test_training_sets_out_from_what_is_recalled_and_arrives_at_what_followed_it() -> None:
    x, known = ready(), memory()
    assert not (x["near"] == torch.arange(M)[:, None]).any()
    turn = turns(x, rng())
    assert 0.4 < float((turn == 0).float().mean()) < 0.6 and set(turn.tolist()) == set(range(AROUND))
    out = set_out(x, known, turn)
    rows = x["near"][torch.arange(M), turn]
    assert torch.equal(out["start"], joined(known.whole(rows))) and torch.equal(out["given"], x["given"])
    assert not {"near", "ends"} & set(out.fields) and torch.equal(out["category"], x["category"])
    assert torch.allclose(joined(out) - out["start"], 0.1 * (1 + turn)[:, None, None].float(), atol=1e-5)
    assert spread_of(set_out(x, known, torch.full((M,), 3))).pos == pytest.approx(0.4, rel=1e-4)
    total, _ = bridge_loss(silent, spread_of(out), out, rng(), BridgeLoss(snr_cap=1.0))
    assert float(total) == pytest.approx(2, rel=0.05), "of variance one each"


def test_a_batch_depends_on_its_step_and_rank_alone() -> None:
    known = memory()
    batches = RecalledBatches(LatentBatches(ready(), 16, 3), known)
    a, b = batches.at(5, 1, 2), batches.at(5, 1, 2)
    assert all(torch.equal(a[name], b[name]) for name in a.fields)
    assert not torch.equal(a["start"], batches.at(6, 1, 2)["start"])
    laps = [batches.at(step)["start"] for step in range(0, 18 * 4)]
    assert len(torch.cat(laps).flatten(1).unique(dim=0)) > M / 4
    with pytest.raises(ValueError, match="nothing to recall"):
        recalled_by(pairs(1), memory(1), torch.zeros(1, dtype=torch.long))
