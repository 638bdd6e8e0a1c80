"""The report of a store: index.html, a contact sheet as PNG and PDF, metrics.csv. Reads, never computes a picture."""

from __future__ import annotations

import csv
from io import BytesIO, StringIO
from typing import Any

import numpy as np
from PIL import Image

from model_zoo.files import write_bytes
from neural_style_mmd.images import read_picture, save_picture
from neural_style_mmd.sheet import contact_sheet

from .page import render
from .results import Results, Tile
from .store import Store

TILE = 384  # pixels of a tile's long edge on the sheet
DPI = 300

EMPTY = (225, 225, 225)


def write_report(store: Store) -> None:
    """Write everything anew from what is there; each file is there whole or as it was before."""
    results = Results(store)
    name = results.grid["name"]
    write_bytes(store.folder / "metrics.csv", metrics_csv(results).encode())
    if any(tile.state == "done" for tile in results.tiles):
        pixels = make_sheet(results)
        notice = results.inputs["notice"]
        save_picture(store.folder / f"{name}.png", pixels, {"Comment": notice} if notice else None)
        write_bytes(store.folder / f"{name}.pdf", as_pdf(pixels, results.grid["title"]))
    write_bytes(store.folder / "index.html", render(results).encode())


def metrics_csv(results: Results) -> str:
    """One row for each done cell of each stage and replicate; the numbers are those of `neural-style-mmd score`."""
    rows = [row(results, tile) for tile in results.all_done]
    text = StringIO()
    columns = list(dict.fromkeys(key for each in rows for key in each))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def row(results: Results, tile: Tile) -> dict[str, Any]:
    """A done cell's row of metrics.csv."""
    assert tile.record is not None and tile.score is not None
    at = dict(tile.at)
    return {
        "figure": results.grid["name"],
        "network": results.inputs["network"]["kind"],
        "stage": tile.stage,
        **at,
        "weights": " ".join(f"{weight:g}" for weight in at["weights"]),
        "size": tile.record["config"]["size"],
        "cell": tile.cell_id,
        "outcome": tile.record["outcome"],
        "iterations": tile.record["iterations"],
        "seconds": round(tile.record["seconds"], 3),
        **tile.score.flat(),
    }


def make_sheet(results: Results) -> np.ndarray:
    """The figure as one picture, laid out as in the paper; originals stand left of the cells."""
    width = len(results.plan["columns"])
    rows: list[list[Any]] = [[None] * width for _ in results.plan["rows"]]
    for tile in results.tiles:
        rows[tile.row][tile.column] = (_tile_label(results, tile), _pixels(tile))
    originals, headings = _originals(results)
    complete = [[*original, *cells] for original, cells in zip(originals, rows, strict=True)]
    stage = results.shown_stage
    return contact_sheet(
        complete,
        title=f"{results.grid['title']}\n{results.setting(stage)}",
        column_headings=[*headings, *results.plan["columns"]],
        row_headings=results.plan["rows"],
        burned_in=results.inputs["notice"],
        tile=TILE,
    )


def as_pdf(pixels: np.ndarray, title: str) -> bytes:
    """One page that holds the sheet at 300 dpi."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PDF", resolution=DPI, title=title, quality=95)
    return buffer.getvalue()


def _originals(results: Results) -> tuple[list[list[Any]], list[str]]:
    """The cells left of each row and their headings: content and style of each row, or, where all rows share one pair,
    content beside the first row and style beside the second."""
    roles = [role for role in ("content", "style") if results.has_original(role) or role == "style"]
    count = len(results.plan["rows"])
    if results.one_pair and count >= len(roles):
        shown = [_read(results, role, 0) for role in roles] + [None] * (count - len(roles))
        return [[cell and (role, cell[1])] for cell, role in zip(shown, [*roles, *[""] * count], strict=False)], [""]
    return [[_read(results, role, row) for role in roles] for row in range(count)], roles


def _read(results: Results, role: str, row: int) -> tuple[str, np.ndarray] | None:
    pixels = results.original(role, row)
    return None if isinstance(pixels, str) else ("", pixels)


def _tile_label(results: Results, tile: Tile) -> str:
    if tile.state != "done":
        return {"failed": "failed", "running": "being made"}.get(tile.state, "missing")
    return "preview" if tile.stage == "preview" and results.shown_stage == "full" else ""


def _pixels(tile: Tile) -> np.ndarray:
    if tile.picture is not None:
        return read_picture(tile.picture).pixels
    return np.full((TILE * 3 // 4, TILE, 3), EMPTY, np.uint8)
