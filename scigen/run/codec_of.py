"""Which codec goes with weights on latent points: those of another decode to nonsense, so cards name it by its hash."""

from __future__ import annotations

from scigen.errors import InputError
from scigen.run.report import sha256
from scigen.run.weights import Weights, read

__all__ = ["codec_weights", "matching_codec"]


def codec_weights(name: str) -> Weights:
    """The weights of a codec, by name or file. Raises `InputError` when they are of something else."""
    loaded = read(name)
    if (domain := loaded.card.get("domain")) != "points-codec":
        raise InputError(f"The weights '{loaded.path}' are for {domain}, not a codec; give those of `points/codec`.")
    return loaded


def matching_codec(weights: Weights, name: str | None) -> Weights:
    """The codec that `weights` were trained on: the one their card names, or the one told.

    Raises `InputError` when there is none, or its file has another SHA-256 than on the card.
    """
    try:
        named, wanted = str(weights.card["codec"]["name"]), str(weights.card["codec"]["sha256"])
    except (KeyError, TypeError):
        raise InputError(f"The card of '{weights.path}' names no codec; export the weights again.") from None
    loaded = codec_weights(name or named)
    if (found := sha256(loaded.path)) != wanted:
        raise InputError(
            f"'{weights.path}' was trained on the codec '{named}' (sha256 {wanted[:12]}), and '{loaded.path}' is"
            f" another ({found[:12]}); give its own with --codec."
        )
    return loaded
