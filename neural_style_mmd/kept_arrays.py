"""What pictures and a network give, computed by one process and kept in a folder for those that would compute it again.

The bits are those that a process would compute itself: versions, threads and CPU are among what an array depends on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.errors import InputError
from model_zoo.files import make_folder

from . import arrays_file
from .record import describe_machine


class KeptArrays:
    """Arrays in files of `folder`, one for each set of things that they depend on; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find(self, depends: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """What is kept of what depends on `depends`, arrays and JSON's types, by name; empty where that is nothing.

        A file that does not verify counts as none, and the next keep() replaces it.
        """
        if self._folder is None:
            return {}
        try:
            return arrays_file.load(self._path(self._folder, depends))
        except (OSError, ValueError):
            return {}

    def keep(self, arrays: Mapping[str, np.ndarray], depends: Mapping[str, Any]) -> None:
        """Keep `arrays`; InputError where the disk or the folder refuses."""
        if self._folder is None or not arrays:
            return
        path = self._path(make_folder(self._folder), depends)
        try:
            arrays_file.save(path, arrays)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from error

    def _path(self, folder: Path, depends: Mapping[str, Any]) -> Path:
        hashed = {key: _digest(value) if isinstance(value, np.ndarray) else value for key, value in depends.items()}
        text = json.dumps({**hashed, "machine": describe_machine()}, sort_keys=True)
        return folder / f"{hashlib.sha256(text.encode()).hexdigest()}.npz"


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
