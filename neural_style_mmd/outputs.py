"""Where a run writes: checked before its first iteration, and kept apart from what it reads."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from model_zoo.errors import InputError
from model_zoo.files import require_writable

from .config import TransferConfig


def require_output(path: Path, config: TransferConfig, snapshot_every: int | None = None) -> None:
    """InputError unless a picture, its record and its snapshots can be written at `path`."""
    from .images import require_format

    # Without a content picture the result has the style's size.
    require_format(path, config.style_size or config.size if config.alpha == 0 else config.size)
    longest = snapshot_path(path, config.iterations) if snapshot_every else path
    for each in (path, record_path(path), longest):
        require_writable(each)


def require_apart(
    output: Path, inputs: Mapping[str, str | os.PathLike | None], snapshot_every: int | None = None
) -> None:
    """InputError where the picture, its record or a snapshot would be written over one of `inputs`, {what: path}."""
    for what, path in inputs.items():
        if path is None:
            continue
        for target in _written(output, path, snapshot_every):
            if _is_same(target, path):
                raise InputError(f"cannot write {target}: it is {what}; choose another output")


def snapshot_path(picture: Path, iteration: int) -> Path:
    """OUT.png -> OUT.00100.png."""
    return picture.with_suffix(f".{iteration:05d}{picture.suffix}")


def record_path(picture: Path) -> Path:
    """OUT.png -> OUT.png.json."""
    return picture.with_name(picture.name + ".json")


def _written(output: Path, other: str | os.PathLike, snapshot_every: int | None) -> list[Path]:
    """The picture, its record and, of its snapshots, the one that is called as `other` is."""
    paths = [output, record_path(output)]
    number = re.fullmatch(rf"{re.escape(output.stem)}\.(\d+){re.escape(output.suffix)}", Path(other).name)
    if number and snapshot_every and int(number[1]) and int(number[1]) % snapshot_every == 0:
        paths.append(snapshot_path(output, int(number[1])))
    return paths


def _is_same(one: str | os.PathLike, other: str | os.PathLike) -> bool:
    """Whether both are one file, or would be if they were there."""
    if os.path.exists(one) and os.path.exists(other):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)
