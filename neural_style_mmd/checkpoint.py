"""A run's state on disk: whole or not at all, read without executing anything.

The Gaussian method's pairs are a function of (seed, iteration), so the iteration is the random state.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from model_zoo.errors import InputError
from model_zoo.files import whole_file

SCHEMA = 1
INTERVAL = 30.0  # seconds


@dataclass(frozen=True)
class State:
    """From where an optimisation goes on: the picture after `iteration` updates, and the optimiser's own arrays."""

    x: np.ndarray  # float32 (1, 3, H, W); float64 for L-BFGS
    iteration: int = 0
    slots: Mapping[str, np.ndarray] = field(default_factory=dict)


def save(path: Path, state: State, run: dict[str, Any]) -> None:
    """Write `state` and the JSON-able `run` at `path`; InputError where the disk refuses."""
    arrays = {f"slot.{name}": array for name, array in state.slots.items()} | {"x": state.x}
    arrays["about"] = np.array(json.dumps({"schema": SCHEMA, "iteration": state.iteration} | run))
    try:
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, digest=np.array(_digest(arrays)), **arrays)
    except OSError as error:
        raise InputError(f"cannot write the checkpoint {path}: {error.strerror}") from error


def load(path: Path) -> tuple[State, dict[str, Any]]:
    """What `save` wrote; InputError for any other file, and for one that was altered since."""
    try:
        arrays = _read(path)
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        cause = " ".join(str(error).split())
        raise InputError(f"{path}: not a checkpoint of this program ({cause}); remove it or name another") from error
    if "about" not in arrays or str(arrays.pop("digest", "")) != _digest(arrays):
        raise InputError(f"{path}: not a checkpoint of this program, or altered; remove it or name another")
    run = json.loads(str(arrays.pop("about")))
    if run["schema"] != SCHEMA:
        raise InputError(f"{path}: a checkpoint of schema {run['schema']}, this version reads {SCHEMA}; remove it")
    x = arrays.pop("x")
    return State(x, run["iteration"], {name.removeprefix("slot."): array for name, array in arrays.items()}), run


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


class Checkpointer:
    """Writes the latest state that can be resumed at most every `interval` seconds, and once at the end."""

    def __init__(self, path: Path | None, interval: float = INTERVAL) -> None:
        self._path, self._interval = path, interval
        self._written = monotonic()
        self._latest: tuple[State, Callable[[State], dict[str, Any]]] | None = None

    def offer(self, state: Callable[[], State | None], about: Callable[[State], dict[str, Any]]) -> None:
        """Called after each iteration; `state` is asked only when a checkpoint may be due."""
        if self._path is None:
            return
        due = monotonic() - self._written >= self._interval
        if (current := state()) is not None:
            self._latest = current, about
        if due:
            self.write()

    def write(self) -> None:
        """Write the latest state now, if there is one that is not written."""
        if self._path is not None and self._latest is not None:
            state, about = self._latest
            save(self._path, state, about(state))
            self._written, self._latest = monotonic(), None
