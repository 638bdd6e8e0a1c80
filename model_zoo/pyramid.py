"""The surrogate network's filters: a pyramid of colours, edges and mixtures, in VGG-19's shape.

Every layer has four kinds of channels, always in this order:

- inside: one channel that is 45 in the picture and, as everything, 0 in the padding around it;
- colours: how far the picture is from the mean colour along an axis of colour space, and along its opposite;
- edges, from the second layer on: slopes, lines and spots of the three opponent colours at four orientations, at the
  scale of this block and of every block before it;
- mixtures: sums of a few channels of the layer before, drawn at random: half of them of their slopes and lines, half of
  their blurs.

New channels come in pairs f and -f, so that the rectifier loses nothing. Colours and edges, once rectified, are handed
down unchanged, as no rectifier touches them again; so the gradient of a deep layer reaches colour and edges directly,
and the optimisation finds the content even from a flat start. Pooling turns the edges of one block into the amount of
edge in a neighbourhood, the statistic of textures in Portilla and Simoncelli (IJCV 2000) and in the scattering
transform (Bruna and Mallat, PAMI 2013).

Zero is the mean colour, so padding looks like the mean, and to a bright or dark picture its own border would be the
strongest edge of all: a frame in every result. So edges and mixtures are switched off at the border of their layer:
there the inside channel is missing in some taps, which drives them below zero (`border_taps`). Mixtures of blurs stay,
for without them the style moves the border's colours less than the others. The first layer has no inside channel to
read, so it has no edges: beyond the colours it has more of them, along random axes.

Before the poolings 2 to 4 what is handed down is blurred, or each pooling's gradient would draw its squares. A blur
loses at the border what lies in the padding, a quarter, a grey frame; so there the colour itself fills in, by a channel
of its own, its rim, at the end of the layer. The next layer joins the two: a blur of the picture with its border
repeated, whose gradient reaches the border as it reaches the rest.

Every filter vanishes at the Nyquist frequency of both axes together, so neither a feature nor a gradient can hold a
checkerboard.
"""

from __future__ import annotations

import numpy as np

_SMOOTH, _SLOPE, _CURVE = np.array([1, 2, 1]) / 4, np.array([-1, 0, 1]) / 2, np.array([-1, 2, -1]) / 4
_ACROSS, _DOWN = np.outer(_SMOOTH, _SLOPE), np.outer(_SLOPE, _SMOOTH)
_LINE_ACROSS, _LINE_DOWN, _TWIST = np.outer(_SMOOTH, _CURVE), np.outer(_CURVE, _SMOOTH), np.outer(_SLOPE, _SLOPE)
_BLUR = np.outer(_SMOOTH, _SMOOTH)
_CENTRE = np.zeros((3, 3))
_CENTRE[1, 1] = 1.0
_POINT = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]]) / 8  # the centre, as sharp as blindness to checkerboards allows
_RING = np.array([[1, 1, 1], [1, -8, 1], [1, 1, 1]])  # on the inside channel: -3 or -5 times it at the border, else 0
_CORE = np.array([[-1, 1, -1], [1, -1, 1], [-1, 1, -1]])  # on the inside channel: 0 at the border, else -1 times it

OPPONENTS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
"""Orthonormal axes of colour space, rows of RGB: light, red against blue, magenta against green."""

_COLOURS = np.array(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]
) / np.sqrt([[1], [1], [1], [3], [3], [3], [3]])  # fmt: skip
"""The colour channels' axes, in opponent coordinates: the three axes themselves, and the diagonals between them."""

_ORIENTATIONS = np.arange(4) * np.pi / 4


def slope(angle: float) -> np.ndarray:
    """The derivative along `angle`, (3, 3)."""
    return np.cos(angle) * _ACROSS + np.sin(angle) * _DOWN


def line(angle: float) -> np.ndarray:
    """Minus the second derivative along `angle`, (3, 3)."""
    c, s = np.cos(angle), np.sin(angle)
    return c**2 * _LINE_ACROSS + s**2 * _LINE_DOWN - c * s * _TWIST


SPOT = _LINE_ACROSS + _LINE_DOWN

