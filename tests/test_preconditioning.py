"""--preconditioner diagonal: each entry of the picture has a unit, the shorter the more the gradient changes there.

L-BFGS on quadratics whose curvature is known, against what the unit is by definition.
"""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from small_transfer import small_config

from model_zoo.errors import InputError
from neural_style_mmd import TransferConfig, transfer
from neural_style_mmd.evaluation import Evaluation
from neural_style_mmd.optimizers import State, minimise
from neural_style_mmd.preconditioning import PROBE, Curvature, probe

SHAPE = (1, 3, 24, 32)
ROW = np.linspace(0, 1, SHAPE[3])
SMOOTH = np.broadcast_to(0.2 * 30**ROW, SHAPE).copy()  # from 0.2 on the left to 6 on the right, a tenth between two
MINIMUM = np.random.default_rng(0).normal(0, 30, SHAPE)
START = np.zeros(SHAPE, np.float32)
INNER = np.s_[:, :, 4:-4, 4:-4]  # where the blur does not meet the border


def quadratic(x, draw):
    difference = x.astype(np.float64) - MINIMUM
    total = float((SMOOTH * difference**2).sum() / 2)
    return Evaluation({"all": total}, total, (SMOOTH * difference).astype(np.float32))


def run(steps, evaluate=quadratic, state=None, states=None, **choices):
    """The first iterates of L-BFGS with the preconditioner, unless it is said otherwise; `states` gets {iteration: its
    state}."""
    found = []

    def on_iterate(iterate):
        found.append(iterate)
        if states is not None:
            states[iterate.iteration] = iterate.state()
        return len(found) == steps

    config = TransferConfig(**{"optimizer": "lbfgs", "preconditioner": "diagonal"} | choices)
    minimise(evaluate, state or State(START), config, on_iterate)
    return found


def measured():
    curvature, step = Curvature(SHAPE), probe(SHAPE, 0)
    curvature.add(step, SMOOTH * step)
    return curvature.estimate()


# What is measured


def test_the_estimate_is_the_curvature_of_a_quadratic_whose_entries_stand_alone():
    np.testing.assert_allclose(measured()[INNER], SMOOTH[INNER], rtol=0.03)


def test_it_is_the_same_from_steps_of_any_length_and_from_several():
    curvature = Curvature(SHAPE)
    for seed, length in ((1, 0.01), (2, 1.0), (3, 50.0)):
        step = length * np.random.default_rng(seed).normal(size=SHAPE)
        curvature.add(step, SMOOTH * step)
    np.testing.assert_allclose(curvature.estimate()[INNER], SMOOTH[INNER], rtol=0.1)


def test_a_step_that_is_longer_counts_no_more():
    """Two steps of which the longer met another function: its share in the mean square is a half, not all of it."""
    step, curvature = probe(SHAPE, 0), Curvature(SHAPE)
    curvature.add(step, 1.0 * step)
    curvature.add(100 * step, 3.0 * 100 * step)
    np.testing.assert_allclose(curvature.estimate(), np.sqrt((1 + 9) / 2), rtol=1e-6)


def test_an_entry_that_nothing_moves_keeps_a_bound_and_a_flat_function_gives_1():
    step, hole = probe(SHAPE, 0), np.ones(SHAPE)
    hole[..., :10] = 0
    curvature, flat = Curvature(SHAPE), Curvature(SHAPE)
    curvature.add(step, hole * step)
    flat.add(step, 0 * step)
    estimate = curvature.estimate()
    assert estimate[..., 0] == pytest.approx(0.01) and estimate[..., -1] == pytest.approx(1.0)
    assert np.all(flat.estimate() == 1) and np.all(Curvature(SHAPE).estimate() == 1)


def test_the_probe_is_plus_or_minus_three_grey_levels_and_seeded():
    np.testing.assert_array_equal(np.abs(probe(SHAPE, 0)), PROBE)
    np.testing.assert_array_equal(probe(SHAPE, 7), probe(SHAPE, 7))
    assert 0.4 < (probe(SHAPE, 0) > 0).mean() < 0.6
    assert (probe(SHAPE, 0) != probe(SHAPE, 1)).any()


# What an optimizer does with it


