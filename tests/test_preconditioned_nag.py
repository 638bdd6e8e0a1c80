"""--optimizer preconditioned-nag: the curvature that it measures, its schedule, and the way down.

Against the method's definition in float64 and quadratics whose curvature is known.
"""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import convolve
from small_transfer import small_config

from model_zoo.errors import InputError
from neural_style_mmd import TransferConfig, transfer
from neural_style_mmd.checkpoint import load
from neural_style_mmd.curvature import PROBE, Curvature, probe
from neural_style_mmd.evaluation import Evaluation
from neural_style_mmd.optimizers import State, minimise
from neural_style_mmd.preconditioned_nag import momentum, rate

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


def quartic(x, draw):
    """x^4 / 4 - x: not curved at START, ever more so further on."""
    wide = x.astype(np.float64)
    return Evaluation({}, float((wide**4 / 4 - wide).sum()), (wide**3 - 1).astype(np.float32))


def scaled_by(factor, evaluation):
    return Evaluation(evaluation.terms, factor * evaluation.total, np.float32(factor) * evaluation.gradient)


def run(steps, evaluate=quadratic, state=None, collect=None, **choices):
    """The first `steps` iterates, of the horizon that the presets have; `collect` gets the points of evaluation."""
    found = []

    def watched(x, draw):
        if collect is not None:
            collect.append(x.copy())
        return evaluate(x, draw)

    def on_iterate(iterate):
        found.append(iterate)
        return len(found) == steps

    config = TransferConfig(**{"optimizer": "preconditioned-nag"} | choices)
    minimise(watched, state or State(START), config, on_iterate)
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


# The schedule


def test_the_rate_rises_in_a_quarter_of_the_horizon_stays_and_falls_in_the_last_tenth():
    rates = [rate(step, 101) for step in range(101)]
    assert rates[0] == 0.5 and rates[25:91] == [1.0] * 66
    assert rates[10] == pytest.approx(0.7) and rates[95] == pytest.approx(0.51)
    assert rates[-1] == rate(101, 101) == rate(500, 101) == 0.02
    assert all(0.02 <= rate(step, horizon) <= 1 for horizon in (1, 2, 3) for step in range(5))


def test_the_momentum_is_nesterovs_up_to_0_95_and_falls_to_0_8_with_the_rate():
    assert [momentum(step, 101) for step in (0, 1, 3, 27)] == [0, 1 / 4, 1 / 2, 27 / 30]
    assert momentum(57, 101) == pytest.approx(0.95) and momentum(58, 101) == momentum(90, 101) == 0.95
    assert momentum(95, 101) == pytest.approx(0.875) and momentum(100, 101) == momentum(10**6, 101) == 0.8


# The way down


@pytest.mark.parametrize(("function", "shortened"), [(waves, False), (quartic, True)])
def test_the_steps_are_nesterovs_in_units_of_the_curvature_that_was_measured(function, shortened):
    """Written out in float64 from the definition, Curvature's estimate alone taken from the package."""
    gradient, total = (lambda x: function(x, 1).gradient), (lambda x: function(x, 1).total)
    probed, measured = Curvature.unknown(SHAPE), Curvature.unknown(SHAPE)
    probed.add(probe(SHAPE, 0), gradient(probe(SHAPE, 0)) - gradient(START))
    last, x, velocity, totals, lengths = START, START.astype(np.float64), 0.0, [total(START)], []
    for step, iterate in enumerate(run(9, function, horizon=10)):
        h = (probed if step == 0 else measured).estimate()
        r = np.interp(step, [0, 9 / 4, 9 * 0.9, 9], [0.5, 1, 1, 0.02])
        m = min(step / (step + 3), np.interp(step, [0, 9 * 0.9, 9], [0.95, 0.95, 0.8]))
        u = -r * gradient(x) / h
        velocity, length = m * velocity + u, 1.0
        while total(x + length * (m * velocity + u)) > max(totals[-10:]):
            length /= 4
        x, velocity = x + length * (m * velocity + u), length * velocity
        np.testing.assert_allclose(iterate.x, x, rtol=1e-4, atol=1e-3)
        totals.append(total(x))
        lengths.append(length)
        measured.add(iterate.x - last, gradient(iterate.x) - gradient(last))
        last = iterate.x
    assert (min(lengths) < 1) == shortened


