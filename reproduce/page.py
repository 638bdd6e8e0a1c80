"""The report as one page of HTML that needs no other file: pictures inside, no address outside."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from neural_style_mmd.images import read_picture, resize

from .results import Results, Tile
from .sections import all_sections

TEMPLATE = Path(__file__).with_name("template")
JPEG_QUALITY = 90  # of the pictures in the page; the exact ones are the PNG files in cells/
ORIGINAL_EDGE = 512  # pixels


def render(results: Results) -> str:
    """The whole page."""
    network = results.inputs["network"]
    parts = {
        "title": escape(results.grid["title"]),
        "caption": escape(results.grid["caption"]),
        "kind": "true" if results.inputs["notice"] is None else "warned",
        "network": escape(network_line(results)),
        "state": escape(state_line(results)),
        "figure": figure(results),
        "sections": "\n".join(all_sections(results)),
        "style": (TEMPLATE / "page.css").read_text(encoding="utf-8"),
        "script": (TEMPLATE / "page.js").read_text(encoding="utf-8"),
    }
    assert network["sha256"]
    return Template((TEMPLATE / "page.html").read_text(encoding="utf-8")).substitute(parts)


def network_line(results: Results) -> str:
    """The page's first line: which network made it, on which pictures."""
    network, notice = results.inputs["network"], results.inputs["notice"]
    made = f"Made with the network {network['name']}"
    made += f" ({network['recipe']})" if network["recipe"] else f" (sha256 {network['sha256'][:12]})"
    if notice:
        made = f"{notice[0].upper()}{notice[1:]}. {made}"
    return made + {"named": "", "own": ", on own pictures", "procedural": ", on procedural pictures"}[
        results.inputs["origin"]
    ]  # fmt: skip


def state_line(results: Results) -> str:
    """How much of the figure is there, and in which setting."""
    done = [tile for tile in results.tiles if tile.state == "done"]
    words = [f"{len(done)} of {len(results.tiles)} pictures", results.setting(results.shown_stage)]
    previews = sum(tile.stage == "preview" for tile in done)
    if previews and results.shown_stage == "full":
        words.append(f"{previews} of them still previews, marked so")
    if results.plan["replicates"] > 1:
        words.append(f"replicate 1 of {results.plan['replicates']} is shown")
    return "; ".join(words) + "."


def figure(results: Results) -> str:
    """The figure laid out as in the paper."""
    roles = [role for role in ("content", "style") if results.has_original(role)]
    beside = [""] if results.one_pair else roles
    columns = [*beside, *results.plan["columns"]]
    widths = f"max-content repeat({len(columns)}, minmax(96px, 1fr))"
    cells = ['<div class="head"></div>']
    cells += [f'<div class="head column">{escape(name)}</div>' for name in columns]
    for row, heading in enumerate(results.plan["rows"]):
        cells.append(f'<div class="head row">{escape(heading)}</div>')
        cells += _originals(results, row, roles)
        tiles = {tile.column: tile for tile in results.tiles if tile.row == row}
        cells += [_tile(tiles.get(column), results) for column in range(len(results.plan["columns"]))]
    return (
        f'<div class="figure-box"><div class="figure" style="grid-template-columns: {widths}">'
        + "\n".join(cells)
        + '</div></div>\n<p class="note screen-only">Click a picture, or press Enter on it, for its full size; then '
        "the arrow keys go from cell to cell, c and s draw the content or the style picture over it.</p>"
    )


def _originals(results: Results, row: int, roles: Sequence[str]) -> Iterable[str]:
    if not results.one_pair:
        return [_original(results, role, row, f"{role}-{row}", "") for role in roles]
    if row >= len(roles):
        return ["<div></div>"]
    last = row == len(results.plan["rows"]) - 1
    here = roles[row:] if last else roles[row : row + 1]
    return ["".join(_original(results, role, row, f"{role}-all", role) for role in here)]


def _original(results: Results, role: str, row: int, key: str, caption: str) -> str:
    pixels = results.original(role, row)
    if isinstance(pixels, str):
        return f'<div class="tile empty">{escape(pixels)}</div>'
    source = _data_uri(resize(pixels, ORIGINAL_EDGE))
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="original"><img data-original="{key}" src="{source}" alt="{role} picture">{words}</figure>'


def _tile(tile: Tile | None, results: Results) -> str:
    if tile is None:
        return "<div></div>"
    if tile.picture is None:
        words = {"failed": "failed", "running": "being made"}.get(tile.state, "missing")
        reason = f"<br>{escape(str(tile.failure['reason']))}" if tile.failure else ""
        return f'<div class="tile empty {tile.state}"><span>{words}{reason}</span></div>'
    source = _data_uri(read_picture(tile.picture).pixels)
    badge = '<span class="badge">preview</span>' if tile.stage == "preview" and "full" in results.stages else ""
    return (
        f'<button type="button" class="tile" data-cell="{tile.cell_id[:12]}" data-row="{tile.row}" '
        f'data-label="{escape(tile.label)}"><img src="{source}" alt="{escape(tile.label)}">{badge}'
        "</button>"
    )


def _data_uri(pixels: np.ndarray) -> str:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