def test_a_unit_is_one_over_the_root_of_the_curvature_with_a_geometric_mean_of_1():
    curvature, step = Curvature(SHAPE), probe(SHAPE, 0)
    curvature.add(step, SMOOTH * step)
    unit = curvature.unit()
    h = np.sqrt(gaussian_filter(SMOOTH**2, (0, 0, 0.7, 0.7)))  # a probe shows it without error here
    np.testing.assert_allclose(unit, np.exp(np.log(h).mean() / 2) / np.sqrt(h), rtol=1e-6)
    assert np.log(unit).mean() == pytest.approx(0.0, abs=1e-12)


def test_it_is_nearer_after_as_many_iterations():
    with_it, without = (run(8, preconditioner=each)[-1].x for each in ("diagonal", "none"))
    assert np.linalg.norm(with_it - MINIMUM) < 0.3 * np.linalg.norm(without - MINIMUM)


@pytest.mark.parametrize("optimizer", ["sgd", "nag", "adam"])
def test_the_other_optimizers_leave_it_out(optimizer):
    one, other = (run(5, optimizer=optimizer, preconditioner=each) for each in ("none", "diagonal"))
    np.testing.assert_array_equal(one[-1].x, other[-1].x)


def test_it_is_measured_by_two_evaluations_at_the_start_on_its_draw():
    draws = {"none": [], "diagonal": []}
    for each, seen in draws.items():

        def evaluate(x, draw, seen=seen):
            seen.append((draw, x.copy()))
            return quadratic(x, draw)

        run(1, evaluate, preconditioner=each)
    (first, away), (second, start) = draws["diagonal"][:2]
    assert first == second == 1
    np.testing.assert_array_equal(start, START)
    np.testing.assert_array_equal(np.abs(away - START), PROBE)
    np.testing.assert_array_equal(draws["none"][0][1], START)


def test_lbfgs_does_not_evaluate_again_where_a_stretch_ended():
    points = []

    def evaluate(x, draw):
        points.append(x.tobytes())
        return quadratic(x, draw)

    run(12, evaluate, lbfgs_restart=4)
    assert len(points) == len(set(points))


def test_lbfgs_measures_anew_from_the_steps_of_each_stretch():
    states = {}
    run(6, lbfgs_restart=3, states=states)
    units = [state.slots["unit"] for state in states.values() if state is not None]
    assert len(units) == 2 and all(unit.shape == SHAPE for unit in units)
    assert (units[0] != units[1]).any()
    left, right = (units[-1][..., 4:-4, part].mean() for part in (slice(4, 8), slice(-8, -4)))
    assert left > 2.5 * right  # by definition sqrt(30^(20 / 31)) = 3


def test_going_on_from_a_state_gives_the_same_bits():
    """The unit is kept, not measured again at another picture."""
    at = 6

    def waves(x, draw):
        plain, phase = quadratic(x, draw), x.astype(np.float64) / 7
        return Evaluation(
            plain.terms,
            plain.total + float(40 * np.sin(phase).sum()),
            plain.gradient + (40 / 7 * np.cos(phase)).astype(np.float32),
        )

    states = {}
    whole = run(12, waves, states=states, lbfgs_restart=3)
    rest = run(12 - at, waves, states[at], lbfgs_restart=3)
    for one, other in zip(whole[at:], rest, strict=True):
        np.testing.assert_array_equal(one.x, other.x)


# In a transfer


def test_a_killed_transfer_goes_on_with_the_same_bits(pictures, network, tmp_path):
    choices = {"optimizer": "lbfgs", "preconditioner": "diagonal", "lbfgs_restart": 4, "stop_change": 0.0}
    config = small_config(**choices, iterations=10)
    whole = transfer(*pictures, config, weights=network)
    path = tmp_path / "run.ckpt"
    transfer(*pictures, dataclasses.replace(config, iterations=4), weights=network, checkpoint_path=path)
    lines = []
    rest = transfer(*pictures, config, weights=network, checkpoint_path=path, notify=lines.append)
    assert any("going on from iteration 4" in line for line in lines)
    np.testing.assert_array_equal(rest.image, whole.image)
    assert rest.record["final"]["total"] == whole.record["final"]["total"]


def test_another_name_is_refused():
    with pytest.raises(InputError, match="unknown preconditioner 'full'; known are none, diagonal"):
        TransferConfig(preconditioner="full")
