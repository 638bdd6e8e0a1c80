"""Every choice that a result depends on, once: its default, its meaning, what it may be.

The command line and the record are derived from this dataclass. It imports without MXNet.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from model_zoo.errors import InputError
from model_zoo.vgg19 import require_layers

from .presets import PRESETS, RELEASE_BETA_PRIME

METHODS = ("linear", "poly", "gaussian", "bn", "gram")  # paper, section 4, and the Gram loss it starts from
LBFGS, PRECONDITIONED_NAG = "lbfgs", "preconditioned-nag"
OPTIMIZERS = ("sgd", "nag", "adam", LBFGS, PRECONDITIONED_NAG)
POOLING = ("avg", "max")
FLOAT32, BF16 = PRECISIONS = ("float32", "bf16")
PAIRS, BLOCKS = ESTIMATORS = ("pairs", "blocks")

_CHOICES: dict[str, tuple[str, ...]] = {
    "method": METHODS,
    "optimizer": OPTIMIZERS,
    "pooling": POOLING,
    "fusion_rule": ("each", "release-bug"),
    "balance": ("measured", "release"),
    "layer_scale": ("paper", "release"),
    "tv_form": ("free", "release"),
    "style_shape": ("own", "content"),
    "rounding": ("nearest", "floor"),
    "precision": PRECISIONS,
    "estimator": ESTIMATORS,
}
"""Setting -> the names that it may have."""

MAX_SIDE = 30_000
"""Of a picture's pixels, read or made: what is made can be read again."""

DEFAULT_LEARNING_RATES = {"sgd": 1e-3, "nag": 1e-3, "adam": 5.0}
"""sgd: the MXNet example (run.py). nag: the same. adam: our choice, in units of the range 0 to 255. Others: none."""


class _FromPreset:
    """Stands for a setting that is not given."""

    def __repr__(self) -> str:
        return "<the preset's>"


FROM_PRESET: Any = _FromPreset()


