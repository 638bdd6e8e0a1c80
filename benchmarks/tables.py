"""Results in words: one table for each section, plain for a terminal or in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNITS = {
    "count": (1.0, ".0f"),
    "ratio": (1.0, ".3f"),
    "percent": (100.0, ".1f"),
    "error": (1.0, ".1e"),
    "objective": (1.0, ".4g"),
    "s": (1.0, ".3f"),
    "ms": (1e3, ".1f"),
    "GB": (1e-9, ".2f"),
    "GFLOP": (1e-9, ".1f"),
    "GFLOP/s": (1e-9, ".0f"),
}
"""Unit -> factor from what the JSON holds (seconds, bytes, operations), and format."""


@dataclass(frozen=True)
class Column:
    """A value of each row: its key, its heading, one of UNITS, or none for a text."""

    key: str
    heading: str
    unit: str = ""


def cell(value: Any, unit: str) -> str:
    """A number, a text, or a summary as "median (quartile to quartile)"; empty where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if not unit:
        return str(value)
    factor, form = UNITS[unit]
    if isinstance(value, Mapping):
        middle = format(factor * value["median"], form)
        if value["n"] == 1:
            return middle
        low, high = (format(factor * each, form) for each in value["quartiles"])
        return f"{middle} ({low} to {high})"
    return format(factor * value, form)


def _cells(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> list[list[str]]:
    heading = [each.heading for each in columns]
    return [heading, *([cell(row.get(each.key), each.unit) for each in columns] for row in rows)]


def plain(title: str, columns: Sequence[Column], result: Mapping[str, Any]) -> str:
    """A section for a terminal."""
    lines = [title]
    if result.get("rows"):
        cells = _cells(result["rows"], columns)
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
    return "\n".join([*lines, *remarks(result)]) + "\n"


def markdown(title: str, columns: Sequence[Column], result: Mapping[str, Any]) -> str:
    """A section in Markdown."""
    parts = [f"## {title}"]
    if result.get("rows"):
        heading, *rows = _cells(result["rows"], columns)
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in (heading, ["---"] * len(columns), *rows)))
    parts += remarks(result)
    return "\n\n".join(parts) + "\n"


def remarks(result: Mapping[str, Any]) -> list[str]:
    """What stands below a table: notes, why a section was skipped, why it failed, its duration."""
    lines = list(result.get("notes", ()))
    lines += [f"skipped: {result['skipped']}"] if "skipped" in result else []
    lines += [f"failed: {result['failed']}"] if "failed" in result else []
    return lines


def machine(about: Mapping[str, Any]) -> str:
    """The processor, the threads and the versions, in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return f"{about['cpu']}, {about['cores']} cores, {about['threads']} threads; {about['platform']}; {versions}"
