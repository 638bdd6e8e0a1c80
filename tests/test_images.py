"""Reading, resizing, preprocessing and writing of pictures, against the file formats' own definitions."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
import subprocess
import sys
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from model_zoo.errors import InputError
from neural_style_mmd import decoding
from neural_style_mmd.images import (
    Picture,
    deprocess,
    preprocess,
    read_picture,
    require_format,
    require_size,
    resize,
    resize_to,
    save_picture,
)

MEAN = (123.68, 116.779, 103.939)
LOSSLESS = (".png", ".webp", ".tif", ".tiff")


def scene(height: int = 24, width: int = 36) -> np.ndarray:
    """uint8 (H, W, 3): smooth, different in every direction and channel."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // (width - 1), y * 255 // (height - 1), (x + y) * 3 % 256], axis=2).astype(np.uint8)


def refusal(source: object) -> str:
    """The one line with which `source` is refused."""
    with pytest.raises(InputError) as caught:
        read_picture(source)  # type: ignore[arg-type]
    message = str(caught.value)
    assert message and "\n" not in message and message.isprintable()
    return message


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG file by the letter of the PNG specification; `rows` without the filter bytes."""
    pitch = len(rows) // height
    filtered = b"".join(b"\0" + rows[i * pitch : (i + 1) * pitch] for i in range(height))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(filtered))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + chunk(b"IEND", b"")


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def linear_profile(order: str = "rgb") -> bytes:
    """An ICC v2 RGB profile written by hand: sRGB's primaries adapted to D50, but a straight (gamma 1) tone curve.

    `order` names which primary each channel drives, so that "grb" swaps red and green.
    """
    primaries = {"r": (0.43607, 0.22249, 0.01392), "g": (0.38515, 0.71687, 0.09708), "b": (0.14307, 0.06061, 0.71410)}

    def fixed(values: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">I", 0)
    name = b"test profile\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": fixed((0.9642, 1, 0.8249)),
    }
    tags |= {f"{c}XYZ".encode(): fixed(primaries[p]) for c, p in zip("rgb", order, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for key, value in tags.items():
        table += key + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = bytes(8) + struct.pack(">I", 0x02100000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)
    profile = head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", start + len(body)) + profile[4:]


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path: Path):
    def write(data: bytes, name: str = "picture.png") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


# What a picture is


def test_a_plain_picture_is_read_as_it_is(file):
    data = png(36, 24, 8, 2, scene().tobytes())
    picture = read_picture(str(file(data)))
    np.testing.assert_array_equal(picture.pixels, scene())
    assert (picture.name, picture.size, picture.notes) == ("picture.png", (36, 24), ())
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    assert picture.pixels.dtype == np.uint8 and not picture.pixels.flags.writeable


def test_a_picture_read_before_is_taken_as_it_is():
    picture = read_picture(scene())
    assert read_picture(picture) is picture


@pytest.mark.parametrize("array", [scene(), scene()[:, :, 1], scene()[::2, ::-1]])
def test_arrays_are_copied(array):
    given = array.copy()
    picture = read_picture(array)
    expected = given if given.ndim == 3 else np.stack([given] * 3, axis=2)
    array[...] = 0
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.sha256 == hashlib.sha256(given.tobytes()).hexdigest()
    assert picture.name == "array"


@pytest.mark.parametrize(
    "array",
    [
        scene().astype(np.float32),
        scene().astype(np.int64),
        np.zeros((24, 36, 4), np.uint8),
        np.zeros((3, 24, 36), np.uint8),
        np.zeros((1, 24, 36, 3), np.uint8),
        np.zeros((24, 36, 1), np.uint8),
    ],
)
def test_other_arrays_are_refused_with_what_is_allowed(array):
    message = refusal(array)
    assert str(array.dtype) in message and str(array.shape) in message and "uint8 (H, W, 3)" in message


@pytest.mark.parametrize("source", [None, 3, [[1]], b"picture.png"])
def test_other_objects_are_refused(source):
    assert type(source).__name__ in refusal(source)


# Formats and modes


@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG", "JPEG2000", "AVIF"])
def test_formats(file, image_format):
    if image_format == "AVIF" and "avif" not in features.get_supported():
        pytest.skip("this Pillow has no AVIF")
    options = {"lossless": True} if image_format == "WEBP" else {"quality": 95} if image_format == "JPEG" else {}
    flat = np.full((24, 36, 3), (200, 40, 90), np.uint8)
    path = file(encoded(Image.fromarray(flat), image_format, **options), "picture.bin")  # the name decides nothing
    assert np.abs(read_picture(path).pixels.astype(int) - flat).max() <= 3


def test_grey_becomes_three_equal_channels(file):
    grey = scene()[:, :, 0]
    picture = read_picture(file(png(36, 24, 8, 0, grey.tobytes())))
    np.testing.assert_array_equal(picture.pixels, np.stack([grey] * 3, axis=2))


def test_sixteen_bit_grey_is_scaled_not_clipped(file):
    values = np.linspace(0, 65535, 24 * 36).astype(np.uint16).reshape(24, 36)
    values.flat[:4] = 0, 128, 129, 65535  # 128 / 257 is below one half, 129 / 257 above
    picture = read_picture(file(png(36, 24, 16, 0, values.astype(">u2").tobytes())))
    np.testing.assert_array_equal(picture.pixels[:, :, 0], np.rint(values / 257))
    np.testing.assert_array_equal(picture.pixels[0, :4, 0], [0, 0, 1, 255])
    assert any("16-bit" in note for note in picture.notes)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bit_tiff_in_both_byte_orders(file, order):
    values = (np.arange(24 * 36, dtype=np.uint16) * 75).reshape(24, 36)
    mark, sign = (b"II*\0", "<") if order == "<u2" else (b"MM\0*", ">")
    tags = [(256, 36), (257, 24), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 24), (279, 24 * 36 * 2)]
    body = values.astype(order).tobytes()
    entries = b"".join(struct.pack(f"{sign}HHII", tag, 4, 1, value) for tag, value in tags)
    ifd = struct.pack(f"{sign}H", len(tags)) + entries + bytes(4)
    picture = read_picture(file(mark + struct.pack(f"{sign}I", 8 + len(body)) + body + ifd, "picture.tif"))
    np.testing.assert_array_equal(picture.pixels[:, :, 2], np.rint(values / 257))


REDUCED = "16-bit colour reduced to 8 bits"


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)], ids=["RGB", "grey with alpha", "RGBA"])
def test_sixteen_bit_colour_is_cut_and_says_so(file, colour, channels):
    values = np.random.default_rng(4).integers(0, 65536, (24, 36, channels))
    if channels != 3:
        values[:, :, -1] = 65535
    picture = read_picture(file(png(36, 24, 16, colour, values.astype(">u2").tobytes())))
    shown = values[:, :, :1] if channels == 2 else values[:, :, :3]
    np.testing.assert_array_equal(picture.pixels, np.broadcast_to(shown // 256, (24, 36, 3)))
    assert picture.notes == (REDUCED,)


@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bit_colour_of_tiff_is_cut_and_says_so(file, order):
    values = np.random.default_rng(5).integers(0, 65536, (24, 36, 3))
    mark, sign = (b"II*\0", "<") if order == "<u2" else (b"MM\0*", ">")
    bits, body = struct.pack(f"{sign}3H", 16, 16, 16), values.astype(order).tobytes()
    tags = [(256, 4, 1, 36), (257, 4, 1, 24), (258, 3, 3, 8), (259, 4, 1, 1), (262, 4, 1, 2)]
    tags += [(273, 4, 1, 8 + len(bits)), (277, 4, 1, 3), (278, 4, 1, 24), (279, 4, 1, len(body))]
    ifd = struct.pack(f"{sign}H", len(tags)) + b"".join(struct.pack(f"{sign}HHII", *tag) for tag in tags) + bytes(4)
    head = mark + struct.pack(f"{sign}I", 8 + len(bits) + len(body))
    picture = read_picture(file(head + bits + body + ifd, "picture.tif"))
    np.testing.assert_array_equal(picture.pixels, values // 256)
    assert picture.notes == (REDUCED,)


def test_sixteen_bit_colour_of_ppm_is_rounded_and_says_so(file):
    values = np.random.default_rng(6).integers(0, 65536, (24, 36, 3))
    picture = read_picture(file(b"P6 36 24 65535\n" + values.astype(">u2").tobytes(), "deep.ppm"))
    np.testing.assert_array_equal(picture.pixels, np.rint(values / 257))
    assert picture.notes == (REDUCED,)
    eight = values // 257
    picture = read_picture(file(b"P6 36 24 255\n" + eight.astype("u1").tobytes(), "plain.ppm"))
    np.testing.assert_array_equal(picture.pixels, eight)
    assert picture.notes == ()


def test_a_bitmap_of_16_bits_for_all_three_colours_is_not_reduced(file):
    """5 bits of red, 6 of green and 5 of blue, by the masks of the format's header."""
    pixels = np.arange(24 * 36, dtype="<u2").reshape(24, 36)
    masks = struct.pack("<3I", 0xF800, 0x07E0, 0x001F)
    info = struct.pack("<IiiHHIIiiII", 40, 36, -24, 1, 16, 3, pixels.nbytes, 0, 0, 0, 0) + masks
    head = b"BM" + struct.pack("<IHHI", 14 + len(info) + pixels.nbytes, 0, 0, 14 + len(info))
    picture = read_picture(file(head + info + pixels.tobytes(), "565.bmp"))
    green = (pixels >> 5 & 63).astype(int)
    np.testing.assert_array_equal(picture.pixels[:, :, 1], green * 255 // 63)
    assert picture.notes == ()


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        (np.full((16, 16), 0.5, np.float32), "mode F"),
        (np.full((16, 16), 70000, np.int32), "70000"),
        (np.full((16, 16), -1, np.int32), "-1"),
    ],
)
def test_values_without_a_known_white_are_refused(file, values, cause):
    message = refusal(file(encoded(Image.fromarray(values), "TIFF"), "deep.tif"))
    assert "deep.tif" in message and cause in message


