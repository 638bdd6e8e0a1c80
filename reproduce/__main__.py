"""The command line: `python -m reproduce figure2`, `run`, `show`, `status`, `report`, `clean`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from model_zoo.command_line import OneLineGroup
from model_zoo.errors import InputError

FIGURES = ("figure1", "figure2", "figure3", "figure4")


@click.group(
    cls=OneLineGroup,
    name="python -m reproduce",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
def cli() -> None:
    """The figures of "Demystifying Neural Style Transfer". A figure can be stopped at any moment and goes on where it
    was; done cells are never done again."""


def run_options(command: Callable) -> Callable:
    """Adds what every figure and grid takes."""
    for option in reversed(_RUN_OPTIONS):
        command = option(command)
    return command


_RUN_OPTIONS = (
    click.option("--preview", is_flag=True, help="Stop after the preview (192 px, 100 iterations)."),
    click.option("--size", type=click.IntRange(min=1), help="Long edge in pixels of the full setting."),
    click.option("--iterations", type=click.IntRange(min=1), help="Largest number of iterations."),
    click.option("--gammas", help="Other balance factors, such as 0.5,2; for figure2 also: release."),
    click.option("--weights", default="auto", show_default=True, help="Network: auto, vgg19, surrogate, or a file."),
    click.option("--inputs", type=click.Path(path_type=Path), help="Folder with pictures of the figure's names."),
    click.option("--offline", is_flag=True, help="Never use the network."),
    click.option("--out", default="out", show_default=True, type=click.Path(path_type=Path),
                 help="Folder in which the figure's folder is made."),
    click.option("--replicates", default=1, show_default=True, type=click.IntRange(min=1),
                 help="Repeat every cell with other seeds, to tell effects from noise."),
    click.option("--calibration", default="figure", show_default=True, type=click.Choice(["figure", "pair"]),
                 help="Measure beta' once over the figure's pairs, or for each pair."),
    click.option("--preset", help="Preset of the configuration, its iterations too."),
    click.option("--jobs", default="auto", show_default=True, help="Cells at once; the cores are divided among them."),
    click.option("--threads", type=click.IntRange(min=1), help="Threads of each cell."),
    click.option("--timeout", default=300.0, show_default=True, type=float,
                 help="Seconds without a sign of life after which a cell counts as hung (a calibration: eight times)."),
    click.option("--shard", help="Do only every n-th picture from the i-th: i/n, for job arrays."),
    click.option("--scheduler", help="Send the cells to Dask: tcp://HOST:PORT or local:N."),
)  # fmt: skip


def _figure_command(name: str) -> click.Command:
    @run_options
    def command(**choices: Any) -> int:
        from .figures import figure

        return _run(figure(name), **choices)

    number = name.removeprefix("figure")
    return click.command(name=name, help=f"Make Figure {number} of the paper.")(command)


for _name in FIGURES:
    cli.add_command(_figure_command(_name))


@cli.command()
@click.argument("grid", type=click.Path(path_type=Path))
@run_options
def run(grid: Path, **choices: Any) -> int:
    """Make the grid in the TOML file GRID; `show figure2` prints one to start from."""
    from .figures import read_grid

    return _run(read_grid(grid), **choices)


@cli.command()
@click.argument("figure", type=click.Choice(FIGURES))
def show(figure: str) -> None:
    """Print the grid of a figure, with the source of each number."""
    from .figures import FOLDER

    click.echo((FOLDER / f"{figure}.toml").read_text(encoding="utf-8"), nl=False)


@cli.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", default="out", show_default=True, type=click.Path(path_type=Path), help="Where to look.")
def status(folders: tuple[Path, ...], out: Path) -> None:
    """Say how far the figures in FOLDERS are (every figure in --out by default)."""
    from .summary import summarise

    for store in _stores(folders, out):
        for line in summarise(store):
            click.echo(line)


@cli.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", default="out", show_default=True, type=click.Path(path_type=Path), help="Where to look.")
def report(folders: tuple[Path, ...], out: Path) -> None:
    """Write the report of FOLDERS anew from what is there; nothing is computed."""
    from .report import write_report

    for store in _stores(folders, out):
        write_report(store)
        click.echo(store.folder / "index.html")


@cli.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--out", default="out", show_default=True, type=click.Path(path_type=Path), help="Where to look.")
def clean(folders: tuple[Path, ...], out: Path) -> None:
    """Remove failures, dead claims, begun cells, and done cells that no longer belong to the figure in FOLDERS.

    What somebody works on stays, and so does every done cell of the figure.
    """
    for store in _stores(folders, out):
        gone = store.clean(set(store.read_plan()["cells"]))
        click.echo(f"{store.folder}: {len(gone)} removed")


@cli.command(name="_cell", hidden=True)
@click.argument("spec", type=click.Path(path_type=Path))
def _cell(spec: Path) -> int:
    from .worker import run_cell

    return run_cell(spec)


def _run(grid: Any, **choices: Any) -> int:
    from .pipeline import Options, make_figure, parse_shard

    # A job's time limit comes as SIGTERM: the same as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if gammas := choices.pop("gammas"):
        grid = grid.with_gammas(gammas)
    preset = choices.pop("preset")
    grid = grid.with_setting(choices.pop("size"), choices.pop("iterations"), {"preset": preset} if preset else {})
    shard, jobs = choices.pop("shard"), choices.pop("jobs")
    if jobs != "auto" and not (jobs.isdigit() and int(jobs) >= 1):
        raise InputError(f"jobs is {jobs!r}; give auto or a number from 1")
    if not choices["timeout"] > 0:  # nor is NaN
        raise InputError(f"timeout is {choices['timeout']:g}; give more than 0 seconds")
    options = Options(
        shard=parse_shard(shard) if shard else None,
        jobs=None if jobs == "auto" else int(jobs),
        command=("python", "-m", "reproduce", *sys.argv[1:]),
        **choices,
    )
    return make_figure(grid, options, sys.stderr)


def _stores(folders: tuple[Path, ...], out: Path) -> list[Any]:
    from .store import Store

    stores = [Store(folder) for folder in folders] or [Store(path.parent) for path in sorted(out.glob("*/plan.json"))]
    for store in stores:
        if not store.exists():
            raise InputError(f"{store.folder} is not a figure's folder: it holds no store.json")
    if not stores:
        raise InputError(f"there is no figure in {out}; make one with `python -m reproduce figure2`")
    return stores


if __name__ == "__main__":
    cli(prog_name="python -m reproduce")
