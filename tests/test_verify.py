"""verify: a report that holds on a sound machine, and fails where a loss, a gradient or a balance is wrong."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import model_zoo
from model_zoo.vgg19 import parameter_shapes
from model_zoo.weights import Preprocessing, Weights
from neural_style_mmd import calibration, claims, costs, losses, verify
from neural_style_mmd.cli import cli


@pytest.fixture(scope="module")
def vgg_shaped():
    """He-scaled noise in VGG-19's shape: the claims are of algebra and hold for any network."""
    random = np.random.default_rng(0)
    parameters = {
        name: (random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]) if len(shape) > 1 else 0)).astype("f4")
        for name, shape in parameter_shapes("relu5_1").items()
    }
    return Weights(parameters, Preprocessing(), "unverified", "noise", "test")


@pytest.fixture(autouse=True)
def every_name_is_that_network(vgg_shaped, monkeypatch):
    monkeypatch.setattr(model_zoo, "load", lambda name, **options: vgg_shaped)


QUICK = tuple(check for check in verify.CHECKS if check.__name__ not in ("_complexity", "_sampling", "_threads"))


def lines(*names):
    return list(verify.verify(checks=[check for check in verify.CHECKS if check.__name__ in names]))


def failing(*names):
    return [line.claim for line in lines(*names) if line.verdict == "FAILS"]


def test_every_quick_line_holds_with_room(vgg_shaped):
    found = list(verify.verify(checks=QUICK))
    assert {line.verdict for line in found} == {"holds"}
    claims = " ".join(line.claim for line in found)
    for word in ("Eq. 1 = Eq. 2", "Cholesky", "Eq. 6 = Eq. 8 = Eq. 9", "relu5_1", "gradient of gaussian", "equal norms",
                 "same run twice"):  # fmt: skip
        assert word in claims
    for line in found:
        assert line.source and np.isfinite(line.measured)


@pytest.mark.slow
def test_the_whole_command_holds_and_times_are_only_reported():
    result = CliRunner().invoke(cli, ["verify", "--json"])
    assert result.exit_code == 0, result.stdout
    report = json.loads(result.stdout)
    assert report["failed"] == 0 and report["machine"]["cpu"]
    for line in report["lines"]:
        timing = line["claim"].startswith(("cost of", "its cost", "that of the estimate"))
        assert (line["verdict"] == "reported") == timing == (line["tolerance"] is None)


def test_the_command_prints_claim_source_measured_tolerance_verdict(monkeypatch):
    monkeypatch.setattr(verify, "CHECKS", [check for check in QUICK if check.__name__ == "_eq1_is_eq2"])
    result = CliRunner().invoke(cli, ["verify"])
    assert result.exit_code == 0
    first, *_, last = result.stdout.splitlines()
    assert first.startswith("Eq. 1 = Eq. 2") and first.endswith("holds") and "1e-10" in first
    assert last == "0 of 3 checks fail"


def test_a_failing_line_makes_exit_code_1(monkeypatch):
    def broken(network):
        yield verify.Line("too much", "nowhere", 2.0, 1.0)
        yield verify.Line("no number", "nowhere", float("nan"), 1.0)
        yield verify.Line("slow", "nowhere", 1e9)

    monkeypatch.setattr(verify, "CHECKS", [broken])
    result = CliRunner().invoke(cli, ["verify"])
    assert result.exit_code == 1
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["FAILS", "FAILS", "reported", "fail"]
    only_slow = [verify.Line("slow", "nowhere", 1e9)]
    monkeypatch.setattr(verify, "CHECKS", [lambda network: iter(only_slow)])
    assert CliRunner().invoke(cli, ["verify"]).exit_code == 0


def test_a_wrong_factor_in_the_gram_loss_is_found(monkeypatch):
    right = losses._gram_distance
    monkeypatch.setattr(losses, "_gram_distance", lambda *arguments: right(*arguments) * 1.001)
    found = failing("_gram_is_mmd", "_eq1_is_eq2", "_gradients")
    assert any("random features" in claim for claim in found) and any("relu3_1" in claim for claim in found)
    assert "gradient of gram is that of the equation" in found
    assert any("poly kernel" in claim for claim in found)
    assert not any("linear" in claim or "bn" in claim for claim in found)


def test_a_wrong_bandwidth_is_found(monkeypatch):
    right = losses._gaussian_distance

    def wrong(*arguments, bandwidth, **others):
        return right(*arguments, bandwidth=0.5, **others)

    monkeypatch.setattr(losses, "_gaussian_distance", wrong)
    assert failing("_gradients") == ["gradient of gaussian, sigma^2 held is that of the equation"]


def test_a_wrong_balance_is_found(monkeypatch):
    right = calibration._norm
    monkeypatch.setattr(calibration, "_norm", lambda g, what, *more: right(g, what, *more) * (1 + ("bn" in what)))
    assert failing("_balance") == ["bn: style and content gradients have equal norms"]


def test_a_biased_estimator_is_found(monkeypatch):
    monkeypatch.setattr(costs, "loss_seconds", lambda method, n, m: float(m))
    monkeypatch.setattr(costs, "full_estimate_seconds", lambda n, m: float(m) ** 2)
    found = lines("_sampling")
    assert {line.verdict for line in found} == {"holds", "reported"}
    assert [line.measured for line in found if line.verdict == "reported"] == pytest.approx([1.0, 2.0])
    right = claims.gaussian_unbiased
    biased = claims.gaussian_eq2  # with the pairs of a sample with itself
    assert biased(np.eye(5), np.ones((5, 4)), 1.0) != right(np.eye(5), np.ones((5, 4)), 1.0)
    monkeypatch.setattr(claims, "gaussian_unbiased", biased)
    assert len(failing("_sampling")) == 1


@pytest.mark.slow
def test_threads_are_compared_in_processes_of_their_own():
    found = lines("_threads")
    assert len(found) == 5 and all(line.verdict == "holds" for line in found)


def test_an_exponent_is_that_of_a_power():
    assert costs.exponent([10, 100, 1000], [3 * 10**1.5, 3 * 100**1.5, 3 * 1000**1.5]) == pytest.approx(1.5)