def test_alpha_is_laid_over_white_and_hidden_colours_stay_hidden(file):
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[:, :, 0] = 200
    rgba[:, 4:8, 3], rgba[:, 8:, 3] = 51, 255  # clear, one fifth, solid
    picture = read_picture(file(png(16, 16, 8, 6, rgba.tobytes())))
    alpha = rgba[:, :, 3:] / 255
    np.testing.assert_array_equal(picture.pixels, np.rint(rgba[:, :, :3] * alpha + 255 * (1 - alpha)))
    assert any("white" in note for note in picture.notes)


def test_grey_with_alpha(file):
    rows = np.zeros((16, 16, 2), np.uint8)
    rows[8:] = 80, 255
    picture = read_picture(file(png(16, 16, 8, 4, rows.tobytes())))
    assert (picture.pixels[:8] == 255).all() and (picture.pixels[8:] == 80).all()


def test_solid_alpha_is_not_worth_a_note(file):
    rgba = np.dstack([scene(), np.full((24, 36), 255, np.uint8)])
    picture = read_picture(file(png(36, 24, 8, 6, rgba.tobytes())))
    np.testing.assert_array_equal(picture.pixels, scene())
    assert picture.notes == ()


@pytest.mark.parametrize(
    ("colour", "depth", "rows", "extra"),
    [
        # palette: entry 0 is red and clear, entry 1 is blue
        (3, 8, b"\0" * 8 + b"\1" * 8, (chunk(b"PLTE", b"\xff\0\0\0\0\xff"), chunk(b"tRNS", b"\0"))),
        # true colour: red is the clear colour
        (2, 8, b"\xff\0\0" * 8 + b"\0\0\xff" * 8, (chunk(b"tRNS", b"\0\xff\0\0\0\0"),)),
    ],
)
def test_a_transparent_colour_becomes_white(file, colour, depth, rows, extra):
    picture = read_picture(file(png(16, 8, depth, colour, rows * 8, *extra)))
    assert (picture.pixels[:, :8] == 255).all()
    assert (picture.pixels[:, 8:] == (0, 0, 255)).all()


