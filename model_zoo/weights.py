"""What a network's weights are once they are read, whatever file they came from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .errors import InputError
from .vgg19 import parameter_shapes

KINDS = ("vgg19", "vgg19-retrained", "unverified", "surrogate")
MAGNITUDE_LIMIT = 1e4  # no weight or bias of a VGG-19 in any known scaling comes near it

VGG_MEAN_RGB = (123.68, 116.779, 103.939)
"""Mean colour that Simonyan's VGG networks subtract: RGB, of the range 0 to 255."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the network's input: RGB of range 0 to 255, minus `mean_rgb`; no division.

    A file with another convention (BGR, range 0 to 1, a standard deviation) is converted when it is read, so this is
    all that differs between two networks here.
    """

    mean_rgb: tuple[float, float, float] = VGG_MEAN_RGB


@dataclass(frozen=True)
class Weights:
    """The parameters of a VGG-19 with what belongs to them.

    parameters: `convB_I_weight` float32 (O, I, 3, 3) in RGB order, `convB_I_bias` float32 (O,); all sixteen
        convolutions or the first of them.
    kind: one of KINDS; only `vgg19` reproduces the paper.
    name: what a person calls it (a manifest name, "surrogate", or a file's name).
    origin: where it came from, in words (address, file, or recipe).
    notes: what reading it changed or could not know.
    """

    parameters: Mapping[str, np.ndarray]
    preprocessing: Preprocessing
    kind: str
    name: str
    origin: str
    sha256: str = ""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"unknown kind of weights {self.kind!r}; the kinds are {', '.join(KINDS)}")
        check_parameters(self.parameters, self.name)
        if not self.sha256:
            object.__setattr__(self, "sha256", network_sha256(self.parameters))


def tensor_sha256(array: np.ndarray) -> str:
    """sha256 of a tensor's canonical bytes: little-endian float32, C order, in the canonical layout and RGB order."""
    return hashlib.sha256(np.ascontiguousarray(array, dtype="<f4").tobytes()).hexdigest()


def network_sha256(parameters: Mapping[str, np.ndarray]) -> str:
    """sha256 over the sorted lines `name shape tensor_sha256`: the same network in any container has the same."""
    lines = [f"{name} {parameters[name].shape} {tensor_sha256(parameters[name])}\n" for name in sorted(parameters)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_parameters(parameters: Mapping[str, np.ndarray], source: str) -> None:
    """Raise InputError unless names, shapes and types are a VGG-19's, layer after layer, and every number is sane."""
    shapes = parameter_shapes()
    unknown = sorted(set(parameters) - set(shapes))
    if unknown:
        raise InputError(f"{source}: {unknown[0]!r} is not a parameter of VGG-19 ({len(unknown)} such names)")
    names = list(shapes)
    present = [name in parameters for name in names]
    if not any(present):
        raise InputError(f"{source}: holds no parameter of VGG-19")
    count = sum(present)
    if not all(present[:count]) or count % 2:
        raise InputError(f"{source}: {names[present.index(False)]} is missing")
    for name, array in parameters.items():
        if array.shape != shapes[name]:
            raise InputError(f"{source}: {name} has shape {array.shape}, VGG-19 has {shapes[name]}")
        if array.dtype != np.float32:
            raise InputError(f"{source}: {name} has type {array.dtype}, expected float32")
        # Both hand NaN on, and make no array of its size, as isfinite and abs do, which takes several times as long.
        largest = max(float(array.max()), -float(array.min()))
        if not math.isfinite(largest):
            raise InputError(f"{source}: {name} holds NaN or infinity")
        if largest > MAGNITUDE_LIMIT:
            raise InputError(f"{source}: {name} reaches {largest:.3g}, more than {MAGNITUDE_LIMIT:g}")
