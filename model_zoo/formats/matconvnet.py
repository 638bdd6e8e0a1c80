"""MatConvNet's `.mat`: filters (H, W, I, O), RGB, with the mean colour in the file.

Both layouts: since beta17 `layers` and `meta.normalization.averageImage`; before it `layers` and
`normalization.averageImage`. A layer is a struct with `name` and a cell `weights` of filters and biases, or, in the
first releases, with `filters` and `biases`. The average image is a colour, or a picture that is constant.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..conventions import CONVENTIONS, Convention
from .binary import UnreadableError, quoted
from .contents import Contents
from .matlab import Skipped, variables
from .names import SHAPES, assign, require_shape

FILTERS = "HWIO"
WANTED = frozenset((3, 3, shape[1], shape[0]) for shape in SHAPES.values() if len(shape) == 4)


def read(path: Path) -> Contents:
    """The convolutions of a MatConvNet network."""
    found = variables(path, WANTED)
    if "net" in found:
        found = _record(found["net"], "net")
    arrays = _arrays(found.get("layers"))
    wanted, _ = assign(arrays)
    parameters = {name: _parameter(name, arrays[raw]) for raw, name in wanted.items()}
    normalization = found.get("normalization")
    if "meta" in found:
        normalization = _record(found["meta"], "meta").get("normalization")
    if normalization is None:
        note = "the file holds no average image; Oxford's mean colour is taken"
        return Contents(parameters, CONVENTIONS["vgg-rgb"], False, (note,))
    return Contents(parameters, _convention(_record(normalization, "normalization").get("averageImage")), True)


def _arrays(layers: Any) -> dict[str, Any]:
    """{name: value} of every layer that has parameters, as the file holds them."""
    if not isinstance(layers, list):
        raise UnreadableError("holds no list of layers: not a MatConvNet network")
    arrays: dict[str, Any] = {}
    for i, item in enumerate(layers):
        layer = _record(item, f"layer {i}")
        weights = layer.get("weights", [])
        if not isinstance(weights, list) or not weights:
            weights = [layer["filters"], layer["biases"]] if "filters" in layer and "biases" in layer else []
        if not weights:
            continue
        name = layer.get("name")
        if not isinstance(name, str) or len(weights) != 2:
            raise UnreadableError(f"layer {i} has no name, or not one array of filters and one of biases")
        for part, value in zip(("weight", "bias"), weights, strict=True):
            if f"{name}_{part}" in arrays:
                raise UnreadableError(f"holds the layer {quoted(name)} twice")
            arrays[f"{name}_{part}"] = value
    return arrays


def _parameter(name: str, value: Any) -> np.ndarray:
    if isinstance(value, Skipped) or not isinstance(value, np.ndarray):
        what = value.what if isinstance(value, Skipped) else "no array"
        raise UnreadableError(f"{name} is {what}: another network, or not MATLAB's single")
    if value.dtype != np.float32:
        raise UnreadableError(f"{name} is not MATLAB's single")
    if value.ndim == 2 and 1 in value.shape:
        value = value.reshape(-1)  # MATLAB has no vectors: a bias is 1 x O or O x 1
    require_shape(name, value.shape, FILTERS)
    if value.ndim == 4:
        value = value.transpose(3, 2, 0, 1)  # (H, W, I, O) -> (O, I, H, W)
    return np.ascontiguousarray(value)


def _convention(average: Any) -> Convention:
    if not isinstance(average, np.ndarray) or not average.size or (average.size != 3 and average.shape[-1] != 3):
        raise UnreadableError("averageImage is neither a colour nor a picture of three channels")
    pixels = average.astype(np.float64).reshape(-1, 3)
    mean = pixels.mean(axis=0)
    if not np.all(np.abs(pixels - mean) < 1e-3):
        raise UnreadableError("averageImage is not one colour: the network subtracts a picture, which is not supported")
    try:
        return Convention("RGB", 255.0, (float(mean[0]), float(mean[1]), float(mean[2])))
    except ValueError as error:
        raise UnreadableError(f"averageImage: {error}") from None


def _record(value: Any, what: str) -> dict[str, Any]:
    """The one struct that `value` is."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    if isinstance(value, dict):
        return value
    raise UnreadableError(f"{what} is not a struct: not a MatConvNet network")
