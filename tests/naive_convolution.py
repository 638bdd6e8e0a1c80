"""VGG-19's convolution by its definition, in float64."""

import numpy as np


def naive_convolution(x, weight, bias):
    """3 x 3 correlation, zero padding 1, stride 1, float64: (I, H, W) -> (O, H, W)."""
    _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.tile(bias.astype(np.float64)[:, None, None], (1, height, width))
    for i in range(3):
        for j in range(3):
            out += np.einsum("oi,ihw->ohw", weight[:, :, i, j], padded[:, i : i + height, j : j + width])
    return out
