"""Tasks of a child process that run single convolutions of VGG-19 and large matrix products."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from model_zoo.vgg19 import LAYERS

from .child import Turn


def convolutions(turn: Turn, width: int, height: int) -> None:
    """Answers a convolution's name with {"forward": seconds, "backward": seconds} of it alone, for a picture of the
    given size; the gradient is with respect to its input, as in a transfer."""
    runs: dict[str, Callable[[], dict[str, float]]] = {}
    name = turn("ready")
    while True:
        if name not in runs:
            runs[name] = _convolution(name, width, height)
        name = turn(runs[name]())


def _convolution(name: str, width: int, height: int) -> Callable[[], dict[str, float]]:
    from neural_style_mmd._mxnet import mx

    row = LAYERS[name]
    symbol = mx.sym.Convolution(mx.sym.Variable("data"), num_filter=row.channels, kernel=(3, 3), pad=(1, 1), name=name)
    shape = (1, row.in_channels, height // row.stride, width // row.stride)
    inputs = {
        "data": mx.nd.array(_noise(*shape)),
        f"{name}_weight": mx.nd.array(_noise(row.channels, row.in_channels, 3, 3)),
        f"{name}_bias": mx.nd.zeros(row.channels),
    }
    gradient = mx.nd.zeros(shape)
    requests = {each: "write" if each == "data" else "null" for each in inputs}
    executor = symbol.bind(mx.cpu(), inputs, {"data": gradient}, requests)
    head = mx.nd.array(_noise(1, row.channels, *shape[2:]))

    def run() -> dict[str, float]:
        began = perf_counter()
        executor.forward(is_train=True)[0].wait_to_read()
        forward = perf_counter()
        executor.backward([head])
        gradient.wait_to_read()
        return {"forward": forward - began, "backward": perf_counter() - forward}

    return run


def mxnet_product(turn: Turn, n: int) -> None:
    """Answers with the seconds of a product of two float32 matrices (n, n) by MXNet's dot."""
    from neural_style_mmd._mxnet import mx

    a, b = mx.nd.array(_noise(n, n)), mx.nd.array(_noise(n, n))
    _answer_seconds(turn, lambda: mx.nd.dot(a, b).wait_to_read())


def numpy_product(turn: Turn, n: int) -> None:
    """The same by NumPy."""
    a, b = _noise(n, n), _noise(n, n)
    _answer_seconds(turn, lambda: a @ b)


def _answer_seconds(turn: Turn, run: Callable[[], Any]) -> None:
    turn("ready")
    while True:
        began = perf_counter()
        run()
        turn(perf_counter() - began)


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
