"""Groups of positions drawn at random: pairs, of which the paper's estimate of the Gaussian method's MMD^2 is made, and
larger blocks, whose estimate of the same MMD^2 scatters less. A pair is a block of two."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np

from model_zoo.errors import InputError

from ._mxnet import mx, recomputed
from .row_sums import row_sums_as_layer

SAMPLES = 16
"""Samples of a block of relu1_1, at least; of a layer with a stride, the stride times as many. The deeper a layer is,
the fewer positions it has, and the fewer blocks: of relu5_1 soon one, which compares all with all."""


def block_shape(positions: int, style_positions: int, stride: int) -> tuple[int, int]:
    """(blocks, samples in each) for a layer: SAMPLES stride samples or somewhat more, so that hardly a position is left
    over; fewer where the picture has fewer, or the style picture, which is then the bound.

    Raises InputError where a side has fewer than two positions.
    """
    _require_two(positions, style_positions)
    number = max(positions // (SAMPLES * stride), -(-positions // style_positions))
    number = min(number, positions // 2)
    return number, min(positions // number, style_positions)


def draw_blocks(
    shape: tuple[int, int], positions: int, style_positions: int, rng: np.random.Generator
) -> Mapping[str, np.ndarray]:
    """Disjoint blocks of the picture's positions, and as many of the style picture's, taken from permutations of them
    (whole blocks only, so that no position is twice in one) that are repeated where the style picture has fewer.

    The picture's blocks are in the order of their first positions, so that samples are gathered, and gradients put
    back, in less time. That is as random: the style picture's, in an order of their own, still fall to them by chance.

    shape: (blocks, samples in each). Returns int32 arrays of this shape called "pairs" and "style_pairs".
    Raises InputError where a side has fewer than two positions.
    """
    _require_two(positions, style_positions)
    number, size = shape

    def permuted(limit: int, blocks: int) -> np.ndarray:
        return rng.permutation(limit)[: blocks * size].astype(np.int32)

    per_permutation = style_positions // size
    style = [permuted(style_positions, per_permutation) for _ in range(-(-number // per_permutation))]
    first, others = np.split(permuted(positions, number), [number])
    is_first = np.zeros(positions, dtype=bool)
    is_first[first] = True
    ascending = np.flatnonzero(is_first).astype(np.int32)  # faster than a sort
    pairs = np.column_stack([ascending, others.reshape(number, size - 1)])
    return {"pairs": pairs, "style_pairs": np.concatenate(style).reshape(-1, size)[:number]}


def halves_of_blocks(drawn, shape: tuple[int, int]) -> list:
    """The variable `drawn`, `shape` (B, b), as positions (B_i b,): those of the first half of the blocks, and those of
    the others, if there are others. What is made of them comes in arrays half as large."""
    middle = shape[0] // 2
    bounds = [(0, middle), (middle, None)] if middle else [(0, None)]
    return [mx.sym.reshape(mx.sym.slice_axis(drawn, axis=0, begin=i, end=j), shape=(-1,)) for i, j in bounds]


def _require_two(positions: int, style_positions: int) -> None:
    if min(positions, style_positions) < 2:
        raise InputError(
            f"the gaussian method needs two positions in each layer, got {positions} and {style_positions}; "
            "use a larger --size or --style-size, or leave out the deepest layer"
        )


def block_distance(
    shape: tuple[int, int], picture: Mapping, inputs: Mapping, channels: int, positions: int, bandwidth: float
):
    """Unbiased estimate of MMD^2 for k(x, y) = exp(-|x - y|^2 / 2 sigma^2), a symbol (1,): the B-statistic of Zaremba,
    Gretton and Blaschko (NIPS 2013), the mean over the blocks of Eq. 2 without the terms k(x, x). Not in the paper.

    Of the style's own samples only neighbours in a block are compared, for their part does not depend on the picture.
    sigma^2 is `bandwidth` times the mean squared distance, as with the paper's pairs, and carries no gradient. The
    gradient stands in the graph: the sum over j of k(x_i, y_j) (x_i - y_j), less that of k(x_i, x_j) (x_i - x_j), each
    over the number of such couples, times 2 / sigma^2. By MXNet's own differentiation, with samples that are computed
    again, the products would be made twice.

    picture, inputs: samples {"samples": (M_F, N)} and (M_S, N), and in inputs also what draw_blocks gives; or, without
        that, the drawn ones in their order, in parts {key: (B_i b, N)} of B_i blocks.
    """
    number, size = shape
    couples = {"xx": number * size * (size - 1), "xy": number * size**2, "yy": number * (size // 2)}

    def drawn(samples, key: str):
        """(B_i, b, N)."""
        return mx.sym.take(samples, inputs[key]) if key in inputs else mx.sym.reshape(samples, (-1, size, channels))

    x = [drawn(mx.sym.BlockGrad(picture[key]), "pairs") for key in picture]
    y = [drawn(inputs[key], "style_pairs") for key in picture]

    def mean(parts: Sequence[Mapping], what: str):
        flat = [mx.sym.reshape(part[what], shape=(-1,)) for part in parts]
        return reduce(operator.add, (mx.sym.dot(each, mx.sym.ones_like(each)) for each in flat)) / couples[what]

    exponents = [_minus_half_squared_distances(*each, size) for each in zip(x, y, strict=True)]
    xx, xy, yy = (mean(exponents, what) for what in couples)
    sigma2 = mx.sym.maximum(-0.5 * bandwidth * (xx + 2.0 * xy + yy), 1e-30)  # 0 when all samples agree
    per_sigma2 = mx.sym.reshape(1.0 / sigma2, shape=(1, 1, 1))
    kernels = [{w: mx.sym.exp(mx.sym.broadcast_mul(part[w], per_sigma2)) for w in couples} for part in exponents]
    xx, xy, yy = (mean(kernels, what) for what in couples)
    value = xx - number * size / couples["xx"] + yy - 2.0 * xy  # without k(x, x) = 1, which pulls at nothing

    def gradient(kernels: Mapping, x, y):
        """With respect to the samples of `picture`; 0 for those left over."""
        to_x, to_y = (mx.sym.broadcast_mul(kernels[w], (2.0 / couples[w]) * per_sigma2) for w in ("xx", "xy"))
        own = mx.sym.reshape(row_sums_as_layer(mx.sym.reshape(to_y - to_x, shape=(-3, 0))), shape=(-1, size))
        to_x = to_x + mx.sym.linalg.makediag(own)  # smaller than the samples
        pulls = mx.sym.reshape(mx.sym.batch_dot(to_x, x) - mx.sym.batch_dot(to_y, y), shape=(-3, 0))
        if "pairs" not in inputs:
            return pulls
        # By hand: with the backward pass of `take` more memory is planned.
        at = mx.sym.reshape(inputs["pairs"], shape=(1, -1))
        return mx.sym.scatter_nd(pulls, at, shape=(positions, channels))

    carriers = (_held_product(picture[key], gradient(*each)) for key, *each in zip(picture, kernels, x, y, strict=True))
    carrier = reduce(operator.add, carriers)
    return mx.sym.BlockGrad(mx.sym.reshape(value, shape=(1,))) + (carrier - mx.sym.BlockGrad(carrier))


def _held_product(x, gradient):
    """The inner product of two arrays of one shape as (1,), of which `gradient` is that with respect to `x`.

    The backward pass needs no value of `x`, but MXNet would keep it until then. Computed again it waits for nothing,
    if `x` is a symbol that is.
    """
    with recomputed():
        return mx.sym.dot(*(mx.sym.reshape(each, shape=(-1,)) for each in (x, mx.sym.BlockGrad(gradient))))


def _minus_half_squared_distances(x, y, size: int) -> dict:
    """-|a - b|^2 / 2 within the blocks, of samples (B, b, N): all x to all x, "xx", and to all y, "xy", both (B, b, b);
    of y the first half to the second, "yy", (B, b // 2, 1)."""
    half = size // 2

    def half_squared_norms(samples, shape: tuple[int, int, int]):
        norms = row_sums_as_layer(mx.sym.square(mx.sym.reshape(samples, shape=(-3, 0))))
        return mx.sym.reshape(0.5 * norms, shape=shape)

    def all_to_all(a, b):
        less = mx.sym.broadcast_sub(mx.sym.batch_dot(a, b, transpose_b=True), half_squared_norms(a, (-1, size, 1)))
        return mx.sym.broadcast_sub(less, half_squared_norms(b, (-1, 1, size)))

    first, second = (mx.sym.slice_axis(y, axis=1, begin=i, end=i + half) for i in (0, half))
    return {"xx": all_to_all(x, x), "xy": all_to_all(x, y), "yy": -half_squared_norms(first - second, (-1, half, 1))}
