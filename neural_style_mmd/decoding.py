"""From a picture file's bytes to upright sRGB pixels; whatever is wrong with them becomes one InputError."""

from __future__ import annotations

import os
import re
import warnings
from io import BytesIO
from typing import Any, cast

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from model_zoo.errors import InputError

from .config import MAX_SIDE

MAX_PIXELS = 64_000_000
MAX_ASPECT = 32  # at the default long edge of 512 this leaves 16 pixels, one position of relu5_1
MIN_SIDE = 8  # fewer pixels, enlarged, hold neither objects nor strokes

# Pillow's names of the formats that are opened. EPS is left out because Pillow would run Ghostscript on it, and formats
# without a signature (TGA) because they would accept any bytes. AVIF needs Pillow 11.3 or later.
READABLE = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
ADVICE = "give a JPEG, PNG, WebP, TIFF, BMP or GIF file"

_EXIF_ORIENTATION = 0x0112
# EXIF orientation -> what makes the picture upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OF_16_BITS = re.compile(";16[BLN]")  # in a raw mode of Pillow's, of each colour; a bitmap's ";16" is of all three
# Pillow mode -> the mode that carries its colours without alpha. A mode that is not here is refused.
_BASE_MODE = dict.fromkeys(("1", "L", "LA", "La"), "L")
_BASE_MODE |= dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr"), "RGB") | {"CMYK": "CMYK"}
# ICC colour space -> mode to transform from, and the base modes that it may describe.
_PROFILE_MODE = {"GRAY": ("L", ("L",)), "RGB": ("RGB", ("L", "RGB")), "CMYK": ("CMYK", ("CMYK",))}

