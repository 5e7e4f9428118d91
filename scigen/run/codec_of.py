"""Which codec goes with weights on latent points: what another makes of a cloud is nonsense to them.

Latent points are the encoder's; so cards, caches and files of latents name it, and every decoder learnt for an encoder
(`scigen train points/codec --from W -s train.freeze=[encoder]`) reads them.
"""

from __future__ import annotations

import hashlib

import torch

from scigen.errors import InputError
from scigen.run.weights import Weights, read

__all__ = ["codec_weights", "latent_space", "matching_codec"]

_OF_THE_DECODER = ("decoder_layers",)  # all other numbers of a codec's shape are the encoder's, or both halves'


def codec_weights(name: str) -> Weights:
    """The weights of a codec, by name or file. Raises `InputError` when they are of something else."""
    loaded = read(name)
    if (domain := loaded.card.get("domain")) != "points-codec":
        raise InputError(f"The weights '{loaded.path}' are for {domain}, not a codec; give those of `points/codec`.")
    return loaded


def latent_space(codec: Weights) -> str:
    """The SHA-256 of a codec's encoder, weights as they ship (bfloat16) and shape: equal for equal latent points."""
    shape = {key: number for key, number in sorted(codec.card["network"].items()) if key not in _OF_THE_DECODER}
    digest = hashlib.sha256(repr(shape).encode())
    for name, x in sorted(codec.network.get_submodule("encoder").state_dict().items()):
        digest.update(name.encode() + x.detach().cpu().bfloat16().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def matching_codec(weights: Weights, name: str | None) -> Weights:
    """The codec whose latent points `weights` were trained on: the one their card names, or the one told.

    Raises `InputError` when there is none, or its latent points are not those of the card.
    """
    try:
        named, wanted = str(weights.card["codec"]["name"]), str(weights.card["codec"]["space"])
    except (KeyError, TypeError):
        raise InputError(f"The card of '{weights.path}' names no codec; export the weights again.") from None
    loaded = codec_weights(name or named)
    if (found := latent_space(loaded)) != wanted:
        raise InputError(
            f"'{weights.path}' was trained on the codec '{named}' (latent points {wanted[:12]}), and '{loaded.path}'"
            f" is another ({found[:12]}); give its own with --codec."
        )
    return loaded
