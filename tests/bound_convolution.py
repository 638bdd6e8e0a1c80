"""A convolution by this package's symbols, ready to run forward and backward."""

from collections.abc import Callable, Mapping

import numpy as np

from neural_style_mmd._mxnet import mx


def bound_convolution(convolution: Callable, known: Mapping, x: np.ndarray, kind):
    """The executor of `convolution`, features -> symbol, for x (I, H, W), with its variables `known` and no others, all
    numbers of the type `kind` inside, float32 outside."""
    features = mx.sym.amp_cast(mx.sym.Variable("data"), dtype=kind)
    symbol = mx.sym.amp_cast(convolution(features), dtype=np.float32)
    assert sorted(symbol.list_arguments()) == sorted(["data", *known])
    arguments = {name: mx.nd.amp_cast(mx.nd.array(array), dtype=kind) for name, array in known.items()}
    arguments["data"] = mx.nd.array(x[None])
    requests = {name: "write" if name == "data" else "null" for name in arguments}
    return symbol.bind(mx.cpu(), arguments, {"data": mx.nd.zeros(x[None].shape)}, requests)
