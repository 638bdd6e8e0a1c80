"""BFGS that remembers one step, from a diagonal that is measured anew after each. In NumPy, float32.

Ours; neither the paper nor the release has it. It is Shanno's memoryless BFGS (Conjugate gradient methods with inexact
searches, Mathematics of Operations Research 3, 1978) with the measured curvature in place of the identity. SciPy's
L-BFGS can start from a multiple of the identity alone, and keeps its steps in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from .curvature import Curvature, probe
from .evaluation import Evaluation, dot

SUFFICIENT, STEEP = 1e-4, 0.9  # of Wolfe's two conditions, as usual for quasi-Newton methods
LONGER = 2.0
SHORTEST, SHORTER = 0.1, 0.5  # of the length before
MOST_TRIALS = 20


class Step(NamedTuple):
    """A step s and the change y of the gradient with it."""

    step: np.ndarray
    change: np.ndarray


def direction(gradient: np.ndarray, curvature: np.ndarray, last: Step | None) -> np.ndarray:
    """-H g: H is BFGS's update of theta / h by `last`, theta = s y / (y y / h), and 1 / h where there is no last step.

    gradient: g; curvature: h > 0 of each entry; last: with s y > 0.
    """
    if last is None:
        return -gradient / curvature
    step, change = last
    product = dot(step, change)
    along = dot(step, gradient) / product
    result = (np.float32(along) * change - gradient) / curvature
    result *= np.float32(product / dot(change, change / curvature))
    result -= np.float32(along + dot(change, result) / product) * step
    return result


class Point(NamedTuple):
    """A picture, the objective there, and its whole gradient."""

    x: np.ndarray
    evaluation: Evaluation
    gradient: np.ndarray


class Trial(NamedTuple):
    """A point of a line, and the objective's derivative along the line there."""

    point: Point
    slope: float


def search(at: Callable[[float], Trial], total: float, slope: float) -> Trial | None:
    """The first trial that is low enough (Armijo) and either flat enough or the longest that is low; None if none is.

    at: length -> trial; 1 comes first. total, slope: at length 0, slope < 0.
    """
    length, low, shortened = 1.0, None, False
    for _ in range(MOST_TRIALS):
        trial = at(length)
        there = trial.point.evaluation.total
        if there <= total + SUFFICIENT * length * slope:
            low = trial
            if shortened or trial.slope >= STEEP * slope:
                break
            length *= LONGER
        elif low is not None:
            break
        else:
            shortened = True
            above = there - (total + slope * length)  # positive, or no number
            lowest_of_parabola = -slope * length**2 / (2 * above) if above > 0 else 0.0
            length = min(max(lowest_of_parabola, SHORTEST * length), SHORTER * length)
    return low


class MemorylessBfgs:
    """A descent from `x`, float32 (1, 3, H, W), one step at a time.

    evaluate: picture -> the objective there.
    seed: of the random step by which the curvature is measured before the first.
    slots: what `slots` gave at `x`, to go on with the same bits; nothing at the start.
    """

    def __init__(
        self,
        evaluate: Callable[[np.ndarray], Evaluation],
        x: np.ndarray,
        seed: int,
        slots: Mapping[str, np.ndarray],
    ) -> None:
        self._evaluate, self._seed = evaluate, seed
        self._here = self._at(x)
        self._last = Step(slots["step"], slots["change"]) if "step" in slots else None
        self._curvature = Curvature(slots["steps"], slots["changes"]) if "steps" in slots else None

    @property
    def x(self) -> np.ndarray:
        return self._here.x

    @property
    def evaluation(self) -> Evaluation:
        """The objective at `x`."""
        return self._here.evaluation

    def slots(self) -> dict[str, np.ndarray]:
        """What to go on with from `x` as it is now; the arrays are not written into later."""
        slots = self._last._asdict() if self._last else {}
        return slots | ({"steps": self._curvature.steps, "changes": self._curvature.changes} if self._curvature else {})

    def advance(self) -> bool:
        """One step; False, and none, if neither BFGS's direction nor the gradient's leads lower."""
        found = self._lower(self._direction())
        if found is None and self._last is not None:
            self._last = None
            found = self._lower(self._direction())
        if found is None:
            return False
        step = Step(found.x - self._here.x, found.gradient - self._here.gradient)
        self._here, self._last = found, step if dot(*step) > 0 else None
        if self._curvature is None:  # the probe serves the first step alone
            self._curvature = Curvature.unknown(found.x.shape)
        self._curvature.add(*step)
        return True

    def _direction(self) -> np.ndarray:
        curvature = self._curvature.estimate() if self._curvature else self._probed()
        return direction(self._here.gradient, curvature, self._last)

    def _at(self, x: np.ndarray) -> Point:
        evaluation = self._evaluate(x)
        return Point(x, evaluation, evaluation.whole_gradient)

    def _probed(self) -> np.ndarray:
        """The curvature by one random step."""
        start, curvature = self._here, Curvature.unknown(self._here.x.shape)
        step = probe(start.x.shape, self._seed)
        curvature.add(step, self._at(start.x + step).gradient - start.gradient)
        return curvature.estimate()

    def _lower(self, towards: np.ndarray) -> Point | None:
        """The point in the direction `towards` that the line search finds; None if it finds none."""
        slope = dot(self._here.gradient, towards)
        if not slope < 0:
            return None

        def along(length: float) -> Trial:
            point = self._at(self._here.x + np.float32(length) * towards)
            return Trial(point, dot(point.gradient, towards))

        trial = search(along, self._here.evaluation.total, slope)
        if trial is None or np.array_equal(trial.point.x, self._here.x):  # too near for float32
            return None
        return trial.point
