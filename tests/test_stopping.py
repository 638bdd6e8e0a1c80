"""How a run ends: the paper's rule (relative change under 0.5 %, or 500 iterations) and a closed set of outcomes."""

import numpy as np
import pytest
from small_transfer import small_config

from neural_style_mmd import Outcome, transfer
from neural_style_mmd.config import OPTIMIZERS, TransferConfig
from neural_style_mmd.objective import Objective
from neural_style_mmd.stopping import StoppingRule


def paper():
    config = TransferConfig()
    return StoppingRule(config.stop_change, config.iterations, config.time_limit, config.stop_after)


def test_the_papers_numbers_are_the_default():
    assert paper() == StoppingRule(stop_change=0.005, iterations=500, time_limit=0.0, stop_after=10)


@pytest.mark.parametrize(
    ("iteration", "change", "seconds", "outcome"),
    [
        (11, 0.00499, 0, Outcome.SMALL_CHANGE),
        (11, 0.005, 0, None),  # "under 0.5 %"
        (10, 0.0, 0, None),  # momentum takes ten updates to build up
        (499, 0.1, 1e9, None),
        (500, 0.1, 0, Outcome.ITERATION_LIMIT),
        (500, 0.001, 0, Outcome.SMALL_CHANGE),
        (7, float("inf"), 0, None),
    ],
)
def test_the_rule(iteration, change, seconds, outcome):
    assert paper().outcome(iteration, change, seconds) is outcome


def test_a_time_limit_and_no_small_change_where_0():
    rule = StoppingRule(stop_change=0.0, iterations=10, time_limit=3.0)
    assert rule.outcome(1, 0.0, 2.9) is None
    assert rule.outcome(1, 0.0, 3.0) is Outcome.TIME_LIMIT


def test_the_set_is_closed_and_each_has_its_remedy_and_exit_code():
    codes = {outcome.value: outcome.exit_code for outcome in Outcome}
    assert codes == {"small_change": 0, "iteration_limit": 0, "time_limit": 0, "diverged": 3, "interrupted": 130}
    remedies = {outcome.remedy for outcome in Outcome}
    assert len(remedies) == 5 and all("\n" not in remedy for remedy in remedies)
    for name, option in (
        ("small_change", "--stop-change"),
        ("iteration_limit", "--iterations"),
        ("time_limit", "--time-limit"),
        ("diverged", "--learning-rate"),
        ("interrupted", "--checkpoint"),
    ):
        assert option in Outcome(name).remedy


# Each outcome through the public door

pytestmark = pytest.mark.usefixtures("small_network")


def run(pictures, on_iterate=None, **changes):
    return transfer(*pictures, small_config(**changes), on_iterate=on_iterate)


def check(result, outcome):
    assert result.outcome is outcome
    assert result.record["outcome"] == outcome.value
    assert result.record["iterations"] == len(result.record["trace"])


def test_small_change(pictures):
    result = run(pictures, stop_change=0.02, iterations=500)
    check(result, Outcome.SMALL_CHANGE)
    changes = [entry["change"] for entry in result.record["trace"]]
    assert changes[-1] < 0.02 and all(change >= 0.02 for change in changes[:-1]) and len(changes) > 3


def test_a_run_from_the_content_picture_does_not_end_with_its_first_short_steps(pictures):
    result = run(pictures, init="content", stop_change=0.005, iterations=12)
    assert result.record["iterations"] > 10


def test_change_is_relative_to_the_mean_subtracted_picture(pictures):
    """Recomputed from the pictures: rounding to uint8 allows a few percent."""
    frames = []
    result = run(pictures, lambda progress: frames.append(progress.image()), iterations=8, learning_rate=0.02)
    mean = np.array(result.record["weights"]["mean_rgb"])
    after, before = frames[7] - mean, frames[6] - mean
    expected = np.linalg.norm(after - before) / np.linalg.norm(after)
    assert result.record["trace"][7]["change"] == pytest.approx(expected, rel=0.1)


def test_iteration_limit(pictures):
    result = run(pictures, iterations=3)
    check(result, Outcome.ITERATION_LIMIT)
    assert result.record["iterations"] == 3


def test_time_limit(pictures):
    result = run(pictures, time_limit=1e-6, iterations=500)
    check(result, Outcome.TIME_LIMIT)
    assert result.record["iterations"] == 1


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs", "preconditioned-nag"])
def test_interrupted_keeps_the_last_whole_picture(optimizer, pictures):
    frames = []

    def on_iterate(progress):
        frames.append(progress.image())
        if progress.iteration == 3:
            raise KeyboardInterrupt

    result = run(pictures, on_iterate, iterations=500, optimizer=optimizer)
    check(result, Outcome.INTERRUPTED)
    assert result.record["iterations"] == 3
    np.testing.assert_array_equal(result.image, frames[-1])


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_nan_or_infinity_in_the_gradient_ends_as_diverged_with_the_last_good_picture(
    optimizer, poison, pictures, monkeypatch
):
    frames = []
    evaluate = Objective.evaluate

    def poisoned(self, x, weights, draw=0):
        evaluation = evaluate(self, x, weights, draw)
        if len(frames) == 4:
            evaluation.gradient[0, 1, 2, 3] = poison
        return evaluation

    monkeypatch.setattr(Objective, "evaluate", poisoned)
    result = run(pictures, lambda progress: frames.append(progress.image()), optimizer=optimizer, iterations=20)
    check(result, Outcome.DIVERGED)
    assert result.record["iterations"] == 4
    np.testing.assert_array_equal(result.image, frames[-1])


def test_a_learning_rate_far_too_large_is_seen_though_the_losses_of_nan_are_finite(pictures):
    result = run(pictures, learning_rate=1e36, iterations=50)
    check(result, Outcome.DIVERGED)
    assert result.record["iterations"] < 50
    assert result.image.shape == (24, 32, 3)


def test_a_picture_that_is_no_longer_finite_is_not_taken(pictures):
    """The first update leads beyond float32; the start is what is left."""
    seen = []
    result = run(pictures, seen.append, learning_rate=3e38, clip=0.0, iterations=5)
    check(result, Outcome.DIVERGED)
    assert (result.record["iterations"], seen) == (0, [])
    assert result.image.shape == (24, 32, 3)


def test_a_diverged_record_is_still_json(pictures):
    import json

    for rate in (1e10, 1e18, 1e36):
        result = run(pictures, learning_rate=rate, iterations=30, clip=0.0)
        json.dumps(result.record, allow_nan=False)
