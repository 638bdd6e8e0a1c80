"""A run's state on disk: whole or not at all, read without executing anything.

The Gaussian method's pairs are a function of (seed, iteration), so the iteration is the random state.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from model_zoo.errors import InputError

from . import arrays_file

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
        arrays_file.save(path, arrays)
    except OSError as error:
        raise InputError(f"cannot write the checkpoint {path}: {error.strerror}") from error


def load(path: Path) -> tuple[State, dict[str, Any]]:
    """What `save` wrote; InputError for any other file, and for one that was altered since."""
    try:
        arrays = arrays_file.load(path)
        if "about" not in arrays:
            raise ValueError("it holds no run")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a checkpoint of this program ({error}); remove it or name another") from error
    run = json.loads(str(arrays.pop("about")))
    if run["schema"] != SCHEMA:
        raise InputError(f"{path}: a checkpoint of schema {run['schema']}, this version reads {SCHEMA}; remove it")
    x = arrays.pop("x")
    return State(x, run["iteration"], {name.removeprefix("slot."): array for name, array in arrays.items()}), run


class Checkpointer:
    """Writes the latest state that can be resumed at most every `interval` seconds, and once at the end."""

    def __init__(self, path: Path | None, interval: float = INTERVAL) -> None:
        self._path, self._interval = path, interval
        self._written = monotonic()
        self._latest: tuple[State, Callable[[State], dict[str, Any]]] | None = None

    def offer(self, state: Callable[[], State | None], about: Callable[[State], dict[str, Any]]) -> None:
        """Called after each iteration. `state` is asked each time, for where it is None later this one is written."""
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
            self._written = monotonic()  # also where the disk refuses, which is asked again an interval later
            save(self._path, state, about(state))
            self._latest = None
