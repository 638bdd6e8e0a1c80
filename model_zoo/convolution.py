"""The network's convolution and pooling in float64 NumPy, for measuring the surrogate while it is made."""

from __future__ import annotations

import numpy as np


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The network's convolution, 3 x 3 with zero padding 1: x (I, H, W), weight (O, I, 3, 3), bias (O,) -> (O, H, W).

    In the padded picture laid out as one line each tap is a constant shift, so this is nine matrix products on views;
    the two columns too many of each row come out meaningless and are cut off.
    """
    channels, height, width = x.shape
    line = width + 2
    padded = np.zeros((channels, height + 3, line))
    padded[:, 1 : height + 1, 1 : width + 1] = x
    flat = padded.reshape(channels, -1)
    out = np.repeat(bias[:, None], height * line, axis=1)
    for i, j in np.ndindex(3, 3):
        shift = i * line + j
        out += np.ascontiguousarray(weight[:, :, i, j]) @ flat[:, shift : shift + height * line]
    return out.reshape(len(weight), height, line)[:, :, :width]


def average_pool(x: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 squares: (C, H, W) -> (C, H // 2, W // 2)."""
    channels, height, width = x.shape[0], x.shape[1] // 2, x.shape[2] // 2
    return x[:, : 2 * height, : 2 * width].reshape(channels, height, 2, width, 2).mean(axis=(2, 4))
