"""MXNet's optimisers on a small quadratic, against the formulas that it documents, in NumPy, and SciPy's L-BFGS."""

import ctypes
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy

from neural_style_mmd.config import LBFGS, OPTIMIZERS, PRECONDITIONED_NAG, TransferConfig
from neural_style_mmd.evaluation import FIXED_DRAW, Evaluation
from neural_style_mmd.optimizers import State, clip_norm, minimise

SHAPE = (1, 3, 4, 5)
RANDOM = np.random.default_rng(0)
CURVATURE = RANDOM.uniform(0.5, 4, SHAPE)
MINIMUM = RANDOM.normal(0, 30, SHAPE)
START = RANDOM.normal(0, 10, SHAPE).astype(np.float32)
SCIPY_BLAS = sorted(Path(scipy.__file__).parent.with_name("scipy.libs").glob("libscipy_openblas*.so"))


def gradient_at(x):
    return CURVATURE * (x - MINIMUM)


def quadratic(x, draw):
    difference = x.astype(np.float64) - MINIMUM
    total = float((CURVATURE * difference**2).sum() / 2)
    return Evaluation({"all": total}, total, gradient_at(x.astype(np.float64)).astype(np.float32))


def iterates(steps, evaluate=quadratic, state=None, **choices):
    """The first `steps` iterates."""
    found = []

    def on_iterate(iterate):
        found.append(iterate)
        return len(found) == steps

    minimise(evaluate, state or State(START), TransferConfig(**choices), on_iterate)
    return found


def pictures(found):
    return [iterate.x for iterate in found]


