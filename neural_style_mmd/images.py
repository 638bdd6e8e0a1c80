"""Pictures: safe reading, resizing, the network's preprocessing and its exact inverse, whole writing.

Inside the package a picture is an uint8 array (H, W, 3), channels RGB, in sRGB, upright. Needs Pillow and NumPy only.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from model_zoo.errors import InputError
from model_zoo.files import write_bytes

from .decoding import ADVICE, MAX_PIXELS, check_size, decode, one_line, shown

MAX_FILE_BYTES = 400_000_000  # MAX_PIXELS of 16-bit RGB without compression

# Extension -> Pillow's name of the format and the longest side that it can hold.
WRITABLE = {
    ".png": ("PNG", 2**31 - 1),
    ".jpg": ("JPEG", 65_500),
    ".jpeg": ("JPEG", 65_500),
    ".webp": ("WEBP", 16_383),
    ".tif": ("TIFF", 2**31 - 1),
    ".tiff": ("TIFF", 2**31 - 1),
}
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}
_EXIF_DESCRIPTION = 0x010E


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as read.

    pixels: uint8 (H, W, 3), RGB, sRGB, upright; read-only.
    name: the file's name without its folder, or "array".
    sha256: hexadecimal digest of the file's bytes, or of an array's bytes in C order.
    notes: what reading it changed or chose, one line each; empty for a plain 8-bit RGB picture.
    """

    pixels: np.ndarray
    name: str
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, upright."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_picture(source: str | os.PathLike[str] | np.ndarray | Picture) -> Picture:
    """Read a picture file, or take an array: uint8 (H, W, 3) in RGB or (H, W) in grey, copied.

    EXIF orientation is applied. Colours of an ICC profile are converted to sRGB (perceptual intent); a profile that is
    broken or made for other channels is left aside with a note, and so is CMYK without one (plain formula). 16-bit grey
    is divided by 257 and rounded; of 16-bit colour, and of grey with alpha, PNG's and TIFF's upper 8 bits are taken.
    Alpha is laid over white. Of an animation the first frame is taken.

    InputError, in one line that names the file: not a picture (and what it is instead), truncated or damaged, a folder
    or a device, floating-point or 32-bit values, more than MAX_PIXELS, MAX_SIDE, MAX_ASPECT or MAX_FILE_BYTES, less
    than MIN_SIDE (in `decoding`). Sizes are checked before anything is decoded; Ghostscript is never run.
    """
    if isinstance(source, Picture):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, (str, os.PathLike)):
        return _from_file(Path(source))
    raise InputError(f"a picture is a path or a uint8 array (H, W, 3) or (H, W), not {type(source).__name__}")


def resize(pixels: np.ndarray, long_edge: int) -> np.ndarray:
    """Scale uint8 (H, W, 3) so that its longer side is `long_edge`, up or down; the shorter keeps the aspect, rounded,
    at least 1. Resampling as in `resize_to`. InputError for more than MAX_PIXELS, which could not be read again."""
    if long_edge < 1:
        raise InputError(f"a long edge of {long_edge} pixels is not possible; give 1 or more")
    height, width = pixels.shape[:2]
    scale = long_edge / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if math.prod(size) > MAX_PIXELS:
        made, most = f"{size[0]} x {size[1]} pixels", f"at most {MAX_PIXELS // 10**6} million"
        raise InputError(f"a long edge of {long_edge} makes {made}; {most} are allowed; give a smaller size")
    return resize_to(pixels, size)


def resize_to(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale uint8 (H, W, 3) to `size` = (width, height): Pillow's LANCZOS (three lobes, widened when shrinking so that
    it does not alias), on the sRGB values as they are. The same size gives a copy.

    The paper and the MXNet example do not fix a resampling; this is our choice.
    """
    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.LANCZOS)
    return np.array(resized)


def crop_to_multiple(pixels: np.ndarray, of: int) -> np.ndarray:
    """The middle of (H, W, 3), each edge the largest multiple of `of` that fits; an edge shorter than `of` stays."""
    trimmed = pixels
    for axis, length in enumerate(pixels.shape[:2]):
        surplus = length % of if length > of else 0
        trimmed = np.take(trimmed, range(surplus // 2, length - surplus + surplus // 2), axis)
    return trimmed


def preprocess(pixels: np.ndarray, mean_rgb: tuple[float, float, float], input_range: float = 255.0) -> np.ndarray:
    """The network's input: uint8 (H, W, 3) -> float32 (1, 3, H, W), RGB of range 0 to `input_range` minus `mean_rgb`.

    The release has the range 256, and does not undo it.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are uint8 (H, W, 3), not {pixels.dtype} {pixels.shape}")
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)  # (3, H, W)
    return planes[np.newaxis] * np.float32(input_range / 255.0) - _column(mean_rgb)