def test_palette(file):
    palette = chunk(b"PLTE", bytes(range(0, 240)))
    index = (np.arange(16 * 16) % 80).astype(np.uint8).reshape(16, 16)
    picture = read_picture(file(png(16, 16, 8, 3, index.tobytes(), palette)))
    np.testing.assert_array_equal(picture.pixels, np.stack([3 * index, 3 * index + 1, 3 * index + 2], axis=2))


def test_black_and_white_bits(file):
    picture = read_picture(file(png(16, 8, 1, 0, b"\x00\xff" * 8)))
    assert (picture.pixels[:, :8] == 0).all() and (picture.pixels[:, 8:] == 255).all()


@pytest.mark.parametrize(
    ("ink", "dominant"), [((255, 0, 0, 0), (0, 1, 1)), ((0, 255, 0, 0), (1, 0, 1)), ((0, 0, 255, 0), (1, 1, 0))]
)
def test_cmyk(file, ink, dominant):
    picture = read_picture(file(encoded(Image.new("CMYK", (16, 16), ink), "JPEG"), "print.jpg"))
    np.testing.assert_array_equal(picture.pixels.mean(axis=(0, 1)) > 128, np.array(dominant, bool))
    assert any("CMYK" in note for note in picture.notes)


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken_with_a_notice(file, image_format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    options = {"lossless": True} if image_format == "WEBP" else {}
    path = file(encoded(frames[0], image_format, save_all=True, append_images=frames[1:], **options))
    picture = read_picture(path)
    assert (picture.pixels == (255, 0, 0)).all()
    assert "first of 3 frames" in picture.notes


# Orientation and colour


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [  # EXIF 2.3: where the stored row 0 and column 0 belong
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),  # top, right
        (3, lambda a: a[::-1, ::-1]),  # bottom, right
        (4, lambda a: a[::-1]),  # bottom, left
        (5, lambda a: a.transpose(1, 0, 2)),  # left, top
        (6, lambda a: a.transpose(1, 0, 2)[:, ::-1]),  # right, top
        (7, lambda a: a.transpose(1, 0, 2)[::-1, ::-1]),  # right, bottom
        (8, lambda a: a.transpose(1, 0, 2)[::-1]),  # left, bottom
        (9, lambda a: a),  # not defined
    ],
)
@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied(file, orientation, upright, image_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(Image.fromarray(scene()), image_format, exif=exif.tobytes(), **options)
    picture = read_picture(file(data))
    np.testing.assert_array_equal(picture.pixels, upright(scene()))
    assert picture.notes == ((f"EXIF orientation {orientation} applied",) if 2 <= orientation <= 8 else ())


@pytest.mark.parametrize("junk", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + b"\xff" * 40])
def test_damaged_exif_spoils_nothing(file, junk):
    data = encoded(Image.fromarray(scene()), "JPEG", quality=95)
    segment = b"\xff\xe1" + struct.pack(">H", len(junk) + 2) + junk
    path = file(data[:2] + segment + data[2:], "photo.jpg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = read_picture(path)
    np.testing.assert_array_equal(picture.pixels, read_picture(file(data, "plain.jpg")).pixels)


def test_a_profile_is_converted_to_srgb(file):
    # A straight tone curve: the stored number is the light itself, which IEC 61966-2-1 encodes by this formula.
    stored = np.zeros((16, 16, 3), np.uint8)
    stored[...] = (np.arange(256, dtype=np.uint8).reshape(16, 16))[:, :, np.newaxis]
    light = stored / 255
    expected = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    picture = read_picture(file(encoded(Image.fromarray(stored), "PNG", icc_profile=linear_profile())))
    assert np.abs(picture.pixels - expected).max() <= 1.5
    assert picture.notes == ("colours converted from test profile to sRGB",)


def test_a_profile_decides_what_each_channel_means(file):
    red = np.zeros((16, 16, 3), np.uint8)
    red[:, :, 0] = 255
    picture = read_picture(file(encoded(Image.fromarray(red), "PNG", icc_profile=linear_profile("grb"))))
    assert np.abs(picture.pixels.astype(int) - (0, 255, 0)).max() <= 3


def test_a_profile_keeps_alpha(file):
    rgba = np.full((16, 16, 4), 55, np.uint8)
    rgba[:, :8, 3], rgba[:, 8:, 3] = 0, 255
    picture = read_picture(file(encoded(Image.fromarray(rgba), "PNG", icc_profile=linear_profile())))
    assert (picture.pixels[:, :8] == 255).all()
    assert np.abs(picture.pixels[:, 8:].astype(int) - 128).max() <= 2  # 55 / 255 of the light is 128 in sRGB


@pytest.mark.parametrize("profile", [b"junk", linear_profile()[:200], b"\0" * 128])
def test_a_broken_profile_is_left_aside_with_a_note(file, profile):
    picture = read_picture(file(encoded(Image.fromarray(scene()), "PNG", icc_profile=profile)))
    np.testing.assert_array_equal(picture.pixels, scene())
    assert len(picture.notes) == 1 and "ICC" in picture.notes[0]


def test_a_profile_for_other_channels_is_left_aside_with_a_note(file):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    picture = read_picture(file(encoded(Image.fromarray(scene()), "PNG", icc_profile=profile)))
    np.testing.assert_array_equal(picture.pixels, scene())
    assert len(picture.notes) == 1 and "ICC profile for Lab ignored" in picture.notes[0]


# What is refused


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"\xef\xbb\xbf\n <HTML>", "HTML"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"<svg/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n", "LFS pointer"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n", "PostScript"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04" + bytes(40), "ZIP"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "heic"),
        (b"\x89PNG\r\n\x1a\n", "damaged or truncated PNG"),
        (b"\xff\xd8\xff", "damaged or truncated JPEG"),
        (bytes(range(200, 240)), "c8 c9 ca cb"),
        (b"just words\n\x1b[31m", "6a 75 73 74"),
    ],
)
def test_what_is_no_picture_is_named(file, data, cause):
    message = refusal(file(data, "photo.jpg"))
    assert "photo.jpg" in message and cause in message and "JPEG" in message


