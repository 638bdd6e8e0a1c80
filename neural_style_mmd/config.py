"""Every choice that a result depends on, once: its default, its meaning, what it may be.

The command line and the record are derived from this dataclass. It imports without MXNet.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from model_zoo.errors import InputError
from model_zoo.vgg19 import CONTENT_LAYER, STYLE_LAYERS, require_layers

METHODS = ("linear", "poly", "gaussian", "bn", "gram")  # paper, section 4, and the Gram loss it starts from
OPTIMIZERS = ("sgd", "nag", "adam", "lbfgs")
POOLING = ("avg", "max")
PRESETS = ("paper",)

DEFAULT_LEARNING_RATES = {"sgd": 1e-3, "nag": 1e-3, "adam": 5.0, "lbfgs": 1.0}
"""sgd: the MXNet example. nag: the same. adam: our choice, in units of the range 0 to 255. lbfgs: not used."""


def _choice(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TransferConfig:
    """One transfer. "Paper" names the source in the paper; "MXNet example" the program it builds on
    (dmlc/mxnet example/neural-style), from which what the paper leaves open is taken; "ours" a choice of this package.

    A tuple is given as a comma-separated text on the command line, and names may be so everywhere. Raises InputError
    for a value that is not allowed.
    """

    preset: str = _choice("paper", "Where the defaults come from: paper.")
    method: tuple[str, ...] = _choice(
        ("poly",), f"Alignment method, or several joined by commas: {', '.join(METHODS)} [paper, 3.2]."
    )
    fusion: tuple[float, ...] = _choice(
        (), "Weight of each of several methods, such as 0.3,0.7; equal weights by default."
    )
    gamma: float = _choice(1.0, "Balance factor: beta = gamma beta' [paper, 4].")
    alpha: float = _choice(1.0, "Weight of the content loss; 0 reconstructs the style alone [paper, 4 and Figure 1].")
    beta_prime: tuple[float, ...] = _choice(
        (), "beta' of each method; by default calibrated so that style and content gradients have equal norms."
    )
    poly_c: float = _choice(0.0, "c of the kernel (x.y + c)^2; 0 is the Gram loss [paper, 3.2].")
    layers: tuple[str, ...] = _choice(STYLE_LAYERS, "Style layers [paper, 4].")
    layer_weights: tuple[float, ...] = _choice((), "w_l of each style layer, Eq. 5; all 1 by default [paper, 4].")
    content_layer: str = _choice(CONTENT_LAYER, "Content layer [paper, 4].")
    pooling: str = _choice("avg", "Pooling of the network: avg or max [MXNet example].")
    tv_weight: float = _choice(0.0, "Weight of total variation [not in the paper].")
    size: int = _choice(512, "Long edge of the result in pixels; smaller pictures are enlarged [ours].")
    style_size: int = _choice(0, "Long edge of the style picture; 0 means the same as --size [ours].")
    init: str = _choice("noise", "Start: noise about the mean colour, content, or a picture's file [paper, 4].")
    init_amplitude: float = _choice(
        0.1, "The noise is uniform within plus and minus this, of a range 0 to 255 [MXNet example]."
    )
    seed: int = _choice(0, "Seed of the start, of the Gaussian method's pairs and of the calibration's noise.")
    optimizer: str = _choice("sgd", f"One of {', '.join(OPTIMIZERS)} [MXNet example].")
    learning_rate: float = _choice(
        0.0,
        "Learning rate; 0 means the optimizer's own: "
        + ", ".join(f"{k} {v:g}" for k, v in DEFAULT_LEARNING_RATES.items() if k != "lbfgs")
        + ".",
    )
    momentum: float = _choice(0.9, "Momentum of sgd and nag [MXNet example].")
    weight_decay: float = _choice(5e-4, "Pull of sgd and nag towards the mean colour [MXNet example].")
    decay_factor: float = _choice(0.9, "Factor on the learning rate every --decay-every updates [MXNet example].")
    decay_every: int = _choice(80, "Updates between two reductions of the learning rate; 0 for none [MXNet example].")
    clip: float = _choice(
        1.0, "Limit of the gradient's norm in units of 3HW, for sgd, nag and adam; 0 for none [MXNet example]."
    )
    iterations: int = _choice(500, "Largest number of iterations [paper, 4].")
    stop_change: float = _choice(0.005, "Stop when the picture's relative change falls below this; 0 never [paper, 4].")
    time_limit: float = _choice(0.0, "Stop after this many seconds of optimisation; 0 for no limit.")
    weights: str = _choice("auto", "Network: auto, surrogate, or what `python -m model_zoo list` names, or a file.")
    offline: bool = _choice(False, "Never use the network.")

    def __post_init__(self) -> None:
        for item in fields(self):
            object.__setattr__(self, item.name, _typed(item.name, str(item.type), getattr(self, item.name)))
        object.__setattr__(self, "method", tuple(name.lower() for name in self.method))
        self._check_names()
        self._check_lengths()
        self._check_numbers()

    def _check_names(self) -> None:
        for value, allowed, what in (
            *((name, METHODS, "method") for name in self.method),
            (self.optimizer, OPTIMIZERS, "optimizer"),
            (self.pooling, POOLING, "pooling"),
            (self.preset, PRESETS, "preset"),
        ):
            if value not in allowed:
                raise InputError(f"unknown {what} {value!r}; known are {', '.join(allowed)}")
        for names, what in ((self.method, "method"), (self.layers, "layer")):
            if not names:
                raise InputError(f"no {what} is given; name at least one")
            if len(set(names)) < len(names):
                raise InputError(f"a {what} is named twice in {','.join(names)}; name each once")
        require_layers((*self.layers, self.content_layer))

    def _check_lengths(self) -> None:
        for values, names, what in (
            (self.fusion, self.method, "fusion"),
            (self.beta_prime, self.method, "beta_prime"),
            (self.layer_weights, self.layers, "layer_weights"),
        ):
            if values and len(values) != len(names):
                raise InputError(
                    f"{what} has {len(values)} numbers, expected {len(names)}: one for each of {','.join(names)}"
                )

    def _check_numbers(self) -> None:
        for name, allowed, holds in _LIMITS:
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if not (math.isfinite(number) and holds(number)):
                    raise InputError(f"{name} is {number:g}; allowed is {allowed}")
        if self.alpha == 0 and self.init == "content":
            raise InputError("init is content, but alpha is 0 and there is no content picture; use noise or a file")

    @property
    def fusion_weights(self) -> dict[str, float]:
        """f_m of each method."""
        weights = self.fusion or (1.0 / len(self.method),) * len(self.method)
        return dict(zip(self.method, weights, strict=True))

    @property
    def style_layer_weights(self) -> dict[str, float]:
        """w_l of each style layer, Eq. 5."""
        return dict(zip(self.layers, self.layer_weights or (1.0,) * len(self.layers), strict=True))

    @property
    def step_size(self) -> float:
        """The learning rate that is used."""
        return self.learning_rate or DEFAULT_LEARNING_RATES[self.optimizer]

    def as_dict(self) -> dict[str, Any]:
        """The whole configuration in JSON's types."""
        return {
            item.name: list(value) if isinstance(value := getattr(self, item.name), tuple) else value
            for item in fields(self)
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TransferConfig:
        """The inverse of as_dict; InputError for a name it does not know."""
        known = {item.name for item in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"unknown setting {unknown[0]!r}; known are {', '.join(sorted(known))}")
        given: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**given)

    @property
    def overrides(self) -> dict[str, Any]:
        """What differs from the preset's defaults."""
        default, own = type(self)().as_dict(), self.as_dict()
        return {key: value for key, value in own.items() if value != default[key]}


