"""--optimizer memoryless-bfgs: BFGS's direction from a measured diagonal, its line search, and the way down.

Against the textbook's formulas in float64 and quadratics whose curvature is known.
"""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import convolve
from small_transfer import small_config

from neural_style_mmd import TransferConfig, transfer
from neural_style_mmd.checkpoint import load
from neural_style_mmd.curvature import PROBE, Curvature, probe
from neural_style_mmd.evaluation import Evaluation
from neural_style_mmd.memoryless_bfgs import Point, Step, Trial, direction, search
from neural_style_mmd.optimizers import State, minimise

SHAPE = (1, 3, 24, 32)
ROW = np.linspace(0, 1, SHAPE[3])
SMOOTH = np.broadcast_to(0.2 * 30**ROW, SHAPE).astype(np.float32)  # from 0.2 on the left to 6 on the right
MINIMUM = np.random.default_rng(0).normal(0, 30, SHAPE)
START = np.zeros(SHAPE, np.float32)


def quadratic(x, draw):
    difference = x.astype(np.float64) - MINIMUM
    total = float((SMOOTH * difference**2).sum() / 2)
    return Evaluation({"all": total}, total, (SMOOTH * difference).astype(np.float32))


def waves(x, draw):
    """A quadratic with ripples, which curve it up and down."""
    plain, phase = quadratic(x, draw), x.astype(np.float64) / 7
    return Evaluation(
        plain.terms,
        plain.total + float(40 * np.sin(phase).sum()),
        plain.gradient + (40 / 7 * np.cos(phase)).astype(np.float32),
    )


def run(steps, evaluate=quadratic, state=None, **choices):
    """The first `steps` iterates."""
    found = []

    def on_iterate(iterate):
        found.append(iterate)
        return len(found) == steps

    config = TransferConfig(**{"optimizer": "memoryless-bfgs"} | choices)
    minimise(evaluate, state or State(START), config, on_iterate)
    return found


# The curvature that is measured


def test_the_estimate_is_the_root_of_the_changes_squares_over_those_of_the_steps_blurred():
    step, curvature = probe(SHAPE, 0), Curvature.unknown(SHAPE)
    curvature.add(step, SMOOTH * step)
    blur = np.outer([1, 8, 1], [1, 8, 1])[None, None] / 100
    h = np.sqrt(convolve(SMOOTH.astype(np.float64) ** 2, blur, mode="nearest"))  # a probe is as long in each entry
    np.testing.assert_allclose(curvature.estimate(), h, rtol=1e-5)
    np.testing.assert_allclose(curvature.estimate()[..., 1:-1], SMOOTH[..., 1:-1], rtol=0.02)


def test_it_is_the_same_from_steps_of_any_length_and_from_several():
    curvature = Curvature.unknown(SHAPE)
    for seed, length in ((1, 0.01), (2, 1.0), (3, 50.0)):
        step = length * np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)
        curvature.add(step, SMOOTH * step)
    np.testing.assert_allclose(curvature.estimate()[..., 1:-1], SMOOTH[..., 1:-1], rtol=0.12)


def test_a_step_counts_0_9_of_the_one_after_it_however_long_it_is():
    """Two steps that met functions of other curvatures, 1 and 3."""
    step, curvature = probe(SHAPE, 0), Curvature.unknown(SHAPE)
    curvature.add(100 * step, 1.0 * 100 * step)
    curvature.add(step, 3.0 * step)
    np.testing.assert_allclose(curvature.estimate(), np.sqrt((0.9 * 1 + 9) / (0.9 + 1)), rtol=1e-5)


def test_an_entry_that_nothing_moves_keeps_a_bound_and_a_flat_function_gives_1():
    step, hole = probe(SHAPE, 0), np.ones(SHAPE, np.float32)
    hole[..., :10] = 0
    curvature, flat = Curvature.unknown(SHAPE), Curvature.unknown(SHAPE)
    curvature.add(step, hole * step)
    flat.add(step, 0 * step)
    estimate = curvature.estimate()
    assert estimate[..., 0] == pytest.approx(0.01) and estimate[..., -1] == pytest.approx(1.0)
    assert np.all(flat.estimate() == 1) and np.all(Curvature.unknown(SHAPE).estimate() == 1)


def test_the_probe_is_plus_or_minus_three_grey_levels_and_seeded():
    np.testing.assert_array_equal(np.abs(probe(SHAPE, 0)), PROBE)
    np.testing.assert_array_equal(probe(SHAPE, 7), probe(SHAPE, 7))
    assert 0.4 < (probe(SHAPE, 0) > 0).mean() < 0.6
    assert (probe(SHAPE, 0) != probe(SHAPE, 1)).any()


# The direction


def bfgs_matrix(h, s, y):
    """Nocedal and Wright, Numerical Optimization, Eq. 6.17, of H_0 = theta / h, in float64."""
    identity, rho = np.eye(s.size), 1 / (s @ y)
    first = (s @ y) / (y @ (y / h)) * np.diag(1 / h)
    return (identity - rho * np.outer(s, y)) @ first @ (identity - rho * np.outer(y, s)) + rho * np.outer(s, s)


