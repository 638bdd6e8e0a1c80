"""Named NumPy arrays in one file, whole or not at all: an .npz with a digest, read without executing anything."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from model_zoo.files import whole_file


def save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` at `path`; OSError where the disk refuses. No array may be called "digest"."""
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, digest=np.array(_digest(arrays)), **arrays)


def load(path: Path) -> dict[str, np.ndarray]:
    """What `save` wrote; OSError where it cannot be read, ValueError for any other file and for an altered one."""
    try:
        arrays = _read(path)
    except (ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if str(arrays.pop("digest", "")) != _digest(arrays):
        raise ValueError("its digest does not verify: it was altered, or another program wrote it")
    return arrays


def _read(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ValueError("no zip archive")
        stream.seek(0)
        with np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    """sha256 over names, types, shapes and bytes. What passes it was written by `save`, so it needs no other check."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()
