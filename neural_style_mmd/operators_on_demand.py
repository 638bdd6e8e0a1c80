"""MXNet's functions of its operators, each made when it is first asked for.

While MXNet 1.9.1 is imported it writes and compiles a Python function of each of its 1,167 operators, for each of up to
four modules, and most are never called. Here a module knows how to make its functions and does so at the first look
(PEP 562); those that another module imports by `*` are made at once, as before.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any


class _Recipe:
    """Stands where MXNet's registration puts a function, and takes what is written on that: its module and, for
    some, its documentation."""

    def __init__(self, make: Callable, handle: Any, operator: str, name: str) -> None:
        self._make = partial(make, handle, operator, name)
        self.__name__, self.__doc__ = name, ""

    def function(self) -> Any:
        made = self._make()
        made.__module__, made.__doc__ = self.__module__, self.__doc__ or made.__doc__
        return made


def on_demand(register: Callable) -> Callable:
    """As MXNet's function `register`, which puts what its argument make_op_func makes of each operator into modules of
    MXNet, but of functions that these modules make on demand."""
    signature = inspect.signature(register)

    def registered(*positional: Any, **named: Any) -> None:
        arguments = signature.bind(*positional, **named).arguments
        register(**arguments | {"make_op_func": partial(_Recipe, arguments["make_op_func"])})
        for module in [each for name, each in sys.modules.items() if name.startswith("mxnet.")]:
            recipes = {name: value for name, value in vars(module).items() if isinstance(value, _Recipe)}
            if recipes:
                _keep(module, recipes)

    return registered


def _keep(module: ModuleType, recipes: dict[str, _Recipe]) -> None:
    """Let `module` make the functions of `recipes`, and those that it could make already."""
    for name in recipes:
        delattr(module, name)
    known = vars(module).setdefault("_recipes", {})
    known.update(recipes)

    def __getattr__(name: str) -> Any:
        if name not in known:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        function = known[name].function()
        setattr(module, name, function)
        return function

    vars(module).update(__getattr__=__getattr__, __dir__=lambda: sorted({*vars(module), *known}))
