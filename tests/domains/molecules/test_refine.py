"""Pairs of geometries, and the bridge between them as a task."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from scigen.domains.molecules.codec import BOND_ORDERS, SCALE, TOKENS, to_rdkit
from scigen.domains.molecules.data import Molecule, fixture_path, load_fixture
from scigen.domains.molecules.refine import pairs as module
from scigen.domains.molecules.refine.bridge import SPREAD, refine_denoiser, refine_process
from scigen.domains.molecules.refine.pairs import SAME_BASIN, PairSet, build_pairs, embedded, load_pairs, relaxed
from scigen.domains.molecules.refine.task import PairBatches, RefineLoss, refine_loss
from scigen.errors import InputError
from scigen.io.npz import write_npz
from scigen.metrics.superpose import rmsd, superpose
from scigen.nn.transformer import GraphTransformer, TransformerConfig
from scigen.solver.loop import ancestral, sample
from scigen.state import State
from tests.domains.molecules.small import Here

TINY = TransformerConfig(width=16, pair=8, message=8, vectors=4, heads=2, layers=2)


@pytest.fixture(scope="module")
def pairs() -> PairSet:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ProcessPoolExecutor", Here)
        found, missed = build_pairs(load_fixture().subset(np.arange(40)), relaxed)
    assert not missed and len(found) == 40
    return found


def energy(molecule: Molecule, pos: np.ndarray) -> float:
    from rdkit import Chem
    from rdkit.Chem import rdForceFieldHelpers as helpers

    mol = to_rdkit(Molecule(molecule.z, molecule.charge, pos, molecule.bond))
    Chem.SanitizeMol(mol)
    return helpers.MMFFGetMoleculeForceField(mol, helpers.MMFFGetMoleculeProperties(mol)).CalcEnergy()


def handedness(pos: np.ndarray) -> float:
    a, b, c = (pos[k] - pos[0] for k in (1, 2, 3))
    return float(np.sign(np.dot(np.cross(a, b), c)))


def test_superposing_undoes_a_rigid_motion_and_never_reflects() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    assert rmsd(superpose(x @ turn + [3, -1, 2], x), x) < 1e-14
    mirrored = superpose(x * [1, 1, -1], x)
    assert rmsd(mirrored, x) > 0.1 and handedness(mirrored) == -handedness(x)


def test_superposing_is_the_best_rotation() -> None:
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, 9, 3))
    _, residual = Rotation.align_vectors(b - b.mean(0), a - a.mean(0))
    assert rmsd(superpose(a, b), b) == pytest.approx(residual / 3, rel=1e-12)
    planar = a * [1, 1, 0]  # a singular covariance still gives a rotation
    assert rmsd(superpose(planar, planar), planar) < 1e-14


def test_a_start_is_a_minimum_laid_onto_its_reference(pairs: PairSet) -> None:
    for k in range(len(pairs)):
        molecule, start = pairs.at(k)
        assert energy(molecule, start) < energy(molecule, molecule.pos)
        again = superpose(start, molecule.pos)
        assert rmsd(again, start) < 1e-5 and rmsd(start, molecule.pos) < 1.5


def test_starts_hardly_depend_on_the_frame(pairs: PairSet) -> None:
    """A minimiser may fall to either side of a flat ridge (one in sixty here does); all others end where they did."""
    turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], np.float32)
    apart = []
    for k in range(20):
        molecule, start = pairs.at(k)
        other, _ = relaxed(Molecule(molecule.z, molecule.charge, molecule.pos @ turn + 5, molecule.bond))
        apart.append(rmsd(superpose(other, start), start))
    assert np.quantile(apart, 0.9) < 0.02


def test_embedded_starts_reach_the_same_minimum_in_the_same_order() -> None:
    data = load_fixture()
    reasons, found = Counter(), 0
    for k in range(12):
        molecule = data[k]
        start, reason = embedded(molecule)
        if start is None:
            reasons[reason] += 1
            continue
        found += 1
        basin, _ = relaxed(molecule)
        assert rmsd(superpose(start, basin), basin) <= SAME_BASIN
        assert energy(molecule, start) == pytest.approx(energy(molecule, basin), abs=0.05)
    assert found >= 6 and all("basin" in reason for reason in reasons)


def test_what_cannot_be_placed_is_named() -> None:
    molecule = load_fixture()[0]
    start, reason = relaxed(Molecule(molecule.z, molecule.charge, molecule.pos, np.zeros((0, 3), np.uint8)))
    assert start is None and reason == "no bonds"
    assert relaxed(Molecule(molecule.z, molecule.charge + 5, molecule.pos, molecule.bond))[0] is None


def test_pairs_come_back_from_a_file(pairs: PairSet, tmp_path: Path) -> None:
    write_npz(tmp_path / "pairs.npz", pairs.arrays())
    again = load_pairs(tmp_path / "pairs.npz")
    assert again.content_hash() == pairs.content_hash() and np.array_equal(again.start, pairs.start)
    part = again.subset(np.array([5, 2]))
    assert np.array_equal(part.at(1)[1], pairs.at(2)[1]) and part.content_hash() != pairs.content_hash()
    with pytest.raises(InputError, match="no start geometries"):
        load_pairs(fixture_path())


def test_batches_lay_starts_beside_their_references(pairs: PairSet) -> None:
    x = PairBatches.of(pairs, batch=8, seed=3).at(1)
    rows = PairBatches.of(pairs, batch=8, seed=3).batches.rows(1)
    for k, row in enumerate(rows.tolist()):
        molecule, start = pairs.at(row)
        n = len(molecule.z)
        assert int(x.mask[k].sum()) == n
        assert np.allclose(x["start"][k, :n].numpy() * SCALE, start - start.mean(0), atol=1e-6)
        assert np.allclose(x["pos"][k, :n].numpy() * SCALE, molecule.pos - molecule.pos.mean(0), atol=1e-6)
        assert not x["start"][k, n:].any()


def exact(x0: State):
    """The network that knows the answer."""

    def network(x: State, logsnr: torch.Tensor, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        assert given["atom"].argmax(-1).equal(x["atom"]) and given["bond"].argmax(-1).equal(x["bond"])
        return {"pos": (x0["pos"] - given["pos"]) / SPREAD}

    return network


def test_the_loss_vanishes_for_the_network_that_knows(pairs: PairSet) -> None:
    x = PairBatches.of(pairs, batch=8, seed=0).at(0)
    rng = torch.Generator().manual_seed(0)
    total, terms = refine_loss(exact(x), x, rng, RefineLoss())
    assert total < 1e-5 and set(terms) == {"pos", "bond", "angle"}
    lazy, terms = refine_loss(lambda x, logsnr, given: {"pos": torch.zeros_like(x["pos"])}, x, rng, RefineLoss())
    assert lazy > 0.1 and terms["bond"] > 0.02


def test_the_bridge_ends_where_the_network_says(pairs: PairSet) -> None:
    x = PairBatches.of(pairs, batch=8, seed=0).at(0)
    begin = x.replace(pos=x["start"])
    rng = torch.Generator().manual_seed(1)
    last, belief = sample(refine_process(), refine_denoiser(exact(x)), begin, [1, 0.6, 0.2, 0], rng, ancestral)
    assert (belief["pos"] - x["pos"]).abs().max() < 1e-6 and (last["pos"] - x["pos"]).abs().max() < 1e-6
    assert last["bond"].equal(x["bond"]) and last["atom"].equal(x["atom"]) and last["start"].equal(x["start"])


@pytest.mark.parametrize("t", [1.0, 0.7, 1e-3])
def test_the_belief_turns_and_mirrors_with_the_molecule(pairs: PairSet, t: float) -> None:
    torch.manual_seed(0)
    net = GraphTransformer(TINY).eval()
    torch.nn.init.normal_(net.vector_out.weight)
    x = PairBatches.of(pairs, batch=8, seed=0).at(0)
    x = x.replace(pos=x["start"] + 0.05 * torch.randn_like(x["start"]) * (t < 1) * x.mask[..., None])
    turn = torch.linalg.qr(torch.randn(3, 3))[0]
    for q in (turn, -turn):
        turned = x.replace(pos=x["pos"] @ q, start=x["start"] @ q)
        one, other = (refine_denoiser(net)(y, t)["pos"] for y in (x, turned))
        assert (one @ q - other).abs().max() < 1e-4
        assert (one - x["start"]).abs().max() > 1e-3


def test_at_the_start_the_belief_is_a_function_of_the_start_alone(pairs: PairSet) -> None:
    torch.manual_seed(0)
    net = GraphTransformer(TINY).eval()
    x = PairBatches.of(pairs, batch=8, seed=0).at(0)
    at_start = refine_denoiser(net)(x.replace(pos=x["start"]), 1.0)["pos"]
    assert torch.isfinite(at_start).all()
    assert net.config.atoms == len(TOKENS) and net.config.bonds == BOND_ORDERS
