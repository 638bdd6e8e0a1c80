"""`python -m model_zoo list | fetch | verify | convert | show`: the weight files and pictures, by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command_line import OneLineGroup
from .errors import InputError

if TYPE_CHECKING:
    from .conventions import Convention
    from .manifest import Record, WeightsRecord

CONVENTION_NAMES = ("vgg-rgb", "vgg-bgr", "torchvision")  # conventions.CONVENTIONS, here so that --help is instant
UNKNOWN_NETWORK = 1  # exit code of verify

_file = click.argument("file", type=click.Path(path_type=Path))
_convention = click.option(
    "--convention",
    type=click.Choice(CONVENTION_NAMES),
    help="The input that the network expects, where you know better than the file.",
)


@click.group(cls=OneLineGroup)
def main() -> None:
    """The weights of VGG-19 and the figures' pictures: what is known, what is here, what a file holds."""


@main.command("list")
def list_() -> None:
    """Every known weight file and picture: licence, size, training, and whether it is in the cache."""
    from .manifest import manifest

    weights, pictures = manifest().weights.values(), manifest().pictures.values()
    rows = [("WEIGHTS", "TRAINING", "SIZE", "CHECKSUM", "LICENCE", "STATE")]
    for record in weights:
        checksum = "none" if record.checksum is None else record.checksum.algorithm
        if record.checksum and record.checksum.weakness:
            checksum += " (weak)"
        rows.append(
            (record.name, _training(record), _size(record), checksum, record.licence or "unknown", _state(record))
        )
    _table(rows)
    click.echo()
    _table(
        [("PICTURE", "SIZE", "LICENCE", "STATE")]
        + [(record.name, _size(record), record.licence or "unknown", _state(record)) for record in pictures]
    )
    click.echo("\nOnly the original training reproduces the paper. Weak checksums are explained in docs/WEIGHTS.md.")


@main.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--offline", is_flag=True, help="Only look into the cache.")
def fetch(names: tuple[str, ...], offline: bool) -> None:
    """Bring weight files or pictures into the cache, verified, and say where they lie."""
    from .fetch import fetch as bring
    from .manifest import find

    for record in [find(name) for name in names]:
        path = bring(record, offline=offline, notify=lambda text: click.echo(text, err=True))
        click.echo(path)
        if record.attribution:
            click.echo(record.attribution, err=True)


@main.command()
@_file
@_convention
def verify(file: Path, convention: str | None) -> int:
    """Say which known network FILE holds, or which of its tensors differ; exit code 1 where it is none."""
    from .identity import known_networks, tensor_hashes
    from .loading import load_file

    _say_if_misnamed(file)
    weights = load_file(file, _chosen(convention))
    if weights.kind != "unverified":
        click.echo(f"{file}: {weights.kind}, {weights.name}; {len(weights.parameters)} tensors")
        for note in weights.notes:
            click.echo(f"  {note}")
        return 0
    click.echo(f"{file}: a network of VGG-19's shapes that is not known ({weights.sha256})")
    networks = known_networks()
    hashes = tensor_hashes(weights.parameters)
    for network in networks:
        differing = network.differing(hashes)
        click.echo(f"  beside {network.name}: {len(differing)} of {len(hashes)} tensors differ: {', '.join(differing)}")
    if not networks:
        click.echo("  no network has been learned here yet to compare it with; fetch one, such as vgg19.params, first")
    return UNKNOWN_NETWORK


@main.command()
@_file
@click.argument("out", type=click.Path(path_type=Path))
@_convention
@click.option("--force", is_flag=True, help="Replace OUT where it exists.")
def convert(file: Path, out: Path, convention: str | None, force: bool) -> None:
    """Write the network in FILE as OUT (.npz, .safetensors or .params): RGB, range 0 to 255, convolutions only."""
    from .convert import convert as write
    from .files import require_writable
    from .loading import load_file
    from .manifest import manifest

    require_writable(out)
    if out.exists() and not force:
        raise InputError(f"{out} exists; use another name, or --force to replace it")
    weights = load_file(file, _chosen(convention))
    # An unverified network is called as its file is, which may be a record's name without being that record's work.
    record = manifest().weights.get(weights.name) if weights.kind != "unverified" else None
    attribution = (record.attribution if record else None) or f"converted from {file.name}; author and licence unknown"
    write(weights, out, attribution)
    click.echo(f"{out}: {weights.kind}, {len(weights.parameters)} tensors")
    click.echo(f"  {attribution}")
    for note in weights.notes:
        click.echo(f"  {note}")


@main.command()
@_file
@_convention
def show(file: Path, convention: str | None) -> None:
    """Print the layers of FILE with shapes and ranges, and the input it expects."""
    from .loading import examine

    weights, expected = examine(file, _chosen(convention))
    click.echo(f"{file}: {weights.kind}, {weights.name}")
    click.echo(f"  expects {expected}")
    click.echo(f"  read as RGB, 0 to 255, minus ({', '.join(f'{m:g}' for m in weights.preprocessing.mean_rgb)})")
    click.echo(f"  sha256 of the network {weights.sha256}")
    for note in weights.notes:
        click.echo(f"  {note}")
    rows = [("PARAMETER", "SHAPE", "LEAST", "GREATEST", "MEAN SIZE")]
    for name, array in weights.parameters.items():
        shape = " x ".join(map(str, array.shape))
        rows.append((name, shape, f"{array.min():.4g}", f"{array.max():.4g}", f"{abs(array).mean():.4g}"))
    _table(rows)


def _chosen(name: str | None) -> Convention | None:
    from .conventions import CONVENTIONS

    return CONVENTIONS[name] if name else None


def _say_if_misnamed(file: Path) -> None:
    """A file with a record's name but not its bytes is most often a broken download; say so before reading it."""
    from .fetch import is_verified
    from .manifest import manifest

    record = manifest().weights.get(file.name)
    if record and record.checksum and os.path.isfile(file) and not is_verified(record, file):
        click.echo(
            f"{file}: its name is that of {record.name}, its bytes are not (published: {record.checksum})", err=True
        )


def _training(record: WeightsRecord) -> str:
    return {"original": "original Caffe", "retrained": "retrained", "rescaled": "original, rescaled"}[record.training]


def _size(record: Record) -> str:
    low, high = record.size
    if high - low > high / 50:
        return f"up to {high / 1e6:.0f} MB"
    return f"{low / 1e6:.1f} MB" if low >= 1e6 else f"{low / 1e3:.0f} kB"


def _state(record: Record) -> str:
    from .fetch import is_verified
    from .identity import record_of

    try:
        verified = is_verified(record, record.path)
    except InputError:
        return "unreadable"
    if not record.path.exists():
        return "by hand only" if record.not_fetched_because else "not here"
    if record.checksum is None:
        return "here, unverifiable"
    if verified:
        return "verified"
    other = record_of(record.path)
    return f"holds {other.name}" if other else "damaged"


def _table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    main(prog_name="python -m model_zoo")
