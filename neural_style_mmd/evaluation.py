"""What an evaluation of the objective is: its terms by name, its gradient, and the seeded draws. Without MXNet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

FIXED_DRAW = 0
"""The draw of the Gaussian method's pairs that ratios, metrics and reported objectives use; iterations use 1, 2, ..."""

NOISE_STREAM, PAIRS_STREAM, PROBE_STREAM = 0, 1, 2

_PIECE = 2**16


def noise(shape: tuple[int, ...], amplitude: float, seed: int, draw: int = 0) -> np.ndarray:
    """float32 noise, uniform within plus and minus `amplitude`, from NumPy's PCG64 seeded with (seed, draw)."""
    rng = np.random.default_rng((seed, NOISE_STREAM, draw))
    return rng.uniform(-amplitude, amplitude, shape).astype(np.float32)


def dot(one: np.ndarray, other: np.ndarray) -> float:
    """The sum over all axes of one times other, accumulated in float64 without copies in it: pictures are large."""
    return float(np.einsum("i,i->", one.ravel(), other.ravel(), dtype=np.float64))


def norm(array: np.ndarray) -> float:
    """|array|, all axes together."""
    return float(np.sqrt(dot(array, array)))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """|one - other|, all axes together."""
    apart = (a - b for a, b in zip(_pieces(one), _pieces(other), strict=True))
    return float(np.sqrt(sum(dot(each, each) for each in apart)))


def is_finite(array: np.ndarray) -> bool:
    """Whether no entry is NaN or infinity."""
    return all(np.isfinite(each).all() for each in _pieces(array))


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Its entries in runs of which a cache holds some: what is made of them need not be another picture in memory."""
    entries = array.ravel()
    return (entries[begin : begin + _PIECE] for begin in range(0, entries.size, _PIECE))


@dataclass(frozen=True)
class Evaluation:
    """The objective at one picture.

    terms: the true value of each term, unweighted: "content", "style.<method>.<layer>", "tv".
    total: the weighted sum of the terms.
    gradient: float32 (1, 3, H, W), the gradient of `total` with respect to the picture, but for `unclipped`, and with
        the Gaussian kernel's sigma^2 held at this picture's.
    unclipped: the rest of it, the total variation's where the setting tv_form is "release"; a step adds it after
        clipping. None otherwise.
    """

    terms: Mapping[str, float]
    total: float
    gradient: np.ndarray
    unclipped: np.ndarray | None = None

    @property
    def whole_gradient(self) -> np.ndarray:
        """The gradient of `total`."""
        return self.gradient if self.unclipped is None else self.gradient + self.unclipped


def style_term(method: str, layer: str) -> str:
    """The dotted name of a style term."""
    return f"style.{method}.{layer}"