def deprocess(x: np.ndarray, mean_rgb: tuple[float, float, float], rounding: str = "nearest") -> np.ndarray:
    """The inverse of `preprocess` with range 255, exact on its range: (1, 3, H, W) -> uint8 (H, W, 3).

    The mean is added, values are rounded to the nearest integer (halves to the even one) and clipped to 0 to 255. With
    `rounding` "floor" they are rounded down, as the release does.
    ValueError for NaN or infinity, which have no colour: a run must stop before it comes here.
    """
    if x.ndim != 4 or x.shape[:2] != (1, 3):
        raise ValueError(f"a preprocessed picture has shape (1, 3, H, W), not {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("the picture holds NaN or infinity")
    values = x + _column(mean_rgb)
    rounded = np.floor(values) if rounding == "floor" else np.rint(values)
    values = np.clip(rounded, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(values[0].transpose(1, 2, 0))


def require_size(height: int, width: int, stride: int, layer: str) -> None:
    """InputError unless a picture of `height` x `width` has at least two positions at `layer`, whose `stride` is the
    product of the poolings before it.

    Each pooling halves and rounds down, so floor(height / stride) x floor(width / stride) positions are left. Two is
    the least that has a variance (bn) and a pair (gaussian).
    """
    down, across = height // stride, width // stride
    if down * across < 2:
        raise InputError(
            f"a picture of {width} x {height} pixels is too small for {layer}: it leaves {across} x {down} positions "
            f"of {stride} x {stride} pixels and at least 2 are needed; raise the size or use shallower layers"
        )


def require_format(path: str | os.PathLike[str], long_edge: int = 1) -> str:
    """Pillow's name of the format that `path`'s extension asks for: PNG, JPEG, WEBP or TIFF.

    InputError for another extension, or where the format cannot hold a side of `long_edge` pixels. For use before long
    work.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITABLE:
        got = f"the extension {suffix}" if suffix else "no extension"
        raise InputError(f"{shown(path)}: {got} names no output format; use one of {', '.join(WRITABLE)}")
    name, longest = WRITABLE[suffix]
    if long_edge > longest:
        raise InputError(f"{shown(path)}: {name} holds at most {longest} pixels a side, not {long_edge}; use .png")
    return name


def save_picture(path: str | os.PathLike[str], pixels: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write uint8 (H, W, 3) at `path`, in the format of its extension, whole or not at all; same input, same bytes.

    PNG, TIFF (deflate) and WebP (lossless) keep every pixel; JPEG has quality 95 without chroma subsampling. `text`
    (keyword -> words) goes into PNG text chunks of those keywords (tEXt, or iTXt beyond Latin-1), elsewhere as one
    JSON object in ASCII into EXIF ImageDescription, which JPEG limits to about 65 kB.
    InputError for an unknown format and where the disk, the folder or the format refuses.
    """
    path = Path(path)
    image_format = require_format(path, max(pixels.shape[:2]))
    options = dict(_SAVE_OPTIONS[image_format])
    if image_format == "PNG":
        chunks = PngInfo()
        for keyword, words in (text or {}).items():
            chunks.add_text(keyword, words)
        options["pnginfo"] = chunks
    elif text:
        exif = Image.Exif()
        exif[_EXIF_DESCRIPTION] = json.dumps(dict(text))
        options["exif"] = exif.tobytes()
    buffer = BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, image_format, **options)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {shown(path)} as {image_format}: {one_line(error)}") from error
    write_bytes(path, buffer.getvalue())


def _column(mean_rgb: tuple[float, float, float]) -> np.ndarray:
    return np.asarray(mean_rgb, dtype=np.float32).reshape(1, 3, 1, 1)


def _from_array(array: np.ndarray) -> Picture:
    grey, colour = array.ndim == 2, array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not (grey or colour):
        raise InputError(
            f"an array of type {array.dtype} and shape {array.shape} is no picture here; "
            "give uint8 (H, W, 3) in RGB, or (H, W) in grey"
        )
    check_size(array.shape[1], array.shape[0], "array")
    pixels = np.repeat(array[:, :, np.newaxis], 3, axis=2) if grey else array.copy(order="C")
    pixels.setflags(write=False)
    return Picture(pixels, "array", hashlib.sha256(array.tobytes()).hexdigest(), ("grey",) if grey else ())


def _from_file(path: Path) -> Picture:
    data = _read_bytes(path)
    pixels, notes = decode(data, shown(path))
    pixels.setflags(write=False)
    return Picture(pixels, shown(path.name), hashlib.sha256(data).hexdigest(), notes)


def _read_bytes(path: Path) -> bytes:
    name = shown(path)
    if "\0" in str(path):
        raise InputError(f"{name}: no possible path; check it")
    try:
        if path.is_dir():
            raise InputError(f"{name}: it is a folder; {ADVICE}")
        if path.exists() and not path.is_file():
            raise InputError(f"{name}: not a regular file; {ADVICE}")
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise InputError(f"{name}: {size} bytes; at most {MAX_FILE_BYTES} are read; scale it down first")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{name}: cannot be read: {error.strerror}; check the path") from error
