"""The moments of a layer's features, as MXNet symbols: what the losses read that compare no samples."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property, partial, reduce

from ._mxnet import mx, recomputed
from .row_sums import column_sums, row_sums

_WINDOW = 15
"""Pixels each way of the windows whose sums a mean is made of; 7 and 31 take as long."""


def as_rows(features):
    """(1, N, H, W) -> F (N, M)."""
    return mx.sym.reshape(features, shape=(-3, -3))


def sums_of_squares(matrix, sums: Callable, again: bool = True):
    """(N, M) -> (N, 1) by `sums` of rows; (M, N) -> (N, 1) by those of columns. again: as Moments.samples_again."""
    with recomputed(again):
        return sums(mx.sym.square(matrix))


def position_sums(features):
    """(1, N, H, W) -> (N, 1), the sum over all positions.

    Of the averages of windows beside one another, because oneDNN's pooling reads the features, and writes their
    gradient, in its own order, in which the network's gradient is too. The zeros around them let the last windows reach
    beyond the features, whatever H and W are.
    """
    window = (_WINDOW, _WINDOW)
    pad = (_WINDOW - 1, _WINDOW - 1)
    averages = mx.sym.Pooling(features, kernel=window, stride=window, pad=pad, pool_type="avg", count_include_pad=True)
    return row_sums(as_rows(averages)) * float(_WINDOW**2)


class Moments:
    """Of features (1, N, H, W) at M = H W positions; each is one symbol, however many methods of a fusion read it, so
    that its gradient is one array of the features' size.

    features: or a list of F in parts of M_i positions, (N, M_i), if in_rows, and by_samples of F^T, (M_i, N).
    with_gram: whether some method reads the Gram matrix. Its diagonal then is the mean squares.
    by_samples: whether they are made of the samples, for a fusion with a method that compares these: all then read one
        array, in one order. The same numbers but for rounding.
    recompute: whether the features are computed again for the backward pass; then so is what reads them.
    samples_again: whether the samples are, too, if the features are not.
    in_rows: whether the features are in plain order, and not in oneDNN's.
    channels: N. Where it is given, the Gram matrix is a layer of N outputs, which oneDNN computes faster than MXNet's
        OpenBLAS a product.
    """

    def __init__(
        self,
        features,
        positions: int,
        with_gram: bool = False,
        by_samples: bool = False,
        recompute: bool = False,
        samples_again: bool = True,
        channels: int | None = None,
        in_rows: bool = False,
    ) -> None:
        self.features, self.positions, self._channels = features, positions, channels
        self._with_gram, self._by_samples, self._in_rows = with_gram, by_samples, in_rows
        self._recompute, self._samples_again = recompute, recompute or samples_again
        self._sums = column_sums if by_samples else row_sums

    @cached_property
    def samples(self):
        """F^T (M, N)."""
        with recomputed(self._samples_again):
            # Not reshaped first: from oneDNN's order, which has channels side by side, this is quick.
            lines = mx.sym.transpose(self.features, axes=(0, 2, 3, 1))  # (1, H, W, N)
            return mx.sym.reshape(lines, shape=(-1, 0), reverse=True)

    @cached_property
    def mean(self):
        """mu_F (N, 1), Eq. 12."""
        with self._reading():
            by_windows = not (self._by_samples or self._in_rows)
            sums = position_sums(self.features) if by_windows else self._total(self._sums)
        return sums / self.positions  # computed again it would have the sums computed again, for nobody

    @cached_property
    def mean_square(self):
        """E[F^2] (N, 1)."""
        if self._with_gram:
            return mx.sym.reshape(mx.sym.diag(self.gram), shape=(-1, 1))
        return self._total(partial(sums_of_squares, sums=self._sums)) / self.positions

    @cached_property
    def gram(self):
        """G / M (N, N), Eq. 7.

        Entries (i, j) and (j, i) must be used alike: its gradient goes through one factor and counts twice, which is
        half of the product backward.
        """

        def product_of(matrix):
            factors = matrix, mx.sym.BlockGrad(matrix)
            if self._by_samples:
                return mx.sym.dot(*factors, transpose_a=True)
            if self._channels is None:
                return mx.sym.dot(*factors, transpose_b=True)
            return mx.sym.FullyConnected(*factors, no_bias=True, num_hidden=self._channels)

        with self._reading():
            product = self._total(product_of)
        return (2.0 * product - mx.sym.BlockGrad(product)) / self.positions

    def held_mean_square_about(self, centre):
        """E[(F - centre)^2] (N, 1) for a centre (N, 1), without gradient to F."""
        if self._by_samples:
            centre = mx.sym.reshape(centre, shape=(1, -1))

        def squares(matrix):
            apart = mx.sym.broadcast_sub(mx.sym.BlockGrad(matrix), centre)
            return sums_of_squares(apart, self._sums)

        return self._total(squares) / self.positions

    def _total(self, of: Callable):
        """`of` all positions, as the sum of those that stand in one array."""
        return reduce(operator.add, map(of, self._matrices))

    @cached_property
    def _matrices(self) -> list:
        """F (N, M), or F^T (M, N), or the parts that it comes in."""
        if isinstance(self.features, list):
            return self.features
        with self._reading():
            return [self.samples if self._by_samples else as_rows(self.features)]

    def _reading(self) -> AbstractContextManager:
        """What reads the samples, or features that are computed again, is computed again with them."""
        return recomputed(self._samples_again if self._by_samples else self._recompute)


class MomentsInParts:
    """As Moments, of samples that come in parts of their channels; without the Gram matrix, whose entries are of two.

    samples: [(M_i, N_b)]: of each array of positions all parts, in order, then those of the next. M positions together.
    parts: how many of the channels.
    """

    def __init__(self, samples: Sequence, parts: int, positions: int) -> None:
        self.positions = positions
        self._parts = [Moments(list(samples[i::parts]), positions, by_samples=True) for i in range(parts)]

    @cached_property
    def mean(self):
        """mu_F (N, 1), Eq. 12."""
        return _one_below_another(each.mean for each in self._parts)

    @cached_property
    def mean_square(self):
        """E[F^2] (N, 1)."""
        return _one_below_another(each.mean_square for each in self._parts)

    def held_mean_square_about(self, centre):
        """E[(F - centre)^2] (N, 1) for a centre (N, 1), without gradient to F."""
        centres = mx.sym.SliceChannel(centre, axis=0, num_outputs=len(self._parts))
        return _one_below_another(
            each.held_mean_square_about(its) for each, its in zip(self._parts, centres, strict=True)
        )


def _one_below_another(columns):
    return mx.sym.Concat(*columns, dim=0)
