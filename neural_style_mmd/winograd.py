"""3 x 3 convolutions by Winograd's F(4 x 4, 3 x 3), as MXNet symbols (Lavin and Gray, CVPR 2016, section 4).

A convolution's 4 x 4 results depend on 6 x 6 positions. Transformed, patch and kernel are multiplied point by point, so
that a layer is one matrix product for each of 36 points: 36 multiplications in place of 144, and the transforms.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.polynomial import polynomial

from model_zoo.vgg19 import LAYERS, Layer

from ._mxnet import mx, zero_bias
from .config import FLOAT32

TILES = 48
"""With fewer of them, reading the kernels takes longer than the products save: four times as many numbers as the
weights, whatever the size of the picture."""

FEW_TILES = 128
"""With fewer, OpenBLAS takes nearly twice as long for transposed kernels times tiles, as the backward pass would be, as
for tiles times kernels. With more it takes as long for both, and the latter need a little more memory."""

_DEEPEST_STRIDE = 8
"""Of conv5_1, one layer with a quarter of the positions, less is saved than its kernels are worth in memory."""

_TILE, _KERNEL = 4, 3
_PATCH = _TILE + _KERNEL - 1
_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
"""Where the polynomials are evaluated, beside infinity. Exact in float32, and of 512 channels the error is a third of
that by the usual 0, 1, -1, 2, -2."""


def transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B^T (36, 36), G (36, 9) and A^T (16, 36), float64, of patches, kernels and tiles that are flattened by rows:
    the tile of a patch d and a kernel g is A^T ((G g) * (B^T d)), * entry by entry (Eq. 8 of Lavin and Gray)."""
    b, g, a = line_transforms(_POINTS)
    return np.kron(b, b), np.kron(g, g), np.kron(a, a)


