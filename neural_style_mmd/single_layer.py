"""The style loss of one layer on feature maps of one's own, by the symbols that the transfer uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from model_zoo.errors import InputError

from . import losses
from ._mxnet import mx
from .config import FROM_PRESET, TransferConfig
from .presets import layer_scale

_LAYER = "layer"


class Discrepancy(NamedTuple):
    """value: the loss. gradient: (N, M), of the loss with respect to the features."""

    value: float
    gradient: np.ndarray


def discrepancy(
    features: np.ndarray,
    style_features: np.ndarray,
    method: str,
    preset: str = "paper",
    *,
    pairs: Sequence[np.ndarray] | None = None,
    seed: int = 0,
    poly_c: float = FROM_PRESET,
    bandwidth: float = FROM_PRESET,
) -> Discrepancy:
    """How far two sets of samples are apart, as the style loss of one layer measures it, and its gradient.

    features, style_features: F (N, M) and S (N, M_S), N channels at M and M_S positions: a column is a sample.
        float64 is computed in float64, any other type in float32.
    method: "linear", "poly", "gaussian", "bn" or "gram" (Eq. 6, 9, 10, 11).
    preset: "paper" gives L_l of the equations; "release" the objective whose gradient the released code sends backward
        for --style-weight 1: its constant and its layer's scale are in it (presets.py).
    pairs: for gaussian, two integer arrays (M // 2, 2): positions of F, and of S. By default drawn with `seed` as the
        transfer draws them. sigma^2 is that of these features, and held in the gradient.
    poly_c, bandwidth: the preset's by default.
    Raises InputError for arrays of other shapes, values that are not finite, and pairs out of range.
    """
    config = TransferConfig(preset=preset, method=(method,), poly_c=poly_c, bandwidth=bandwidth)
    (method,) = config.method
    dtype = np.float64 if np.asarray(features).dtype == np.float64 else np.float32
    f, s = _matrix(features, "features", dtype), _matrix(style_features, "style_features", dtype)
    if len(f) != len(s):
        raise InputError(f"features have {len(f)} channels and style_features {len(s)}; give both the same number")
    (channels, positions), style_positions = f.shape, s.shape[1]

    given = None
    if losses.method(method).samples_pairs:
        drawn = losses.draw_pairs(positions, style_positions, np.random.default_rng(seed))
        given = drawn if pairs is None else _checked_pairs(pairs, positions, style_positions)
    executor, gradient = bound_loss(method, f, s, given, config.poly_c, config.bandwidth)
    weight = layer_scale(config.layer_scale, method, channels, positions) * config.fixed_beta_prime.get(method, 1.0)
    (value,) = executor.forward(is_train=True)
    executor.backward([mx.nd.array([weight], dtype=dtype)])
    return Discrepancy(weight * float(value.asscalar()), gradient.asnumpy().reshape(f.shape))


def bound_loss(
    method: str,
    features: np.ndarray,
    style_features: np.ndarray,
    pairs: Mapping[str, np.ndarray] | None = None,
    poly_c: float = 0.0,
    bandwidth: float = 1.0,
) -> tuple[Any, Any]:
    """The executor of a layer's loss at `features` (N, M), against `style_features` (N, M_S), both of one float type,
    and the array (1, N, 1, M) that its backward writes. `pairs`: what draw_pairs gives, where the method samples."""
    channels, positions = features.shape
    symbol = losses.style_loss(
        method,
        mx.sym.Variable("features"),
        _LAYER,
        channels=channels,
        positions=positions,
        poly_c=poly_c,
        bandwidth=bandwidth,
    )
    inputs = {"features": _maps(features)} | _target(method, poly_c, style_features)
    if losses.method(method).samples_pairs:
        for key, each in (pairs or {}).items():
            inputs[f"style.{method}.{_LAYER}.{key}"] = mx.nd.array(each, dtype="int32")
    gradient = mx.nd.zeros(inputs["features"].shape, dtype=features.dtype)
    requests = {name: "write" if name == "features" else "null" for name in inputs}
    return symbol.bind(mx.cpu(), inputs, {"features": gradient}, requests), gradient


def _target(method: str, poly_c: float, style: np.ndarray) -> dict:
    """The style's statistic under the names of the loss's inputs."""
    channels, positions = style.shape
    symbols = losses.style_statistics(
        method, mx.sym.Variable("features"), positions=positions, poly_c=poly_c, channels=channels
    )
    executor = mx.sym.Group(list(symbols.values())).bind(mx.cpu(), {"features": _maps(style)}, grad_req="null")
    return {f"style.{method}.{_LAYER}.{key}": value for key, value in zip(symbols, executor.forward(), strict=True)}


def _maps(matrix: np.ndarray):
    """(N, M) -> MXNet's (1, N, 1, M)."""
    return mx.nd.array(matrix[np.newaxis, :, np.newaxis, :], dtype=matrix.dtype)


def _matrix(array: Any, name: str, dtype: type) -> np.ndarray:
    given = np.asarray(array)
    if given.ndim != 2 or given.size == 0 or given.dtype.kind not in "fiu":
        raise InputError(f"{name} has type {given.dtype} and shape {given.shape}; give numbers of shape (N, M)")
    if not np.isfinite(given).all():
        raise InputError(f"{name} holds NaN or infinity; give finite numbers")
    return given.astype(dtype)


def _checked_pairs(pairs: Sequence[np.ndarray], positions: int, style_positions: int) -> dict[str, np.ndarray]:
    arrays = [np.asarray(each) for each in pairs]
    shapes, expected = [each.shape for each in arrays], (positions // 2, 2)
    if shapes != [expected] * 2:
        raise InputError(
            f"pairs have the shapes {shapes}; give two arrays {expected}: M // 2 pairs of positions of the features, "
            "and as many of the style"
        )
    for each, limit in zip(arrays, (positions, style_positions), strict=True):
        if each.dtype.kind not in "iu" or each.min() < 0 or each.max() >= limit:
            raise InputError(
                f"pairs hold {each.min()} to {each.max()} of {each.dtype}; give integers from 0 to {limit - 1}"
            )
    return dict(zip(("pairs", "style_pairs"), arrays, strict=True))
