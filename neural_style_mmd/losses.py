"""The paper's losses as MXNet symbols, each with its true value; no Python operator.

N is the number of channels of a layer, M_F and M_S the numbers of its positions for the picture and for the style
picture, F (N, M_F) and S (N, M_S) their features; a column is one sample (paper, section 3.1).

A method is a *statistic* of features and a *distance* between two statistics. The style target is the statistic of
the style picture, by the same symbol. MMD^2 is Eq. 2 (factors 1/M_F^2, 1/M_S^2, 2/(M_F M_S)); a loss is MMD^2 / Z.
Eq. 10's second line lacks these factors; it is read with M^2 inside Z, as Eq. 9 requires.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np

from model_zoo.errors import InputError

from ._mxnet import mx, recomputed
from .blocks import block_distance, draw_blocks
from .moments import Moments, as_rows, sums_of_squares
from .row_sums import row_sums_as_layer

Symbols = dict  # {name: mx.sym.Symbol}


def _squared_distance(a, b):
    """Sum of squared differences of two matrices, shape (1,)."""
    return mx.sym.sum(sums_of_squares(a - b, row_sums_as_layer))


# Statistics: moments -> {name: symbol}


def _mean(moments: Moments) -> Symbols:
    """mu_F (N, 1), Eq. 12."""
    return {"mean": moments.mean}


def _mean_and_std(moments: Moments) -> Symbols:
    """mu_F and sigma_F (N, 1), Eq. 12, from centred features: E[F^2] - mu^2 would cancel where sigma << mu.

    A standard deviation within the rounding error of its mean counts as 0 and gets gradient 0: sigma is not
    differentiable there (the released code divides by it: NaN).
    """
    mean = moments.mean
    held_mean = mx.sym.BlockGrad(mean)
    variance = moments.held_mean_square_about(held_mean)
    # This has the same gradient, 2 (F - mu) / M, and needs no centred features for it. Its value, which cancels, must
    # be taken from itself first.
    slope = moments.mean_square - 2.0 * mean * held_mean
    variance = variance + (slope - mx.sym.BlockGrad(slope))
    varies = mx.sym.BlockGrad(variance > mx.sym.square(mean * 1e-5))
    safe = mx.sym.where(varies, variance, mx.sym.ones_like(variance))
    return {"mean": mean, "std": mx.sym.sqrt(safe) * varies}


def _gram(moments: Moments) -> Symbols:
    """G / M (N, N), Eq. 7."""
    return {"gram": moments.gram}


def _gram_and_mean(moments: Moments) -> Symbols:
    return _gram(moments) | _mean(moments)


def _samples(moments: Moments) -> Symbols:
    """The samples themselves, (M, N). Those of relu1_1 come in several arrays, see FirstLayer.samples."""
    return {"samples": moments.samples}


# Distances: the picture's statistic, the inputs (the target, and the pairs drawn), N, M_F -> symbol of shape (1,)


def _linear_distance(picture: Symbols, inputs: Symbols, channels: int, positions: int):
    """MMD^2 of k(x, y) = x^T y is |mu_F - mu_S|^2. The paper gives no Z; Z = N is our choice: Eq. 11's first term."""
    return _squared_distance(picture["mean"], inputs["mean"]) / channels


def _gram_distance(picture: Symbols, inputs: Symbols, channels: int, positions: int):
    """Eq. 6, which with G / M_F and A / M_S also holds for M_F != M_S, as Eq. 9 does."""
    return _squared_distance(picture["gram"], inputs["gram"]) / (4.0 * channels**2)


def _poly_distance(picture: Symbols, inputs: Symbols, channels: int, positions: int, c: float):
    """Eq. 9 with k(x, y) = (x^T y + c)^2 = (x^T y)^2 + 2c x^T y + c^2; the constant cancels. c = 0 is the Gram loss."""
    if c == 0:
        return _gram_distance(picture, inputs, channels, positions)
    mean_part = _squared_distance(picture["mean"], inputs["mean"])
    return (_squared_distance(picture["gram"], inputs["gram"]) + 2.0 * c * mean_part) / (4.0 * channels**2)


def _bn_distance(picture: Symbols, inputs: Symbols, channels: int, positions: int):
    """Eq. 11."""
    means = _squared_distance(picture["mean"], inputs["mean"])
    return (means + _squared_distance(picture["std"], inputs["std"])) / channels