def _choice(help: str, default: Any = FROM_PRESET) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class TransferConfig:
    """One transfer. A setting that is not given has its value from the preset: presets.py has each with its source.

    A tuple is given as a comma-separated text on the command line, and names may be so everywhere. Raises InputError
    for a value that is not allowed. dataclasses.replace changes the settings that it is given and no other, so another
    preset is TransferConfig(preset=...), not a replacement.
    """

    preset: str = _choice(f"Whose setting: {' or '.join(PRESETS)}; any other option overrides it.", "paper")
    method: tuple[str, ...] = _choice(f"Alignment method, or several joined by commas: {', '.join(METHODS)}.")
    fusion: tuple[float, ...] = _choice("Weight of each of several methods, such as 0.3,0.7; equal weights by default.")
    fusion_rule: str = _choice(
        "each: a weight is its method's. release-bug: the first method (bn, if it is there) has the product of all "
        "weights, the others 1."
    )
    gamma: float = _choice("Balance factor: beta = gamma beta'.")
    alpha: float = _choice("Weight of the content loss; 0 reconstructs the style alone, as in Figure 1.")
    balance: str = _choice(
        "beta': measured, so that style and content gradients have equal norms, or release, its constants."
    )
    beta_prime: tuple[float, ...] = _choice("beta' of each method, in place of --balance.")
    content_factor: float = _choice("Factor of the content loss's sum of squares.")
    layer_scale: str = _choice(
        "Scale of each layer's style loss: paper, or release, which multiplies by M_l (not for gaussian)."
    )
    bandwidth: float = _choice("sigma^2 of the Gaussian kernel, in units of the pairs' mean squared distance.")
    estimator: str = _choice(
        "What the iterations of the gaussian method compare: pairs of samples, as the paper, or blocks of them, an "
        "estimate of the same MMD^2 that scatters less. beta' and the reported objective are those of pairs."
    )
    poly_c: float = _choice("c of the kernel (x.y + c)^2; 0 is the Gram loss.")
    layers: tuple[str, ...] = _choice("Style layers.")
    layer_weights: tuple[float, ...] = _choice("w_l of each style layer, Eq. 5; all 1 by default.")
    content_layer: str = _choice("Content layer.")
    pooling: str = _choice("Pooling of the network: avg or max.")
    tv_weight: float = _choice("Weight of total variation.")
    tv_form: str = _choice(
        "Total variation: free (half the squared differences), or release (1/8 of it, zeros around the picture, its "
        "gradient added after clipping)."
    )
    input_range: float = _choice("What white is for the network, before the mean is subtracted: 255, or 256.")
    size: int = _choice("Long edge of the result in pixels; smaller pictures are enlarged.")
    style_size: int = _choice(
        "Long edge of the style picture, and without a content picture of the result; 0 means the same as --size."
    )
    style_shape: str = _choice("Style picture: own aspect, or stretched to the content's size.")
    init: str = _choice("Start: noise about the mean colour, content, or a picture's file.")
    init_amplitude: float = _choice("The noise is uniform within plus and minus this, of a range 0 to 255.")
    seed: int = _choice("Seed of the start, of the Gaussian method's pairs and of the calibration's noise.")
    optimizer: str = _choice(
        f"One of {', '.join(OPTIMIZERS)}. The last is nag in units of the curvature that it measures at each pixel."
    )
    learning_rate: float = _choice(
        "Learning rate; 0 means the optimizer's own: "
        + ", ".join(f"{k} {v:g}" for k, v in DEFAULT_LEARNING_RATES.items())
        + "."
    )
    momentum: float = _choice("Momentum of sgd and nag.")
    weight_decay: float = _choice("Pull of sgd and nag towards the mean colour.")
    decay_factor: float = _choice("Factor on the learning rate every --decay-every updates.")
    decay_every: int = _choice("Updates between two reductions of the learning rate; 0 for none.")
    lbfgs_restart: int = _choice(
        "Iterations after which lbfgs forgets its steps and starts anew; a checkpoint of it falls there alone."
    )
    horizon: int = _choice(
        "Iterations in which the rate of preconditioned-nag rises and falls, after which it stays low; 0 means the "
        "whole run. A checkpoint goes on with more iterations by the horizon that it was made with."
    )
    step_scale: float = _choice(
        "Factor on the whole objective before a step; 0 is measured: the gradient of style and content then has norm "
        "3HW where beta' is measured."
    )
    clip: float = _choice("Limit of the gradient's norm in units of 3HW, for sgd, nag and adam; 0 for none.")
    iterations: int = _choice("Largest number of iterations.")
    stop_change: float = _choice("Stop when the picture's relative change falls below this; 0 never.")
    stop_after: int = _choice("Updates after which a small change may stop.")
    time_limit: float = _choice("Stop after this many seconds of optimisation; 0 for no limit.")
    precision: str = _choice(
        "float32, or bf16: the network in bfloat16 but for the last tenth of the iterations, where the CPU can."
    )
    rounding: str = _choice("From the last iterate to 8 bits: nearest or floor.")
    denoise: float = _choice("Weight of Chambolle's total variation denoising of the 8-bit result; 0 for none.")
    weights: str = _choice("Network: auto, surrogate, or what `python -m model_zoo list` names, or a file.")
    offline: bool = _choice("Never use the network.")

    def __post_init__(self) -> None:
        preset = _typed("preset", "str", self.preset)
        if preset not in PRESETS:
            raise InputError(f"unknown preset {preset!r}; known are {', '.join(PRESETS)}")
        for item in fields(self):
            given = getattr(self, item.name)
            value = PRESETS[preset][item.name].value if given is FROM_PRESET else given
            object.__setattr__(self, item.name, _typed(item.name, str(item.type), value))
        object.__setattr__(self, "method", tuple(name.lower() for name in self.method))
        self._check_names()
        self._check_lengths()
        self._check_numbers()

    def _check_names(self) -> None:
        for name, allowed in _CHOICES.items():
            value = getattr(self, name)
            for each in value if isinstance(value, tuple) else (value,):
                if each not in allowed:
                    raise InputError(f"unknown {name} {each!r}; known are {', '.join(allowed)}")
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
                if not (abs(number) <= _MOST and holds(number)):
                    shown = number if isinstance(number, int) else f"{number:g}"
                    raise InputError(f"{name} is {shown}; allowed is {allowed}")
        if self.style_size and self.style_shape == "content":
            raise InputError(
                f"style_size is {self.style_size}, but style_shape is content; give style_size 0 or style_shape own"
            )
        if self.alpha == 0 and self.init == "content":
            raise InputError("init is content, but alpha is 0 and there is no content picture; use noise or a file")

    @property
    def fusion_weights(self) -> dict[str, float]:
        """f_m of each method; without any given equal ones, or 1 each under the release's bug."""
        if self.fusion_rule == "release-bug":  # NS:230-233 multiplies the first weight by every number
            first = "bn" if "bn" in self.method else self.method[0]
            return {name: math.prod(self.fusion) if name == first else 1.0 for name in self.method}
        weights = self.fusion or (1.0 / len(self.method),) * len(self.method)
        return dict(zip(self.method, weights, strict=True))

    @property
    def style_layer_weights(self) -> dict[str, float]:
        """w_l of each style layer, Eq. 5."""
        return dict(zip(self.layers, self.layer_weights or (1.0,) * len(self.layers), strict=True))

    @property
    def fixed_beta_prime(self) -> dict[str, float]:
        """beta' of each method, where it is not measured; otherwise empty."""
        if self.beta_prime:
            return dict(zip(self.method, self.beta_prime, strict=True))
        return {name: RELEASE_BETA_PRIME[name] for name in self.method} if self.balance == "release" else {}

    @property
    def step_size(self) -> float:
        """The learning rate that is used."""
        return self.learning_rate or DEFAULT_LEARNING_RATES[self.optimizer]

    @property
    def rate_horizon(self) -> int:
        """The horizon that is used; 0 for an optimizer that has none."""
        return (self.horizon or self.iterations) if self.optimizer == PRECONDITIONED_NAG else 0

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
        """What differs from the preset."""
        default, own = type(self)(preset=self.preset).as_dict(), self.as_dict()
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


