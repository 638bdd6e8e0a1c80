"""A run's state on disk: whole or not at all, read without executing anything.

The Gaussian method's pairs are a function of (seed, iteration), so the iteration is the random state.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from model_zoo.errors import InputError
from model_zoo.files import whole_file

from .optimizers import State

SCHEMA = 1
INTERVAL = 30.0  # seconds


def save(path: Path, state: State, run: dict[str, Any]) -> None:
    """Write `state` and the JSON-able `run` at `path`; InputError where the disk refuses."""
    arrays = {f"slot.{name}": array for name, array in state.slots.items()}
    about = json.dumps({"schema": SCHEMA, "iteration": state.iteration} | run)
    try:
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, x=state.x, about=np.array(about), **arrays)
    except OSError as error:
        raise InputError(f"cannot write the checkpoint {path}: {error.strerror}") from error


def load(path: Path) -> tuple[State, dict[str, Any]]:
    """What `save` wrote; InputError for any other file."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        run = json.loads(str(arrays.pop("about")))
        if run["schema"] != SCHEMA:
            raise InputError(f"{path}: a checkpoint of schema {run['schema']}, this version reads {SCHEMA}; remove it")
        x = arrays.pop("x")
        slots = {name.removeprefix("slot."): array for name, array in arrays.items()}
        return State(x, int(run["iteration"]), slots), run
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a checkpoint of this program ({error}); remove it or name another") from error


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