def test_it_reports_the_objective_and_draw_that_each_update_has():
    draws = []

    def evaluate(x, draw):
        draws.append(draw)
        return waves(x, draw)

    found = run(20, evaluate, horizon=20)
    assert set(draws) == {1} == {iterate.draw for iterate in found}
    assert [iterate.evaluation.total for iterate in found] == [waves(iterate.x, 1).total for iterate in found]
    assert [iterate.iteration for iterate in found] == list(range(1, 21))


def test_the_start_and_a_probe_are_evaluated_and_then_each_iterate_once():
    found = run(6, waves, collect=(points := []))
    np.testing.assert_array_equal(points[0], START)
    np.testing.assert_array_equal(np.abs(points[1] - START), PROBE)
    assert len(points) == 2 + 6
    for point, iterate in zip(points[2:], found, strict=True):
        np.testing.assert_array_equal(point, iterate.x)


def test_it_is_nearer_than_lbfgs_and_nag_where_entries_curve_differently():
    mine, *others = (
        np.linalg.norm(run(20, optimizer=name, horizon=20, **choices)[-1].x - MINIMUM)
        for name, choices in (
            ("preconditioned-nag", {}),
            ("lbfgs", {}),
            ("nag", {"learning_rate": 0.1, "weight_decay": 0.0}),  # 0.25, 4 / 3 over 6, is its limit
        )
    )
    assert mine < 0.2 * min(others)


def test_the_objectives_scale_changes_nothing():
    """Gradient and curvature grow alike; a power of 2 rounds nothing."""
    plain = run(30, waves)[-1]
    scaled = run(30, lambda x, draw: scaled_by(2.0**20, waves(x, draw)))[-1]
    np.testing.assert_array_equal(scaled.x, plain.x)


def test_it_measures_as_it_goes():
    """The function becomes another, lower and 50 times as curved on the left, after what the probe saw."""
    changed = np.where(np.arange(SHAPE[3]) < 16, 50, 1)

    def evaluate(x, draw):
        there = np.abs(x).max() > PROBE
        scale, difference = changed if there else 1, x.astype(np.float64) - MINIMUM
        total = float((scale * SMOOTH * difference**2).sum() / 2) - 1e9 * there
        return Evaluation({}, total, (scale * SMOOTH * difference).astype(np.float32))

    state = run(10, evaluate)[-1].state()
    h = Curvature(state.slots["steps"], state.slots["changes"]).estimate()
    ratio = h[..., 2:14] / (50 * SMOOTH)[..., 2:14]
    assert 0.6 < ratio.min() and ratio.max() < 1.5


@pytest.mark.parametrize("at", [1, 2, 7])
def test_going_on_from_any_state_gives_the_same_bits_and_measures_nothing_anew(at):
    whole = run(12, waves)
    rest = run(12 - at, waves, run(at, waves)[-1].state(), collect=(points := []))
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

    minimise(quadratic, State(START), TransferConfig(optimizer="preconditioned-nag"), on_iterate)
    for state, copy in zip(states, copies, strict=True):
        assert state.slots.keys() == copy.keys()
        for name, array in copy.items():
            np.testing.assert_array_equal(state.slots[name], array)


def test_a_step_to_above_the_last_ten_objectives_is_shortened():
    found = run(40, quartic, collect=(points := []), horizon=40)
    moved = [iterate for iterate in found if iterate.change > 0]
    totals = [quartic(START, 1).total, *(iterate.evaluation.total for iterate in moved)]
    assert all(total <= max(totals[max(at - 9, 0) : at + 1]) for at, total in enumerate(totals[1:]))
    rejected = len(points) - 2 - len(moved)
    assert 1 <= rejected < 10
    np.testing.assert_allclose(found[-1].x, 1, atol=1e-3)  # the minimum


