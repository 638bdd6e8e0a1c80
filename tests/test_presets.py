"""Presets: every setting is a value with a source, any of them can be overridden, and the record says what was."""

import json
from dataclasses import fields

import numpy as np
import pytest
from click.testing import CliRunner
from small_transfer import LAYERS as SMALL_LAYERS
from small_transfer import small_config

from model_zoo.errors import InputError
from neural_style_mmd import TransferConfig, calibrate, discrepancy, transfer
from neural_style_mmd.cli import cli
from neural_style_mmd.denoising import denoise_pixels
from neural_style_mmd.images import deprocess, preprocess, read_picture, resize, resize_to
from neural_style_mmd.losses import total_variation
from neural_style_mmd.presets import PRESETS, RELEASE_BETA_PRIME
from neural_style_mmd.stylization import prepare

SETTINGS = [item.name for item in fields(TransferConfig) if item.name != "preset"]

PAPER = {  # section 4, and Eq. 4
    "alpha": 1.0,
    "content_factor": 0.5,
    "layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "layer_weights": (),
    "content_layer": "relu4_2",
    "bandwidth": 1.0,
    "layer_scale": "paper",
    "balance": "measured",
    "iterations": 500,
    "stop_change": 0.005,
    "stop_after": 10,
    "lbfgs_restart": 25,
    "horizon": 0,
    "tv_weight": 0.0,
    "precision": "float32",
    "denoise": 0.0,
}
RELEASE = {  # the released code at a79b913
    "alpha": 1.0,
    "gamma": 5.0,
    "content_factor": 1.0,
    "layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "content_layer": "relu4_2",
    "bandwidth": 0.5,
    "layer_scale": "release",
    "balance": "release",
    "fusion_rule": "each",  # its bug is off
    "init": "noise",
    "init_amplitude": 0.1,
    "optimizer": "sgd",
    "learning_rate": 1e-3,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "decay_factor": 0.9,
    "decay_every": 80,
    "clip": 1.0,
    "step_scale": 1.0,
    "tv_weight": 0.01,
    "tv_form": "release",
    "input_range": 256.0,
    "style_shape": "content",
    "precision": "float32",
    "rounding": "floor",
    "denoise": 0.02,
    "pooling": "avg",
    "size": 600,
    "iterations": 1000,
    "stop_change": 0.005,
    "stop_after": 0,
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_every_setting_with_a_source_and_nothing_else(preset):
    assert sorted(PRESETS[preset]) == sorted(SETTINGS)
    for name, choice in PRESETS[preset].items():
        assert choice.source.strip(), name
        assert getattr(TransferConfig(preset=preset), name) == choice.value, name


@pytest.mark.parametrize(("preset", "values"), [("paper", PAPER), ("release", RELEASE)])
def test_the_values_are_those_of_the_source(preset, values):
    config = TransferConfig(preset=preset)
    assert {name: getattr(config, name) for name in values} == values


def test_the_paper_is_the_default():
    assert TransferConfig() == TransferConfig(preset="paper")


def test_the_releases_constants():
    assert RELEASE_BETA_PRIME == {"linear": 2e3, "poly": 0.1, "gram": 0.1, "gaussian": 3e14, "bn": 1e3}
    both = TransferConfig(preset="release", method=("bn", "linear"))
    assert both.fixed_beta_prime == {"bn": 1e3, "linear": 2e3}
    assert TransferConfig(preset="release", method=("bn",), beta_prime=(7.0,)).fixed_beta_prime == {"bn": 7.0}
    assert TransferConfig(preset="release", balance="measured").fixed_beta_prime == {}
    assert TransferConfig().fixed_beta_prime == {}


def test_any_value_can_be_overridden_also_with_the_papers():
    config = TransferConfig(preset="release", iterations=500, denoise=0.0, gamma=5.0)
    assert (config.iterations, config.denoise, config.tv_weight) == (500, 0.0, 0.01)
    assert config.overrides == {"iterations": 500, "denoise": 0.0}  # gamma is the preset's own
    assert TransferConfig.from_dict(config.as_dict()) == config
    assert TransferConfig.from_dict({"preset": "release"}) == TransferConfig(preset="release")


@pytest.mark.parametrize(
    "options",
    [
        ("--size", "1000000000"),
        ("--style-size", "30001"),
        ("--init-amplitude", "1e39"),
        ("--learning-rate", "1e39"),
        ("--learning-rate", "1e-300", "--optimizer", "nag"),
        ("--weight-decay", "1e39"),
        ("--decay-factor", "1.1"),
        ("--momentum", "1e-300"),
        ("--seed", "1" + 400 * "0"),
        ("--gamma", "nan"),
        ("--gamma", "1e400"),
    ],
    ids=" ".join,
)
def test_a_number_that_nothing_can_be_made_of_is_one_line(options, pictures, tmp_path, small_network):
    """The size's picture, no room for it; the others, errors of NumPy and MXNet in the midst of the run."""
    layers = ["--layers", "relu1_1", "--content-layer", "relu2_1"]
    arguments = ["transfer", *pictures, "-o", tmp_path / "out.png", *layers, "--size", "32", *options]
    result = CliRunner().invoke(cli, [*map(str, arguments), "--iterations", "3"])
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert options[0].strip("-").replace("-", "_") in result.stderr and "allowed is" in result.stderr
    assert not list(tmp_path.iterdir())


def test_fast_changes_the_way_down_and_not_the_objective():
    ways = {"init", "estimator", "iterations", "stop_change", "optimizer"}
    assert {name for name in PRESETS["paper"] if PRESETS["fast"][name].value != PRESETS["paper"][name].value} <= ways
    assert PRESETS["fast"]["iterations"].value + 3 <= PRESETS["paper"]["iterations"].value / 5  # start, probe, `final`


@pytest.mark.parametrize("method", ["linear", "poly", "bn", "gaussian"])
def test_fast_is_lower_in_a_fifth_of_the_iterations(method, pictures, network):
    limits = {"paper": 150, "fast": 30}
    final = {
        preset: transfer(
            *pictures, small_config(preset=preset, method=(method,), iterations=limit, stop_change=0.0), weights=network
        ).record["final"]["total"]
        for preset, limit in limits.items()
    }
    assert final["fast"] < final["paper"]


def test_a_size_for_a_style_picture_that_takes_the_contents_shape_is_refused():
    with pytest.raises(InputError, match="style_shape is content"):
        TransferConfig(preset="release", style_size=128)
    assert TransferConfig(preset="release", style_size=128, style_shape="own").style_size == 128


# The record and the command line


def small_release(**changes):
    return small_config(preset="release", **changes)


def test_the_record_names_the_preset_and_the_overrides(pictures, network):
    record = transfer(*pictures, small_release(method=("bn",), gamma=2.0, iterations=1), weights=network).record
    assert record["preset"] == "release"
    expected = {"method", "gamma", "layers", "content_layer", "size", "iterations", "stop_change"}
    assert set(record["overrides"]) == expected
    assert record["balance"]["beta_prime"] == {"bn": 1e3} and record["balance"]["step_scale"] == 1.0


def test_the_command_line_takes_the_presets_values_for_what_is_not_given(pictures, small_network, tmp_path):
    out = tmp_path / "out.png"
    options = ["--preset", "release", "--layers", "relu1_1", "--content-layer", "relu2_1", "--size", "32",
               "--iterations", "1", "--gamma", "1.0"]  # fmt: skip
    result = CliRunner().invoke(cli, ["transfer", *map(str, pictures), "-o", str(out), *options])
    assert result.exit_code == 0, result.stderr
    record = json.loads(out.with_name("out.png.json").read_text())
    assert record["config"]["denoise"] == 0.02 and record["config"]["input_range"] == 256.0
    assert set(record["overrides"]) == {"layers", "content_layer", "size", "iterations", "gamma"}


def test_calibrate_takes_a_preset(pictures, small_network):
    options = ["--preset", "release", "--layers", "relu1_1", "--content-layer", "relu2_1", "--size", "32", "--json"]
    result = CliRunner().invoke(cli, ["calibrate", *map(str, pictures), *options])
    assert result.exit_code == 0, result.stderr
    measured = json.loads(result.stdout)
    for method, balance in measured.items():
        expected = balance["content_norm"] / balance["style_norms"][method]["total"]
        assert balance["beta_prime"][method] == pytest.approx(expected)  # measured, not the constant


def test_help_shows_where_the_release_differs():
    text = " ".join(CliRunner().invoke(cli, ["transfer", "--help"]).stdout.split())
    for name in SETTINGS:
        paper, release = (PRESETS[preset][name].value for preset in ("paper", "release"))
        if paper != release:
            start = text.index("--" + name.replace("_", "-"))
            assert f"[release: {release}]" in text[start : start + 500], name


# What each of the release's values does


def test_the_releases_layer_scales_enter_the_balance(pictures, network):
    config = small_release(method=("bn",), balance="measured")
    setting = prepare(*pictures, config, weights=network)
    balance = setting.measure_balance()
    heads = {f"style.bn.{layer}": m / 2 for layer, m in zip(SMALL_LAYERS, (24 * 32, 12 * 16), strict=True)}
    total = np.linalg.norm(setting.objective.evaluate(setting.point, heads).gradient.astype(float))
    assert balance.style_norms["bn"]["total"] == pytest.approx(total, rel=1e-4)
    for layer, m in zip(SMALL_LAYERS, (768, 192), strict=True):
        assert balance.term_weights[f"style.bn.{layer}"] == pytest.approx(5 * balance.beta_prime["bn"] * m / 2)


def test_calibrate_measures_both_presets_in_their_own_normalisation(pictures, network, monkeypatch):
    monkeypatch.setattr("model_zoo.load", lambda name, **options: network)
    for method in ("linear", "gaussian"):
        (balance,) = calibrate(*pictures, small_release(method=(method,)), (method,)).values()
        assert balance.beta_prime[method] != RELEASE_BETA_PRIME[method]
        assert balance.ratio_at_point == pytest.approx(5, rel=0.01)  # gamma


def test_content_factor_doubles_the_content_term(pictures, network):
    settings = [prepare(*pictures, small_config(content_factor=f), weights=network) for f in (0.5, 1.0)]
    half, whole = (each.objective.evaluate(each.start, {}).terms["content"] for each in settings)
    assert whole == pytest.approx(2 * half)


def test_fusion_each_weight_is_its_methods_and_the_releases_bug_is_off():
    for preset in PRESETS:
        config = TransferConfig(preset=preset, method=("bn", "poly"), fusion=(0.9, 0.1))
        assert config.fusion_weights == {"bn": 0.9, "poly": 0.1}


@pytest.mark.parametrize(
    ("methods", "fusion", "expected"),
    [
        (("bn", "poly"), (0.9, 0.1), {"bn": 0.09, "poly": 1.0}),
        (("bn", "poly"), (0.1, 0.9), {"bn": 0.09, "poly": 1.0}),  # symmetric: a sweep shows nothing
        (("poly", "bn"), (0.5, 0.5), {"poly": 1.0, "bn": 0.25}),  # bn is always the first there
        (("linear", "gaussian"), (0.3, 0.7), {"linear": 0.21, "gaussian": 1.0}),
        (("linear", "gaussian"), (), {"linear": 1.0, "gaussian": 1.0}),
    ],
    ids=str,
)
def test_the_releases_fusion_bug_under_its_name(methods, fusion, expected):
    config = TransferConfig(method=methods, fusion=fusion, fusion_rule="release-bug")
    assert config.fusion_weights == pytest.approx(expected)


def test_style_is_stretched_to_the_content(pictures, network):
    shapes = {}
    for shape in ("own", "content"):
        setting = prepare(*pictures, small_config(style_shape=shape), weights=network)
        shapes[shape] = setting.objective._style_shape[2:]
    assert shapes == {"own": (32, 27), "content": (24, 32)}
    # The style loss is 0 at the stretched style, of the content's size.
    objective = prepare(*pictures, small_config(style_shape="content"), weights=network).objective
    pixels = resize_to(read_picture(pictures[1]).pixels, (32, 24)), resize(read_picture(pictures[0]).pixels, 32)
    style, content = (preprocess(each, network.preprocessing.mean_rgb) for each in pixels)
    at_style, at_content = (objective.evaluate(x, {}).terms["style.poly.relu1_1"] for x in (style, content))
    assert at_style < 1e-6 * at_content


def test_white_is_256_for_the_release_and_not_scaled_back():
    mean = (10.0, 20.0, 30.0)
    pixels = np.array([[[0, 51, 255]]], np.uint8)
    np.testing.assert_allclose(preprocess(pixels, mean, 256.0).ravel(), [-10, 51.2 - 20, 226], rtol=1e-6)
    np.testing.assert_array_equal(preprocess(pixels, mean, 255.0), preprocess(pixels, mean))
    x = np.array([-10.0, 31.99, 226.0], np.float32).reshape(1, 3, 1, 1)
    np.testing.assert_array_equal(deprocess(x, mean, "floor").ravel(), [0, 51, 255])
    np.testing.assert_array_equal(deprocess(x, mean).ravel(), [0, 52, 255])


def test_the_picture_is_denoised_and_the_last_iterate_is_not(pictures, network):
    plain = transfer(*pictures, small_release(denoise=0.0), weights=network).image
    smooth = transfer(*pictures, small_release(), weights=network).image
    np.testing.assert_array_equal(smooth, denoise_pixels(plain, 0.02))
    assert (smooth != plain).any()


def test_the_releases_total_variation_is_its_gradient():
    """0.01 / 8 (4 x - neighbours), zeros outside; a flat picture is pulled to the mean colour at the border alone."""
    from neural_style_mmd._mxnet import mx

    x = np.random.default_rng(0).normal(0, 30, (1, 3, 5, 6))
    gradient = mx.nd.zeros(x.shape, dtype="float64")
    symbol = total_variation(mx.sym.Variable("x"), "release")
    executor = symbol.bind(mx.cpu(), {"x": mx.nd.array(x, dtype="float64")}, {"x": gradient})
    value = float(executor.forward(is_train=True)[0].asscalar())
    executor.backward([mx.nd.ones(1, dtype="float64")])
    kernel = np.zeros_like(x)
    for c, i, j in np.ndindex(3, 5, 6):
        around = [
            x[0, c, a, b] for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)) if 0 <= a < 5 and 0 <= b < 6
        ]
        kernel[0, c, i, j] = (4 * x[0, c, i, j] - sum(around)) / 8
    np.testing.assert_allclose(gradient.asnumpy(), kernel, rtol=1e-12, atol=1e-12)
    assert value == pytest.approx((x * kernel).sum() / 2)  # of a quadratic form