def test_ghostscript_is_never_run(file, monkeypatch):
    def no_process(*args: object, **keywords: object) -> None:
        raise AssertionError("a process was started")

    for name in ("Popen", "run", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, no_process)
    data = encoded(Image.fromarray(scene()), "EPS")
    assert "PostScript" in refusal(file(data, "drawing.png"))


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused(file, image_format, share):
    data = encoded(noise(), image_format)
    message = refusal(file(data[: int(len(data) * share)], "half.bin"))
    assert "half.bin" in message and ("truncated" in message or "damaged" in message or "not a picture" in message)


def test_a_file_that_is_damaged_anywhere_is_read_or_refused_but_nothing_else(file):
    rng = np.random.default_rng(1)
    for image_format in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000"):
        data = bytearray(encoded(noise(), image_format))
        for _ in range(25):
            broken = bytearray(data)
            for at in rng.integers(0, min(len(data), 400), 4):
                broken[at] = rng.integers(0, 256)
            path = file(bytes(broken), "broken.bin")
            try:
                picture = read_picture(path)
            except InputError as error:
                assert "broken.bin" in str(error) and str(error).isprintable()
            else:
                assert picture.pixels.dtype == np.uint8 and picture.pixels.ndim == 3


@pytest.mark.parametrize(
    "declared", [(20_000, 20_000), (8_001, 8_000), (400_000, 100), (60_000, 60_000), (30_001, 950)]
)
def test_a_picture_that_declares_too_many_pixels_is_refused_before_it_is_decoded(file, declared):
    data = bytearray(png(16, 16, 8, 2, bytes(16 * 16 * 3)))
    header = struct.pack(">IIBBBBB", *declared, 8, 2, 0, 0, 0)
    data[16:29], data[29:33] = header, struct.pack(">I", zlib.crc32(b"IHDR" + header))
    message = refusal(file(bytes(data), "bomb.png"))
    # Were it decoded, the 16 rows would make it "truncated".
    assert "bomb.png" in message and "64 million" in message and "30000" in message