def test_it_is_the_last_ten_that_count():
    heights = [100.0, 0.0] + [60.0] * 21  # of the start, the probe and the trials
    heights[1 + 5], heights[1 + 14] = 80.0, 70.0  # the 14th is below the 5th
    heights[1 + 16] = 75.0  # above all since the 6th
    left = iter(heights)
    found = run(20, lambda x, draw: Evaluation({}, next(left), waves(x, draw).gradient), collect=(points := []))
    assert len(points) == 2 + 20 + 1
    np.testing.assert_array_equal(points[1 + 15], found[14].x)
    np.testing.assert_array_equal(points[1 + 17], found[15].x)


def test_an_objective_may_rise_within_those_and_a_state_has_them():
    found = run(30, waves, collect=(points := []), horizon=100)
    totals = [iterate.evaluation.total for iterate in found]
    assert any(after > before for before, after in pairwise(totals)) and len(points) == 2 + 30
    np.testing.assert_array_equal(found[-1].state().slots["totals"], totals[-20:])


def test_a_velocity_that_leads_upwards_is_forgotten():
    """The state says that the picture is as high as any before it, and moves along the gradient."""
    state = run(12)[-1].state()
    here = quadratic(state.x, 1)
    upwards = {"velocity": 100 * here.gradient, "totals": np.array([here.total])}
    spoilt = dataclasses.replace(state, slots={**state.slots, **upwards})
    (first,) = run(1, state=spoilt)
    assert first.iteration == 13 and first.change > 0 and first.evaluation.total < here.total


def test_it_ends_by_itself_where_nothing_low_is_to_be_had():
    values = iter(range(100))
    (only,) = run(3, lambda x, draw: Evaluation({}, float(next(values)), np.ones(SHAPE, np.float32)))
    assert (only.iteration, only.change, only.state()) == (1, 0.0, None)
    np.testing.assert_array_equal(only.x, START)
    assert next(values) == 2 + 20


def test_it_ends_at_the_minimum_where_a_step_is_too_short_for_float32():
    found = run(3000, state=State(START), horizon=40)
    assert len(found) < 3000 and found[-1].change == 0.0 and found[-1].state() is None
    np.testing.assert_allclose(found[-1].x, MINIMUM, atol=1e-3)


def test_it_ends_at_once_where_the_gradient_is_0():
    (only,) = run(3, lambda x, draw: Evaluation({}, 1.0, np.zeros(SHAPE, np.float32)))
    assert (only.iteration, only.change, only.state()) == (1, 0.0, None)
    np.testing.assert_array_equal(only.x, START)


# Draws: a method that has them keeps one in the first third of the horizon


def drawn(x, draw):
    """The quadratic, whose minimum another draw moves by about 3 in each entry."""
    return quadratic(x - np.random.default_rng(draw).normal(0, 3, SHAPE).astype(np.float32), draw)


def above_all_before(x, draw):
    """What every new draw does to the total, not the step."""
    plain = waves(x, draw)
    return Evaluation(plain.terms, plain.total + 1e6 * draw, plain.gradient)


@pytest.mark.parametrize("methods", [("gaussian",), ("bn", "gaussian")])
def test_each_iterate_after_a_third_of_the_horizon_has_a_draw_of_its_own(methods):
    draws = []

    def evaluate(x, draw):
        draws.append(draw)
        return drawn(x, draw)

    found = run(12, evaluate, method=methods, horizon=12)
    assert [iterate.draw for iterate in found] == [1] * 4 + [5, 6, 7, 8, 9, 10, 11, 12]
    assert [iterate.evaluation.total for iterate in found] == [drawn(each.x, each.draw).total for each in found]
    assert draws[:6] == [1] * 6 and set(draws) == {1, *range(5, 13)}  # the start and the probe, too


