"""conv1_1 in bfloat16, as MXNet symbols: the same products as the convolution's, summed in another order.

oneDNN makes a convolution of three channels in the picture's order, and its 64 channels then are put into oneDNN's own
for each that reads them, and their gradient back. One of 16 it makes in its own. So the three neighbours of each pixel
in its row come first, side by side as nine channels and seven of zeros, and a convolution along the height reads those.
"""

from __future__ import annotations

import numpy as np

from model_zoo.vgg19 import LAYERS

from ._mxnet import mx

_CHANNELS = 16
_NEIGHBOURS, _NOTHING, _COLUMNS = "conv1_1_neighbours", "conv1_1_zeros", "conv1_1_columns"


def conv1_1(picture):
    """(1, 3, H, W) -> (1, 64, H, W), with the variables of conv1_1_parameters() and conv1_1_bias."""
    neighbours, nothing, columns, bias = map(mx.sym.Variable, (_NEIGHBOURS, _NOTHING, _COLUMNS, "conv1_1_bias"))
    beside = mx.sym.Convolution(picture, neighbours, nothing, num_filter=_CHANNELS, kernel=(1, 3), pad=(0, 1))
    channels = LAYERS["conv1_1"].channels
    return mx.sym.Convolution(beside, columns, bias, num_filter=channels, kernel=(3, 1), pad=(1, 0), name="conv1_1")


def conv1_1_parameters(weight: np.ndarray) -> dict[str, np.ndarray]:
    """The variables of conv1_1() by name, float32, for the convolution's weight (64, 3, 3, 3). Rounded to bfloat16 they
    are that weight, rounded, and ones and zeros.
    """
    channels, colours, _, width = weight.shape
    taken = width * colours
    columns = np.zeros((channels, _CHANNELS, width, 1), np.float32)
    columns[:, :taken, :, 0] = weight.transpose(0, 3, 1, 2).reshape(channels, taken, -1)
    neighbours = np.zeros((_CHANNELS, colours, 1, width), np.float32)
    neighbours[:taken, :, 0] = np.eye(taken).reshape(taken, width, colours).swapaxes(1, 2)
    return {_NEIGHBOURS: neighbours, _NOTHING: np.zeros(_CHANNELS, np.float32), _COLUMNS: columns}
