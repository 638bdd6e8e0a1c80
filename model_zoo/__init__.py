"""The model zoo: what VGG-19 is, where its numbers come from, and the pictures to try it on.

Two doors: `load(name_or_path)` for weights, `picture(name)` for the file of a known picture. What the program makes
itself is in `surrogate` (a network) and `samples` (pictures).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import InputError
    from .loading import load, load_file, picture
    from .reachability import UnreachableError
    from .weights import Preprocessing, Weights

__all__ = ["InputError", "Preprocessing", "UnreachableError", "Weights", "load", "load_file", "picture"]

_HOMES = {
    "InputError": "errors",
    "Preprocessing": "weights",
    "UnreachableError": "reachability",
    "Weights": "weights",
    "load": "loading",
    "load_file": "loading",
    "picture": "loading",
}


def __getattr__(name: str) -> Any:
    # Imported when first used: a command's --help needs neither NumPy nor requests.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
