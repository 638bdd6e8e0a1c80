"""One layer of the surrogate network: the filters from the statistics of the layer's input, and what they give.

Everything is float64 and a smooth function of the input's covariance: no eigenvector enters by itself, only matrix
functions and projections on subspaces, in which its sign and the rotation within equal eigenvalues cancel. That is why
builds with different numbers of threads, which round differently, agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

SMOOTH, SLOPE = np.array([1.0, 2.0, 1.0]), np.array([1.0, 0.0, -1.0])
TAPS = np.array(
    [np.outer(v, h).ravel() / np.linalg.norm(np.outer(v, h)) for v in (SMOOTH, SLOPE) for h in (SMOOTH, SLOPE)]
)
"""The shapes (4, 9), orthonormal, that a 3 x 3 filter is made of: blur, two slopes, twist. Each vanishes at the Nyquist
frequency of both axes, so neither a feature nor a gradient can hold a checkerboard."""


def convolve(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """The network's convolution, 3 x 3 with zero padding 1: x (I, H, W), weight (O, I, 3, 3), bias (O,) -> (O, H, W).

    In the padded picture laid out as one line each tap is a constant shift, so this is nine matrix products on views;
    the two columns too many of each row come out meaningless and are cut off.
    """
    channels, height, width = x.shape
    line = width + 2
    padded = np.zeros((channels, height + 3, line))
    padded[:, 1 : height + 1, 1 : width + 1] = x
    flat = padded.reshape(channels, -1)
    out = np.repeat(bias[:, None], height * line, axis=1)
    for i, j in np.ndindex(3, 3):
        shift = i * line + j
        out += np.ascontiguousarray(weight[:, :, i, j]) @ flat[:, shift : shift + height * line]
    return out.reshape(len(weight), height, line)[:, :, :width]


def average_pool(x: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 squares: (C, H, W) -> (C, H // 2, W // 2)."""
    channels, height, width = x.shape[0], x.shape[1] // 2, x.shape[2] // 2
    return x[:, : 2 * height, : 2 * width].reshape(channels, height, 2, width, 2).mean(axis=(2, 4))


def sample_patches(maps: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """About `count` of the 3 x 3 patches inside the maps (C, H, W), without repetition: (n, C, 9)."""
    found = []
    for x in maps:
        height, width = x.shape[1] - 2, x.shape[2] - 2
        places = rng.choice(height * width, min(count // len(maps), height * width), replace=False)
        rows, columns = np.divmod(places, width)
        found.append(np.stack([x[:, rows + i, columns + j].T for i, j in np.ndindex(3, 3)], axis=-1))
    return np.concatenate(found)


def spectral(symmetric: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The matrix function U f(w) U' of a positive semidefinite matrix U diag(w) U'."""
    values, vectors = np.linalg.eigh(symmetric)
    return (vectors * function(np.maximum(values, 0))) @ vectors.T


def leading_subspace(covariance: np.ndarray, dimensions: int, rng: np.random.Generator, steps: int = 3) -> np.ndarray:
    """An orthonormal basis (d, dimensions) of nearly the leading subspace, by subspace iteration from a seeded start.

    With a fixed number of steps the span is a smooth function of the covariance even where eigenvalues are equal.
    """
    basis = rng.standard_normal((len(covariance), dimensions))
    for _ in range(1 + steps):
        basis = np.linalg.qr(covariance @ basis)[0]
    return basis


def whitening_filters(
    patches: np.ndarray, count: int, power: float, shrinkage: float, rng: np.random.Generator
) -> np.ndarray:
    """`count` random mixtures (count, C, 3, 3) of the partly whitened leading directions of `patches` (n, C, 9).

    power: what power of its variance a direction is divided by; 0.5 is full whitening.
    shrinkage: noise level of the gain, in units of the mean variance that a filter has to carry. Directions weaker
        than it are dropped rather than amplified.
    """
    channels = patches.shape[1]
    seen = (patches @ TAPS.T).reshape(len(patches), -1)
    covariance = seen.T @ seen / len(seen)
    size = len(covariance)
    basis = leading_subspace(covariance, min(count + count // 2, size), rng)
    noise = shrinkage * np.trace(covariance) / min(count, size)
    gain = spectral(basis.T @ covariance @ basis, lambda w: w * (w + noise) ** -(1 + power))
    mixtures = rng.standard_normal((count, size)) @ basis @ gain @ basis.T
    return (mixtures.reshape(count, channels, -1) @ TAPS).reshape(count, channels, 3, 3)
