"""SGD, NAG and Adam of MXNet, SciPy's L-BFGS and a preconditioned NAG behind one signature: `minimise`.

What the paper leaves open is the MXNet example's, in its older version (run.py at 53af530): SGD with rate 1e-3,
momentum 0.9, weight decay 5e-4, the rate times 0.9 every 80 updates, the gradient's norm clipped at 3HW.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from . import _mxnet
from ._mxnet import mx
from .checkpoint import State
from .config import LBFGS, PRECONDITIONED_NAG, TransferConfig
from .evaluation import FIXED_DRAW, Evaluation, distance, norm
from .losses import method
from .preconditioned_nag import PreconditionedNag
from .threads import one_blas_thread

ONE_DRAW = FIXED_DRAW + 1
"""L-BFGS needs one function, so it keeps one draw of the Gaussian method's pairs for the whole run; what is left is
sigma^2, which moves with the picture and carries no gradient. The draw is not the reported objective's: over hundreds
of iterations a picture can fit its own pairs, and a report on these would not show it."""
KEPT_DRAW = 1 / 3
"""Of preconditioned NAG's horizon, the share with ONE_DRAW, whose curvature is measured best, until the picture comes
to fit it. From then on each iterate has a draw of its own, like those of MXNet's optimizers."""

Evaluate = Callable[[np.ndarray, int], Evaluation]


@dataclass(frozen=True)
class Iterate:
    """One update.

    iteration: number of updates done, from 1.
    x: the picture after it, float32 (1, 3, H, W).
    evaluation: the objective before the update (MXNet's methods) or after it (preconditioned NAG and L-BFGS).
    draw: the draw of the Gaussian method's pairs that it was evaluated with.
    change: |x_t - x_(t-1)| / |x_t| of the mean-subtracted picture.
    gradient_norm: before clipping, without what is never clipped; clipped: whether it was.
    state: gives the State to resume from, or None where the method cannot be resumed here; until the next iterate.
    """

    iteration: int
    x: np.ndarray
    evaluation: Evaluation
    draw: int
    change: float
    gradient_norm: float
    clipped: bool
    state: Callable[[], State | None]


def minimise(evaluate: Evaluate, state: State, config: TransferConfig, on_iterate: Callable[[Iterate], bool]) -> None:
    """Minimise until `on_iterate` returns True, from `state` on.

    evaluate: (picture float32 (1, 3, H, W), draw) -> Evaluation; `draw` is the iteration's number for MXNet's
        methods, and ONE_DRAW for the others; preconditioned NAG has both, see KEPT_DRAW.
    MXNet's methods never end by themselves; the others end with an iterate of change 0, L-BFGS when its line search
    finds nothing lower, preconditioned NAG when no step is low enough and long enough for float32.
    """
    _RUNS.get(config.optimizer, _by_mxnet)(evaluate, state, config, on_iterate)


def clip_norm(gradient: np.ndarray, limit: float) -> tuple[np.ndarray, float, bool]:
    """`gradient` scaled to norm `limit` where it is longer (0: never); its norm before, and whether it was scaled."""
    length = norm(gradient)
    if limit and length > limit:
        return gradient * np.float32(limit / length), length, True
    return gradient, length, False


def _by_mxnet(evaluate: Evaluate, state: State, config: TransferConfig, on_iterate: Callable[[Iterate], bool]) -> None:
    optimizer = _mxnet_optimizer(config, state.iteration)
    slots = optimizer.create_state(0, mx.nd.array(state.x))
    for name, array in _named(slots).items():
        if name in state.slots:
            array[:] = state.slots[name]
    limit = config.clip * state.x.size

    def step(before: np.ndarray, iteration: int) -> tuple[np.ndarray, bool]:
        """The picture after one update, and whether it was the last. Nothing else is left: pictures are large."""
        evaluation = evaluate(before, iteration)
        gradient, length, clipped = clip_norm(evaluation.gradient, limit)
        if evaluation.unclipped is not None:
            gradient = gradient + evaluation.unclipped
        x = before.copy()
        variable, gradient = (_mxnet.shared(each, mx.cpu()) for each in (x, gradient))
        optimizer.update(0, variable, gradient, slots)
        variable.wait_to_read()

        def resume_from() -> State:
            return State(x, iteration, {name: array.asnumpy() for name, array in _named(slots).items()})

        change = _relative_change(x, before)
        return x, on_iterate(Iterate(iteration, x, evaluation, iteration, change, length, clipped, resume_from))

    x, ended, iteration = state.x.astype(np.float32), False, state.iteration
    while not ended:
        iteration += 1
        x, ended = step(x, iteration)


def _mxnet_optimizer(config: TransferConfig, updates: int):
    scheduler = None
    if config.decay_every:
        scheduler = mx.lr_scheduler.FactorScheduler(config.decay_every, config.decay_factor, base_lr=config.step_size)
    common = {"learning_rate": config.step_size, "lr_scheduler": scheduler, "begin_num_update": updates}
    if config.optimizer == "adam":
        return mx.optimizer.Adam(**common)
    kind = {"sgd": mx.optimizer.SGD, "nag": mx.optimizer.NAG}[config.optimizer]
    return kind(momentum=config.momentum, wd=config.weight_decay, **common)


def _named(slots) -> dict:
    """MXNet's optimiser state (None, an array, or a tuple of arrays) as {name: array}."""
    if slots is None:
        return {}
    return {f"slot{i}": array for i, array in enumerate(slots if isinstance(slots, tuple) else (slots,))}