def test_the_layer_function_takes_presets():
    f, s = np.random.default_rng(0).uniform(0, 2, (2, 4, 10))
    paper, release = (discrepancy(f, s, "linear", preset).value for preset in ("paper", "release"))
    assert release == pytest.approx(2e3 * 10 / 2 * paper)


def test_the_releases_total_variation_is_kept_apart_from_what_is_clipped(pictures, network):
    setting = prepare(*pictures, small_release(tv_weight=3.0), weights=network)
    evaluation = setting.objective.evaluate(setting.point, {"tv": 3.0})
    padded = np.pad(setting.point, ((0, 0), (0, 0), (1, 1), (1, 1)))
    neighbours = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1] + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    expected = 3 / 8 * (4 * setting.point - neighbours)
    np.testing.assert_allclose(evaluation.unclipped, expected, rtol=1e-4, atol=1e-3)
    assert not evaluation.gradient.any()
    np.testing.assert_array_equal(evaluation.whole_gradient, evaluation.unclipped)
    assert evaluation.total == pytest.approx((setting.point * expected).sum() / 2, rel=1e-4)
    free = prepare(*pictures, small_config(tv_weight=3.0), weights=network).objective
    assert free.evaluate(setting.point, {"tv": 3.0}).unclipped is None


def test_calibrate_tells_the_presets_constants_beside_what_it_measures(pictures, small_network):
    options = ["--preset", "release", "--layers", "relu1_1", "--content-layer", "relu2_1", "--size", "32"]
    result = CliRunner().invoke(cli, ["calibrate", *map(str, pictures), *options, "--method", "bn"])
    assert result.stdout.splitlines()[-1] == "beta' that the setting fixes: bn 1000"
    paper = CliRunner().invoke(cli, ["calibrate", *map(str, pictures), *options[2:], "--method", "bn"])
    assert "fixes" not in paper.stdout
