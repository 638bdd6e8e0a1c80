"""What a style loss costs on this machine: seconds of one forward and one backward, without the network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

import numpy as np

from . import losses
from ._mxnet import mx
from .single_layer import bound_loss

REPEATS = 7


def seconds(run: Callable[[], None], repeats: int = REPEATS) -> float:
    """Least time of `run` after one run to warm up: what a busy machine disturbs least."""
    run()
    times = []
    for _ in range(repeats):
        begin = perf_counter()
        run()
        times.append(perf_counter() - begin)
    return min(times)


def loss_seconds(method: str, channels: int, positions: int) -> float:
    """One forward and backward of the loss of a layer with N = channels and M = positions, for both pictures."""
    f, s = (noise(channels, positions, seed) for seed in (1, 2))
    drawn = losses.draw_pairs(positions, positions, np.random.default_rng(0))
    executor, gradient = bound_loss(method, f, s, drawn)
    head = [mx.nd.ones(1)]

    def run() -> None:
        executor.forward(is_train=True)
        executor.backward(head)
        gradient.wait_to_read()

    return seconds(run)


def full_estimate_seconds(channels: int, positions: int) -> float:
    """One forward of the Gaussian MMD^2 over all pairs, Eq. 2, as MXNet's operators compute it."""
    f, s = (mx.nd.array(noise(channels, positions, seed)) for seed in (1, 2))

    def mean_kernel(a, b):
        squares = mx.nd.sum(a * a, axis=0).reshape((-1, 1)), mx.nd.sum(b * b, axis=0).reshape((1, -1))
        distances = mx.nd.broadcast_add(*squares) - 2 * mx.nd.dot(a, b, transpose_a=True)
        return mx.nd.mean(mx.nd.exp(distances / (-4.0 * channels)))

    def run() -> None:
        (mean_kernel(f, f) + mean_kernel(s, s) - 2 * mean_kernel(f, s)).wait_to_read()

    return seconds(run)


def exponent(sizes: Sequence[int], times: Sequence[float]) -> float:
    """p of time = c size^p, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def noise(channels: int, positions: int, seed: int) -> np.ndarray:
    """Seeded float32 features (N, M)."""
    return np.random.default_rng(seed).standard_normal((channels, positions), dtype=np.float32)