def line_transforms(points: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B^T (6, 6), G (6, 3) and A^T (4, 6), float64, of F(4, 3), which is of a patch of 6 positions in a line, by the
    construction of Toom and Cook: polynomials are multiplied by their values at five points and infinity."""
    b, g, a = np.zeros((_PATCH, _PATCH)), np.zeros((_PATCH, _KERNEL)), np.zeros((_TILE, _PATCH))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        b[i, :-1] = polynomial.polyfromroots(others)
        g[i] = point ** np.arange(_KERNEL) / np.prod(point - others)
        a[:, i] = point ** np.arange(_TILE)
    b[-1] = polynomial.polyfromroots(points)  # infinity
    g[-1, -1] = a[-1, -1] = 1
    return b, g, a


def constants() -> dict[str, np.ndarray]:
    """The matrices of transforms() as the variables of Winograd, by name, float32."""
    b, g, a = transforms()
    arrays = {"winograd_patch": b.reshape(-1, 1, _PATCH, _PATCH), "winograd_kernel": g, "winograd_tile": a[None]}
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


class Winograd:
    """Convolutions with the variables of parameters(), of which a graph must have one each.

    height, width: of the picture; channels: the fewest of the features that a convolution reads. kernels_once: whether
    the kernels are transformed in parameters(), and stay, beside what MXNet plans; if not, in each forward pass.
    direct: convolutions that are not made so, whatever they read.
    """

    precision = FLOAT32

    def __init__(
        self, height: int, width: int, channels: int, kernels_once: bool = False, direct: Collection[str] = ()
    ) -> None:
        self._size, self._channels, self._kernels_once, self._direct = (height, width), channels, kernels_once, direct
        self._patch, self._kernel, self._tile = (mx.sym.Variable(name) for name in constants())

    def makes(self, row: Layer) -> bool:
        """Whether the convolution `row` is to be made so: where it is faster, and wide enough."""
        wide = row.in_channels >= self._channels and row.name not in self._direct
        return wide and row.stride <= _DEEPEST_STRIDE and math.prod(_rows_and_columns(self._edges(row))) >= TILES

    def reads(self, layer: str) -> bool:
        """Whether the first convolution behind `layer` is to be made so; it reads rows of features, in plain order."""
        behind = list(LAYERS.values())[list(LAYERS).index(layer) + 1 :]
        convolution = next((row for row in behind if row.kind == "conv"), None)
        return convolution is not None and self.makes(convolution)

    def joins(self, pool: Layer) -> bool:
        """Whether the convolutions before and behind `pool` are both to be made so; all are in plain order then."""
        before = list(LAYERS.values())[: list(LAYERS).index(pool.name)]
        return self.makes([row for row in before if row.kind == "conv"][-1]) and self.reads(pool.name)

    def convolution(self, features, row: Layer):
        """(1, I, H_l, W_l) -> (1, O, H_l, W_l): the convolution `row`, with its weight and bias."""
        edges = self._edges(row)
        rows, columns = _rows_and_columns(edges)
        # What the tiles have beyond the features is at both ends.
        outside = tuple((-edge % _TILE + 1) // 2 for edge in edges)
        weight, bias = (mx.sym.Variable(f"{row.name}_{name}") for name in ("weight", "bias"))
        if self._kernels_once:
            kernels = mx.sym.Variable(_kernels_name(row))
        else:
            kernels = _kernels(mx.sym, self._kernel, weight, row)
        patches = mx.sym.Convolution(
            mx.sym.reshape(features, shape=(row.in_channels, 1, *edges)),
            self._patch,
            zero_bias(_PATCH**2),
            num_filter=_PATCH**2,
            kernel=(_PATCH, _PATCH),
            stride=(_TILE, _TILE),
            pad=tuple(1 + each for each in outside),
        )
        patches = mx.sym.reshape(patches, shape=(0, 0, -1))  # (I, 36, tiles)
        sums = (self._sums_of_few if rows * columns < FEW_TILES else self._sums)(patches, kernels, row, rows, columns)
        sums = mx.sym.reshape(sums, shape=(1, row.channels, _TILE * rows, _TILE * columns))
        if any(edge % _TILE for edge in edges) or self._apart(row):
            ends = tuple(begin + edge for begin, edge in zip(outside, edges, strict=True))
            sums = mx.sym.slice(sums, begin=(None, None, *outside), end=(None, None, *ends))
        # Not broadcast_add, whose backward pass sums the bias's gradient, which nobody asks for.
        bias = mx.sym.broadcast_like(mx.sym.reshape(bias, shape=(1, -1, 1, 1)), sums)
        return mx.sym.elemwise_add(sums, bias, name=row.name)

    def _apart(self, row: Layer) -> bool:
        """Whether the results must be an array of their own, in place of one that is reshaped alone. MXNet fails to put
        a reshaped array's gradient into another order in place, and in oneDNN's it may come where no convolution made
        so is next; and where layers become smaller it would plan the first one in an array of the larger ones."""
        return not self.reads(row.name) or row.channels > row.in_channels

    def _sums(self, patches, kernels, row: Layer, rows: int, columns: int):
        """(I, 36, rows columns) and (36, O, I) -> (O rows, 4, columns, 4), the layer's results, each of O channels in
        rows of tiles."""
        products = mx.sym.batch_dot(kernels, mx.sym.transpose(patches, axes=(1, 0, 2)))  # (36, O, tiles)
        # Not by Deconvolution, which would do the rest at once, but keeps the products until its backward pass.
        sums = mx.sym.batch_dot(self._tile, mx.sym.reshape(products, shape=(1, _PATCH**2, -1)))
        sums = mx.sym.reshape(sums, shape=(_TILE, _TILE, row.channels * rows, columns))
        return mx.sym.transpose(sums, axes=(2, 0, 3, 1))

    def _sums_of_few(self, patches, kernels, row: Layer, rows: int, columns: int):
        """The same by products whose second factor is the kernels, forward and backward."""
        patches = mx.sym.transpose(mx.sym.reshape(patches, shape=(0, -1)))
        patches = mx.sym.reshape(patches, shape=(_PATCH**2, rows * columns, row.in_channels))
        products = mx.sym.batch_dot(patches, kernels, transpose_b=True)  # (36, tiles, O)
        sums = mx.sym.batch_dot(self._tile, mx.sym.reshape(products, shape=(1, _PATCH**2, -1)))
        # Two steps of four axes take less time than one of five.
        sums = mx.sym.reshape(sums, shape=(_TILE, _TILE, rows * columns, row.channels))
        sums = mx.sym.transpose(sums, axes=(0, 2, 1, 3))
        sums = mx.sym.reshape(sums, shape=(_TILE, rows, columns * _TILE, row.channels))
        return mx.sym.transpose(sums, axes=(3, 1, 0, 2))

    def parameters(self, network: Mapping) -> dict:
        """What the variables of its convolutions must be, beside the network's own, {name: NDArray}, float32.

        network: {name: NDArray}, float32, of VGG-19 up to some layer; convolutions behind it are left out.
        """
        context = next(iter(network.values())).context
        arrays = {name: mx.nd.array(array, ctx=context) for name, array in constants().items()}
        for row in LAYERS.values() if self._kernels_once else ():
            if f"{row.name}_weight" in network and self.makes(row):
                weight = network[f"{row.name}_weight"]
                arrays[_kernels_name(row)] = _kernels(mx.nd, arrays["winograd_kernel"], weight, row)
        return arrays

    def _edges(self, row: Layer) -> tuple[int, int]:
        """H_l and W_l; poolings round down."""
        height, width = self._size
        return height // row.stride, width // row.stride


def _kernels(operators, transform, weight, row: Layer):
    """The kernels of `row`, transformed, (36, O, I), by MXNet's operators on arrays or on symbols: the same bits."""
    numbers = row.channels * row.in_channels
    weight = operators.reshape(weight, shape=(-1, _KERNEL**2))
    kernels = operators.FullyConnected(transform, weight, num_hidden=numbers, no_bias=True)
    return operators.reshape(kernels, shape=(-1, row.channels, row.in_channels))


def _kernels_name(row: Layer) -> str:
    return f"{row.name}_kernels"


def _rows_and_columns(edges: tuple[int, int]) -> tuple[int, int]:
    """Of the tiles that cover features of this height and width."""
    height, width = edges
    return -(-height // _TILE), -(-width // _TILE)
