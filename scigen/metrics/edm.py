"""Rule `edm`: bond orders read off distances, and the stability of atoms under it.

With d in pm and S, D, T the typical single, double and triple lengths of the pair:

    order = [d < S + 10] (1 + [d < D + 5] (1 + [d < T + 3]))

An element pair absent from S has no bond, absent from D no double one. Charges, angles and rings play no part. An
atom is stable when its orders sum to an allowed valence. Real molecules do not score 100 %: print the data row
beside it.

Source: Hoogeboom et al. 2022, arXiv:2203.17003, and the tables of ehoogeboom/e3_diffusion_for_molecules.
"""

from __future__ import annotations

import numpy as np

__all__ = ["ELEMENTS", "edm_orders", "edm_stable_atoms"]

# Atomic number of every element with an allowed valence; lengths exist for all but Al, Hg and Bi.
ELEMENTS = {
    "H": 1, "B": 5, "C": 6, "N": 7, "O": 8, "F": 9, "Al": 13, "Si": 14, "P": 15, "S": 16, "Cl": 17, "As": 33, "Br": 35,
    "I": 53, "Hg": 80, "Bi": 83,
}  # fmt: skip
_VALENCES = {
    "H": (1,), "B": (3,), "C": (4,), "N": (3,), "O": (2,), "F": (1,), "Al": (3,), "Si": (4,), "P": (3, 5), "S": (4,),
    "Cl": (1,), "As": (3,), "Br": (1,), "I": (1,), "Hg": (1, 2), "Bi": (3, 5),
}  # fmt: skip
# Lengths in pm, each pair once.
_SINGLE = (
    "H-H 74 H-C 109 H-N 101 H-O 96 H-F 92 H-B 119 H-Si 148 H-P 144 H-As 152 H-S 134 H-Cl 127 H-Br 141 H-I 161 "
    "C-C 154 C-N 147 C-O 143 C-F 135 C-Si 185 C-P 184 C-S 182 C-Cl 177 C-Br 194 C-I 214 "
    "N-N 145 N-O 140 N-F 136 N-P 177 N-S 168 N-Cl 175 N-Br 214 N-I 222 "
    "O-O 148 O-F 142 O-Si 163 O-P 163 O-S 151 O-Cl 164 O-Br 172 O-I 194 "
    "F-F 142 F-Si 160 F-P 156 F-S 158 F-Cl 166 F-Br 178 F-I 187 "
    "B-Cl 175 Si-Si 233 Si-S 200 Si-Cl 202 Si-Br 215 Si-I 243 Cl-Cl 199 Cl-P 203 Cl-S 207 Cl-Br 214 "
    "S-S 204 S-Br 225 S-P 210 S-I 234 Br-Br 228 Br-P 222 P-P 221 I-I 266"
)
_DOUBLE = "C-C 134 C-N 129 C-O 120 N-N 125 N-O 121 O-O 121 C-S 160 O-P 150 P-S 186"
_TRIPLE = "C-C 120 C-N 116 C-O 113 N-N 110"
_MARGINS = (10.0, 5.0, 3.0)  # pm, for single, double and triple

_OTHER = len(ELEMENTS)  # row of every element the rule does not know
_ROW = np.full(256, _OTHER)
_ROW[list(ELEMENTS.values())] = np.arange(len(ELEMENTS))


def edm_orders(z: np.ndarray, pos: np.ndarray) -> np.ndarray:
    """Bond orders `[N, N]` int64 (0 to 3, symmetric, zero diagonal) of atomic numbers `z [N]` at `pos [N, 3]` in Å.

    Distances are float64 differences; a NaN coordinate bonds to nothing.
    """
    row = _ROW[np.asarray(z, np.int64)]
    pos = np.asarray(pos, np.float64)
    d = 100.0 * np.sqrt(np.square(pos[:, None] - pos[None]).sum(-1))
    single, double, triple = _LIMITS[:, row[:, None], row[None]]
    bonded = d < single
    np.fill_diagonal(bonded, False)
    is_double = bonded & (d < double)
    return bonded.astype(np.int64) + is_double + (is_double & (d < triple))


def edm_stable_atoms(z: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Which atoms `[N]` bool have an allowed sum of `orders [N, N]`; elements unknown to the rule are never stable."""
    total = np.minimum(orders.sum(1), _ALLOWED.shape[1] - 1)
    return _ALLOWED[_ROW[np.asarray(z, np.int64)], total]


def _limits() -> np.ndarray:
    """Upper ends `[3, E+1, E+1]` of the three length classes in pm; -inf where a pair is absent."""
    order = {symbol: k for k, symbol in enumerate(ELEMENTS)}
    table = np.full((3, _OTHER + 1, _OTHER + 1), -np.inf)
    for k, (text, margin) in enumerate(zip((_SINGLE, _DOUBLE, _TRIPLE), _MARGINS, strict=True)):
        words = text.split()
        for pair, length in zip(words[::2], words[1::2], strict=True):
            a, b = (order[symbol] for symbol in pair.split("-"))
            table[k, a, b] = table[k, b, a] = float(length) + margin
    return table


def _allowed() -> np.ndarray:
    """`[E+1, 33]`: is this sum of orders an allowed valence of that element?"""
    table = np.zeros((_OTHER + 1, 33), bool)
    for k, symbol in enumerate(ELEMENTS):
        table[k, list(_VALENCES[symbol])] = True
    return table


_LIMITS = _limits()
_ALLOWED = _allowed()