@pytest.mark.parametrize(("shape", "cause"), [((7, 16), "too few"), ((16, 1), "too few"), ((8, 257), "too narrow")])
def test_a_picture_too_small_or_too_narrow_is_refused(file, shape, cause):
    height, width = shape
    assert cause in refusal(file(png(width, height, 8, 0, bytes(width * height))))
    assert cause in refusal(np.zeros(shape, np.uint8))


def test_the_smallest_and_the_narrowest_picture_are_read(file):
    assert read_picture(file(png(8, 8, 8, 0, bytes(64)))).size == (8, 8)
    assert read_picture(np.zeros((8, 256), np.uint8)).size == (256, 8)


def test_an_empty_array_is_refused():
    assert "too few" in refusal(np.zeros((0, 16, 3), np.uint8))


def test_what_is_no_file_is_refused(tmp_path, file):
    assert "missing.png" in refusal(tmp_path / "missing.png")
    assert "folder" in refusal(tmp_path)
    assert "folder" in refusal("")
    assert "regular" in refusal("/dev/zero")
    assert "path" in refusal("a\0b")
    os.mkfifo(tmp_path / "pipe")
    assert "regular" in refusal(tmp_path / "pipe")  # and does not wait for a writer


def test_a_file_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "huge.tif"
    with path.open("wb") as stream:
        stream.truncate(400_000_001)  # a hole: takes no room
    assert "400000000" in refusal(path)