def test_the_direction_is_bfgss_from_the_scaled_diagonal():
    rng = np.random.default_rng(1)
    shape, h = (1, 3, 4, 5), rng.uniform(0.2, 6, 60)
    g, s = rng.normal(size=(2, 60))
    y = h * s * rng.uniform(0.5, 2, 60)
    g32, h32, s32, y32 = (each.astype(np.float32).reshape(shape) for each in (g, h, s, y))
    found = direction(g32, h32, Step(s32, y32))
    assert found.dtype == np.float32 and found.shape == shape
    np.testing.assert_allclose(found.ravel(), -bfgs_matrix(h, s, y) @ g, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(direction(g32, h32, None).ravel(), -g / h, rtol=1e-5)


def test_the_direction_after_the_last_change_is_the_last_step():
    """The secant equation, H y = s."""
    rng = np.random.default_rng(2)
    h, s = rng.uniform(0.2, 6, SHAPE).astype(np.float32), rng.normal(size=SHAPE).astype(np.float32)
    y = (h * s * rng.uniform(0.5, 2, SHAPE)).astype(np.float32)
    np.testing.assert_allclose(direction(y, h, Step(s, y)), -s, atol=1e-5)


# The line search


def along(function, slope_of):
    """`search` from 0 on a line, and the lengths that it tried."""
    tried = []

    def at(length):
        tried.append(length)
        there = np.array([length])
        return Trial(Point(there, Evaluation({}, function(length), there), there), slope_of(length))

    found = search(at, function(0.0), slope_of(0.0))
    return found and (found.point.evaluation.total, found.slope), tried


def parabola(minimum):
    return along(lambda t: (t - minimum) ** 2 / 2, lambda t: t - minimum)


def test_a_length_of_1_is_taken_where_it_is_low_and_flat_enough():
    found, tried = parabola(1.2)
    assert tried == [1.0] and found == pytest.approx((0.02, -0.2))


def test_too_long_a_step_becomes_that_to_the_parabolas_minimum():
    found, tried = parabola(0.3)
    assert tried == pytest.approx([1.0, 0.3]) and found == pytest.approx((0, 0))


def test_it_shrinks_to_no_less_than_a_tenth_at_once_and_to_no_more_than_a_half():
    assert parabola(0.01)[1] == pytest.approx([1.0, 0.1, 0.01])
    assert parabola(0.4999)[1] == pytest.approx([1.0, 0.4999])
    assert along(lambda t: -t if t < 0.3 else 1.0, lambda t: -1.0)[1] == pytest.approx([1.0, 0.25])
    assert along(lambda t: -t if t < 0.6 else -1e-5, lambda t: -1.0)[1] == pytest.approx([1.0, 0.5])


def test_too_short_a_step_is_doubled_until_it_is_flat_enough():
    found, tried = parabola(30.0)
    assert tried == [1.0, 2.0, 4.0]  # where the slope is 26 / 30, below 0.9
    assert found == (26**2 / 2, -26)


def test_where_a_longer_step_is_not_low_the_one_before_is_taken():
    found, tried = along(lambda t: -t if t < 3 else 5.0, lambda t: -1.0)
    assert tried == [1.0, 2.0, 4.0] and found == (-2.0, -1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_low(bad):
    found, tried = along(lambda t: -t if t < 0.05 else bad, lambda t: -1.0)
    assert tried == pytest.approx([1.0, 0.1, 0.01]) and found == pytest.approx((-0.01, -1.0))


def test_nothing_is_found_where_nothing_is_low():
    found, tried = along(lambda t: t, lambda t: -1.0)
    assert found is None and len(tried) == 20 and tried[-1] > 0


# The way down


def test_each_update_is_lower_and_reports_the_objective_and_draw_that_it_has():
    draws = []

    def evaluate(x, draw):
        draws.append(draw)
        return waves(x, draw)

    found = run(20, evaluate)
    totals = [iterate.evaluation.total for iterate in found]
    assert all(after < before for before, after in pairwise(totals))
    assert set(draws) == {1} == {iterate.draw for iterate in found}
    assert totals == [waves(iterate.x, 1).total for iterate in found]


def test_the_start_and_a_probe_are_evaluated_and_then_trials_of_which_the_last_is_the_iterate():
    points = []

    def evaluate(x, draw):
        points.append(x.copy())
        return waves(x, draw)

    found, ends = [], []
    config = TransferConfig(optimizer="memoryless-bfgs")
    minimise(
        evaluate,
        State(START),
        config,
        lambda iterate: ends.append(len(points)) or found.append(iterate) or len(found) == 6,
    )
    np.testing.assert_array_equal(points[0], START)
    np.testing.assert_array_equal(np.abs(points[1] - START), PROBE)
    for end, iterate in zip(ends, found, strict=True):
        np.testing.assert_array_equal(points[end - 1], iterate.x)
    assert len({point.tobytes() for point in points}) == len(points) == 2 + 6  # each first trial is taken here


def test_it_is_nearer_than_lbfgs_where_entries_curve_differently():
    mine, lbfgs = (run(8, optimizer=name)[-1].x for name in ("memoryless-bfgs", "lbfgs"))
    assert np.linalg.norm(mine - MINIMUM) < 0.1 * np.linalg.norm(lbfgs - MINIMUM)


def test_it_measures_as_it_goes():
    """The function becomes another, 50 times as curved on the left, after what the probe saw."""
    changed = np.where(np.arange(SHAPE[3]) < 16, 50, 1)

    def evaluate(x, draw):
        scale = changed if np.abs(x).max() > PROBE else 1
        difference = x.astype(np.float64) - MINIMUM
        total = float((scale * SMOOTH * difference**2).sum() / 2)
        return Evaluation({}, total, (scale * SMOOTH * difference).astype(np.float32))

    state = run(10, evaluate)[-1].state()
    h = Curvature(state.slots["steps"], state.slots["changes"]).estimate()
    ratio = h[..., 2:14] / (50 * SMOOTH)[..., 2:14]
    assert 0.6 < ratio.min() and ratio.max() < 1.5


@pytest.mark.parametrize("at", [1, 2, 7])
def test_going_on_from_any_state_gives_the_same_bits_and_measures_nothing_anew(at):
    whole, points = run(12, waves), []

    def evaluate(x, draw):
        points.append(x)
        return waves(x, draw)

    rest = run(12 - at, evaluate, run(at, waves)[-1].state())
    assert [iterate.iteration for iterate in rest] == list(range(at + 1, 13))
    for one, other in zip(whole[at:], rest, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
    np.testing.assert_array_equal(points[0], whole[at - 1].x)
    np.testing.assert_array_equal(points[1], whole[at].x)


def test_a_state_keeps_its_values_while_the_descent_goes_on():
    states, copies = [], []

    def on_iterate(iterate):
        states.append(iterate.state())
        copies.append({name: array.copy() for name, array in states[-1].slots.items()})
        return len(states) == 5

    minimise(quadratic, State(START), TransferConfig(optimizer="memoryless-bfgs"), on_iterate)
    for state, copy in zip(states, copies, strict=True):
        assert state.slots.keys() == copy.keys()
        for name, array in copy.items():
            np.testing.assert_array_equal(state.slots[name], array)


def test_it_goes_down_a_ridge_where_no_step_has_a_product_with_its_change():
    """-|x|^2 / 2 + |x|^4 / 1e6: at first the gradient grows along each step, so that BFGS can remember none."""

    def evaluate(x, draw):
        square = float((x.astype(np.float64) ** 2).sum())
        gradient = (-1 + 4 * square / 1e6) * x
        return Evaluation({}, -square / 2 + square**2 / 1e6, gradient.astype(np.float32))

    start = np.full(SHAPE, 0.001, np.float32)
    found = run(25, evaluate, State(start))
    assert "step" not in run(1, evaluate, State(start))[0].state().slots
    assert found[-1].evaluation.total == pytest.approx(-(1e6**2) / 4 / 4 / 1e6, rel=1e-3)  # at |x|^2 = 1e6 / 4


def test_it_ends_at_the_minimum_where_float32_has_no_lower_point():
    found = run(200, lambda x, draw: Evaluation({}, float((x.astype(np.float64) ** 2).sum() / 2), x), State(START + 5))
    assert len(found) < 200 and found[-1].change in (0.0, float("inf"))
    np.testing.assert_allclose(found[-1].x, 0, atol=1e-6)


def test_it_ends_by_itself_where_nothing_lower_is_to_be_had():
    def flat(x, draw):
        return Evaluation({}, 1.0, np.ones(SHAPE, np.float32))  # a gradient that the values do not follow

    (only,) = run(3, flat)
    assert (only.iteration, only.change, only.state()) == (1, 0.0, None)
    np.testing.assert_array_equal(only.x, START)


def test_it_takes_the_gradients_direction_where_bfgss_leads_nowhere():
    """The state says that the last step was a long one with hardly a change: BFGS's direction is far too long to be
    shortened enough."""
    state = run(2)[-1].state()
    step = state.slots["step"]
    spoilt = dataclasses.replace(state, slots={**state.slots, "step": 1e25 * step, "change": 1e-12 * step})
    (first,) = run(1, state=spoilt)
    assert first.evaluation.total < quadratic(state.x, 1).total


# In a transfer


def test_a_stopped_transfer_goes_on_with_the_same_bits_from_where_it_stopped(pictures, network, tmp_path):
    config = small_config(optimizer="memoryless-bfgs", stop_change=0.0, iterations=10)
    whole, path = transfer(*pictures, config, weights=network), tmp_path / "run.ckpt"
    for until in (3, 5):
        transfer(*pictures, dataclasses.replace(config, iterations=until), weights=network, checkpoint_path=path)
        state, _ = load(path)
        assert state.iteration == until and state.x.dtype == np.float32
    rest = transfer(*pictures, config, weights=network, checkpoint_path=path)
    np.testing.assert_array_equal(rest.image, whole.image)
    assert rest.record["final"] == whole.record["final"]
