"""How much the objective curves at each entry of the picture, measured by the steps of an optimizer.

Ours; neither the paper nor the release has it. How far the gradient changes with a step differs much between pixels,
and an optimizer that moves all alike is held back by the most curved ones. Without MXNet.
"""

from __future__ import annotations

import numpy as np

from .evaluation import PROBE_STREAM, norm

PROBE = 3.0  # grey levels; between 1 and 40 it makes no difference that was seen
FADING = np.float32(0.9)  # what a step counts, of the step after it
NEIGHBOUR = np.float32(0.1)  # the share of each neighbour, which curves alike: one step measures an entry badly
LEAST = np.float32(0.01)  # of the median, or an entry that nothing moves would go far


def probe(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """A step float32 of plus or minus PROBE in each entry, seeded."""
    rng = np.random.default_rng((seed, PROBE_STREAM))
    return rng.choice(np.array([-PROBE, PROBE], np.float32), shape)


class Curvature:
    """What the last steps show, each with its weight, float32 (1, 3, H, W).

    steps: sum of the squared steps; changes: of the gradient's squared changes with them. They are never written into:
    a checkpoint may hold them.
    """

    def __init__(self, steps: np.ndarray, changes: np.ndarray) -> None:
        self.steps, self.changes = steps, changes

    @classmethod
    def unknown(cls, shape: tuple[int, ...]) -> Curvature:
        """Before the first step."""
        return cls(np.zeros(shape, np.float32), np.zeros(shape, np.float32))

    def add(self, step: np.ndarray, change: np.ndarray) -> None:
        """`change` of the gradient by `step`, which is not 0; how long the step is does not count. Both arrays are
        written into: with others in their place this would be the moment of a transfer that needs the most memory."""
        length = np.float32(norm(step))
        self.steps = _faded_sum(self.steps, step, length)
        self.changes = _faded_sum(self.changes, change, length)

    def estimate(self) -> np.ndarray:
        """h = sqrt(B sum y^2 / B sum s^2), float32 (1, 3, H, W): s the steps, y the changes, B a blur of each channel.
        All 1 if the gradient does not change, or nothing was added."""
        estimate = np.zeros_like(self.steps)
        for channel in range(estimate.shape[1]):  # one after another, for less memory
            steps, changes = _blurred(self.steps[0, channel]), _blurred(self.changes[0, channel])
            np.divide(changes, steps, out=estimate[0, channel], where=steps > 0)
        np.sqrt(estimate, out=estimate)
        median = np.median(estimate)
        return np.maximum(estimate, LEAST * median) if median > 0 else np.ones_like(estimate)


def _faded_sum(squares: np.ndarray, entries: np.ndarray, length: np.float32) -> np.ndarray:
    """FADING squares + (entries / length)^2, in the memory of `entries`."""
    for before, channel in zip(squares[0], entries[0], strict=True):  # one after another, for less memory
        channel /= length
        channel *= channel
        channel += FADING * before
    return entries


def _blurred(channel: np.ndarray) -> np.ndarray:
    """(H, W) with the weights 0.1, 0.8, 0.1 along both axes; an edge's neighbour outside is the edge."""
    for axis in (0, 1):
        last = channel.shape[axis] - 1
        before, after = (np.take(channel, np.clip(np.arange(last + 1) + by, 0, last), axis) for by in (-1, 1))
        channel = (1 - 2 * NEIGHBOUR) * channel + NEIGHBOUR * (before + after)
    return channel