@pytest.mark.parametrize("name", ["Grüße 漢字.png", "two\nlines.png", b"not-utf8-\xff.png"])
def test_any_file_name_can_be_read_printed_and_stored(tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(png(36, 24, 8, 2, scene().tobytes()))
    picture = read_picture(path)
    picture.name.encode()  # no lone surrogates
    assert picture.name.isprintable()
    path.write_bytes(b"junk")
    refusal(path).encode()


# Size


@pytest.mark.parametrize(
    ("shape", "long_edge", "expected"),
    [
        ((300, 400), 512, (384, 512)),  # enlarged
        ((1200, 1600), 512, (384, 512)),
        ((400, 300), 100, (100, 75)),
        ((100, 333), 100, (30, 100)),
        ((300, 200), 100, (100, 67)),
        ((200, 300), 100, (67, 100)),
        ((8, 256), 16, (1, 16)),  # half a pixel becomes one, not none
        ((10, 10), 1, (1, 1)),
    ],
)
def test_the_long_edge_gets_the_size_and_the_aspect_is_kept(shape, long_edge, expected):
    resized = resize(np.zeros((*shape, 3), np.uint8), long_edge)
    assert resized.shape == (*expected, 3) and resized.dtype == np.uint8


def test_no_size_below_one():
    with pytest.raises(InputError, match="0"):
        resize(scene(), 0)


def test_resampling_is_lanczos_with_three_lobes():
    """One row, shrunk 64 -> 16: the weights of sinc(x) sinc(x / 3) at the four times wider spacing, normalised."""
    row = np.random.default_rng(2).integers(0, 256, 64)
    pixels = np.repeat(row[np.newaxis, :, np.newaxis], 64, axis=0).repeat(3, axis=2).astype(np.uint8)
    centres = (np.arange(16) + 0.5) * 4
    x = (np.arange(64) + 0.5 - centres[:, np.newaxis]) / 4
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    expected = np.clip(weights @ row / weights.sum(axis=1), 0, 255)
    resized = resize_to(pixels, (16, 64))
    assert np.abs(resized[20, :, 1] - expected).max() <= 1


def test_the_same_size_changes_nothing():
    np.testing.assert_array_equal(resize(scene(), 36), scene())


def test_no_picture_is_made_that_is_too_large_to_be_read() -> None:
    """8100 x 8100 pixels are more than 64 million; 8000 x 8000 are not."""
    with pytest.raises(InputError, match=r"8100 x 8100 pixels; at most 64 million") as caught:
        resize(np.zeros((8, 8, 3), np.uint8), 8100)
    assert "\n" not in str(caught.value)
    assert resize(np.zeros((8, 8, 3), np.uint8), 8000).shape == (8000, 8000, 3)


@pytest.mark.parametrize(
    ("height", "width", "stride", "enough"),
    [(16, 32, 16, True), (31, 31, 16, False), (15, 512, 16, False), (16, 31, 16, False), (1, 2, 1, True)],
)
def test_two_positions_are_needed_at_the_deepest_layer(height, width, stride, enough):
    if enough:
        require_size(height, width, stride, "relu5_1")
    else:
        with pytest.raises(InputError, match=rf"{width} x {height}.*relu5_1"):
            require_size(height, width, stride, "relu5_1")


# The network's input


def test_preprocess_is_rgb_planes_minus_the_mean():
    x = preprocess(scene(), MEAN)
    assert x.shape == (1, 3, 24, 36) and x.dtype == np.float32
    for c in range(3):
        for i, j in ((0, 0), (5, 7), (23, 35)):
            assert x[0, c, i, j] == pytest.approx(float(scene()[i, j, c]) - MEAN[c], abs=1e-4)


@pytest.mark.parametrize("mean", [MEAN, (0.0, 0.0, 0.0), (103.939, 127.5, 255.0)])
def test_deprocess_is_the_exact_inverse(mean):
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    back = deprocess(preprocess(pixels, mean), mean)
    np.testing.assert_array_equal(back, pixels)
    assert back.dtype == np.uint8


def test_deprocess_rounds_halves_to_even_and_clips():
    values = np.array([-300, -0.51, 0.5, 1.5, 2.49, 254.5, 255.4, 1e30], np.float32)
    pixels = deprocess(np.broadcast_to(values, (1, 3, 1, 8)), (0.0, 0.0, 0.0))
    np.testing.assert_array_equal(pixels[0, :, 2], [0, 0, 0, 2, 2, 254, 255, 255])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_deprocess_refuses_what_has_no_colour(bad):
    x = np.zeros((1, 3, 4, 4), np.float32)
    x[0, 1, 2, 3] = bad
    with pytest.raises(ValueError, match="NaN or infinity"):
        deprocess(x, MEAN)


@pytest.mark.parametrize("pixels", [scene().astype(np.float32), scene()[:, :, 0], np.zeros((4, 4, 4), np.uint8)])
def test_preprocess_refuses_other_arrays(pixels):
    with pytest.raises(ValueError, match="uint8"):
        preprocess(pixels, MEAN)


def test_deprocess_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"\(1, 3, H, W\)"):
        deprocess(np.zeros((3, 4, 4), np.float32), MEAN)


