"""`neural-style-mmd score`: the numbers of any program's pictures, as a table, CSV or JSON."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

import click

from .config import METHODS, POOLING, TransferConfig
from .progress import say

_DEFAULT = TransferConfig()
FORMATS = ("table", "csv", "json")
_TABLE = ("content", *(f"style.{method}" for method in METHODS if method != "gram"), "colour", "granularity")


@click.command()
@click.argument("content")
@click.argument("style")
@click.argument("pictures", nargs=-1, required=True)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="Of the output.")
@click.option(
    "--size",
    type=click.IntRange(min=1),
    default=_DEFAULT.size,
    show_default=True,
    help="Long edge to which the content is scaled; pictures are scaled to its size.",
)
@click.option("--style-size", type=click.IntRange(min=0), default=0, help="Long edge of the style; 0 means --size.")
@click.option("--layers", default=",".join(_DEFAULT.layers), show_default=True, help="Style layers.")
@click.option("--content-layer", default=_DEFAULT.content_layer, show_default=True, help="Content layer.")
@click.option("--pooling", type=click.Choice(POOLING), default=_DEFAULT.pooling, show_default=True)
@click.option("--weights", default=_DEFAULT.weights, show_default=True, help="Network, as in transfer.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--threads", type=int, help="Threads of MXNet; every usable core by default.")
def score(
    content: str, style: str, pictures: tuple[str, ...], form: str, layers: str, threads: int | None, **choices: Any
) -> None:
    """Score PICTURES of any program against CONTENT and STYLE.

    Style: the discrepancy of each method, divided by that between CONTENT and STYLE: 1 is unstyled, 0 is matched.
    Content: 0 is the content picture itself, 1 is as far from it as the style picture. These are the numbers of
    metrics.csv in a figure's report. Standard error has the network, and what reading the pictures changed.
    """
    from .decoding import shown
    from .scoring import score as measure

    config = TransferConfig(layers=tuple(name.strip() for name in layers.split(",")), **choices)
    scores = measure(content, style, pictures, config, threads=threads, notify=say)
    names = list(map(shown, pictures))
    rows = [{"picture": name, **each.flat()} for name, each in zip(names, scores, strict=True)]
    if form == "json":
        full = [{"picture": path, **each.as_dict()} for path, each in zip(pictures, scores, strict=True)]
        click.echo(json.dumps(full, indent=2))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        _print_table(rows)


def _print_table(rows: list[dict[str, Any]]) -> None:
    width = max(len("picture"), *(len(row["picture"]) for row in rows))
    click.echo(f"{'picture':{width}}" + "".join(f"{name:>16}" for name in _TABLE))
    for row in rows:
        numbers = ("-" if row[name] is None else f"{row[name]:.4g}" for name in _TABLE)
        click.echo(f"{row['picture']:{width}}" + "".join(f"{number:>16}" for number in numbers))