def _gaussian_distance(picture: Symbols, inputs: Symbols, channels: int, positions: int, bandwidth: float, again: bool):
    """Unbiased linear-time estimate of MMD^2 (the paper's [9]) for k(x, y) = exp(-|x - y|^2 / 2 sigma^2); Z = 1.

    Mean over the drawn pairs of k(x0, x1) + k(y0, y1) - k(x0, y1) - k(x1, y0). sigma^2 is `bandwidth` times the mean
    of the squared distances over these four sets (paper, section 4: 1 times), of the samples at hand, so that it moves
    with the picture; and it carries no gradient. The paper gives no Z; 1 is our choice.

    picture, inputs: samples {"samples": (M_F, N)} and (M_S, N), and in inputs what draw_pairs gives; or, without that,
        the drawn ones in parts of the channels, (n, N_b) each: those of x0 before those of x1, of y0 before y1.
    again: whether what is made of the samples is computed again for the backward pass.
    """
    n = positions // 2

    def ends(samples: list, pairs) -> list[list]:
        if pairs is None:
            return [samples[: len(samples) // 2], samples[len(samples) // 2 :]]
        return [[mx.sym.take(*samples, column)] for column in columns(pairs)]

    def squares(a: list, b: list):
        """|a - b|^2 of each couple, (n, 1)."""
        apart = (each - other for each, other in zip(a, b, strict=True))
        return reduce(operator.add, (sums_of_squares(each, row_sums_as_layer, again) for each in apart))

    with recomputed(again):  # each as large as half of the features, and together the most of all that a loss makes
        x0, x1 = ends(list(picture.values()), inputs.get("pairs"))
        y0, y1 = ends([inputs[key] for key in picture], inputs.get("style_pairs"))
        distances = [squares(*couple) for couple in ((y0, y1), (x0, x1), (x0, y1), (x1, y0))]
    ones = mx.sym.ones_like(distances[0])

    def total(column):
        return mx.sym.dot(column, ones, transpose_a=True)

    mean = reduce(operator.add, map(total, distances)) / (4.0 * n)
    # The mean is 0 when all samples agree.
    exponent = mx.sym.BlockGrad(-0.5 / mx.sym.maximum(bandwidth * mean, 1e-30))
    yy, xx, xy, yx = (total(mx.sym.exp(mx.sym.broadcast_mul(exponent, each))) for each in distances)
    return mx.sym.reshape((yy + xx - xy - yx) / n, shape=(1,))


@dataclass(frozen=True)
class Method:
    """A way to align two distributions of features.

    statistic: Moments, or MomentsInParts for means and mean squares -> {name: symbol}.
    distance: (picture's statistic, inputs, N, M_F) -> symbol (1,); its inputs are the target's statistic and, for a
        sampling method, "pairs" and "style_pairs", unless the statistics are the drawn samples alone.
    samples_pairs: whether it needs drawn pairs.
    reads_gram: whether its statistic has the Gram matrix.
    reads_mean_alone: whether its statistic is the mean, for which features need not be put into another order.
    """

    statistic: Callable[[Any], Symbols]
    distance: Callable[..., object]
    samples_pairs: bool = False
    reads_gram: bool = False
    reads_mean_alone: bool = False


def _poly(c: float) -> Method:
    return Method(_gram if c == 0 else _gram_and_mean, partial(_poly_distance, c=c), reads_gram=True)


def _gaussian(bandwidth: float, blocks: tuple[int, int] | None, again: bool) -> Method:
    distance = partial(block_distance, blocks) if blocks else partial(_gaussian_distance, again=again)
    return Method(_samples, partial(distance, bandwidth=bandwidth), samples_pairs=True)


_METHODS: dict[str, Callable[..., Method]] = {
    "linear": lambda c, *_: Method(_mean, _linear_distance, reads_mean_alone=True),
    "poly": lambda c, *_: _poly(c),
    "gaussian": lambda c, *choices: _gaussian(*choices),
    "bn": lambda c, *_: Method(_mean_and_std, _bn_distance),
    "gram": lambda c, *_: Method(_gram, _gram_distance, reads_gram=True),
}


def method(
    name: str,
    poly_c: float = 0.0,
    bandwidth: float = 1.0,
    blocks: tuple[int, int] | None = None,
    samples_again: bool = True,
) -> Method:
    """The method called `name` (see config.METHODS).

    samples_again: whether what "gaussian" makes of samples in pairs is computed again for the backward pass, in less
        memory, and not kept until then. The other arguments are those of style_loss.
    """
    if name not in _METHODS:
        raise InputError(f"unknown method {name!r}; known are {', '.join(_METHODS)}")
    return _METHODS[name](poly_c, bandwidth, blocks, samples_again)


def style_statistics(
    name: str, features, *, positions: int, poly_c: float = 0.0, channels: int | None = None
) -> Symbols:
    """The statistic of method `name` for features (1, N, H, W), H W = positions, N = channels: {statistic: symbol}.

    With `channels` it is rounded as style_loss does it, so that a set of samples has the distance 0 to itself.

    "gram" has its true gradient only in expressions that use entries (i, j) and (j, i) alike, as the losses do.
    """
    return method(name, poly_c).statistic(Moments(features, positions, channels=channels))


def style_loss(
    name: str,
    features,
    layer: str,
    *,
    channels: int,
    positions: int,
    poly_c: float = 0.0,
    bandwidth: float = 1.0,
    blocks: tuple[int, int] | None = None,
):
    """The style loss of one layer (Eq. 6, 9, 10 or 11) as a symbol of shape (1,) called `style.<name>.<layer>`.

    features: symbol (1, N, H, W) with N = channels and H W = positions.
    Its inputs are variables called `style.<name>.<layer>.<statistic>`: what style_statistics gives for the style
    picture; for "gaussian" also `.pairs` and `.style_pairs`, int32 (positions // 2, 2), see draw_pairs, or of the
    shape `blocks`.
    poly_c: the polynomial kernel's c. bandwidth: the Gaussian kernel's sigma^2 over the mean squared distance.
    blocks: of "gaussian", the shape of blocks.draw_blocks, for an estimate of the same MMD^2 that scatters less than
        the paper's, which None means.
    """
    chosen = method(name, poly_c, bandwidth, blocks)
    picture, label = chosen.statistic(Moments(features, positions, channels=channels)), f"style.{name}.{layer}"
    return style_distance(chosen, picture, loss_inputs(chosen, picture, label), label, channels, positions)


def style_distance(chosen: Method, picture: Symbols, inputs: Symbols, label: str, channels: int, positions: int):
    """The loss called `label` from the picture's statistic, see style_statistics, and its inputs, see loss_inputs."""
    return mx.sym.identity(chosen.distance(picture, inputs, channels, positions), name=label)


def loss_inputs(chosen: Method, picture: Symbols, label: str) -> Symbols:
    """The target's statistic and what is drawn, {key: the variable `<label>.<key>`}."""
    target = {key: mx.sym.Variable(f"{label}.{key}") for key in picture}
    return target | (drawn_positions(label) if chosen.samples_pairs else {})


def drawn_positions(label: str) -> Symbols:
    """The variables `<label>.pairs` and `<label>.style_pairs`, as "pairs" and "style_pairs"."""
    return {key: mx.sym.Variable(f"{label}.{key}", dtype="int32") for key in ("pairs", "style_pairs")}


def content_loss(features, factor: float = 0.5):
    """Eq. 4, whose factor is 1/2, as a symbol (1,) called `content`; its input `content.features` has the shape of
    `features`."""
    target = mx.sym.Variable("content.features")
    with recomputed():
        distance = _squared_distance(as_rows(features), as_rows(target))
    return mx.sym.identity(factor * distance, name="content")


def total_variation(data, form: str = "free"):
    """Half the sum of squared differences of adjacent pixels of (1, 3, H, W), a symbol (1,) called `tv`.

    Not in the paper, whose setting has weight 0. Form "release" is 1/8 of it, with zeros, the mean colour, around the
    picture: its gradient is (4 x - the sum of the four neighbours) / 8, which the release adds to a step.
    """
    if form == "release":
        data = mx.sym.pad(data, mode="constant", constant_value=0.0, pad_width=(0, 0, 0, 0, 1, 1, 1, 1))
    rows = mx.sym.slice_axis(data, axis=2, begin=1, end=None), mx.sym.slice_axis(data, axis=2, begin=0, end=-1)
    columns = mx.sym.slice_axis(data, axis=3, begin=1, end=None), mx.sym.slice_axis(data, axis=3, begin=0, end=-1)
    factor = 1 / 16 if form == "release" else 0.5
    distances = (_squared_distance(*map(as_rows, neighbours)) for neighbours in (rows, columns))
    return mx.sym.identity(factor * sum(distances), name="tv")


def columns(pairs) -> list:
    """(n, 2) -> both columns, (n,)."""
    slices = (mx.sym.slice_axis(pairs, axis=1, begin=i, end=i + 1) for i in (0, 1))
    return [mx.sym.reshape(each, shape=(-1,)) for each in slices]


def draw_pairs(positions: int, style_positions: int, rng: np.random.Generator) -> Mapping[str, np.ndarray]:
    """What the Gaussian method samples: floor(M_F / 2) disjoint pairs of the picture's positions, each with two
    distinct positions of the style picture, from random permutations (repeated where M_S < M_F).

    Returns int32 arrays (n, 2) called "pairs" and "style_pairs". Raises InputError where a side has fewer than two
    positions.
    """
    return draw_blocks((positions // 2, 2), positions, style_positions, rng)