# Writing


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.png", "PNG"),
        ("a.JPG", "JPEG"),
        ("a.jpeg", "JPEG"),
        ("a.webp", "WEBP"),
        ("a.tif", "TIFF"),
        ("a.b.tiff", "TIFF"),
    ],
)
def test_the_extension_names_the_format(tmp_path, name, expected):
    assert require_format(tmp_path / name) == expected
    save_picture(tmp_path / name, scene())
    with Image.open(tmp_path / name) as image:
        assert image.format == expected and image.size == (36, 24)


@pytest.mark.parametrize("name", ["a.bmp", "a", "a.png.", "png", "a.pn g", ".png"])
def test_an_unknown_extension_is_refused_with_the_known_ones(tmp_path, name):
    for call in (lambda path: require_format(path), lambda path: save_picture(path, scene())):
        with pytest.raises(InputError, match=r"\.png, \.jpg, \.jpeg, \.webp, \.tif, \.tiff"):
            call(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "longest"), [("a.webp", 16_383), ("a.jpg", 65_500)])
def test_a_side_that_the_format_cannot_hold_is_refused_beforehand(name, longest):
    require_format(name, longest)
    with pytest.raises(InputError, match=str(longest)):
        require_format(name, longest + 1)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    pixels = np.array(noise())
    save_picture(tmp_path / f"a{suffix}", pixels, {"network": "x"})
    with Image.open(tmp_path / f"a{suffix}") as image:
        np.testing.assert_array_equal(np.array(image), pixels)