def sgd(steps, lr=1e-3, momentum=0.9, decay=5e-4, every=80, factor=0.9, limit=1.0):
    """The MXNet example's: v = m v - lr (g + wd x); x = x + v. Rate times 0.9 per 80 updates; |g| at most 3HW."""
    x, v, out = START.astype(np.float64), 0.0, []
    for t in range(steps):
        g = gradient_at(x)
        if limit and np.linalg.norm(g) > limit * x.size:
            g = g * (limit * x.size / np.linalg.norm(g))
        rate = lr * factor ** (t // every) if every else lr
        v = momentum * v - rate * (g + decay * x)
        x = x + v
        out.append(x)
    return out


def test_sgd_with_its_defaults_is_the_mxnet_examples():
    found = iterates(200, optimizer="sgd")
    np.testing.assert_allclose(pictures(found), sgd(200), rtol=1e-4, atol=1e-4)
    assert all(iterate.clipped for iterate in found)


def test_sgd_clips_where_the_gradient_is_longer_than_the_limit_and_only_there():
    found = iterates(40, optimizer="sgd", clip=8.0, learning_rate=0.01)
    np.testing.assert_allclose(pictures(found), sgd(40, limit=8.0, lr=0.01), rtol=1e-4, atol=1e-4)
    assert found[0].clipped and not found[-1].clipped


@pytest.mark.parametrize(
    ("choices", "numbers"),
    [
        ({"momentum": 0.0}, {"momentum": 0.0}),
        ({"momentum": 0.5, "learning_rate": 0.01}, {"momentum": 0.5, "lr": 0.01}),
        ({"weight_decay": 0.5}, {"decay": 0.5}),
        ({"weight_decay": 0.0}, {"decay": 0.0}),
        ({"decay_every": 10, "decay_factor": 0.5}, {"every": 10, "factor": 0.5}),
        ({"decay_every": 0}, {"every": 0}),
        ({"clip": 0.1}, {"limit": 0.1}),
        ({"clip": 0.0}, {"limit": 0.0}),
    ],
    ids=str,
)
def test_each_number_of_sgd_is_used(choices, numbers):
    found = pictures(iterates(40, optimizer="sgd", **choices))
    np.testing.assert_allclose(found, sgd(40, **numbers), rtol=1e-4, atol=1e-4)
    if numbers not in ({"every": 0}, {"limit": 0.0}):  # which change nothing in 40 steps, or little
        assert np.abs(found[-1] - sgd(40)[-1]).max() > 1e-3


def nag(steps, decay, lr=0.01, momentum=0.9):
    """state = m state + g; x = x - lr (g + m state), as MXNet's docstring says without weight decay; with it, what
    `nag_mom_update` does: the decay in its state is that of the new x, because it writes x first."""
    x, state, out = START.astype(np.float64), 0.0, []
    for _ in range(steps):
        g, before = gradient_at(x), x
        x = x - lr * (g + decay * before + momentum * (momentum * state + g + decay * before))
        state = momentum * state + g + decay * x
        out.append(x)
    return out


@pytest.mark.parametrize("decay", [0.0, 5e-4, 0.05])
def test_nag_is_mxnets(decay):
    found = pictures(iterates(40, optimizer="nag", learning_rate=0.01, clip=0.0, weight_decay=decay))
    np.testing.assert_allclose(found, nag(40, decay), rtol=1e-4, atol=1e-4)


def test_adam_is_the_papers_with_mxnets_epsilon():
    """m and v as usual; x = x - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + 1e-8)."""
    x, m, v, expected = START.astype(np.float64), 0.0, 0.0, []
    for t in range(1, 41):
        g = gradient_at(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x - 5.0 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t) * m / (np.sqrt(v) + 1e-8)
        expected.append(x)
    found = pictures(iterates(40, optimizer="adam", clip=0.0))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_reaches_the_minimum(optimizer):
    rates = {"sgd": 0.05, "nag": 0.05, "adam": 3.0}
    steps = 1000 if optimizer in rates else 60
    choices = {"optimizer": optimizer, "learning_rate": rates.get(optimizer, 0.0), "weight_decay": 0.0}
    np.testing.assert_allclose(iterates(steps, **choices)[-1].x, MINIMUM, atol=1e-2)


def test_lbfgs_never_goes_up_and_uses_one_draw():
    draws = []

    def evaluate(x, draw):
        draws.append(draw)
        return quadratic(x, draw)

    found = iterates(30, evaluate, optimizer="lbfgs")
    totals = [iterate.evaluation.total for iterate in found]
    assert all(after <= before for before, after in pairwise(totals))
    assert len(set(draws)) == 1
    assert draws[0] != FIXED_DRAW  # a report on the pairs that it fitted would not show an overfit
    assert {iterate.draw for iterate in found} == set(draws)


def test_lbfgs_reports_the_objective_after_its_update():
    for iterate in iterates(12, optimizer="lbfgs"):
        assert iterate.evaluation.total == pytest.approx(quadratic(iterate.x, 0).total, rel=1e-5, abs=1e-6)


def test_first_order_methods_report_the_objective_before_their_update_and_draw_anew_each_time():
    draws = []

    def evaluate(x, draw):
        draws.append(draw)
        return quadratic(x, draw)

    found = iterates(5, evaluate, optimizer="sgd")
    assert draws == [iterate.draw for iterate in found] == [1, 2, 3, 4, 5]
    before = [START, *pictures(found)[:-1]]
    for x, iterate in zip(before, found, strict=True):
        assert iterate.evaluation.total == quadratic(x, 0).total


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_iterates_tell_number_change_and_gradient_norm(optimizer):
    found = iterates(8, optimizer=optimizer, learning_rate=0.01)
    x = START.astype(np.float64)
    for number, iterate in enumerate(found, 1):
        assert iterate.iteration == number
        change = np.linalg.norm(iterate.x - x) / np.linalg.norm(iterate.x)
        assert iterate.change == pytest.approx(change, rel=1e-4)
        at = iterate.x if optimizer in (LBFGS, PRECONDITIONED_NAG) else x
        assert iterate.gradient_norm == pytest.approx(np.linalg.norm(gradient_at(at.astype(float))), rel=1e-4, abs=1e-4)
        assert iterate.clipped == (optimizer in ("sgd", "nag", "adam") and iterate.gradient_norm > START.size)
        x = iterate.x.astype(np.float64)


@pytest.mark.parametrize(
    ("optimizer", "at", "restart"),
    [("sgd", 25, 25), ("nag", 25, 25), ("adam", 25, 25), ("lbfgs", 25, 25), ("lbfgs", 10, 10), ("lbfgs", 20, 10)],
)
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_going_on_from_a_state_gives_the_same_bits(optimizer, at, restart, momentum):
    """Across a reduction of the rate at update 30, too; L-BFGS where its memory starts anew."""
    steps = 45
    choices = {"optimizer": optimizer, "momentum": momentum, "decay_every": 10, "learning_rate": 0.01}
    choices["lbfgs_restart"] = restart

    def noisy(x, draw):  # not a quadratic, and another function at each draw; at draw 1 L-BFGS needs over 35 iterations
        evaluation, phase = quadratic(x, draw), draw - 1
        push = (5 * np.sin(x + phase)).astype(np.float32)
        return Evaluation(evaluation.terms, evaluation.total - float(5 * np.cos(x.astype(float) + phase).sum()),
                          evaluation.gradient + push)  # fmt: skip

    states = []

    def on_iterate(iterate):
        if iterate.iteration == at:
            states.append(iterate.state())
        return iterate.iteration == at

    minimise(noisy, State(START), TransferConfig(**choices), on_iterate)
    whole = iterates(steps, noisy, **choices)
    rest = iterates(steps - at, noisy, states[0], **choices)
    assert [iterate.iteration for iterate in rest] == list(range(at + 1, len(whole) + 1))
    assert len(whole) > at + 10
    for one, other in zip(whole[at:], rest, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        assert (one.change, one.evaluation.total) == (other.change, other.evaluation.total)


@pytest.mark.parametrize("restart", [3, 8])
def test_lbfgs_can_be_resumed_where_its_memory_starts_anew_and_only_there(restart):
    found = iterates(12, optimizer="lbfgs", lbfgs_restart=restart)
    held = [iterate.iteration for iterate in found if iterate.state() is not None]
    assert held == [number for number in range(1, 13) if number % restart == 0]


def test_lbfgs_is_lower_with_a_longer_memory():
    short, long = (iterates(12, optimizer="lbfgs", lbfgs_restart=restart)[-1] for restart in (2, 12))
    assert long.evaluation.total < short.evaluation.total


def test_lbfgs_does_not_evaluate_again_where_it_forgot_its_steps():
    points = []

    def evaluate(x, draw):
        points.append(x.tobytes())
        return quadratic(x, draw)

    iterates(12, evaluate, optimizer="lbfgs", lbfgs_restart=4)
    assert len(points) == len(set(points))


def test_lbfgs_ends_by_itself_where_nothing_lower_is_to_be_had():
    found = []

    def flat(x, draw):
        return Evaluation({}, 1.0, np.ones(SHAPE, np.float32))  # a gradient that the values do not follow

    minimise(flat, State(START), TransferConfig(optimizer="lbfgs"), lambda iterate: found.append(iterate) or False)
    assert [iterate.change for iterate in found] == [0.0]
    np.testing.assert_array_equal(found[0].x, START)


@pytest.mark.skipif(not SCIPY_BLAS, reason="SciPy brings no OpenBLAS of its own here")
def test_lbfgs_runs_scipys_blas_in_one_thread_and_gives_the_others_back():
    library = ctypes.CDLL(str(SCIPY_BLAS[0]))
    restored = library.scipy_openblas_get_num_threads()
    library.scipy_openblas_set_num_threads(2)
    before, seen = library.scipy_openblas_get_num_threads(), []

    def evaluate(x, draw):
        seen.append(library.scipy_openblas_get_num_threads())
        return quadratic(x, draw)

    iterates(3, evaluate, optimizer="lbfgs")
    after = library.scipy_openblas_get_num_threads()
    library.scipy_openblas_set_num_threads(restored)
    assert set(seen) == {1}
    assert after == before == 2


def test_clipping_keeps_the_direction():
    gradient = np.array([3.0, 4.0], np.float32)
    scaled, norm, clipped = clip_norm(gradient, 2.5)
    np.testing.assert_allclose(scaled, [1.5, 2.0])
    assert (norm, clipped) == (5.0, True)
    for limit in (5.0, 6.0, 0.0):
        same, norm, clipped = clip_norm(gradient, limit)
        np.testing.assert_array_equal(same, gradient)
        assert (norm, clipped) == (5.0, False)
