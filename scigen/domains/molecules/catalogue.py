"""The names of the molecule scores, what each is, and which engine it needs (no heavy import: the CLI reads it)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOGUE", "EXTRAS", "Entry", "entry"]

# Groups beyond `core`: each needs an engine, time, or both.
EXTRAS = ("posebusters", "fcd", "mmff", "gfn2")


@dataclass(frozen=True)
class Entry:
    """One score: its name, group, unit ("share" lies in [0, 1]) and definition."""

    name: str
    group: str
    unit: str
    definition: str


CATALOGUE = (
    Entry("readable", "core", "share", "records of the files that could be read as a molecule"),
    Entry("strict_atom_stability", "core", "share",
          "atoms whose Kekulé orders sum to a valence of their element and charge (rule strict), pooled"),
    Entry("strict_molecule_stability", "core", "share", "molecules with every atom stable under rule strict"),
    Entry("validity", "core", "share",
          "molecules whose explicit bonds and charges pass RDKit's SanitizeMol; a radical may pass"),
    Entry("connectivity", "core", "share", "valid molecules in one piece"),
    Entry("uniqueness", "core", "share",
          "distinct / valid, by canonical SMILES of the largest fragment without hydrogens and stereo"),
    Entry("novelty", "core", "share", "distinct valid molecules not in the training set, by the same SMILES"),
    Entry("vu", "core", "share", "distinct valid / all: V*U"),
    Entry("vun", "core", "share", "distinct, valid and novel / all: V*U*N"),
    Entry("edm_atom_stability", "core", "share",
          "atoms with an allowed valence when bonds are looked up from distances (rule edm), pooled"),
    Entry("edm_molecule_stability", "core", "share", "molecules with every atom stable under rule edm"),
    Entry("edm_validity", "core", "share",
          "molecules rebuilt by rule edm, no charges, hydrogens may be implied, that pass SanitizeMol"),
    Entry("edm_uniqueness", "core", "share", "distinct / valid, by rule-built SMILES with hydrogens"),
    Entry("edm_novelty", "core", "share", "distinct rule-built molecules not among the rule-built training molecules"),
    Entry("edm_vu", "core", "share", "distinct valid / all, rule edm"),
    Entry("edm_vun", "core", "share", "distinct, valid and novel / all, rule edm"),
    Entry("bond_w1", "core", "Å",
          "W1 of bond lengths to the reference, per bond type (1, 2, 3, aromatic), 0.01 Å bins, reference weights"),
    Entry("angle_w1", "core", "degrees", "W1 of bond angles to the reference, per central element, 0.1 degree bins"),
    Entry("qed", "core", "", "mean drug-likeness (QED) of valid molecules"),
    Entry("sa", "core", "", "mean synthetic accessibility of valid molecules, 1 easy to 10 hard"),
    Entry("posebusters", "posebusters", "share", "molecules that pass PoseBusters mol_fast; invalid ones fail"),
    Entry("fcd", "fcd", "", "Fréchet ChemNet distance of valid molecules to the reference; falls with n"),
    Entry("mmff_strain", "mmff", "kcal/mol",
          "median MMFF94 energy above the nearest minimum; valid molecules in one piece with all hydrogens"),
    Entry("gfn2_relaxation", "gfn2", "kcal/mol",
          "median GFN2-xTB energy above the nearest minimum; valid molecules in one piece with all hydrogens"),
)  # fmt: skip


def entry(name: str) -> Entry:
    """The entry of that name; raises `KeyError` for an unknown one."""
    return {e.name: e for e in CATALOGUE}[name]
