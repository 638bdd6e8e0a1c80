"""`neural-style-mmd beta-table`: beta' of each method over the release's sweep of pictures, as Markdown and JSON."""

from __future__ import annotations

from pathlib import Path

import click

from .progress import network_line, say


@click.command(name="beta-table")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--contents", help="Content pictures in FOLDER, joined by commas; the release's five by default.")
@click.option("--styles", help="Style pictures, the same; the release's seven by default.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(min=32), help="Long edge in pixels.")
@click.option("--weights", default="auto", show_default=True, help="Network, as in transfer.")
@click.option("--offline", is_flag=True, help="Never use the network.")
@click.option("--threads", type=int, help="Threads of MXNet; every usable core by default.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write the table and every pair's numbers here.")
def beta_table(
    folder: Path,
    contents: str | None,
    styles: str | None,
    size: int,
    weights: str,
    offline: bool,
    threads: int | None,
    path: Path | None,
) -> None:
    """Measure beta' of each method for every content with every style picture of FOLDER, under both presets, and show
    beside it what the release's constants amount to."""
    from .threads import choose_threads

    choose_threads(threads)
    import model_zoo
    from model_zoo.files import require_writable, write_json

    from . import beta_table as table_of
    from .record import describe_machine, describe_weights

    pairs = table_of.sweep(folder, _names(contents, table_of.CONTENTS), _names(styles, table_of.STYLES))
    if path is not None:
        require_writable(path)
    network = model_zoo.load(weights, offline=offline, notify=say)
    found = list(table_of.measure_pairs(pairs, network, size, say))
    table = table_of.summarise(found, size * 3 // 4, size)
    about = describe_weights(network)
    click.echo(f"{network_line(about)}, long edge {size}\n")
    click.echo(table_of.text(table))
    if path is not None:
        write_json(path, table | {"size": size, "weights": about, "machine": describe_machine()})


def _names(given: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",")) if given else default
