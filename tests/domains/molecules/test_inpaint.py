"""Fragments: what of a file is kept and where it may grow, and molecules that hold it exactly as the file has it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem

from scigen.domains.molecules.codec import SCALE, TOKENS, to_rdkit
from scigen.domains.molecules.data import Molecule
from scigen.domains.molecules.fragment import Fragment, read_fragment
from scigen.domains.molecules.inpaint import held, place, put_back, saturated
from scigen.domains.molecules.process import blank
from scigen.domains.molecules.sampler import Plan, draw_molecules
from scigen.errors import InputError, UsageError
from scigen.metrics.strict import VALENCES
from scigen.process.affine import rectified, vp
from scigen.solver import ancestral, ddim
from scigen.state import Streams, generator
from tests.domains.molecules.small import untrained


def written(path: Path, smiles: str, lose: tuple[int, ...] = (), far: float = 0.0, v3000: bool = False) -> Path:
    """An SDF of `smiles` in 3D with hydrogens, less the atoms `lose`, moved by `far` Å."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=7) == 0
    Chem.Kekulize(mol, clearAromaticFlags=True)
    mol = Chem.RWMol(mol)
    for k in sorted(lose, reverse=True):
        mol.RemoveAtom(k)
    for atom in mol.GetAtoms():
        atom.SetNoImplicit(True)
    conformer = mol.GetConformer()
    conformer.SetPositions(conformer.GetPositions() + far)
    path.write_text(Chem.MolToMolBlock(mol.GetMol(), kekulize=False, forceV3000=v3000) + "$$$$\n")
    return path


def heavy(fragment: Fragment) -> int:
    return int((fragment.molecule.z > 1).sum())


@pytest.fixture
def phenyl(tmp_path: Path) -> Fragment:
    """Benzene without hydrogen 7, which sat on atom 1."""
    return read_fragment(written(tmp_path / "phenyl.sdf", "c1ccccc1", lose=(6,), far=50.0))


def test_a_missing_hydrogen_is_the_port(phenyl: Fragment) -> None:
    assert len(phenyl) == 11 and heavy(phenyl) == 6 and phenyl.fewest == 12
    assert phenyl.atom.tolist() == [0] and phenyl.order.tolist() == [1] and phenyl.open.tolist() == [1] + [0] * 10
    out = phenyl.molecule.pos[0] - phenyl.molecule.pos[:6].mean(0)
    assert phenyl.way[0] @ out / np.linalg.norm(out) > 0.98 and np.linalg.norm(phenyl.way[0]) == pytest.approx(1)


def test_a_complete_fragment_gives_any_hydrogen_or_those_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "ethane.sdf", "CC")
    assert (len(read_fragment(path)), read_fragment(path).open.tolist()) == (2, [3, 3])
    one = read_fragment(path, [1])
    assert len(one) == 5 and one.open.tolist() == [3, 0, 0, 0, 0]
    single = read_fragment(path, [3])  # a hydrogen of the first carbon
    assert len(single) == 7 and single.open.tolist() == [1] + [0] * 6
    assert read_fragment(path, [3, 4, 5]).open.tolist() == one.open.tolist()


def test_bare_heavy_atoms_grow_everywhere_and_one_can_be_chosen(tmp_path: Path) -> None:
    path = written(tmp_path / "bare.sdf", "c1ccccc1", lose=tuple(range(6, 12)))
    assert read_fragment(path).open.tolist() == [1] * 6
    chosen = read_fragment(path, [2])
    assert len(chosen) == 11 and chosen.open.tolist() == [0, 1] + [0] * 9, "the other five carbons got hydrogens"
    lengths = np.linalg.norm(chosen.molecule.pos[6:] - chosen.molecule.pos[[0, 2, 3, 4, 5]], axis=1)
    assert np.allclose(lengths, 1.08, atol=0.05)


@pytest.mark.parametrize("v3000", [False, True])
def test_dummies_are_the_only_ports(tmp_path: Path, v3000: bool) -> None:
    marked = read_fragment(written(tmp_path / "marked.sdf", "[*]CC=[*]", v3000=v3000))
    assert heavy(marked) == 2 and len(marked) == 5
    assert sorted(zip(marked.atom.tolist(), marked.order.tolist())) == [(0, 1), (1, 2)]
    bare = read_fragment(written(tmp_path / "bare.sdf", "[*]CC", lose=(3, 4), v3000=v3000))
    assert len(bare) == 7 and bare.open.tolist() == [1] + [0] * 6, "hydrogens that are missing beside a dummy are added"


# Refusals.


def edited(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("smiles", "grow_at", "words"),
    [
        ("CS", [], "atom 2 has atomic number 16"),
        ("[NH3+][H]", [2], None),
        ("FC(F)(F)F", [], "nothing can grow"),
        ("[H][H]", [1, 2], "no atom would be kept"),
    ],
)
def test_molecules_that_cannot_be_grown(tmp_path: Path, smiles: str, grow_at: list[int], words: str | None) -> None:
    path = written(tmp_path / "a.sdf", smiles)
    if words is None:
        assert read_fragment(path, grow_at).molecule.charge[0] == 1
        return
    with pytest.raises(InputError, match=words):
        read_fragment(path, grow_at)


