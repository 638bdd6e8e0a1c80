"""relu1_1 as a matrix product over the picture's 3 x 3 patches, as MXNet symbols.

The same numbers as the network's but for rounding, in the order in which a loss reads them. oneDNN's order would have
to be changed first, into a second array of relu1_1's size, which is the largest of all.
"""

from __future__ import annotations

from collections.abc import Sequence

from model_zoo.vgg19 import LAYERS

from ._mxnet import mx, recomputed

FIRST_LAYER = "relu1_1"
"""Its losses have graphs of their own, which are forward and backward after the other: their arrays are the largest
and need no place beside the network's. conv1_1 is computed once more for it, 0.5 % of the network's work. The mean
alone needs no such array, and is made of the network's relu1_1. In bf16, whose features take half the place, so is all
that compares no samples, where pictures are not large: that is faster. The gaussian method does not keep the style
picture's samples of it, which would be larger than all its other targets together, but computes them from the style
picture whenever they are needed, in float32 whatever the precision."""

SAMPLE_PARTS = 2
"""Parts of the channels that the samples of pairs come in, which find place in the network's arrays. Those of blocks
come in halves of the blocks (blocks.py)."""

_CHANNELS = LAYERS[FIRST_LAYER].channels
_AROUND = (0, 0, 0, 0, 1, 1, 1, 1)  # of an array's axes, the last two at both ends


class FirstLayer:
    """relu1_1 with the variables conv1_1_weight and conv1_1_bias, of which a graph must have one each."""

    def __init__(self) -> None:
        self._weight, self._bias = (mx.sym.Variable(f"conv1_1_{name}") for name in ("weight", "bias"))

    def features(self, picture):
        """(1, 3, H, W) -> (1, 64, H, W)."""
        rows = self._rectified(_with_ones(picture), pad=1)
        rows = mx.sym.reshape(rows, shape=(1, _CHANNELS, -1))
        return mx.sym.reshape_like(rows, picture, lhs_begin=2, lhs_end=3, rhs_begin=2, rhs_end=4)

    def halves(self, picture, height: int) -> list:
        """(1, 3, H, W) with H = height, 2 or more -> the features (64, M_i) of its upper and of its lower half."""
        framed = mx.sym.pad(_with_ones(picture), mode="constant", constant_value=0.0, pad_width=_AROUND)
        middle = height // 2
        rows = ((0, middle + 2), (middle, None))
        return [self._rectified(mx.sym.slice_axis(framed, axis=2, begin=i, end=j), pad=0) for i, j in rows]

    def _rectified(self, picture, pad: int):
        """(1, 4, H, W) with ones -> (64, M), at all patches of a picture with so many rows and columns of zeros around.

        The bias is the weight, in the middle of a patch, of the ones: an addition takes longer, above all its backward
        pass.
        """
        of_ones = mx.sym.reshape(self._bias, shape=(0, 1, 1, 1))
        of_ones = mx.sym.pad(of_ones, mode="constant", constant_value=0.0, pad_width=_AROUND)
        weight = mx.sym.reshape(mx.sym.Concat(self._weight, of_ones, dim=1), shape=(0, -1))
        with recomputed():
            patches = mx.sym.im2col(picture, kernel=(3, 3), pad=(pad, pad))
            sums = mx.sym.dot(weight, mx.sym.reshape(patches, shape=(-3, 0)))
        return mx.sym.Activation(sums, act_type="relu")

    def samples(self, picture, drawn: Sequence, parts: int) -> dict:
        """(1, 3, H, W) -> {"samples.<i>": (n, 64 / parts)}: for each array `drawn` of n positions, int32, the samples
        there, in so many parts of the channels. Only patches are gathered, less than half as long as samples."""
        width = _CHANNELS // parts
        segments, of_rows = _segments(picture), _from_row_to_row(picture)
        weight = mx.sym.reshape(mx.sym.transpose(self._weight, axes=(0, 2, 1, 3)), shape=(0, -1))  # (64, 27)
        sums = []
        for positions in drawn:
            three = mx.sym.broadcast_add(mx.sym.reshape(positions, shape=(-1, 1)), of_rows)  # (n, 3)
            there = mx.sym.reshape(mx.sym.take(segments, three), shape=(0, -1))  # (n, 27)
            for part in range(parts):
                rows = {"axis": 0, "begin": part * width, "end": (part + 1) * width}
                own = (mx.sym.slice_axis(each, **rows) for each in (weight, self._bias))
                sums.append(mx.sym.FullyConnected(there, *own, num_hidden=width))
        return {f"samples.{i}": mx.sym.Activation(each, act_type="relu") for i, each in enumerate(sums)}


def _with_ones(picture):
    """(1, 3, H, W) -> (1, 4, H, W)."""
    ones = mx.sym.ones_like(mx.sym.slice_axis(picture, axis=1, begin=0, end=1))
    with recomputed():
        return mx.sym.Concat(picture, ones, dim=1)


def _segments(picture):
    """(1, C, H, W) -> ((H + 2) W, C 3): each pixel between its left and its right neighbour, row by row, with zeros
    around the picture. A patch is three of them, which are a third of what all patches are.
    """
    segments = mx.sym.im2col(picture, kernel=(1, 3), pad=(1, 1))
    return mx.sym.transpose(mx.sym.reshape(segments, shape=(-3, 0)))


def _from_row_to_row(picture):
    """(1, C, H, W) -> [[0, W, 2 W]], int32: what leads from a position to the segments of its patch."""
    width = mx.sym.slice_axis(mx.sym.shape_array(picture), axis=0, begin=3, end=4)
    rows = mx.sym.reshape(mx.sym.arange(3, dtype="int32"), shape=(1, 3))
    return mx.sym.broadcast_mul(mx.sym.reshape(mx.sym.cast(width, dtype="int32"), shape=(1, 1)), rows)
