"""VGG-19 as an MXNet symbol, from the table in model_zoo.vgg19."""

from __future__ import annotations

from collections.abc import Iterable

from model_zoo.errors import InputError
from model_zoo.vgg19 import deepest_of, rows_up_to

from ._mxnet import mx

POOLING = ("avg", "max")


def vgg19_symbol(layers: Iterable[str], pooling: str = "avg", data=None) -> dict:
    """The symbols of the named layers of VGG-19, cut at the deepest of them.

    layers: relu or pool layers, such as "relu4_2".
    pooling: "avg" (Gatys et al., and the released code) or "max" (VGG-19 as it was trained).
    data: the symbol of the picture, float (1, 3, H, W), RGB of range 0 to 255 minus the mean colour; a variable
        called "data" by default.
    Returns {layer: symbol of shape (1, N_l, H_l, W_l)}. The parameters are variables called as in
    model_zoo.vgg19.parameter_shapes.
    Raises InputError for an unknown layer or pooling.
    """
    layers = list(layers)
    if not layers:
        raise InputError("no layer is given; name at least one, such as relu1_1")
    if pooling not in POOLING:
        raise InputError(f"unknown pooling {pooling!r}; allowed are {', '.join(POOLING)}")
    symbol = mx.sym.Variable("data") if data is None else data
    symbols = {}
    for row in rows_up_to(deepest_of(layers)):
        if row.kind == "conv":
            symbol = mx.sym.Convolution(symbol, num_filter=row.channels, kernel=(3, 3), pad=(1, 1), name=row.name)
        elif row.kind == "relu":
            symbol = mx.sym.Activation(symbol, act_type="relu", name=row.name)
        else:
            symbol = mx.sym.Pooling(symbol, kernel=(2, 2), stride=(2, 2), pool_type=pooling, name=row.name)
        symbols[row.name] = symbol
    return {layer: symbols[layer] for layer in layers}
