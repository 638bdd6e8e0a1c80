"""Nesterov's accelerated gradient on a diagonal that is measured anew after each step. In NumPy, float32.

Ours; neither the paper nor the release has it. The method is Nesterov's (Soviet Mathematics Doklady 27, 1983), in the
form of MXNet's NAG, whose picture is the point where the next gradient is taken; each entry's gradient is divided by
its measured curvature. MXNet's optimizers take no such diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .curvature import Curvature, probe
from .evaluation import Evaluation

RATES = ((0.0, 0.5), (0.25, 1.0), (0.9, 1.0), (1.0, 0.02))
"""(Share of the horizon, rate), with straight lines between. At 1 a direction that curves as measured is stable, which
ends at 4 / 3; before much is measured less is safer. The fall takes away what the last steps scatter."""
MOST_MOMENTUM = ((0.0, 0.95), (0.9, 0.95), (1.0, 0.8))
"""(Share of the horizon, momentum), in the same way: or the last steps would be those of the velocity alone."""
REMEMBERED = 10
"""No step leads higher than the highest of so many objectives before it: the non-monotone rule of Grippo, Lampariello
and Lucidi (SIAM Journal on Numerical Analysis 23, 1986). With momentum an objective rises now and then."""
REMEMBERED_BY_DRAWS = 20
"""In place of REMEMBERED for an iterate with a draw of its own: of eleven, one is the highest by chance."""
SHORTER, MOST_TRIALS, MOST_TRIALS_BY_DRAWS = np.float32(0.25), 20, 2
"""The last trial with a draw of its own counts in any case: what is too high may be the draw, not the step."""


def rate(step: int, horizon: int) -> float:
    """Of step `step`, from 0, in units of gradient / curvature; the last of RATES from step horizon - 1 on."""
    return _at(step, horizon, RATES)


def momentum(step: int, horizon: int) -> float:
    """Of step `step`, from 0: Nesterov's k / (k + 3), up to MOST_MOMENTUM."""
    return min(step / (step + 3), _at(step, horizon, MOST_MOMENTUM))


def _at(step: int, horizon: int, schedule: tuple[tuple[float, float], ...]) -> float:
    shares, values = zip(*schedule, strict=True)
    return float(np.interp(step / max(horizon - 1, 1), shares, values))


class PreconditionedNag:
    """A descent from `x`, float32 (1, 3, H, W), after `done` steps, one step at a time.

    evaluate: (picture, draw) -> the objective there.
    draw_of: number of an iterate, 0 the start -> its draw. Where another draw changes the gradient, that counts as
        curvature, and makes steps shorter.
    seed: of the random step by which the curvature is measured before the first.
    horizon: see rate().
    slots: what `slots` gave at `x`, to go on with the same bits; nothing at the start.
    """

    def __init__(
        self,
        evaluate: Callable[[np.ndarray, int], Evaluation],
        x: np.ndarray,
        done: int,
        *,
        draw_of: Callable[[int], int],
        seed: int,
        horizon: int,
        slots: Mapping[str, np.ndarray],
    ) -> None:
        self._evaluate, self._draw_of, self._seed, self._horizon = evaluate, draw_of, seed, horizon
        self.x, self.done = x, done
        self.evaluation = evaluate(x, self.draw)
        """The objective at `x`, by `draw`."""
        self._totals = slots.get("totals", np.array([self.evaluation.total]))
        self._velocity = slots.get("velocity")
        self._curvature = Curvature(slots["steps"], slots["changes"]) if "steps" in slots else None

    @property
    def draw(self) -> int:
        """What the objective at `x` was evaluated with."""
        return self._draw_of(self.done)

    def slots(self) -> dict[str, np.ndarray]:
        """What to go on with from `x` as it is now; the arrays are not written into later."""
        if self._velocity is None or self._curvature is None:
            return {}
        measured = {"steps": self._curvature.steps, "changes": self._curvature.changes}
        return measured | {"velocity": self._velocity, "totals": self._totals}

    def advance(self) -> bool:
        """One step; False, and none, where nothing low enough is far enough away for float32.

        A velocity that leads nowhere but upwards is forgotten.
        """
        found = self._step()
        if found is None and self._velocity is not None:
            self._velocity = None
            found = self._step()
        if found is None:
            return False
        velocity, x, evaluation = found
        if self._curvature is None:  # the probe serves the first step alone
            self._curvature = Curvature.unknown(x.shape)
        self._curvature.add(x - self.x, evaluation.whole_gradient - self.evaluation.whole_gradient)
        self.x, self.evaluation, self._velocity = x, evaluation, velocity
        self._totals = np.append(self._totals, evaluation.total)[-REMEMBERED_BY_DRAWS:]
        self.done += 1
        return True

    def _step(self) -> tuple[np.ndarray, np.ndarray, Evaluation] | None:
        """Velocity, picture and objective after the next step; a step that leads too high is shortened, and the
        velocity with it."""
        draw = self._draw_of(self.done + 1)
        fresh = draw != self.draw
        bound = self._totals[-(REMEMBERED_BY_DRAWS if fresh else REMEMBERED) :].max()
        trials = MOST_TRIALS_BY_DRAWS if fresh else MOST_TRIALS
        velocity, step = self._next(self.evaluation.whole_gradient)
        for trial in range(1, trials + 1):
            x = self.x + step
            if np.array_equal(x, self.x):
                return None
            evaluation = self._evaluate(x, draw)
            if evaluation.total <= bound or (fresh and trial == trials):
                return velocity, x, evaluation
            velocity *= SHORTER
            step *= SHORTER
            del x, evaluation  # another picture's memory each, and the next trial needs its own
        return None

    def _next(self, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """v_k = m v_(k-1) + u, and the step m v_k + u, where u = -rate g / h and m is the momentum."""
        own = gradient / (self._curvature.estimate() if self._curvature else self._probed(gradient))
        own *= np.float32(-rate(self.done, self._horizon))
        share = np.float32(momentum(self.done, self._horizon))
        velocity = own if self._velocity is None else share * self._velocity + own
        return velocity, share * velocity + own

    def _probed(self, gradient: np.ndarray) -> np.ndarray:
        """The curvature by one random step."""
        curvature, step = Curvature.unknown(self.x.shape), probe(self.x.shape, self._seed)
        curvature.add(step, self._evaluate(self.x + step, self.draw).whole_gradient - gradient)
        return curvature.estimate()