@pytest.mark.parametrize(
    ("grow_at", "words"), [([9], "has atoms 1 to 8"), ([0], "has atoms 1 to 8"), ([-1], "has atoms 1 to 8")]
)
def test_atoms_that_are_not_there(tmp_path: Path, grow_at: list[int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_fragment(written(tmp_path / "a.sdf", "CC"), grow_at)


def test_atoms_that_cannot_grow_and_ports_given_twice(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no hydrogen and no open valence"):
        read_fragment(written(tmp_path / "a.sdf", "CC(=O)C"), [3])
    with pytest.raises(UsageError, match="not both"):
        read_fragment(written(tmp_path / "b.sdf", "[*]CC"), [2])


def test_files_that_hold_no_fragment(tmp_path: Path) -> None:
    path, whole = tmp_path / "a.sdf", written(tmp_path / "whole.sdf", "CC").read_text()
    flat = Chem.AddHs(Chem.MolFromSmiles("CC"))
    AllChem.Compute2DCoords(flat)
    for text, words in (
        (whole * 2, "more than one record"),
        ("nothing\n", "no whole mol block"),
        (Chem.MolToMolBlock(flat), "is flat"),
        (whole.replace(" C ", " Q ", 1), "`Q` is not an element"),
        (whole.replace("  1  2  1", "  1  2  3", 1), "bonds for 6, and its valence is 4"),
        (whole.replace("M  END", "", 1), "no whole mol block"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=words):
            read_fragment(path)
    with pytest.raises(InputError, match="does not exist"):
        read_fragment(tmp_path / "missing.sdf")


@pytest.mark.parametrize(("factor", "words"), [(0.1, "apart"), (0.55, "long"), (1.9, "long")])
def test_coordinates_in_other_units(tmp_path: Path, factor: float, words: str) -> None:
    path = written(tmp_path / "a.sdf", "CC")
    mol = Chem.MolFromMolFile(str(path), removeHs=False)
    mol.GetConformer().SetPositions(mol.GetConformer().GetPositions() * factor)
    path.write_text(Chem.MolToMolBlock(mol) + "$$$$\n")
    with pytest.raises(InputError, match=words):
        read_fragment(path)


# Known parts.


def test_what_is_held_of_a_batch(phenyl: Fragment) -> None:
    known, where = held(phenyl, blank([14, 18]))
    assert torch.equal(where["pos"], torch.arange(18)[None].expand(2, 18) < 11)
    bond = where["bond"]
    assert torch.equal(bond, bond.mT) and bool(bond[1, :11, :11].any()) and not bond.diagonal(dim1=1, dim2=2).any()
    assert bool(bond[1, 1:11, 11:].all()) and not known["bond"][:, 1:11, 11:].any(), "closed atoms take no new bond"
    assert not bond[:, 0, 11:].any() and not bond[:, 11:, 11:].any() and not bond[0, :, 14:].any()


def test_the_place_is_centred_and_each_samples_own(phenyl: Fragment) -> None:
    sizes = [12, 18, 18, 25]
    known, _ = held(phenyl, blank(sizes))
    pos = place(phenyl, known, Streams([generator(0, k) for k in range(4)], sizes)) * SCALE
    assert pos.sum(1).abs().max() < 1e-4 and not pos[0, 12:].any()
    for k, size in enumerate(sizes):
        shape = pos[k, :11] - pos[k, 0] - torch.from_numpy(phenyl.molecule.pos - phenyl.molecule.pos[0])
        assert shape.abs().max() < 1e-4
        out = (pos[k, 11] - pos[k, 0]).double().numpy()
        assert 0.9 < out @ phenyl.way[0] < 6 and bool((pos[k, 11:size] == pos[k, 11]).all())
    single = (pos[0, 11] - pos[0, 0]).double().numpy()
    assert np.allclose(single, 1.1 * phenyl.way[0], atol=1e-4), "one atom sits at a bond's length"
    assert not torch.allclose(pos[1, 11], pos[2, 11])
    again = place(phenyl, held(phenyl, blank([18], pad_to=20))[0], Streams([generator(0, 2)], [18])) * SCALE
    assert torch.allclose(again[0, :18], pos[2, :18], atol=1e-5)


@pytest.mark.parametrize("free", [1, 2, 3])
def test_bonds_at_a_port_are_conditioned_on_its_valence(free: int) -> None:
    carbon = Molecule(np.array([6]), np.array([0]), np.zeros((1, 3)), np.zeros((0, 3), np.uint8))
    fragment = Fragment(carbon, np.array([0]), np.array([free]), np.eye(3)[:1])
    x = blank([4, 3])
    p = torch.rand(2, 4, 4, 4, generator=torch.Generator().manual_seed(1)).double()
    p = (p + p.transpose(1, 2)) / (p + p.transpose(1, 2)).sum(-1, keepdim=True)
    bond = saturated(lambda *_: {"bond": p}, fragment)(x, 0.5)["bond"]
    for row, grown in ((0, 3), (1, 2)):
        expected = torch.zeros(grown, 4, dtype=torch.float64)
        for orders in itertools.product(range(4), repeat=grown):
            if sum(orders) == free:
                weight = np.prod([float(p[row, 0, 1 + j, k]) for j, k in enumerate(orders)])
                for j, k in enumerate(orders):
                    expected[j, k] += weight
        expected /= expected.sum(-1, keepdim=True)
        assert (bond[row, 0, 1 : 1 + grown] - expected).abs().max() < 1e-15
    assert torch.equal(bond[:, 1:, 1:], p[:, 1:, 1:]) and torch.equal(bond, bond.transpose(1, 2))


def test_a_port_that_nothing_can_fill_keeps_its_belief() -> None:
    carbon = Molecule(np.array([6]), np.array([0]), np.zeros((1, 3)), np.zeros((0, 3), np.uint8))
    fragment = Fragment(carbon, np.array([0, 0]), np.array([3, 1]), np.eye(3)[:2])
    p = torch.nn.functional.one_hot(torch.zeros(1, 2, 2, dtype=torch.long), 4).float()
    assert torch.equal(saturated(lambda *_: {"bond": p}, fragment)(blank([2]), 0.5)["bond"], p)


def test_no_stable_atom_has_a_radical() -> None:
    """What `--only valid` asks, rule `strict` on every atom, leaves no unpaired electron for RDKit to find."""
    for z, charge in TOKENS:
        for valence in VALENCES[z][charge]:
            numbers, charges = [z] + [1] * valence, [charge] + [0] * valence
            bonds = np.array([[0, k, 1] for k in range(1, valence + 1)], np.uint8).reshape(-1, 3)
            mol = to_rdkit(Molecule(np.array(numbers), np.array(charges), np.zeros((valence + 1, 3)), bonds))
            Chem.SanitizeMol(mol)
            assert not any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms())


# Whole runs of an untrained network.

FLOW = rectified()


@pytest.fixture(scope="module")
def network():
    return untrained()


def draw(network, fragment, indices, affine=FLOW, solver=ancestral, repeats=2, sizes=(12, 15, 15, 18)):
    plan = Plan(affine, solver, steps=6, keep=fragment, repeats=repeats)
    groups = draw_molecules(network, plan, indices, 3, [sizes[k] for k in indices], 32)
    return {d.index: d.molecule for group in groups for d in group}


@pytest.mark.parametrize(("affine", "solver"), [(FLOW, ancestral), (vp(), ddim())], ids=["flow", "vp"])
def test_every_molecule_holds_the_fragment_as_the_file_has_it(network, phenyl, affine, solver) -> None:
    kept, n = phenyl.molecule, len(phenyl)
    assert kept.pos.mean() > 40, "far from the origin"
    for molecule in draw(network, phenyl, [0, 1, 2, 3], affine, solver).values():
        assert np.array_equal(molecule.pos[:n], kept.pos), "to the last bit"
        assert np.array_equal(molecule.z[:n], kept.z) and np.array_equal(molecule.charge[:n], kept.charge)
        inner = molecule.bond[(molecule.bond[:, :2] < n).all(1)]
        assert {tuple(b) for b in inner.tolist()} == {tuple(b) for b in kept.bond.tolist()}
        across = molecule.bond[(molecule.bond[:, 0] < n) & (molecule.bond[:, 1] >= n)]
        assert set(across[:, 0].tolist()) <= {0}, "bonds leave by the port alone"
        assert np.isfinite(molecule.pos).all() and np.abs(molecule.pos - kept.pos.mean(0)).max() < 30


def test_a_grown_sample_is_itself_in_any_company(network, phenyl) -> None:
    together = draw(network, phenyl, [0, 1, 2, 3])
    for k in (1, 3):
        alone = draw(network, phenyl, [k])[k]
        assert np.array_equal(alone.z, together[k].z) and np.array_equal(alone.bond, together[k].bond)
        assert np.abs(alone.pos - together[k].pos).max() < 1e-3
    assert not np.allclose(together[1].pos, together[2].pos)


def test_putting_back_moves_and_never_turns(phenyl) -> None:
    n, rng = len(phenyl), np.random.default_rng(0)
    pos = np.concatenate([phenyl.molecule.pos, rng.normal(size=(3, 3)) + 50])
    z, charge = np.append(phenyl.molecule.z, [6, 6, 6]), np.append(phenyl.molecule.charge, [0, 0, 0])
    back = put_back(Molecule(z, charge, (pos - pos.mean(0)).astype(np.float32), phenyl.molecule.bond), phenyl)
    assert np.array_equal(back.pos[:n], phenyl.molecule.pos)
    assert np.abs(back.pos - pos).max() < 1e-5
