"""Pictures in: one still, 8 bits a channel, of a size that memory holds; all else is refused before it is decoded."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scigen.errors import InputError, ResourceError
from scigen.io.lines import input_size

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["LARGEST", "Picture", "read_mask", "read_picture"]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
SMALLEST = 16  # pixels a side
MOST = 50_000_000  # pixels that are decoded: 200 MB
LARGEST = 1024  # pixels a side that are kept
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, OverflowError, struct.error, zlib.error)
_READ = {"1": "L", "L": "RGB", "P": "RGBA", "PA": "RGBA", "LA": "RGBA", "La": "RGBA", "RGB": "RGB", "RGBA": "RGBA",
         "RGBa": "RGBA", "RGBX": "RGB", "YCbCr": "RGB"}  # fmt: skip
_REFUSED = {
    "CMYK": "is in CMYK, inks whose colours depend on a profile; save it as RGB",
    "LAB": "is in CIELAB; save it as RGB",
    "HSV": "is in HSV; save it as RGB",
    "F": "holds floating-point numbers, not colours; save it with 8 bits a channel",
}


@dataclass(frozen=True)
class Picture:
    """Colours `rgb [H, W, 3]` uint8 and, where the file has them, opacities `alpha [H, W]` uint8, upright."""

    rgb: np.ndarray
    alpha: np.ndarray | None = None


def read_picture(path: str | Path) -> Picture:
    """Read a PNG, JPEG, WebP, BMP, GIF or TIFF, turned as its EXIF says, no side longer than 1024 pixels.

    Larger ones are averaged down. Raises InputError for what is no such picture or a broken one, animations, more than
    8 bits a channel, CMYK, sides under 16 pixels and more than 50 million pixels; ResourceError when memory ends.
    """
    image = _decoded(Path(path))
    whole = image.convert("RGBA" if _transparent(image) else "RGB")
    whole.thumbnail((LARGEST, LARGEST), reducing_gap=2.0)
    pixels = np.asarray(whole)
    return Picture(pixels[..., :3].copy(), pixels[..., 3].copy() if pixels.shape[2] == 4 else None)


def read_mask(path: str | Path, size: tuple[int, int]) -> np.ndarray:
    """A mask `[H, W]` in [0, 1], white (or opaque, if the file has opacities) on the object, for a picture `size`
    (height, width) of `read_picture`.

    Raises InputError as `read_picture` does, and for another ratio of sides.
    """
    image = _decoded(Path(path))
    if abs(image.width * size[0] - image.height * size[1]) > max(image.width, image.height):
        raise InputError(
            f"`{path}` is {image.width} x {image.height} and the picture {size[1]} x {size[0]}; a mask has its shape."
        )
    grey = image.convert("RGBA").getchannel("A") if _transparent(image) else image.convert("L")
    return np.asarray(grey.resize((size[1], size[0]))).astype(np.float32) / 255


def _decoded(path: Path) -> Image:
    from PIL import Image, ImageOps

    input_size(path)
    try:
        # Pillow warns of what is refused or mended below.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as opened:
            _check(opened, path)
            opened.load()
            return ImageOps.exif_transpose(opened)
    except MemoryError as error:
        raise ResourceError(f"`{path}` needs more memory than there is; scale it down first.") from error
    except Image.DecompressionBombError as error:
        count = int((re.search(r"\d+", str(error)) or ["0"])[0])
        raise InputError(f"`{path}` has {count:,} pixels, more than {MOST:,}; scale it down first.") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"`{path}` is not a picture that can be read; give one of {', '.join(FORMATS)}.") from error
    except _BROKEN as error:
        reason = " ".join(str(error).split())[:120].rstrip(".")
        raise InputError(f"`{path}` is a damaged picture ({reason}); save it anew.") from error


def _check(image: Image, path: Path) -> None:
    """Refuse by the header alone, before a pixel is decoded."""
    width, height = image.size
    if min(width, height) < SMALLEST:
        raise InputError(f"`{path}` is {width} x {height} pixels; a side needs {SMALLEST} or more to show an object.")
    if width * height > MOST:
        raise InputError(f"`{path}` is {width} x {height} pixels, more than {MOST:,}; scale it down first.")
    # Telephones put a preview or a depth map behind the photograph (MPO); the photograph comes first.
    if (count := getattr(image, "n_frames", 1)) > 1 and image.format != "MPO":
        raise InputError(f"`{path}` holds {count} pictures (frames or pages); save the one that is meant.")
    if image.mode in _REFUSED:
        raise InputError(f"`{path}` {_REFUSED[image.mode]}.")
    if image.mode not in _READ or _depth(image, path) > 8:
        raise InputError(f"`{path}` has more than 8 bits a channel (mode {image.mode}); save it with 8.")


def _depth(image: Image, path: Path) -> int:
    """Bits a channel; Pillow itself keeps silent about the half of a 16-bit RGB that it drops."""
    if image.format == "PNG":
        with path.open("rb") as handle:
            return handle.read(25)[24]  # IHDR comes first: width and height, then the depth
    tags = getattr(image, "tag_v2", None)
    return int(max(tags.get(258, (8,)))) if tags is not None else 8


def _transparent(image: Image) -> bool:
    return image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info