_KINDS: dict[str, tuple[type, Callable[[Any], Any]]] = {
    "str": (str, str),
    "int": (Integral, int),
    "float": (Real, float),
    "bool": (bool, bool),
}
"""Type of a field -> what a value must be, and what it becomes: JSON's own type, also of NumPy's numbers."""


def _typed(name: str, kind: str, value: Any) -> Any:
    """`value` as the field's type; a text is taken as names joined by commas where names are asked for."""
    single = kind.removeprefix("tuple[").removesuffix(", ...]")
    wanted, plain = _KINDS[single]
    many = single != kind
    if many and single == "str" and isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if many and not isinstance(value, (tuple, list)):
        raise InputError(f"{name} is {value!r}; give a tuple of {single}")
    for each in value if many else (value,):
        if not isinstance(each, wanted):
            raise InputError(f"{name} is {value!r}; give {'a tuple of ' if many else ''}{single}")
    return tuple(map(plain, value)) if many else plain(value)


_NOT_NEGATIVE = ("0 or more", lambda number: number >= 0)
_AT_LEAST_1 = ("1 or more", lambda number: number >= 1)
_POSITIVE = ("more than 0", lambda number: number > 0)
_BELOW_1 = ("from 0 to below 1", lambda number: 0 <= number < 1)

_LIMITS = tuple(
    (name, *limit)
    for limit, names in (
        (_NOT_NEGATIVE, ("fusion", "gamma", "alpha", "poly_c", "layer_weights", "tv_weight", "style_size", "seed")),
        (_NOT_NEGATIVE, ("learning_rate", "weight_decay", "decay_every", "clip", "stop_change", "time_limit")),
        (_NOT_NEGATIVE, ("init_amplitude",)),
        (_POSITIVE, ("beta_prime", "decay_factor")),
        (_AT_LEAST_1, ("size", "iterations")),
        (_BELOW_1, ("momentum",)),
    )
    for name in names
)
