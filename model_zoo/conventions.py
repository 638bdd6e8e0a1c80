"""What a network expects of its input, and the same network rewritten for the one convention used here.

The convention used here: RGB, range 0 to 255, a mean colour subtracted, no division (`weights.Preprocessing`). A
network of another convention is the same function of the picture once its first convolution is rewritten:

    its input, channel c:       x_c = (s v_c - m_c) / d_c       v: 0..255, s = scale / 255, m: mean, d: std
    which is:                   x_c = (s / d_c) (v_c - m_c / s)
    so with w'_c = w_c s / d_c and the mean m_c / s the convolution gives the same numbers.

This holds at the border too: zero padding stands for x_c = 0, that is v_c = m_c / s, in both conventions. So nothing is
lost but the rounding of w' to float32 (at most half a unit in the last place of each weight), and where s = d = 1 not
even that. The channel order of a BGR network is reversed in the same convolution, which loses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .weights import VGG_MEAN_RGB, Preprocessing

FIRST = "conv1_1_weight"  # the only parameter that sees the picture's channels
SAME_MEAN = 1e-3  # of the range 0 to 255; float32 and averaging shift a stored VGG mean by about 1e-5


@dataclass(frozen=True)
class Convention:
    """A network's input: channels in order "RGB" or "BGR", white = `scale`, minus `mean`, divided by `std`.

    `mean` and `std` are in the network's own channel order and scale.
    """

    channel_order: str
    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.channel_order not in ("RGB", "BGR"):
            raise ValueError(f"channel order {self.channel_order!r}; allowed are RGB and BGR")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"scale {self.scale}; it must be positive")
        if len(self.mean) != 3 or not all(0 <= m <= self.scale for m in self.mean):
            raise ValueError(f"mean {self.mean}; it must be three numbers from 0 to {self.scale:g}")
        if len(self.std) != 3 or not all(math.isfinite(d) and 1e-3 <= d <= 1e3 for d in self.std):
            raise ValueError(f"std {self.std}; it must be three numbers from 0.001 to 1000")

    def __str__(self) -> str:
        mean = ", ".join(f"{m:g}" for m in self.mean)
        text = f"{self.channel_order}, 0 to {self.scale:g}, minus ({mean})"
        return text if self.std == (1, 1, 1) else text + f", divided by ({', '.join(f'{d:g}' for d in self.std)})"


CONVENTIONS = {
    "vgg-rgb": Convention("RGB", 255.0, VGG_MEAN_RGB),
    "vgg-bgr": Convention("BGR", 255.0, (VGG_MEAN_RGB[2], VGG_MEAN_RGB[1], VGG_MEAN_RGB[0])),
    "torchvision": Convention("RGB", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""The conventions in circulation: Oxford's network in RGB and, as in Caffe, in BGR; and the retrained ones."""


def preprocessing(convention: Convention) -> Preprocessing:
    """The mean colour, RGB of range 0 to 255; one within SAME_MEAN of Oxford's is taken to be Oxford's."""
    red, green, blue = (255.0 * m / convention.scale for m in _to_rgb(convention.mean, convention))
    if all(abs(a - b) < SAME_MEAN for a, b in zip((red, green, blue), VGG_MEAN_RGB, strict=True)):
        return Preprocessing()
    return Preprocessing((red, green, blue))


def rewritten(parameters: Mapping[str, np.ndarray], convention: Convention) -> dict[str, np.ndarray]:
    """`parameters` of a network with `convention`, made to fit `preprocessing(convention)`; see the module's text.

    parameters: float32; `conv1_1_weight` is (64, 3, 3, 3) with its input channels in the network's own order.
    """
    result = dict(parameters)
    first = result.get(FIRST)
    if first is None:
        return result
    if convention.channel_order == "BGR":
        first = first[:, ::-1]
    factors = np.array([convention.scale / 255.0 / d for d in _to_rgb(convention.std, convention)])
    if np.any(factors != 1):
        first = first.astype(np.float64) * factors[None, :, None, None]  # (O, I, 3, 3)
    result[FIRST] = np.ascontiguousarray(first, dtype=np.float32)
    return result


def _to_rgb(values: tuple[float, float, float], convention: Convention) -> tuple[float, float, float]:
    return values if convention.channel_order == "RGB" else (values[2], values[1], values[0])
