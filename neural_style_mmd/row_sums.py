"""Sums over the rows or columns of a matrix as products with ones: on a CPU MXNet's own sum over an axis is six times
slower."""

from __future__ import annotations

from ._mxnet import mx


def _row_of_ones(matrix):
    """(N, M) -> (1, M)."""
    return mx.sym.ones_like(mx.sym.slice_axis(matrix, axis=0, begin=0, end=1))


def row_sums(matrix):
    """(N, M) -> (N, 1)."""
    return mx.sym.dot(matrix, _row_of_ones(matrix), transpose_b=True)


def row_sums_as_layer(matrix):
    """(N, M) -> (N, 1). Faster backward than the product; over rows as long as relu1_1's it rounds twice as much."""
    return mx.sym.FullyConnected(matrix, _row_of_ones(matrix), no_bias=True, num_hidden=1)


def column_sums(matrix):
    """(M, N) -> (N, 1)."""
    ones = mx.sym.ones_like(mx.sym.slice_axis(matrix, axis=1, begin=0, end=1))
    return mx.sym.dot(matrix, ones, transpose_a=True)
