"""Precision bf16: refused where the CPU cannot, float32 in the last tenth, the same bits after an interruption, and a
result near that of float32."""

import json

import numpy as np
import pytest
from bf16_cpu import needs_bf16
from click.testing import CliRunner
from small_transfer import small_config

from model_zoo.errors import InputError
from neural_style_mmd import Outcome, TransferConfig, precision, processor, transfer
from neural_style_mmd.cli import cli
from neural_style_mmd.config import METHODS
from neural_style_mmd.network_plan import NetworkPlan
from neural_style_mmd.setting import prepare

pytestmark = pytest.mark.usefixtures("small_network")


def run(pictures, path=None, until=None, **changes):
    """A transfer in bf16, unless `changes` say otherwise, interrupted after the iteration `until`."""

    def on_iterate(progress):
        if progress.iteration == until:
            raise KeyboardInterrupt

    config = small_config(**({"precision": "bf16"} | changes))
    return transfer(*pictures, config, checkpoint_path=path, on_iterate=on_iterate)


def precisions(result):
    return [entry.get("precision") for entry in result.record["trace"]]


def split(low, whole):
    return ["bf16"] * low + ["float32"] * whole


# Refused


@pytest.mark.parametrize("flags", ["flags\t\t: fpu avx2 avx512f avx512_vnni", "Features : fp asimd bf16", ""])
def test_it_is_refused_where_the_cpu_has_no_products_of_bfloat16(flags, pictures, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(processor.Path, "read_text", lambda path: f"processor\t: 0\n{flags}\n")
        patch.setattr(processor.sys, "platform", "linux")
        with pytest.raises(InputError, match=r"^precision is bf16, but no avx512_bf16 or amx_bf16 .*; use float32$"):
            run(pictures)
        monkeypatch.setattr(precision, "instructions", list)
    assert run(pictures, precision="float32", iterations=1).record["iterations"] == 1


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16"])
def test_either_instruction_is_enough(flag, monkeypatch):
    monkeypatch.setattr(processor.Path, "read_text", lambda path: f"flags\t\t: fpu {flag} avx2\nflags : fpu\n")
    monkeypatch.setattr(processor.sys, "platform", "linux")
    precision.require_precision(TransferConfig(precision="bf16"), "cpu")


def test_it_is_refused_on_other_systems_and_devices(monkeypatch):
    config = TransferConfig(precision="bf16")
    with pytest.raises(InputError, match="device is gpu:1"):
        precision.require_precision(config, "gpu:1")
    monkeypatch.setattr(processor.sys, "platform", "darwin")
    with pytest.raises(InputError, match="use float32"):
        precision.require_precision(config, "cpu")


def test_the_command_line_refuses_in_one_line(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "instructions", list)
    words = ["transfer", *map(str, pictures), "-o", str(tmp_path / "x.png"), "--precision", "bf16"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1 and "avx512_bf16" in result.stderr


def test_other_names_are_refused():
    with pytest.raises(InputError, match="unknown precision 'float16'; known are float32, bf16"):
        TransferConfig(precision="float16")


# Which iterations are in which precision


def test_float32_is_the_default_and_says_so(pictures):
    assert TransferConfig().precision == TransferConfig(preset="release").precision == "float32"
    result = run(pictures, precision="float32")
    assert precisions(result) == [None] * 6 and result.record["config"]["precision"] == "float32"


def plan(config, changes):
    """The precision of each iteration, where `changes[i]` is the relative change of iteration i + 1, and the end."""
    trace = []
    for each in precision.precisions_left(config, trace):
        rule = precision.rule(each, config, trace)
        outcome = None
        while outcome is None:
            change = changes[len(trace)]
            trace.append({"iteration": len(trace) + 1, "precision": each, "change": change, "seconds": 0.0})
            outcome = rule.outcome(len(trace), change, 0.0)
        if not precision.continues(each, outcome):
            break
    return [entry["precision"] for entry in trace], outcome


@pytest.mark.parametrize(("iterations", "low"), [(500, 450), (100, 90), (101, 90), (11, 9), (10, 9), (2, 1), (1, 0)])
def test_the_last_tenth_is_float32(iterations, low):
    config = TransferConfig(precision="bf16", iterations=iterations)
    assert plan(config, [1.0] * iterations) == (split(low, iterations - low), Outcome.ITERATION_LIMIT)


def test_a_small_change_in_bf16_brings_the_finish_and_one_in_it_waits_for_its_tenth():
    config = TransferConfig(precision="bf16", stop_change=0.1, stop_after=0)
    assert plan(config, [1.0] * 44 + [0.0] * 456) == (split(45, 5), Outcome.SMALL_CHANGE)
    assert plan(config, [1.0] * 44 + [0.0] + [1.0] * 20 + [0.0]) == (split(45, 21), Outcome.SMALL_CHANGE)
    assert plan(config, [1.0] * 450 + [0.0] * 50) == (split(450, 50), Outcome.SMALL_CHANGE)
    assert plan(config, [1.0] * 300 + [0.0] + [1.0] * 199) == (split(301, 199), Outcome.ITERATION_LIMIT)


def test_the_paper_s_rule_is_unchanged_in_float32():
    config = TransferConfig(stop_change=0.1, stop_after=3)
    assert plan(config, [0.0] * 500) == (["float32"] * 4, Outcome.SMALL_CHANGE)


def test_the_time_limit_ends_the_run_in_either_precision():
    config = TransferConfig(precision="bf16", time_limit=5.0)
    assert precision.rule("bf16", config, []).outcome(3, 1.0, 6.0) is Outcome.TIME_LIMIT
    assert not precision.continues("bf16", Outcome.TIME_LIMIT)
    assert precision.rule("float32", config, []).outcome(3, 1.0, 6.0) is Outcome.TIME_LIMIT


@needs_bf16
def test_the_record_says_what_each_iteration_had(pictures):
    result = run(pictures, iterations=11)
    assert precisions(result) == split(9, 2)
    assert result.record["config"]["precision"] == "bf16" and result.record["overrides"]["precision"] == "bf16"
    assert result.outcome is Outcome.ITERATION_LIMIT and json.dumps(result.record)


@needs_bf16
def test_a_small_change_gets_its_finish(pictures):
    result = run(pictures, iterations=100, stop_change=1e9, stop_after=8)
    assert precisions(result) == split(9, 1) and result.outcome is Outcome.SMALL_CHANGE


@needs_bf16
def test_the_objective_is_calibrated_and_reported_in_float32(pictures):
    """The same balance as in float32, and a final objective that float32 gives at the picture."""
    low, whole = run(pictures, iterations=2, init="content"), run(pictures, iterations=2, precision="float32")
    assert low.record["balance"]["beta_prime"] == whole.record["balance"]["beta_prime"]
    assert low.record["balance"]["term_weights"] == whole.record["balance"]["term_weights"]
    again = transfer(*pictures, small_config(iterations=1, init="content", precision="float32"))
    assert run(pictures, iterations=1, init="content").record["final"] == again.record["final"]  # all of it the finish


# Resumed


@needs_bf16
@pytest.mark.parametrize(
    ("optimizer", "at"),
    [
        *((optimizer, at) for optimizer in ("sgd", "preconditioned-nag") for at in (9, 10, 11)),
        ("adam", 10),
        ("lbfgs", 7),
        ("lbfgs", 26),
    ],
)
def test_an_interrupted_run_goes_on_with_the_same_bits_across_the_switch(optimizer, at, pictures, tmp_path):
    """The switch is after 10, for L-BFGS after 27; that goes on from iteration 0 or 25."""
    choices = {"optimizer": optimizer, "method": ("gaussian", "bn"), "iterations": 30 if optimizer == "lbfgs" else 12}
    choices["decay_every"] = 3
    whole, path = run(pictures, **choices), tmp_path / "run.checkpoint"
    assert run(pictures, path, until=at, **choices).record["iterations"] == at
    rest = run(pictures, path, **choices)
    np.testing.assert_array_equal(rest.image, whole.image)
    for mine, theirs in zip(rest.record["trace"], whole.record["trace"], strict=True):
        assert mine | {"seconds": 0} == theirs | {"seconds": 0}
    assert rest.record["final"] == whole.record["final"] and rest.outcome is whole.outcome
    again = run(pictures, path, **choices)  # it has ended
    np.testing.assert_array_equal(again.image, whole.image)
    assert again.record["iterations"] == whole.record["iterations"]


@needs_bf16
def test_a_checkpoint_of_the_other_precision_is_refused(pictures, tmp_path):
    run(pictures, tmp_path / "c", until=2)
    with pytest.raises(InputError, match="its precision differs"):
        run(pictures, tmp_path / "c", precision="float32")


# Accuracy


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("method", [*((each,) for each in METHODS), ("bn", "gaussian")])
def test_but_for_rounding_its_graph_is_that_of_float32(method, kept, pictures, network, monkeypatch):
    """On any CPU: with float32 in the place of bfloat16 terms and gradient are those of float32, for small pictures and
    for large ones, of which less is kept for the backward pass."""
    monkeypatch.setattr("neural_style_mmd.network._BFLOAT16", np.float32)
    monkeypatch.setattr(
        "neural_style_mmd.objective.network_plan", lambda *_: NetworkPlan(None if kept else "pool1", None)
    )
    setting = prepare(*pictures, small_config(method=method), weights=network)
    heads, x = setting.measure_balance().term_weights, setting.point
    whole = setting.objective.evaluate(x, heads)
    setting.objective.use("bf16")
    low = setting.objective.evaluate(x, heads)
    assert low.terms == pytest.approx(whole.terms, rel=1e-5)
    np.testing.assert_allclose(low.gradient, whole.gradient, atol=1e-5 * np.abs(whole.gradient).max())


@needs_bf16
@pytest.mark.parametrize("method", METHODS)
def test_terms_and_gradient_are_near_those_of_float32(method, pictures, network):
    """Rounding to 8 bits is an error of 2^-9 in each feature: far less in their means, more in the gradient."""
    objective = prepare(*pictures, small_config(method=(method,)), weights=network).objective
    setting = prepare(*pictures, small_config(method=(method,)), weights=network)
    heads, x = setting.measure_balance().term_weights, setting.point
    before = objective.evaluate(x, heads)
    objective.use("bf16")
    low = objective.evaluate(x, heads)
    objective.use("float32")
    after = objective.evaluate(x, heads)
    assert after.terms == before.terms and (after.gradient == before.gradient).all()
    assert low.terms != before.terms and low.gradient.dtype == np.float32  # it is another arithmetic
    for name, value in before.terms.items():
        assert low.terms[name] == pytest.approx(value, rel=0.02), name
    error = np.linalg.norm(low.gradient - before.gradient) / np.linalg.norm(before.gradient)
    assert 1e-5 < error < 0.1


@needs_bf16
@pytest.mark.parametrize("method", METHODS)
def test_the_final_objective_is_within_two_percent_of_float32(method, pictures):
    choices = {"method": (method,), "iterations": 40}
    low, whole = run(pictures, **choices), run(pictures, precision="float32", **choices)
    assert precisions(low) == split(36, 4)
    assert low.record["final"]["total"] == pytest.approx(whole.record["final"]["total"], rel=0.02)
    assert whole.record["final"]["total"] < 0.75 * whole.record["trace"][0]["total"]  # there was something to reach
