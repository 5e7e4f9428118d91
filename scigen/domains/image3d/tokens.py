"""Views and pictures as the numbers a network works on, and back: patches of channels about as large as one.

Channels of a view: 2 mask - 1; the normal and 4 (radius - depth), both zero off the object. Of a picture: twice the
colours minus one, zero off the object, and the mask; nothing but zeros is no picture.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scigen.domains.image3d.rig import CUBE, CameraRig
from scigen.domains.image3d.subject import Subject
from scigen.domains.image3d.views import Views
from scigen.errors import InputError

__all__ = [
    "CHANNELS", "GIVEN", "folded", "picture_channels", "picture_tokens", "unfolded", "view_channels", "views_of",
]  # fmt: skip

CHANNELS, GIVEN = 5, 4
_DEPTH = 4.0


def view_channels(views: Views) -> np.ndarray:
    """`[V, N, N, 5]` float32. Raises ValueError for views without normals or depth."""
    if views.normal is None or views.depth is None:
        raise ValueError("these views lack normals or depth, and the network is to draw both; render them.")
    inside = views.solid
    height = _DEPTH * (views.rig.radius - views.depth) * inside
    channels = [2 * views.mask[..., None] - 1, views.normal * inside[..., None], height[..., None]]
    return np.concatenate(channels, -1).astype(np.float32)


def views_of(channels: np.ndarray, rig: CameraRig = CUBE) -> Views:
    """The views that channels `[V, N, N, 5]` mean: normals of length one towards the camera, nothing off the object."""
    mask = ((channels[..., 0] + 1) / 2).clip(0, 1)
    inside = mask > 0.5
    normal = channels[..., 1:4].copy()
    normal[..., 2] = np.maximum(normal[..., 2], 0.02)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    depth = rig.radius - channels[..., 4].clip(-2, 2) / _DEPTH
    arrays = (mask, normal * inside[..., None], np.where(inside, depth, rig.radius))
    outline, facing, forward = (np.ascontiguousarray(x, np.float32) for x in arrays)
    return Views(rig, outline, facing, forward)


def picture_channels(subject: Subject) -> np.ndarray:
    """`[N, N, 4]` float32."""
    cover = subject.mask[..., None]
    return np.concatenate([(2 * subject.rgb - 1) * cover, cover], -1).astype(np.float32)


def picture_tokens(subject: Subject, pixels: int, patch: int) -> Tensor:
    """The patches `[1, G^2, P^2 D]` of a picture of `pixels` a side. Raises InputError for one of another size."""
    if subject.mask.shape != (pixels, pixels):
        raise InputError(f"the network takes pictures of {pixels} pixels a side, not {len(subject.mask)}; frame it.")
    return folded(torch.from_numpy(picture_channels(subject))[None, None], patch)


def folded(x: Tensor, patch: int) -> Tensor:
    """Pictures `[B, V, N, N, C]` as patches `[B, V (N / patch)^2, patch^2 C]`, row by row."""
    b, v, n, _, c = x.shape
    g = n // patch
    return x.reshape(b, v, g, patch, g, patch, c).permute(0, 1, 2, 4, 3, 5, 6).reshape(b, v * g * g, patch**2 * c)


def unfolded(tokens: Tensor, patch: int, pixels: int) -> Tensor:
    """The pictures `[B, V, N, N, C]` of such patches."""
    b, g = len(tokens), pixels // patch
    v, c = tokens.shape[1] // g**2, tokens.shape[2] // patch**2
    x = tokens.reshape(b, v, g, g, patch, patch, c).permute(0, 1, 2, 4, 3, 5, 6)
    return x.reshape(b, v, pixels, pixels, c).to(torch.float32)
