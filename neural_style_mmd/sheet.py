"""Contact sheets: labelled pictures in a grid, with headings and a burned-in line. Needs Pillow and NumPy only."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .images import resize

PAPER, INK = (255, 255, 255), (0, 0, 0)
BAND, BAND_INK = (160, 0, 0), (255, 255, 255)

# The font that comes with Pillow has ASCII only; the rest would be drawn as empty boxes.
_SPELT = str.maketrans(
    {"α": "alpha", "β": "beta", "γ": "gamma", "σ": "sigma", "μ": "mu", "λ": "lambda", "ß": "ss", "ø": "o", "æ": "ae"}
    | {"′": "'", "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-", "×": "x", "·": ".", "→": "->"}
)

LEAST_WIDTH = 320  # of a sheet, in pixels, so that the burned-in line's words stay whole

Cell = tuple[str, np.ndarray]
Scaled = tuple[str, Image.Image]


def contact_sheet(
    rows: Sequence[Sequence[Cell | None]],
    *,
    title: str | None = None,
    column_headings: Sequence[str] = (),
    row_headings: Sequence[str] = (),
    burned_in: str | None = None,
    tile: int = 384,
) -> np.ndarray:
    """Lay pictures out as a grid on white and return uint8 (H, W, 3), RGB.

    rows: each a sequence of (label, uint8 (H, W, 3)) or None for an empty place; rows may differ in length. A picture
        is scaled, keeping its aspect, so that its longer side is `tile` pixels; its label stands centred below it, and
        an empty label takes no room.
    title, column_headings, row_headings: above everything, above each column, left of each row.
    burned_in: a line in white on a dark red band across the whole foot of the sheet, such as
        "surrogate network, not a reproduction".
    Text is wrapped to its place and drawn in Pillow's own font, so that the same input gives the same pixels with the
    same Pillow. Letters outside ASCII are spelt out (Greek), stripped of their accents, or shown as "?".

    ValueError without any picture, or where the headings do not match the grid.
    """
    _check(rows, column_headings, row_headings)
    size = max(14, tile // 16)  # of the letters, in pixels
    gap = size // 2
    scaled = [[(cell[0], Image.fromarray(resize(cell[1], tile))) if cell else None for cell in row] for row in rows]
    widths = _column_widths(scaled, tile * 2 // 3)
    grid = [_row(row, widths, size) for row in scaled]
    if column_headings:
        grid.insert(0, [_text(words, width, size) for words, width in zip(column_headings, widths, strict=True)])
    if row_headings:
        side = [""] * bool(column_headings) + list(row_headings)
        grid = [[_heading(words, row, tile // 2, size), *row] for words, row in zip(side, grid, strict=True)]
    body = _grid(grid, gap)
    width = max(body.width, LEAST_WIDTH)
    parts = [_text(title, width, size * 3 // 2, margin=gap)] if title else []
    parts.append(body)
    if burned_in:
        parts.append(_text(burned_in, width, size * 5 // 4, BAND_INK, BAND, gap))
    return np.array(_stack(parts, width))


def _check(rows: Sequence[Sequence[object]], column_headings: Sequence[str], row_headings: Sequence[str]) -> None:
    if not any(cell for row in rows for cell in row):
        raise ValueError("a contact sheet needs at least one picture")
    columns = max(len(row) for row in rows)
    for kind, headings, count in (("column", column_headings, columns), ("row", row_headings, len(rows))):
        if headings and len(headings) != count:
            raise ValueError(f"{len(headings)} {kind} headings for {count} {kind}s")


def _column_widths(rows: Sequence[Sequence[Scaled | None]], least: int) -> list[int]:
    """The widest picture of each column, and `least` for the words of a column of narrow ones."""
    widths = [least] * max(len(row) for row in rows)
    for row in rows:
        for j, cell in enumerate(row):
            if cell:
                widths[j] = max(widths[j], cell[1].width)
    return widths


def _row(row: Sequence[Scaled | None], widths: Sequence[int], size: int) -> list[Image.Image]:
    """Each picture over its label; shorter pictures stand on the line of the others, so that the labels are level."""
    height = max((cell[1].height for cell in row if cell), default=0)
    cells = []
    for width, cell in zip(widths, row, strict=False):
        if cell is None:
            cells.append(Image.new("RGB", (width, 1), PAPER))
            continue
        label, picture = cell
        frame = Image.new("RGB", (width, height), PAPER)
        frame.paste(picture, ((width - picture.width) // 2, height - picture.height))
        cells.append(_stack([frame, _text(label, width, size)] if label else [frame], width))
    return cells


def _heading(words: str, row: Sequence[Image.Image], width: int, size: int) -> Image.Image:
    """A row's heading, centred in the height of the row."""
    text = _text(words, width, size)
    above = max(0, max(block.height for block in row) - text.height) // 2
    return _stack([Image.new("RGB", (width, above), PAPER), text], width)


def _grid(rows: Sequence[Sequence[Image.Image]], gap: int) -> Image.Image:
    """Blocks in rows and columns, `gap` around and between them, centred in their column, at the top of their row."""
    columns = max(len(row) for row in rows)
    widths = [max(row[j].width for row in rows if j < len(row)) for j in range(columns)]
    heights = [max((block.height for block in row), default=0) for row in rows]
    sheet = Image.new("RGB", (sum(widths) + gap * (columns + 1), sum(heights) + gap * (len(rows) + 1)), PAPER)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        left = gap
        for block, width in zip(row, widths, strict=False):
            sheet.paste(block, (left + (width - block.width) // 2, top))
            left += width + gap
        top += height + gap
    return sheet


def _stack(blocks: Sequence[Image.Image], width: int) -> Image.Image:
    """Blocks below each other, centred in `width`."""
    column = Image.new("RGB", (width, sum(block.height for block in blocks)), PAPER)
    top = 0
    for block in blocks:
        column.paste(block, ((width - block.width) // 2, top))
        top += block.height
    return column


def _text(
    words: str,
    width: int,
    size: int,
    ink: tuple[int, int, int] = INK,
    paper: tuple[int, int, int] = PAPER,
    margin: int = 0,
) -> Image.Image:
    """A block of exactly `width` pixels with `words` wrapped and centred, letters of `size` pixels."""
    font = ImageFont.load_default(size=size)
    lines = _wrapped(_drawable(words), width - 2 * margin, font)
    pitch = size * 5 // 4
    block = Image.new("RGB", (width, len(lines) * pitch + 2 * margin), paper)
    draw = ImageDraw.Draw(block)
    for number, line in enumerate(lines):
        draw.text((width // 2, margin + number * pitch), line, fill=ink, font=font, anchor="ma")
    return block


def _wrapped(words: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Lines of at most `width` pixels, broken at spaces, inside a word only where the word alone is too long."""
    lines: list[str] = []
    for paragraph in words.split("\n"):
        line = ""
        for word in paragraph.split():
            if line and font.getlength(f"{line} {word}") > width:
                lines.append(line)
                line = ""
            line = f"{line} {word}" if line else word
            while len(line) > 1 and font.getlength(line) > width:
                fitting = next((n for n in range(len(line) - 1, 1, -1) if font.getlength(line[:n]) <= width), 1)
                lines.append(line[:fitting])
                line = line[fitting:]
        lines.append(line)
    return lines


def _drawable(words: str) -> str:
    plain = unicodedata.normalize("NFKD", words.translate(_SPELT))
    kept = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return "".join(letter if letter == "\n" or " " <= letter <= "~" else "?" for letter in kept)