_MOST = sys.float_info.max  # NaN is on neither side of it, and an integer may be beyond
_NOT_NEGATIVE = ("0 or more", lambda number: number >= 0)
_AT_LEAST_1 = ("1 or more", lambda number: number >= 1)
_POSITIVE = ("more than 0", lambda number: number > 0)
_BELOW_1 = ("0, or 1e-37 to below 1", lambda number: number == 0 or 1e-37 <= number < 1)
_UP_TO_1 = ("at most 1", lambda number: number <= 1)  # MXNet's schedule raises no rate
_A_SIDE = (f"at most {MAX_SIDE}", lambda number: number <= MAX_SIDE)
_A_COLOUR = ("at most 255", lambda number: number <= 255)
_FLOAT32 = ("0, or 1e-37 to 3.4e38", lambda number: number == 0 or 1e-37 <= number <= 3.4e38)  # adam has 0.15 of a rate
_WHITE = ("255 to 256", lambda number: 255 <= number <= 256)

_LIMITS = tuple(
    (name, *limit)
    for limit, names in (
        (_NOT_NEGATIVE, ("fusion", "gamma", "alpha", "poly_c", "layer_weights", "tv_weight", "style_size", "seed")),
        (_NOT_NEGATIVE, ("decay_every", "clip", "stop_change", "time_limit", "stop_after", "horizon")),
        (_NOT_NEGATIVE, ("init_amplitude", "step_scale", "denoise")),
        (_POSITIVE, ("beta_prime", "decay_factor", "content_factor", "bandwidth")),
        (_AT_LEAST_1, ("size", "iterations", "lbfgs_restart")),
        (_BELOW_1, ("momentum",)),
        (_UP_TO_1, ("decay_factor",)),
        (_A_SIDE, ("size", "style_size")),
        (_A_COLOUR, ("init_amplitude",)),
        (_FLOAT32, ("learning_rate", "weight_decay")),
        (_WHITE, ("input_range",)),
    )
    for name in names
)
