"""The options of the command line, derived from the configuration, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import click

from model_zoo.errors import InputError

from .config import TransferConfig
from .presets import PRESETS


class _Commas(click.ParamType):
    """A comma-separated text as a tuple; "auto" or nothing as the empty one."""

    def __init__(self, kind: type, name: str) -> None:
        self._kind, self.name = kind, name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple:
        if isinstance(value, tuple):
            return value
        if value in ("", "auto"):
            return ()
        try:
            return tuple(self._kind(part.strip()) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers joined by commas", param, ctx)


_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "tuple[str, ...]": _Commas(str, "names"),
    "tuple[float, ...]": _Commas(float, "numbers"),
}


def config_options(command: Callable) -> Callable:
    """Adds an option for each field of TransferConfig, with its help, the paper preset's value and source, and the
    other presets' values where they differ. See `config_from`."""
    for item in reversed(fields(TransferConfig)):
        command = click.option(
            "--" + item.name.replace("_", "-"),
            item.name,
            type=_TYPES[str(item.type)],
            is_flag=True if item.type == "bool" else None,
            help=f"{item.metadata['help']}{_shown_defaults(item.name, item.default)}",
        )(command)
    return command


def config_from(choices: dict[str, Any]) -> TransferConfig:
    """The configuration of the options that the user gave, so that the preset's values hold for the others."""
    given = click.get_current_context().get_parameter_source
    default = click.core.ParameterSource.DEFAULT
    return TransferConfig(**{name: value for name, value in choices.items() if given(name) is not default})


def _shown_defaults(name: str, default: Any) -> str:
    values = {preset: settings[name] for preset, settings in PRESETS.items() if name in settings}
    if not values:  # the preset itself
        return f"  [default: {default}]"
    paper = values.pop("paper")
    others = {preset: choice.value for preset, choice in values.items() if choice.value != paper.value}
    shown = f"  [default: {_text(paper.value)}]" if paper.value not in ((), "") and paper.value is not False else ""
    return f"{shown}  [{paper.source}]" + "".join(f"  [{preset}: {_text(value)}]" for preset, value in others.items())


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def machine_options(command: Callable) -> Callable:
    """Adds the options that change where and how loudly a run happens, not what it makes."""
    for option in (
        click.option("--verbose", is_flag=True, help="Say what the run starts from, and every term of the objective."),
        click.option("--quiet", is_flag=True, help="Say nothing but errors."),
        click.option("--device", default="cpu", show_default=True, help="cpu, gpu or gpu:N (the GPU is untested)."),
        click.option("--threads", type=int, help="Threads of MXNet; every usable core by default."),
    ):
        command = option(command)
    return command


def require_one_volume(quiet: bool, verbose: bool) -> None:
    """InputError for both at once."""
    if quiet and verbose:
        raise InputError("--quiet and --verbose exclude each other; give one of them")
