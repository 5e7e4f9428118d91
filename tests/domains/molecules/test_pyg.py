"""A PyG user gets real PyG objects, and nothing is lost on the way there and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rdkit import Chem
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GCNConv, MessagePassing, global_mean_pool

from scigen.domains.molecules.codec import encode
from scigen.domains.molecules.data import PROPERTIES, load_fixture
from scigen.domains.molecules.pyg import MoleculeDataset, from_data, from_mol, from_state, to_data, to_mol, to_state
from scigen.errors import InputError

DATA = load_fixture()


def same(a, b) -> None:
    assert all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("z", "charge", "pos", "bond"))


def equal(a, b) -> None:
    assert torch.equal(a.mask, b.mask) and all(torch.equal(a[name], b[name]) for name in a.fields)


def test_every_molecule_survives_pyg():
    for k in range(len(DATA)):
        data = to_data(DATA[k])
        assert data.validate() and data.is_undirected()
        same(from_data(data), DATA[k])


def test_every_molecule_survives_pyg_to_rdkit():
    for k in range(0, len(DATA), 5):
        mol = to_mol(to_data(DATA[k]))
        same(from_data(from_mol(mol)), DATA[k])
        Chem.SanitizeMol(mol)


def test_a_split_is_a_dataset():
    train = MoleculeDataset(DATA, "train")
    rows = DATA.where("train")
    assert len(train) == len(rows) and len(MoleculeDataset(DATA)) == len(DATA)
    first = train[0]
    assert int(first.idx) == DATA.index[rows[0]] and first.smiles == DATA.smiles[rows[0]].decode()
    assert first.y.shape == (1, len(PROPERTIES)) and first.y.dtype == torch.float32
    assert train.target_names == PROPERTIES
    exact = MoleculeDataset(DATA, "train", dtype=torch.float64)[0].y
    assert np.array_equal(exact.numpy()[0], DATA.prop[rows[0]])
    assert len(train[:10]) == 10 and len(train.shuffle()) == len(train)  # PyG's own indexing works
    with pytest.raises(InputError, match="Unknown split 'tests'"):
        MoleculeDataset(DATA, "tests")


def test_a_transform_is_applied():
    def count(data):
        data.heavy = int((data.z > 1).sum())
        return data

    data = MoleculeDataset(DATA, "test", transform=count)[3]
    assert data.heavy == int((DATA[DATA.where("test")[3]].z > 1).sum())


def test_a_graph_does_not_share_memory_with_the_set():
    data, before = to_data(DATA[0]), DATA.pos.copy()
    data.pos += 1
    assert np.array_equal(DATA.pos, before)


def test_state_to_batch_and_back_is_exact():
    x = encode([DATA[k] for k in range(40)])
    batch = from_state(x)
    assert isinstance(batch, Batch) and batch.num_graphs == 40
    equal(to_state(batch), x)


def test_batch_to_state_is_the_codec():
    molecules = [DATA[k] for k in range(40)]
    x, y = to_state(Batch.from_data_list([to_data(m) for m in molecules])), encode(molecules)
    assert torch.equal(x["atom"], y["atom"]) and torch.equal(x["bond"], y["bond"]) and torch.equal(x.mask, y.mask)
    assert (x["pos"] - y["pos"]).abs().max() < 1e-6
    alone = to_state(to_data(molecules[7]))
    assert torch.equal(alone["pos"][0], x["pos"][7, : len(molecules[7].z)])


def test_batch_to_state_and_back_moves_nothing_but_the_centre():
    batch = Batch.from_data_list([MoleculeDataset(DATA)[k] for k in range(20)])
    back = from_state(to_state(batch))
    assert torch.equal(back.z, batch.z) and torch.equal(back.charge, batch.charge)
    for one, other in zip(back.to_data_list(), batch.to_data_list()):
        assert np.array_equal(from_data(one).bond, from_data(other).bond)
        assert (one.pos - (other.pos - other.pos.mean(0))).abs().max() < 1e-5


def test_refusals():
    data = to_data(DATA[0])
    lame = data.clone()
    lame.edge_index, lame.bond = data.edge_index[:, 1:], data.bond[1:]
    with pytest.raises(InputError, match="both directions"):
        from_data(lame)
    strange = data.clone()
    strange.z[0] = 14
    with pytest.raises(InputError, match="Atomic number 14"):
        to_state(strange)


class Distances(MessagePassing):
    """A user's own layer, on `pos`, `z` and the bonds."""

    def __init__(self, width: int) -> None:
        super().__init__(aggr="add")
        self.net = torch.nn.Linear(width + 2, width)

    def forward(self, h, pos, edge_index, bond):
        return h + self.propagate(edge_index, h=h, pos=pos, bond=bond)

    def message(self, h_j, pos_i, pos_j, bond):
        length = (pos_i - pos_j).norm(dim=-1, keepdim=True)
        return self.net(torch.cat([h_j, length, bond[:, None].float()], -1)).tanh()


class Model(torch.nn.Module):
    """Atoms to one number a molecule."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embed, self.geometry = torch.nn.Embedding(10, width), Distances(width)
        self.bonds, self.out = GCNConv(width, width), torch.nn.Linear(width, 1)

    def forward(self, batch):
        h = self.geometry(self.embed(batch.z), batch.pos, batch.edge_index, batch.bond)
        return self.out(global_mean_pool(self.bonds(h, batch.edge_index).relu(), batch.batch))[:, 0]


def test_a_pyg_user_can_train_their_own_model(rng):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, losses = Model(), []
        loader = DataLoader(MoleculeDataset(DATA, "train"), batch_size=64, shuffle=True, generator=rng)
        gap = PROPERTIES.index("gap")
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(6):
            for batch in loader:
                loss = (model(batch) - batch.y[:, gap]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < 0.3 * losses[0]