def test_jpeg_keeps_sharp_colour_edges(tmp_path):
    """Chroma at full resolution: single columns of red and blue stay apart, which 4:2:0 would mix to purple."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, ::2, 0], pixels[:, 1::2, 2] = 255, 255
    save_picture(tmp_path / "a.jpg", pixels)
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.abs(np.array(image).astype(int) - pixels).mean() < 10


TEXT = {"network": "surrogate network, not a reproduction", "record": "γ = 1 – ünïcode\nsecond line"}


def test_png_carries_text_in_text_chunks(tmp_path):
    save_picture(tmp_path / "a.png", scene(), TEXT)
    chunks = png_chunks((tmp_path / "a.png").read_bytes())
    assert (b"tEXt", b"network\0surrogate network, not a reproduction") in chunks
    # iTXt: keyword, null, not compressed, method 0, no language, no translated keyword, UTF-8
    assert (b"iTXt", b"record\0\0\0\0\0" + TEXT["record"].encode()) in chunks


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tif"])
def test_other_formats_carry_text_as_json_in_the_image_description(tmp_path, name):
    save_picture(tmp_path / name, scene(), TEXT)
    with Image.open(tmp_path / name) as image:
        assert json.loads(image.getexif()[0x010E]) == TEXT


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_the_same_picture_gives_the_same_bytes(tmp_path, name):
    written = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save_picture(tmp_path / folder / name, scene(), TEXT)
        written.append((tmp_path / folder / name).read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_what_is_written_can_be_read_again_without_a_note(tmp_path, name):
    save_picture(tmp_path / name, scene(), TEXT)
    picture = read_picture(tmp_path / name)
    assert isinstance(picture, Picture) and picture.notes == ()


def test_text_too_long_for_the_format_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match=r"a\.jpg"):
        save_picture(tmp_path / "a.jpg", scene(), {"record": "x" * 70_000})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_line_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    save_picture(path, scene())
    before = path.read_bytes()

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"a\.png.*No space left"):
        save_picture(path, scene()[::-1])
    monkeypatch.undo()
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_that_does_not_exist_is_one_line(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        save_picture(tmp_path / "none" / "a.png", scene())


# The module itself


def test_pictures_do_not_need_mxnet():
    code = "import sys; import neural_style_mmd.images, neural_style_mmd.sheet; sys.exit('mxnet' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_only_formats_that_start_no_program_are_opened():
    assert not {"EPS", "WMF", "IPTC", "FPX", "MIC"} & set(decoding.READABLE)