def test_what_another_draw_changes_counts_as_curvature():
    def estimate(evaluate):
        slots = run(24, evaluate, method=("gaussian",), horizon=24)[-1].state().slots
        return Curvature(slots["steps"], slots["changes"]).estimate()

    with_draws, with_one = estimate(drawn), estimate(lambda x, draw: drawn(x, 1))
    assert 0.8 < np.median(with_one / SMOOTH) < 1.25
    assert np.median(with_draws / with_one) > 3


def test_what_is_above_the_last_twenty_objectives_by_its_own_draw_is_shortened_once_and_counts():
    found = run(12, above_all_before, collect=(points := []), method=("gaussian",), horizon=12)
    assert [iterate.iteration for iterate in found] == list(range(1, 13)) and found[-1].change > 0
    tried = points[6:]  # the start, a probe and the first four are before; the draws 5 to 12 each twice
    assert len(tried) == 2 * 8
    before = found[3].x
    for iterate, first, second in zip(found[4:], tried[::2], tried[1::2], strict=True):
        np.testing.assert_array_equal(iterate.x, second)
        np.testing.assert_allclose(second - before, (first - before) / 4, atol=1e-4)
        before = iterate.x


def test_an_objective_by_its_own_draw_may_be_as_high_as_the_highest_of_the_last_twenty():
    heights = [100.0] * 21 + [60.0] * 40  # of draw 1, and of the iterates' own
    heights[30], heights[45] = 80.0, 70.0  # below the start's draw, and below iterate 30
    heights[55] = 75.0  # above all since iterate 35
    found = run(
        60,
        lambda x, draw: Evaluation({}, heights[draw], waves(x, draw).gradient),
        collect=(points := []),
        method=("gaussian",),
        horizon=60,
    )
    assert len(points) == 2 + 60 + 1
    for at, iterate in zip([*range(54), *range(55, 61)], found, strict=True):
        np.testing.assert_array_equal(points[2 + at], iterate.x)


@pytest.mark.parametrize("at", [3, 4, 5, 9])
def test_going_on_gives_the_same_bits_with_draws_too(at):
    choices = {"method": ("gaussian",), "horizon": 12}
    whole = run(12, drawn, **choices)
    rest = run(12 - at, drawn, run(at, drawn, **choices)[-1].state(), **choices)
    for one, other in zip(whole[at:], rest, strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        assert one.draw == other.draw and one.evaluation.total == other.evaluation.total


# In a transfer


@pytest.mark.parametrize("method", ["linear", "gaussian"])
def test_a_stopped_transfer_goes_on_with_the_same_bits_from_where_it_stopped(method, pictures, network, tmp_path):
    config = small_config(method=(method,), optimizer="preconditioned-nag", stop_change=0.0, iterations=10)
    whole, path = transfer(*pictures, config, weights=network), tmp_path / "run.ckpt"
    for until in (3, 5):
        part = dataclasses.replace(config, iterations=until, horizon=10)
        transfer(*pictures, part, weights=network, checkpoint_path=path)
        state, _ = load(path)
        assert state.iteration == until and state.x.dtype == np.float32
    rest = transfer(*pictures, config, weights=network, checkpoint_path=path)
    np.testing.assert_array_equal(rest.image, whole.image)
    assert rest.record["final"] == whole.record["final"]


def test_a_checkpoint_with_another_horizon_is_refused_but_for_an_optimizer_without_one(pictures, network, tmp_path):
    path = tmp_path / "run.ckpt"
    choices = {"optimizer": "preconditioned-nag", "stop_change": 0.0}
    transfer(*pictures, small_config(**choices, iterations=3), weights=network, checkpoint_path=path)
    with pytest.raises(InputError, match=r"of another run: its horizon differs \(3, now 4\); give --horizon 3"):
        transfer(*pictures, small_config(**choices, iterations=4), weights=network, checkpoint_path=path)
    path.unlink()
    for iterations in (3, 4):
        config = small_config(iterations=iterations, horizon=iterations)
        transfer(*pictures, config, weights=network, checkpoint_path=path)