_EDGES = [
    *((0, shape(angle)) for shape in (slope, line) for angle in _ORIENTATIONS),
    (0, SPOT),
    *((axis, tap) for axis in (1, 2) for tap in (*map(slope, _ORIENTATIONS), SPOT)),
]
"""(opponent axis, 3 x 3 shape) of the edge filters of one scale: lines only in light, where pictures have most."""

COLOUR_CHANNELS, EDGE_CHANNELS = 2 * len(_COLOURS), 2 * len(_EDGES)
INSIDE, COLOURS = 0, slice(1, 1 + COLOUR_CHANNELS)
RIM = 0.25  # of a colour: what a blur loses at a side of the picture


def picture_filters(count: int, rng: np.random.Generator) -> np.ndarray:
    """The signed filters of the first layer, (count, 3, 3, 3) on RGB: the colours, then random ones."""
    random = rng.standard_normal((count - len(_COLOURS), 3)) * (1, 0.7, 0.7)
    return np.einsum("ka,ac,ij->kcij", np.concatenate([_COLOURS, random]), OPPONENTS, _POINT)


def scale_filters(channels: int) -> np.ndarray:
    """The edges of a new scale, (len(_EDGES), channels, 3, 3), from the pairs of the first three colours."""
    filters = np.zeros((len(_EDGES), channels, 3, 3))
    for found, (axis, tap) in zip(filters, _EDGES, strict=True):
        found[COLOURS][2 * axis : 2 * axis + 2] = tap, -tap
    return filters


def mixtures(count: int, mean: np.ndarray, deviation: np.ndarray, fan: int, rng: np.random.Generator) -> np.ndarray:
    """Random filters (count, C, 3, 3), each of `fan` of the channels in units of their `deviation` (C,).

    Each is with even odds one of blurs alone or one of slopes and lines alone.
    Tap by tap they are blind to the `mean` (C,) of the channels they see; the inside channel is none of them.
    """
    filters = np.zeros((count, len(mean), 3, 3))
    for found in filters:
        chosen = rng.choice(np.arange(INSIDE + 1, len(mean)), fan, replace=False)
        blurs = rng.random() < 0.5
        taps = np.stack([_random_tap(rng, blurs) for _ in chosen]) / deviation[chosen, None, None]
        unit = mean[chosen] / np.linalg.norm(mean[chosen])
        found[chosen] = taps - unit[:, None, None] * np.einsum("c,cij->ij", unit, taps)
    return filters


def hand_down(kept: int, channels: int, colour_gain: float, blurred: bool) -> np.ndarray:
    """Filters (kept, channels, 3, 3) that pass the first `kept` channels on, the colours times `colour_gain`."""
    filters = np.zeros((kept, channels, 3, 3))
    filters[np.arange(kept), np.arange(kept)] = _BLUR if blurred else _CENTRE
    filters[COLOURS] *= colour_gain
    filters[INSIDE, INSIDE] = _CENTRE
    return filters


def border_taps(reach: np.ndarray, off_border: np.ndarray, rims: slice) -> np.ndarray:
    """What filters (K, C, 3, 3) add to their taps on the inside channel, (K, 3, 3), to know the border.

    reach: (K,), the largest response of each, in units of the inside channel. Those of `off_border` are driven below 0
    at the border, those of `rims` everywhere else; elsewhere the taps, powers of two, cancel exactly.
    """
    strengths = 2.0 ** np.ceil(np.log2(np.maximum(reach, 1e-9)))[:, None, None]
    taps = strengths * _RING * off_border[:, None, None]
    taps[rims] = 2 * strengths[rims] * _CORE
    return taps


def is_blur(filters: np.ndarray) -> np.ndarray:
    """Which of the filters (K, C, 3, 3) are blurs in every channel: at the border these see less, but no edge."""
    parts = filters / _BLUR
    return np.ptp(parts, axis=(2, 3)).max(axis=1) < 1e-9 * np.abs(parts).max(axis=(1, 2, 3))


def _random_tap(rng: np.random.Generator, blurs: bool) -> np.ndarray:
    """A random slope and line, or a blur with a random sign and strength."""
    angle = rng.uniform(0, np.pi)
    strengths = rng.standard_normal(3)
    if blurs:
        return strengths[0] * _BLUR
    return strengths[1] * slope(angle) + strengths[2] * line(angle)