# What a file that is no picture begins with (leading white space left out, lower case) -> what it is.
_SIGNATURES = (
    (b"version https://git-lfs", "a Git LFS pointer, run `git lfs pull` to get the picture"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file"),
    (b"%!ps", "PostScript, which is not read because it is a program"),
    (b"\xc5\xd0\xd3\xc6", "PostScript, which is not read because it is a program"),
    (b"%pdf", "a PDF document"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"8bps", "a Photoshop file"),
    (b"gimp xcf", "a GIMP file"),
    (b"\xff\xd8\xff", "a damaged or truncated JPEG"),
    (b"\x89png", "a damaged or truncated PNG"),
    (b"riff", "a damaged or truncated WebP, or another RIFF file"),
    (b"gif8", "a damaged or truncated GIF"),
    (b"ii*\x00", "a damaged or truncated TIFF"),
    (b"mm\x00*", "a damaged or truncated TIFF"),
    (b"bm", "a damaged or truncated BMP"),
)


def decode(data: bytes, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """A picture file's bytes -> uint8 (H, W, 3) in sRGB, upright, and notes on what was changed or chosen.

    `name` is what errors call the file. The rules and the InputErrors are those of `images.read_picture`.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.init()
        pixels, notes = _open(data, name)
    # Pillow's warnings (damaged EXIF, a size above its own limit) belong to this file, not to the terminal.
    words = dict.fromkeys(one_line(each.message) for each in caught)
    return pixels, (*notes, *(f"Pillow: {each}" for each in words))


def _open(data: bytes, name: str) -> tuple[np.ndarray, list[str]]:
    """What Pillow raises becomes an InputError here."""
    try:
        with Image.open(BytesIO(data), formats=[each for each in READABLE if each in Image.OPEN]) as image:
            check_size(image.width, image.height, name)
            return _upright_srgb(image, name)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(f"{name}: not a picture: {_first_bytes(data)}; {ADVICE}") from error
    except Image.DecompressionBombError as error:
        limit = f"at most {MAX_PIXELS // 10**6} million and {MAX_SIDE} a side"
        raise InputError(f"{name}: too many pixels; {limit}; scale it down first") from error
    except Exception as error:  # decoders raise nearly anything on hostile bytes: OSError, SyntaxError, struct.error...
        raise InputError(f"{name}: truncated or damaged: {one_line(error)}; get it again, or another one") from error


def _upright_srgb(image: Image.Image, name: str) -> tuple[np.ndarray, list[str]]:
    notes = ["16-bit colour reduced to 8 bits"] if _is_reduced(image) else []
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"first of {frames} frames")
    tagged = _orientation(image)
    image.load()
    if tagged in _TURNS:
        notes.append(f"EXIF orientation {tagged} applied")
    profile = image.info.get("icc_profile")
    left = _orientation(image)  # Pillow's TIFF reader turns the picture itself and drops the tag
    upright = image.transpose(_TURNS[left]) if left in _TURNS else image
    eight_bit, new_notes = _eight_bits(upright, name)
    notes += new_notes
    colours, alpha = _split_alpha(eight_bit)
    rgb, new_notes = _to_srgb(colours, profile)
    notes += new_notes
    if alpha is not None and alpha.getextrema() != (255, 255):
        paper = Image.new("RGB", rgb.size, "white")
        paper.paste(rgb, mask=alpha)
        rgb = paper
        notes.append("alpha laid over white")
    return np.asarray(rgb), notes


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # EXIF is a format of its own, hostile like any other; a picture is none the worse without it
        return 1


def _is_reduced(image: Image.Image) -> bool:
    """Whether Pillow makes 8 bits of 16-bit colours, or grey with alpha: asked before anything that loads the picture,
    as getexif() does."""

    def has_16_bits(arguments: Any) -> bool:
        if image.format == "PPM":  # the mode and, but for bitmaps, the number of white
            return isinstance(arguments, tuple) and arguments[-1] > 255
        return _OF_16_BITS.search(str(arguments)) is not None

    return image.mode in _BASE_MODE and any(has_16_bits(arguments) for *_, arguments in getattr(image, "tile", ()))


def _eight_bits(image: Image.Image, name: str) -> tuple[Image.Image, list[str]]:
    """16-bit grey -> 8-bit; InputError for a mode whose white is not known. Others are passed through."""
    if image.mode in _BASE_MODE:
        return image, ["grey"] if _BASE_MODE[image.mode] == "L" else []
    if image.mode != "I" and not image.mode.startswith("I;16"):
        raise InputError(f"{name}: pixels of Pillow's mode {image.mode} are not read; convert it to 8-bit RGB first")
    values = np.asarray(image).astype(np.int32)  # (H, W)
    if values.min() < 0 or values.max() > 65535:
        raise InputError(
            f"{name}: whole numbers from {values.min()} to {values.max()}; grey is read up to 16 bits, "
            "0 to 65535; convert it to 8-bit RGB first"
        )
    grey = Image.fromarray(((values + 128) // 257).astype(np.uint8))  # 65535 = 257 * 255; rounded to nearest
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey, ["16-bit grey scaled to 8 bits"]


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours in mode L, RGB or CMYK, and alpha in mode L where there is one (also a transparent palette entry)."""
    base = _BASE_MODE[image.mode]
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return _in_mode(image, base), None
    # Pillow knows no direct way from La, premultiplied grey.
    rgba = _in_mode(image.convert("LA") if image.mode == "La" else image, "RGBA")
    return rgba.convert(base), rgba.getchannel("A")


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    # Pillow's convert copies even where there is nothing to convert: 256 MB at MAX_PIXELS.
    return image if image.mode == mode else image.convert(mode)


def _to_srgb(image: Image.Image, profile_bytes: bytes | None) -> tuple[Image.Image, list[str]]:
    """Mode L, RGB or CMYK -> RGB in sRGB, by the ICC profile where there is one that fits."""
    plain = ["CMYK converted without a profile"] if image.mode == "CMYK" else []
    if not profile_bytes:
        return _in_mode(image, "RGB"), plain
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(profile_bytes))
        space = profile.profile.xcolor_space.strip()
        mode, fitting = _PROFILE_MODE.get(space, ("", ()))
        if image.mode not in fitting:
            return _in_mode(image, "RGB"), [f"ICC profile for {space} ignored: the picture is {image.mode}", *plain]
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(_in_mode(image, mode), profile, srgb, outputMode="RGB")
        words = one_line(ImageCms.getProfileDescription(profile))
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return _in_mode(image, "RGB"), ["ICC profile cannot be used, colours taken as sRGB", *plain]
    return cast(Image.Image, converted), [f"colours converted from {shown(words)} to sRGB"]


def _first_bytes(data: bytes) -> str:
    """What bytes that are no picture seem to be."""
    if not data:
        return "the file is empty"
    head = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(b"<?xml") and b"<svg" in head:
        return "an SVG drawing"
    if data[4:8] == b"ftyp":
        return (
            f"a media file of the kind {shown(data[8:12].decode('latin-1'))}; HEIC is not read, AVIF needs Pillow 11.3"
        )
    for signature, meaning in _SIGNATURES:
        if head.startswith(signature):
            return meaning
    return f"it begins with the bytes {data[:8].hex(' ')}"


def check_size(width: int, height: int, name: str) -> None:
    """InputError where a picture as read passes one of the limits above."""
    got = f"{name}: {width} x {height} pixels"
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise InputError(
            f"{got} are too many; at most {MAX_PIXELS // 10**6} million and {MAX_SIDE} a side; scale it down first"
        )
    if min(width, height) < MIN_SIDE:
        raise InputError(f"{got} are too few; each side needs at least {MIN_SIDE}; give a larger picture")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(f"{got} are too narrow; one side may be {MAX_ASPECT} times the other; crop it first")


def shown(path: str | os.PathLike[str]) -> str:
    """A path as it can be printed and stored: bytes that are not UTF-8 and control characters as escapes."""
    name = os.fspath(path).encode("utf-8", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def one_line(message: object) -> str:
    """Somebody else's words with every run of white space as one space; the type's name if there are none."""
    return " ".join(str(message).split()) or type(message).__name__
