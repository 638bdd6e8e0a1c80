"""3 x 3 convolutions by Winograd's F(4 x 4, 3 x 3), as MXNet symbols (Lavin and Gray, CVPR 2016, section 4).

A convolution's 4 x 4 results depend on 6 x 6 positions. Transformed, patch and kernel are multiplied point by point, so
that a layer is one matrix product for each of 36 points: 36 multiplications in place of 144, and the transforms.
"""

from __future__ import annotations

import numpy as np
from numpy.polynomial import polynomial

from model_zoo.vgg19 import Layer

from ._mxnet import mx

CHANNELS, TILES = 512, 128
"""With fewer channels the transforms take too much of what the products save; in smaller pictures that of the kernels
does, four times as many numbers as the weights whatever the size of the picture."""

_TILE, _KERNEL = 4, 3
_PATCH = _TILE + _KERNEL - 1
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
"""Where the polynomials are evaluated, beside infinity. Exact in float32, and of 512 channels the error is a third of
that by the usual 0, 1, -1, 2, -2."""


def pays(row: Layer, height: int, width: int) -> bool:
    """Whether the convolution `row` of (1, I, height, width) is faster by Winograd's algorithm."""
    return row.in_channels >= CHANNELS and -(-height // _TILE) * -(-width // _TILE) >= TILES


def transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B^T (36, 36), G (36, 9) and A^T (16, 36), float64, of patches, kernels and tiles that are flattened by rows:
    the tile of a patch d and a kernel g is A^T ((G g) * (B^T d)), * entry by entry (Eq. 8 of Lavin and Gray), by the
    construction of Toom and Cook: polynomials are multiplied by their values at the points."""
    b, g, a = np.zeros((_PATCH, _PATCH)), np.zeros((_PATCH, _KERNEL)), np.zeros((_TILE, _PATCH))
    for i, point in enumerate(_POINTS):
        others = np.delete(_POINTS, i)
        b[i, :-1] = polynomial.polyfromroots(others)
        g[i] = point ** np.arange(_KERNEL) / np.prod(point - others)
        a[:, i] = point ** np.arange(_TILE)
    b[-1] = polynomial.polyfromroots(_POINTS)  # infinity
    g[-1, -1] = a[-1, -1] = 1
    return np.kron(b, b), np.kron(g, g), np.kron(a, a)


def constants() -> dict[str, np.ndarray]:
    """What the variables of Winograd must be, by name, float32."""
    b, g, a = transforms()
    arrays = {"winograd_patch": b.reshape(-1, 1, _PATCH, _PATCH), "winograd_kernel": g, "winograd_tile": a[None]}
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


class Winograd:
    """Convolutions with the variables of constants(), of which a graph must have one each."""

    def __init__(self) -> None:
        self._patch, self._kernel, self._tile = (mx.sym.Variable(name) for name in constants())

    def convolution(self, features, row: Layer, height: int, width: int):
        """(1, I, height, width) -> (1, O, height, width): the convolution `row`, with its weight and bias."""
        padded = height + -height % _TILE, width + -width % _TILE
        tiles = padded[0] // _TILE * (padded[1] // _TILE)
        weight, bias = (mx.sym.Variable(f"{row.name}_{name}") for name in ("weight", "bias"))
        if padded != (height, width):
            more = (0, 0, 0, 0, 0, padded[0] - height, 0, padded[1] - width)
            features = mx.sym.pad(features, mode="constant", constant_value=0.0, pad_width=more)
        numbers = row.channels * row.in_channels
        kernels = mx.sym.FullyConnected(
            self._kernel, mx.sym.reshape(weight, shape=(-1, _KERNEL**2)), num_hidden=numbers, no_bias=True
        )
        patches = mx.sym.Convolution(
            mx.sym.reshape(features, shape=(row.in_channels, 1, *padded)),
            self._patch,
            num_filter=_PATCH**2,
            kernel=(_PATCH, _PATCH),
            stride=(_TILE, _TILE),
            pad=(1, 1),
            no_bias=True,
        )
        products = mx.sym.batch_dot(
            mx.sym.reshape(kernels, shape=(-1, row.channels, row.in_channels)),
            mx.sym.transpose(mx.sym.reshape(patches, shape=(0, 0, tiles)), axes=(1, 0, 2)),
        )  # (36, O, tiles)
        # Not by Deconvolution, which would do the rest at once, but keeps the products until its backward pass.
        sums = mx.sym.batch_dot(self._tile, mx.sym.reshape(products, shape=(1, _PATCH**2, -1)))
        sums = mx.sym.transpose(mx.sym.reshape(sums, shape=(-1, row.channels, tiles)), axes=(1, 0, 2))
        sums = mx.sym.reshape(sums, shape=(1, -1, tiles))
        sums = mx.sym.col2im(sums, output_size=padded, kernel=(_TILE, _TILE), stride=(_TILE, _TILE))
        if padded != (height, width):
            sums = mx.sym.slice(sums, begin=(0, 0, 0, 0), end=(1, row.channels, height, width))
        # Not broadcast_add, whose backward pass sums the bias's gradient, which nobody asks for.
        bias = mx.sym.broadcast_like(mx.sym.reshape(bias, shape=(1, -1, 1, 1)), sums)
        return mx.sym.elemwise_add(sums, bias, name=row.name)
