"""relu1_1 as a matrix product over the picture's 3 x 3 patches, as MXNet symbols.

The same numbers as the network's but for rounding, in the order in which a loss reads them. oneDNN's order would have
to be changed first, into a second array of relu1_1's size, which is the largest of all.
"""

from __future__ import annotations

from model_zoo.vgg19 import LAYERS

from ._mxnet import mx

FIRST_LAYER = "relu1_1"
"""Its losses have a graph of their own, which is forward and backward after the other: their arrays are the largest
and need no place beside the network's. conv1_1 is computed twice for it, 0.5 % of the network's work, in float32
whatever the precision. The gaussian method does not keep the style picture's samples of it, which would be larger than
all its other targets together, but computes them from the style picture whenever they are needed."""

_CHANNELS = LAYERS[FIRST_LAYER].channels
_BLOCKS = 2  # then the samples' arrays find place in those of the network


class FirstLayer:
    """relu1_1 with the variables conv1_1_weight and conv1_1_bias, of which a graph must have one each."""

    def __init__(self) -> None:
        self._weight, self._bias = (mx.sym.Variable(f"conv1_1_{name}") for name in ("weight", "bias"))

    def features(self, picture):
        """(1, 3, H, W) -> (1, 64, 1, H W).

        The bias is the weight, in the middle of a patch, of a fourth channel of ones: an addition takes longer, above
        all its backward pass.
        """
        ones = mx.sym.ones_like(mx.sym.slice_axis(picture, axis=1, begin=0, end=1))
        of_ones = mx.sym.reshape(self._bias, shape=(0, 1, 1, 1))
        of_ones = mx.sym.pad(of_ones, mode="constant", constant_value=0.0, pad_width=(0, 0, 0, 0, 1, 1, 1, 1))
        weight = mx.sym.reshape(mx.sym.Concat(self._weight, of_ones, dim=1), shape=(0, -1))  # (64, 36)
        patches = mx.sym.reshape(_patches(mx.sym.Concat(picture, ones, dim=1)), shape=(-3, 0))  # (36, M)
        rows = mx.sym.Activation(mx.sym.dot(weight, patches), act_type="relu")
        return mx.sym.reshape(rows, shape=(1, _CHANNELS, 1, -1))

    def samples(self, picture) -> dict:
        """(1, 3, H, W) -> {"samples.<block>": (H W, 64 / blocks)}, in blocks of channels."""
        patches = mx.sym.reshape(mx.sym.transpose(_patches(picture), axes=(0, 2, 1)), shape=(-3, 0))  # (M, 27)
        weight = mx.sym.reshape(self._weight, shape=(0, -1))  # (64, 27)
        width = _CHANNELS // _BLOCKS
        samples = {}
        for block in range(_BLOCKS):
            rows = {"axis": 0, "begin": block * width, "end": (block + 1) * width}
            own = (mx.sym.slice_axis(each, **rows) for each in (weight, self._bias))
            sums = mx.sym.FullyConnected(patches, *own, num_hidden=width)
            samples[f"samples.{block}"] = mx.sym.Activation(sums, act_type="relu")
        return samples


def _patches(picture):
    """(1, C, H, W) -> (1, 9 C, H W), with zeros around the picture."""
    return mx.sym.im2col(picture, kernel=(3, 3), pad=(1, 1))
