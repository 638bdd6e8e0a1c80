"""A unit of its own for each entry of the picture: short where the objective curves much (a diagonal preconditioner).

Ours; neither the paper nor the release has one. How far the gradient changes with a step differs much between pixels,
and an optimizer that moves all alike is held back by the most curved ones. Without MXNet.
"""

from __future__ import annotations

import numpy as np

from .evaluation import PROBE_STREAM

PROBE = 3.0  # grey levels; between 1 and 40 it makes no difference that was seen
SMOOTHING = 0.7  # pixels, standard deviation; one probe is noisy, and neighbours are alike
LEAST = 0.01  # of the median, or an entry that no probe moves would have no end


def probe(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A step float32 of plus or minus PROBE in each entry, seeded."""
    rng = np.random.default_rng((seed, PROBE_STREAM))
    return rng.choice(np.array([-PROBE, PROBE], np.float32), shape)


class Curvature:
    """How far the gradient (1, 3, H, W) changes in each entry, from steps of the picture and its changes with them."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._steps, self._changes = np.zeros(shape), np.zeros(shape)

    def add(self, step: np.ndarray, change: np.ndarray) -> None:
        """`change` of the gradient by `step`, which is not 0; each step counts alike, however long."""
        squares = step.astype(np.float64) ** 2
        weight = 1 / squares.sum()
        self._steps += weight * squares
        self._changes += weight * change.astype(np.float64) ** 2

    def estimate(self) -> np.ndarray:
        """h = sqrt(B sum y^2 / B sum s^2), float64 (1, 3, H, W): s the steps, y the changes, B a Gaussian blur of each
        channel. All 1 if the gradient does not change, or nothing was added."""
        from scipy.ndimage import gaussian_filter  # a twentieth of a second that other optimizers do without

        steps, changes = (gaussian_filter(each, (0, 0, SMOOTHING, SMOOTHING)) for each in (self._steps, self._changes))
        estimate = np.sqrt(np.divide(changes, steps, out=np.zeros_like(steps), where=steps > 0))
        median = np.median(estimate)
        return np.maximum(estimate, LEAST * median) if median > 0 else np.ones_like(estimate)

    def unit(self) -> np.ndarray:
        """1 / sqrt(h), scaled to a geometric mean of 1: in such units the picture is curved alike everywhere."""
        logarithms = np.log(self.estimate())
        return np.exp(0.5 * (logarithms.mean() - logarithms))
