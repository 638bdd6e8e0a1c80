"""A gradient that stands in the graph, made of what the value is made of: MXNet's own differentiation would read and
write twice as many arrays of the samples' size."""

from __future__ import annotations

from ._mxnet import mx, recomputed


def held_product(x, gradient):
    """The inner product of two arrays of one shape as (1,), of which `gradient` is that with respect to `x`.

    The backward pass needs no value of `x`, but MXNet would keep it until then. Computed again it waits for nothing,
    if `x` is a symbol that is.
    """
    with recomputed():
        return mx.sym.dot(*(mx.sym.reshape(each, shape=(-1,)) for each in (x, mx.sym.BlockGrad(gradient))))


def with_gradient_of(carrier, value):
    """`value`, of one entry, as (1,), with the gradient of `carrier` (1,) in place of its own."""
    return mx.sym.BlockGrad(mx.sym.reshape(value, shape=(1,))) + (carrier - mx.sym.BlockGrad(carrier))
