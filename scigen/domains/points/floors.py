"""What the sampling of one reference cloud costs: in closed form where its area is known, else from its own points."""

from __future__ import annotations

import numpy as np

from scigen.domains.points.collect import Item
from scigen.metrics.chamfer import Indexed, chamfer_l1, chamfer_l2, density_aware, f_score
from scigen.metrics.floor import chamfer_l1_floor, chamfer_l2_floor, f_score_floor, twin
from scigen.metrics.transport import emd, random_subset

__all__ = ["chamfer_floor", "emd_floor"]


def chamfer_floor(item: Item, cloud: Indexed, scale: float, tau: float = 0.01) -> dict[str, float]:
    """Floors by name for the item's cloud in its frame (`scale` = units of the item in one of the frame).

    A mesh has an area A and so a floor in closed form, with A / scale^2; a cloud is compared with itself, each point
    left out in turn. Both suppose points drawn uniformly.
    """
    own = twin(cloud)
    if item.area is None:
        floors = {"chamfer_l1": chamfer_l1(own), "chamfer_l2": chamfer_l2(own), "f_score": f_score(own, tau)}
    else:
        area, n = item.area / scale**2, len(cloud.points)
        floors = {
            "chamfer_l1": chamfer_l1_floor(area, n),
            "chamfer_l2": chamfer_l2_floor(area, n),
            "f_score": f_score_floor(area, n, tau),
        }
    return floors | {"dcd": density_aware(own)}


def emd_floor(points: np.ndarray, n: int, rng: np.random.Generator) -> float | None:
    """EMD between two disjoint random subsets of n points; None when the cloud has fewer than 2 n."""
    if len(points) < 2 * n:
        return None
    drawn = random_subset(points, 2 * n, rng)
    drawn = drawn[rng.permutation(2 * n)]
    return emd(drawn[:n], drawn[n:])
