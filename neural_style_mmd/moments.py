"""The moments of a layer's features, as MXNet symbols: what the losses read that compare no samples."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property

from ._mxnet import mx, recomputed
from .row_sums import row_sums


def as_rows(features):
    """(1, N, H, W) -> F (N, M)."""
    return mx.sym.reshape(features, shape=(-3, -3))


def sums_of_squares(matrix, sums: Callable):
    """(N, M) -> (N, 1)."""
    with recomputed():
        return sums(mx.sym.square(matrix))


class Moments:
    """Of features (1, N, H, W) at M = H W positions; each is one symbol, however many methods of a fusion read it, so
    that its gradient is one array of the features' size.

    with_gram: whether some method reads the Gram matrix. Its diagonal then is the mean squares.
    read_again: whether for the backward pass what is read is computed again, as it must be not to keep features that
        are (network.copied). The same numbers.
    """

    def __init__(self, features, positions: int, with_gram: bool = False, read_again: bool = False) -> None:
        self.features, self.positions = features, positions
        self._with_gram, self._read_again = with_gram, read_again

    @cached_property
    def rows(self):
        """F (N, M)."""
        with self._reading():
            return as_rows(self.features)

    @cached_property
    def mean(self):
        """mu_F (N, 1), Eq. 12."""
        with self._reading():
            return row_sums(self.rows) / self.positions

    @cached_property
    def mean_square(self):
        """E[F^2] (N, 1)."""
        if self._with_gram:
            return mx.sym.reshape(mx.sym.diag(self.gram), shape=(-1, 1))
        return sums_of_squares(self.rows, row_sums) / self.positions

    @cached_property
    def gram(self):
        """G / M (N, N), Eq. 7.

        Entries (i, j) and (j, i) must be used alike: its gradient goes through one factor and counts twice, which is
        half of the product backward.
        """
        with self._reading():
            product = mx.sym.dot(self.rows, mx.sym.BlockGrad(self.rows), transpose_b=True)
        return (2.0 * product - mx.sym.BlockGrad(product)) / self.positions

    def _reading(self) -> AbstractContextManager:
        return recomputed() if self._read_again else nullcontext()
