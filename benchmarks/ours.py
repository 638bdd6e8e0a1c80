"""Tasks of a child process that run this package: whole iterations, the bare network, one evaluation, peak memory.

A whole iteration is what `transfer` does between two calls of on_iterate: draw, evaluation, checks, clipping, update,
trace. "bare" is one forward to relu5_1 and one backward of a head of ones.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

import numpy as np

import model_zoo
from model_zoo.vgg19 import parameter_shapes
from model_zoo.weights import Weights
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.evaluation import noise
from neural_style_mmd.images import preprocess, read_picture
from neural_style_mmd.record import peak_rss
from neural_style_mmd.stylization import prepare, transfer

from .child import Turn
from .contenders import BARE, DEEPEST, OURS

WHOLE, GRAPH = "whole", "graph"


def settings(methods: str, content: str, precision: str = "float32") -> TransferConfig:
    """Of an endless run by `methods`, such as "bn+poly", at the content picture's own size."""
    return TransferConfig(
        method=tuple(methods.split("+")),
        size=max(read_picture(content).pixels.shape),
        weights="surrogate",
        stop_change=0.0,
        iterations=10**9,
        **OURS[precision],
    )


def iterate(turn: Turn, methods: str, content: str, style: str, precision: str = "float32") -> None:
    """Answers WHOLE and BARE with the seconds of one; `methods` may be BARE, for the bare network alone.

    GRAPH is answered with the seconds of the last whole iteration that were MXNet's, see GraphClock; the others are
    this package's Python, copies and waits.
    """
    weights = model_zoo.load("surrogate")
    clock = GraphClock()

    @cache
    def bare() -> Callable[[], None]:
        return bare_network(weights, _preprocessed(content, weights), precision)[0]

    def bare_seconds() -> float:
        run = bare()
        began = perf_counter()
        run()
        return perf_counter() - began

    answers = {BARE: bare_seconds, GRAPH: lambda: clock.seconds} | ({WHOLE: bare_seconds} if methods == BARE else {})

    def serve(answer: Any) -> float:
        """Answer until a whole iteration is asked for; when it began."""
        while (request := turn(answer)) in answers:
            answer = answers[request]()
        clock.seconds = 0.0
        return perf_counter()

    if methods == BARE:
        serve("ready")
    began: float | None = None
    objective: Any = None

    def on_balance(setting: Any, balance: Any) -> None:
        nonlocal objective
        objective = setting.objective

    def on_iterate(progress: Any) -> None:
        nonlocal began
        if began is None:  # what the iterations use is bound by now, in their precision
            clock.watch(objective)
        began = serve("ready" if began is None else perf_counter() - began)

    # The first iteration is over before the first answer, so loading and calibration never count.
    config = settings(methods, content, precision)
    transfer(content, style, config, weights=weights, on_balance=on_balance, on_iterate=on_iterate)


class GraphClock:
    """seconds: those of an objective's executors, from the start of each forward until its gradient is there."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self, objective: Any) -> None:
        """From now on, until it binds others."""
        for part in objective._parts:
            self._watch(part.executor, objective._gradient)

    def _watch(self, executor: Any, gradient: Any) -> None:
        forward, backward, began = executor.forward, executor.backward, 0.0

        def begin(**options: Any) -> Any:
            nonlocal began
            began = perf_counter()
            return forward(**options)

        def end(heads: Any) -> None:
            backward(heads)
            gradient.wait_to_read()  # as the objective does next
            self.seconds += perf_counter() - began

        executor.forward, executor.backward = begin, end


def bare_network(weights: Weights, x: np.ndarray, precision: str = "float32") -> tuple[Callable[[], None], Any, Any]:
    """A function that runs the network forward and backward at `x` and waits; its executor, and its gradient."""
    from neural_style_mmd._mxnet import device, mx, shared
    from neural_style_mmd.network import parameters_in, vgg19_symbol

    symbol = vgg19_symbol([DEEPEST], precision=precision)[DEEPEST]
    parameters = {name: shared(weights.parameters[name], device("cpu")) for name in parameter_shapes(DEEPEST)}
    known = {"data": mx.nd.array(x), **parameters_in(precision, parameters)}
    inputs = {name: known[name] for name in symbol.list_arguments()}
    gradient = mx.nd.zeros(x.shape)
    requests = {name: "write" if name == "data" else "null" for name in inputs}
    executor = symbol.bind(device("cpu"), inputs, {"data": gradient}, requests)
    head = mx.nd.ones(executor.forward(is_train=True)[0].shape)

    def run() -> None:
        executor.forward(is_train=True)
        executor.backward([head])
        gradient.wait_to_read()

    return run, executor, gradient


def evaluation(turn: Turn, methods: str, content: str, style: str, path: str) -> list[str]:
    """Write one evaluation to `path` (.npz) for somebody else to repeat; answers the names of the terms.

    x (1, 3, H, W), the content picture with noise on it; heads, terms: weight and value of each of `names`; gradient
    (1, 3, H, W); of the gaussian method "<term>.pairs" and "<term>.style_pairs".
    """
    weights = model_zoo.load("surrogate")
    x = _preprocessed(content, weights)
    x = x + noise(x.shape, 20.0, seed=0)
    if methods == BARE:
        run, executor, gradient = bare_network(weights, x)
        run()
        total = executor.outputs[0].asnumpy().astype(np.float64).sum()
        names, found = [BARE], {"heads": np.ones(1), "terms": np.array([total]), "gradient": gradient.asnumpy()}
    else:
        setting = prepare(content, style, settings(methods, content), weights=weights)
        balance = setting.measure_balance()
        names = list(setting.objective.terms)
        heads = {name: balance.step_scale * balance.term_weights[name] for name in names}
        there = setting.objective.evaluate(x, heads)
        found = {name: pairs.asnumpy() for name, pairs in setting.objective._pairs.items()}
        found |= {"heads": np.array([heads[name] for name in names]), "gradient": there.gradient}
        found["terms"] = np.array([there.terms[name] for name in names])
    np.savez(path, x=x, names=np.array(names), **found)
    return names


def transfer_memory(
    turn: Turn, methods: str, content: str, style: str, preset: str = "paper", iterations: int = 3
) -> int:
    """Peak resident memory, in bytes, of a process that makes a picture from files."""
    config = TransferConfig(
        preset=preset,
        method=tuple(methods.split("+")),
        size=max(read_picture(content).pixels.shape),
        iterations=iterations,
        weights="surrogate",
    )
    return transfer(content, style, config).record["peak_rss"]


def bare_memory(turn: Turn, content: str) -> int:
    """Peak resident memory, in bytes, of a process that only runs the bare network, 3 times."""
    weights = model_zoo.load("surrogate")
    run, *_ = bare_network(weights, _preprocessed(content, weights))
    for _ in range(3):
        run()
    return peak_rss()


def _preprocessed(path: str, weights: Weights) -> np.ndarray:
    return preprocess(read_picture(path).pixels, weights.preprocessing.mean_rgb)
