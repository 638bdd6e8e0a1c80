"""VGG-19 as an MXNet symbol, from the table in model_zoo.vgg19."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from model_zoo.errors import InputError
from model_zoo.vgg19 import LAYERS, Layer, deepest_of, rows_up_to

from ._mxnet import mx, recomputed, zero_bias
from .config import BF16, FLOAT32, POOLING
from .conv1_1_bf16 import conv1_1, conv1_1_parameters
from .winograd import Winograd
from .winograd_bf16 import Bf16Winograd

_BEFORE_POOL1 = tuple(rows_up_to("pool1"))[:-1]

_BFLOAT16 = np.dtype([("bfloat16", np.uint16)])  # MXNet's type for what NumPy does not have


def vgg19_symbol(
    layers: Iterable[str],
    pooling: str = "avg",
    data=None,
    precision: str = FLOAT32,
    recompute: str | None = None,
    winograd: Winograd | Bf16Winograd | None = None,
    halves_of: int | None = None,
) -> dict:
    """The symbols of the named layers of VGG-19, cut at the deepest of them.

    layers: relu or pool layers, such as "relu4_2".
    pooling: "avg" (Gatys et al., and the released code) or "max" (VGG-19 as it was trained).
    data: the symbol of the picture, float (1, 3, H, W), RGB of range 0 to 255 minus the mean colour; a variable
        called "data" by default.
    precision: "float32", or "bf16": inside, pictures, features and gradients are bfloat16, and so must the parameters
        be (parameters_in); `data` and the symbols that are returned are float32.
    recompute: the last of the layers, from the first on, that are computed again for the backward pass, and whose
        features, the largest, are not kept until then: the same numbers in less memory, for a twentieth of the
        network's work up to "pool1". None for none.
    winograd: makes the deep convolutions of pictures of its size by Winograd's algorithm, in its precision, where that
        is faster: the same numbers but for rounding, and the variables of its parameters().
    halves_of: H, where the layers before "pool1" are to be made of the picture's upper and lower half, one after the
        other, in arrays half as large: the same numbers but for rounding. For float32, H of 4 and more, and none of
        these in `layers`.
    Returns {layer: symbol of shape (1, N_l, H_l, W_l)}. The parameters are variables called as in
    model_zoo.vgg19.parameter_shapes; in bf16 conv1_1 has others, which parameters_in() makes of its weight.
    Raises InputError for an unknown layer, in `recompute`, too, or pooling, and for halves that cannot be.
    """
    layers = list(layers)
    if not layers:
        raise InputError("no layer is given; name at least one, such as relu1_1")
    if pooling not in POOLING:
        raise InputError(f"unknown pooling {pooling!r}; allowed are {', '.join(POOLING)}")
    low = precision == BF16
    symbol = mx.sym.Variable("data") if data is None else data
    symbol = mx.sym.amp_cast(symbol, dtype=_BFLOAT16) if low else symbol
    symbols, again = {}, computed_again(recompute)
    rows = list(rows_up_to(deepest_of(layers)))
    if halves_of is not None:
        if low or halves_of < 4 or {row.name for row in _BEFORE_POOL1} & set(layers):
            what = f"halves of {halves_of} rows for {', '.join(layers)} in {precision}"
            raise InputError(f"{what}: give four rows or more, layers from pool1 on, and float32")
        symbol = symbols["pool1"] = _pool1_in_halves(symbol, halves_of, pooling, again)
        rows = rows[len(_BEFORE_POOL1) + 1 :]
    winograd = winograd if winograd and winograd.precision == precision else None
    for row in rows:
        with recomputed(row.name in again):
            if row.kind == "conv" and winograd and winograd.makes(row):
                symbol = winograd.convolution(symbol, row)
            elif row.kind == "pool" and pooling == "avg" and isinstance(winograd, Winograd) and winograd.joins(row):
                symbol = _average_in_rows(symbol, row.name)
            elif low and row.name == "conv1_1":
                symbol = conv1_1(symbol)
            else:
                symbol = _layer(symbol, row, pooling, row.name)
        symbols[row.name] = symbol
        if low and row.name in layers:
            symbols[row.name] = mx.sym.amp_cast(copied(symbol, row.name, precision), dtype=np.float32)
    return {layer: symbols[layer] for layer in layers}


def _layer(symbol, row: Layer, pooling: str, name: str, parameters: Sequence = ()):
    """The layer `row` of its input. parameters: a convolution's weight and bias, by default variables called after
    `name`."""
    if row.kind == "conv":
        shape = {"num_filter": row.channels, "kernel": (3, 3), "pad": (1, 1)}
        return mx.sym.Convolution(symbol, *parameters, **shape, name=name)
    if row.kind == "relu":
        return mx.sym.Activation(symbol, act_type="relu", name=name)
    return mx.sym.Pooling(symbol, kernel=(2, 2), stride=(2, 2), pool_type=pooling, name=name)


def _average_in_rows(features, name: str):
    """(1, C, H, W) in plain order -> (1, C, H // 2, W // 2), the average pooling. As a convolution of each channel by
    itself, the same bits (AVX2) in half the time: oneDNN's pooling is fast in its own order alone."""
    parameters = mx.sym.full((1, 1, 2, 2), 0.25), zero_bias(1)
    channels = mx.sym.reshape(features, shape=(-1, 1, 0, 0))
    averages = mx.sym.Convolution(channels, *parameters, num_filter=1, kernel=(2, 2), stride=(2, 2))
    return mx.sym.reshape(averages, shape=(1, -1, 0, 0), name=name)


def _pool1_in_halves(picture, height: int, pooling: str, again: Collection[str]):
    """pool1, of the picture's upper and lower half, one after the other.

    Each half comes with two more rows, of which its two convolutions make a wrong one each, for they see zeros where
    the other half is: the row of pool1 that has both is left out.
    """
    middle = height // 4 * 2
    rows = {"upper": ((0, middle + 2), (0, -1)), "lower": ((middle - 2, None), (1, None))}  # of the picture, of pool1
    shared = {
        row.name: [mx.sym.Variable(f"{row.name}_{name}") for name in ("weight", "bias")]
        for row in _BEFORE_POOL1
        if row.kind == "conv"
    }
    halves = []
    for half, (taken, kept) in rows.items():
        symbol = _rows(picture, *taken)
        for row in (*_BEFORE_POOL1, LAYERS["pool1"]):
            with recomputed(row.name in again):
                symbol = _layer(symbol, row, pooling, f"{row.name}_{half}", shared.get(row.name, ()))
        halves.append(_rows(symbol, *kept))
    return mx.sym.Concat(*halves, dim=2, name="pool1")


def _rows(features, begin: int, end: int | None):
    """(1, C, H, W) -> (1, C, end - begin, W)."""
    return mx.sym.slice_axis(features, axis=2, begin=begin, end=end)


def computed_again(last: str | None) -> list[str]:
    """The names of the layers up to `last`, which are computed again for the backward pass; none for None.

    The second result of the last of them is read by nobody, because what reads it in the first place is not computed
    again, and MXNet computes it nonetheless: "pool1" costs hardly anything, "conv2_1" a fortieth of the network's work.
    """
    if last is None:
        return []
    names = list(LAYERS)
    if last not in names:
        raise InputError(f'recompute is {last!r}; give the last layer that is computed again, such as "pool1", or None')
    return names[: names.index(last) + 1]


def copied(features, layer: str, precision: str = FLOAT32):
    """The features of `layer`, computed in `precision`, as another array, which a loss may put into another order.

    MXNet orders an array in place where rows of it are read, and the network's next layer then has to order it back; no
    copy is needed where that reads rows, too (Winograd.reads). As a convolution with weights of one, because the
    gradient then comes in the order of the network's own, and the two are added without being reordered; in bfloat16
    that would be by a scalar loop.
    """
    channels = LAYERS[layer].channels
    with recomputed():
        parameters = [mx.sym.ones((channels, 1, 1, 1)), zero_bias(channels)]
        if precision == BF16:
            parameters = [mx.sym.amp_cast(each, dtype=_BFLOAT16) for each in parameters]
        return mx.sym.Convolution(features, *parameters, num_filter=channels, num_group=channels, kernel=(1, 1))


def parameters_in(precision: str, parameters: Mapping, winograd: Winograd | Bf16Winograd | None = None) -> dict:
    """float32 parameters {name: NDArray} as vgg19_symbol needs them in `precision`, and what the convolutions by
    `winograd` need besides; for bf16, rounded copies, and what conv1_1 needs."""
    if precision == FLOAT32:
        return dict(parameters) | (winograd.parameters(parameters) if isinstance(winograd, Winograd) else {})
    made = conv1_1_parameters(parameters["conv1_1_weight"].asnumpy())
    if isinstance(winograd, Bf16Winograd):
        made |= winograd.parameters(parameters)
    needed = dict(parameters) | {name: mx.nd.array(array) for name, array in made.items()}
    return {name: mx.nd.amp_cast(array, dtype=_BFLOAT16) for name, array in needed.items()}
