"""The model zoo: what VGG-19 is, where its numbers come from, and the pictures to try it on.

One door: `load(name_or_path)`.
"""

from __future__ import annotations

from collections.abc import Callable

from .errors import InputError
from .weights import Preprocessing, Weights

__all__ = ["InputError", "Preprocessing", "Weights", "load"]


def load(name: str = "auto", *, notify: Callable[[str], None] = lambda text: None) -> Weights:
    """The weights called `name`.

    name: "surrogate", or "auto", which today means the surrogate.
    notify: called with a line for the person who waits (progress of making or fetching).
    Raises InputError for an unknown name.
    """
    if name in ("auto", "surrogate"):
        from .surrogate import load_surrogate

        return load_surrogate(notify=notify)
    raise InputError(f"unknown weights {name!r}; known are auto, surrogate")
