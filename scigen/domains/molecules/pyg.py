"""torch-geometric interchange: molecule sets as a PyG dataset, `Batch` <-> `State`, `Data` <-> RDKit.

A `Data` holds `pos [N, 3]` Å, `z [N]` atomic numbers, formal `charge [N]`, `edge_index [2, 2E]` with every bond in both
directions, its Kekulé order `bond [2E]`; from a set also the properties `y [1, P]` (units of `data.PROPERTIES`),
`idx [1]` (the number in the source) and `smiles`. Bonds are the edges: no neighbour search, no compiled extra.
Fey and Lenssen 2019, arXiv:1903.02428.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, Dataset

from scigen.domains.molecules import codec
from scigen.domains.molecules.codec import SCALE, TOKENS
from scigen.domains.molecules.data import PROPERTIES, Molecule, MoleculeSet
from scigen.errors import InputError
from scigen.state import State

if TYPE_CHECKING:
    from rdkit.Chem import Mol

__all__ = ["MoleculeDataset", "from_data", "from_mol", "from_state", "to_data", "to_mol", "to_state"]

DISPLACED = 1e-5  # Å: a centre nearer to zero than this is the rounding of float32 coordinates, not a displacement


class MoleculeDataset(Dataset):
    """A PyG view of a molecule set, or of one split of it; nothing is copied or written.

    `dtype` is that of `y`: total energies keep 1 meV in float32, all their digits in float64.
    Raises `InputError` for an unknown split.
    """

    def __init__(
        self,
        molecules: MoleculeSet,
        split: str | None = None,
        transform: Callable[[Data], Data] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(root=None, transform=transform)
        self.molecules, self.dtype = molecules, dtype
        self.rows = np.arange(len(molecules)) if split is None else molecules.where(split)

    def len(self) -> int:
        """Molecules in the view."""
        return len(self.rows)

    def get(self, idx: int) -> Data:
        """Molecule `idx` of the view."""
        row, source = int(self.rows[idx]), self.molecules
        data = to_data(source[row])
        data.y = torch.from_numpy(source.prop[row : row + 1]).to(self.dtype)
        data.idx = torch.tensor([int(source.index[row])])
        data.smiles = source.smiles[row].decode()
        return data

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the columns of `y`."""
        return PROPERTIES


def to_data(molecule: Molecule) -> Data:
    """One molecule as a graph; the numbers are the molecule's own, bit for bit."""
    i, j, order = torch.from_numpy(molecule.bond.astype(np.int64)).T
    return Data(
        pos=torch.from_numpy(np.array(molecule.pos)),
        z=torch.from_numpy(molecule.z.astype(np.int64)),
        charge=torch.from_numpy(molecule.charge.astype(np.int64)),
        edge_index=torch.stack([torch.cat([i, j]), torch.cat([j, i])]),
        bond=torch.cat([order, order]),
    )


def from_data(data: Data) -> Molecule:
    """A graph as a molecule; raises `InputError` when a bond lacks its reverse or the two differ."""
    edges = torch.cat([data.edge_index, data.bond[None]]).T.cpu().numpy()
    up, down = edges[edges[:, 0] < edges[:, 1]], edges[edges[:, 0] > edges[:, 1]][:, [1, 0, 2]]
    up, down = (rows[np.lexsort(rows.T[::-1])] for rows in (up, down))
    if len(up) + len(down) != len(edges) or not np.array_equal(up, down):
        raise InputError(f"`edge_index` must hold each of the bonds in both directions, got {len(up)} and {len(down)}.")
    return Molecule(
        data.z.cpu().numpy().astype(np.uint8),
        data.charge.cpu().numpy().astype(np.int8),
        data.pos.detach().cpu().numpy(),
        up.astype(np.uint8),
    )


def to_state(batch: Batch | Data) -> State:
    """The `State` of a batch: centred coordinates in units of `SCALE` Å, tokens, bond matrix.

    `to_state(from_state(x))` is x bit for bit. Raises `InputError` for an element or charge outside `TOKENS`.
    """
    ptr = batch.ptr if isinstance(batch, Batch) else torch.tensor([0, len(batch.z)], device=batch.z.device)
    sizes = ptr.diff()
    b, n = len(sizes), int(sizes.max())
    mask = torch.arange(n, device=ptr.device)[None] < sizes[:, None]
    pos = batch.pos.new_zeros(b, n, 3, dtype=torch.float64)
    pos[mask] = batch.pos.double()
    middle = pos.sum(1, keepdim=True) / sizes[:, None, None]
    displaced = middle.abs().amax((1, 2), keepdim=True) > DISPLACED
    pos = torch.where(displaced, pos - middle, pos) * mask[..., None] / SCALE
    atom = mask.new_zeros(b, n, dtype=torch.long)
    atom[mask] = _tokens(batch.z, batch.charge)
    bond = mask.new_zeros(b, n, n, dtype=torch.long)
    owner = torch.repeat_interleave(torch.arange(b, device=ptr.device), sizes)[batch.edge_index[0]]
    i, j = batch.edge_index - ptr[owner]
    bond[owner, i, j] = batch.bond
    return State({"pos": pos.float(), "atom": atom, "bond": bond}, mask)


def from_state(x: State) -> Batch:
    """The batch of a `State`: `pos` in Å and float64, so that the way back loses no bit; call `.float()` to train."""
    table = torch.tensor(TOKENS, device=x.mask.device)
    graphs = []
    for k, n in enumerate(x.sizes.tolist()):
        z, charge = table[x["atom"][k, :n]].T
        edge_index = x["bond"][k, :n, :n].nonzero().T
        bond = x["bond"][k, :n, :n][edge_index[0], edge_index[1]]
        pos = x["pos"][k, :n].double() * SCALE
        graphs.append(Data(pos=pos, z=z, charge=charge, edge_index=edge_index, bond=bond))
    return Batch.from_data_list(graphs)


def to_mol(data: Data) -> Mol:
    """An RDKit molecule with explicit hydrogens, Kekulé bonds and one conformer; not sanitised."""
    return codec.to_rdkit(from_data(data))


def from_mol(mol: Mol) -> Data:
    """The graph of an RDKit molecule with explicit hydrogens and a conformer; raises `InputError` without them."""
    return to_data(codec.from_rdkit(mol))


def _tokens(z: Tensor, charge: Tensor) -> Tensor:
    """Row of every (z, charge) in `TOKENS`."""
    table = torch.tensor(TOKENS, device=z.device)
    found = (torch.stack([z, charge], -1)[:, None] == table).all(-1)
    if not bool(found.any(-1).all()):
        k = int((~found.any(-1)).nonzero()[0])
        raise InputError(f"Atomic number {int(z[k])} with charge {int(charge[k]):+d} is outside the model's alphabet.")
    return found.int().argmax(-1)
