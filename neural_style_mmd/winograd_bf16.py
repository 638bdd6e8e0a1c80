"""3 x 3 convolutions in bfloat16 by Winograd's F(4, 3) along the height, as MXNet symbols (Lavin and Gray, CVPR 2016).

Four rows of results depend on six rows of features. Transformed, those are multiplied by the transformed rows of the
kernel one by one: 6 x 3 multiplications in place of 12 x 3. The transforms, too, are convolutions of bfloat16, which
oneDNN makes in its own order of channels, so that nothing is put into another. Along both axes, as in winograd.py, they
would take what the products save, and round more.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from model_zoo.vgg19 import LAYERS, Layer

from ._mxnet import mx
from .config import BF16
from .winograd import line_transforms

_POINTS = (0.0, 1.0, -1.0, 0.5, -2.0)
"""Where the polynomials are evaluated, beside infinity. What the rows of a patch have in common is in the product at 1
alone, and no sum of large products has to cancel: without that point the error is many times as large."""

CHANNELS, ROWS = 128, 40
"""With fewer of either, the transforms take longer than the products save."""

PIXELS = 512**2
"""Larger pictures are made without: with it a run takes a sixth to a half more memory than in float32, because MXNet
keeps what each convolution reads until the backward pass, and has the gradients of all points beside one another."""


class Bf16Winograd:
    """Convolutions of the network in bfloat16, for pictures of `height`, with the variables of parameters()."""

    precision = BF16

    def __init__(self, height: int) -> None:
        self._height = height

    def makes(self, row: Layer) -> bool:
        """Whether the convolution `row` is to be made so: where it is faster."""
        return row.in_channels >= CHANNELS and self._rows(row) >= ROWS

    def convolution(self, features, row: Layer):
        """(1, I, H_l, W_l) -> (1, O, H_l, W_l): the convolution `row`, with its weight and bias."""
        tile, patch = line_transforms(_POINTS)[2].shape
        # What the tiles have beyond the features is at both ends, as MXNet pads.
        beyond = -self._rows(row) % tile
        above = (beyond + 1) // 2
        nothing = mx.sym.Variable(_nothing(row.in_channels))
        results = []
        for point in range(patch):
            transform, weight, bias, tiles = (mx.sym.Variable(name) for name in _names(row, point))
            rows = mx.sym.Convolution(
                features,
                transform,
                nothing,
                num_filter=row.in_channels,
                num_group=row.in_channels,
                kernel=(patch, 1),
                stride=(tile, 1),
                pad=(1 + above, 0),
            )
            products = mx.sym.Convolution(rows, weight, bias, num_filter=row.channels, kernel=(1, 3), pad=(0, 1))
            results.append(
                mx.sym.Deconvolution(
                    products,
                    tiles,
                    num_filter=row.channels,
                    num_group=row.channels,
                    kernel=(tile, 1),
                    stride=(tile, 1),
                    pad=(above, 0),
                    adj=(2 * above - beyond, 0),
                    no_bias=True,  # it would be added by a slow loop
                )
            )
        return mx.sym.add_n(*results, name=row.name)

    def parameters(self, network: Mapping) -> dict[str, np.ndarray]:
        """What the variables of its convolutions must be, by name, float32, to be rounded to bfloat16 once: the taps
        of the transforms not at all.

        network: {name: NDArray}, float32, of VGG-19 up to some layer; convolutions behind it are left out.
        """
        b, g, a = line_transforms(_POINTS)
        ones = np.linalg.pinv(a) @ np.ones(len(a))  # what the tiles' transform makes a one of in each row
        arrays: dict[str, np.ndarray] = {}
        for row in LAYERS.values():
            if f"{row.name}_weight" not in network or not self.makes(row):
                continue
            weight, bias = (network[f"{row.name}_{each}"].asnumpy() for each in ("weight", "bias"))
            kernels = np.tensordot(g, weight, axes=(1, 2))[:, :, :, None]  # (6, O, I, 1, 3)
            for point, kernel in enumerate(kernels):
                patch, tile = _for_each(row.in_channels, b[point]), _for_each(row.channels, a[:, point])
                values = (patch, kernel, ones[point] * bias, tile)
                arrays |= dict(zip(_names(row, point), values, strict=True))
            arrays[_nothing(row.in_channels)] = np.zeros(row.in_channels)
        return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}

    def _rows(self, row: Layer) -> int:
        """H_l; poolings round down."""
        return self._height // row.stride


def _for_each(channels: int, taps: np.ndarray) -> np.ndarray:
    """(T,) -> (channels, 1, T, 1): the weights of a convolution of each channel by itself."""
    return np.tile(taps[:, None], (channels, 1, 1, 1))


def _names(row: Layer, point: int) -> tuple[str, str, str, str]:
    """Of the variables of a point: the patches' transform, the weight, the bias, the tiles' transform."""
    patch, tile = f"winograd_patch_{row.in_channels}_{point}", f"winograd_tile_{row.channels}_{point}"
    return patch, f"{row.name}_weight_{point}", f"{row.name}_bias_{point}", tile


def _nothing(channels: int) -> str:
    """The bias of a convolution that has none, see _mxnet.zero_bias()."""
    return f"winograd_zeros_{channels}"