def _lbfgs(evaluate: Evaluate, state: State, config: TransferConfig, on_iterate: Callable[[Iterate], bool]) -> None:
    """SciPy's L-BFGS-B without bounds, in stretches of config.lbfgs_restart iterations.

    SciPy's first step has length 1 whatever the function, so it works in a unit of its own: at the start one grey level
    for the average pixel, later the last step's length, or a new stretch would look like the end of all change.
    """
    import scipy.optimize  # 37 MB that the other methods do without

    evaluate = _Remembering(evaluate)
    stretch, length = state, config.lbfgs_restart
    options = {"maxiter": length, "maxfun": 20 * length, "ftol": 0, "gtol": 0}
    if "unit" not in stretch.slots:
        stretch = replace(stretch, slots={"unit": np.array(np.sqrt(state.x.size))})
    while True:
        run = _Stretch(evaluate, stretch, length, on_iterate)
        try:
            with one_blas_thread():
                scipy.optimize.minimize(
                    run.value_and_gradient,
                    run.start(),
                    jac=True,
                    method="L-BFGS-B",
                    callback=run.accepted,
                    options=options,
                )
        except _Stop:
            return
        if run.iteration == stretch.iteration:  # the line search failed from a fresh start
            on_iterate(_end(run.iteration, stretch.x.astype(np.float32), run.last, ONE_DRAW))
            return
        stretch = run.end()


def _end(iteration: int, x: np.ndarray, evaluation: Evaluation, draw: int) -> Iterate:
    """The last iterate, after `iteration`, of a method that stays at `x`."""
    return Iterate(iteration + 1, x, evaluation, draw, 0.0, norm(evaluation.gradient), False, lambda: None)


class _Stop(Exception):
    """Ends SciPy's loop."""


class _Remembering:
    """Evaluations, the last one without computing it again: a stretch begins where the one before it ended."""

    def __init__(self, evaluate: Evaluate) -> None:
        self._evaluate = evaluate
        self._point: tuple[np.ndarray, int] | None = None
        self._last: Evaluation

    def __call__(self, x: np.ndarray, draw: int) -> Evaluation:
        if self._point is None or draw != self._point[1] or not np.array_equal(x, self._point[0]):
            self._last, self._point = self._evaluate(x, draw), (x, draw)
        return self._last


class _Stretch:
    """What SciPy calls during one stretch of `length` iterations of L-BFGS."""

    def __init__(self, evaluate: Evaluate, start: State, length: int, on_iterate: Callable[[Iterate], bool]) -> None:
        self._evaluate, self._shape, self._on_iterate = evaluate, start.x.shape, on_iterate
        self._length, self._start, self._unit = length, start, float(start.slots["unit"])
        self._step = self._unit
        self.iteration, self.x = start.iteration, start.x.astype(np.float64)
        self.last: Evaluation

    def start(self) -> np.ndarray:
        """The first point, in SciPy's units."""
        return (self.x / self._unit).ravel()

    def end(self) -> State:
        """From where the next stretch goes on."""
        return State(self.x, self.iteration, {"unit": np.array(self._step)})

    def value_and_gradient(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """In SciPy's units."""
        self.last = self._evaluate(self._picture(point).astype(np.float32), ONE_DRAW)
        return self.last.total, (self.last.whole_gradient.astype(np.float64) * self._unit).ravel()

    def accepted(self, point: np.ndarray) -> None:
        """SciPy's callback; the last evaluation was at `point`, because the line search ends where it accepts."""
        before, self.x, self.iteration = self.x, self._picture(point), self.iteration + 1
        self._step = distance(self.x, before) or self._step
        ends = self.iteration - self._start.iteration == self._length
        resume_from = self.end() if ends else None
        length = norm(self.last.gradient)
        change = _relative_change(self.x, before)
        x = self.x.astype(np.float32)
        iterate = Iterate(self.iteration, x, self.last, ONE_DRAW, change, length, False, lambda: resume_from)
        if self._on_iterate(iterate):
            raise _Stop

    def _picture(self, point: np.ndarray) -> np.ndarray:
        return point.reshape(self._shape) * self._unit


def _preconditioned_nag(
    evaluate: Evaluate, state: State, config: TransferConfig, on_iterate: Callable[[Iterate], bool]
) -> None:
    descent = PreconditionedNag(
        evaluate,
        state.x,
        state.iteration,
        draw_of=partial(_draw_of, config),
        seed=config.seed,
        horizon=config.rate_horizon,
        slots=state.slots,
    )
    ended = False
    while not ended:
        before = descent.x
        if not descent.advance():
            on_iterate(_end(descent.done, descent.x, descent.evaluation, descent.draw))
            return
        x, evaluation, change = descent.x, descent.evaluation, _relative_change(descent.x, before)
        length, resume_from = norm(evaluation.gradient), partial(_state_of, descent)
        ended = on_iterate(Iterate(descent.done, x, evaluation, descent.draw, change, length, False, resume_from))


def _draw_of(config: TransferConfig, iteration: int) -> int:
    """Of preconditioned NAG's iterate `iteration`, 0 the start; ONE_DRAW throughout where no method draws."""
    draws = any(method(each).samples_pairs for each in config.method)
    return iteration if draws and iteration > KEPT_DRAW * config.rate_horizon else ONE_DRAW


def _state_of(descent: PreconditionedNag) -> State:
    """Made when it is asked for: it would keep what the descent lets go."""
    return State(descent.x, descent.done, descent.slots())


_RUNS = {LBFGS: _lbfgs, PRECONDITIONED_NAG: _preconditioned_nag}
"""Optimizer -> its loop, where that is not the one of MXNet's optimizers."""


def _relative_change(x: np.ndarray, before: np.ndarray) -> float:
    """|x_t - x_(t-1)| / |x_t|."""
    size = norm(x)
    return distance(x, before) / size if size else float("inf")
