"""The library's door: `transfer(content, style, config) -> Result(image, record, outcome)`."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from small_transfer import LAYERS, small_config

import neural_style_mmd
from model_zoo.errors import InputError
from neural_style_mmd import Result, TransferConfig, transfer
from neural_style_mmd._mxnet import ENVIRONMENT
from neural_style_mmd.stylization import prepare

pytestmark = pytest.mark.usefixtures("small_network")
METHODS = ("linear", "poly", "gaussian", "bn", "gram")


def run(pictures, on_iterate=None, **changes):
    return transfer(*pictures, small_config(**changes), on_iterate=on_iterate)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_every_public_name_is_there():
    for name in neural_style_mmd.__all__:
        assert getattr(neural_style_mmd, name) is not None
    with pytest.raises(AttributeError):
        _ = neural_style_mmd.no_such_name


@pytest.mark.parametrize("method", METHODS)
def test_each_method_gives_a_picture_of_the_contents_aspect_and_brings_the_objective_down(method, pictures):
    result = run(pictures, method=(method,), iterations=30)
    assert isinstance(result, Result)
    assert result.image.dtype == np.uint8 and result.image.shape == (24, 32, 3)  # content 40 x 30, long edge 32
    trace = result.record["trace"]
    assert trace[-1]["total"] < trace[0]["total"]
    assert np.isfinite([entry["total"] for entry in trace]).all()


def test_paths_and_arrays_give_the_same_picture(pictures):
    from_paths = run(pictures)
    from_text = run([str(path) for path in pictures])
    from_arrays = run([pixels(path) for path in pictures])
    np.testing.assert_array_equal(from_paths.image, from_text.image)
    np.testing.assert_array_equal(from_paths.image, from_arrays.image)
    assert from_arrays.record["inputs"]["content"]["path"] is None
    assert from_paths.record["inputs"]["content"]["path"] == str(pictures[0].resolve())


def test_the_record_has_the_designs_keys_and_is_json(pictures):
    record = json.loads(json.dumps(run(pictures, method=("bn",), gamma=2.0).record, allow_nan=False))
    assert set(record) >= set(
        "schema command config preset overrides inputs weights balance trace outcome iterations seconds peak_rss "
        "versions threads cpu seed".split()
    )
    assert {name: os.environ[name] for name in ENVIRONMENT}.items() <= record["environment"].items()
    for name, size in (("content", [40, 30]), ("style", [30, 36])):
        assert set(record["inputs"][name]) >= {"name", "sha256", "size", "notes"}
        assert record["inputs"][name]["size"] == size
    assert set(record["weights"]) >= {"kind", "name", "sha256"}
    assert (record["weights"]["kind"], record["weights"]["name"]) == ("unverified", "small")
    balance = record["balance"]
    assert set(balance) >= set("point content_norm style_norms beta_prime ratio_at_point ratio_at_start".split())
    assert set(balance["style_norms"]["bn"]) == {"total", "layers"}
    assert [entry["iteration"] for entry in record["trace"]] == [1, 2, 3, 4, 5, 6]
    for entry in record["trace"]:
        assert set(entry) == set("iteration total terms draw change gradient_norm clipped seconds".split())
        assert set(entry["terms"]) == {"content", *(f"style.bn.{layer}" for layer in LAYERS)}
    assert record["config"] == small_config(method=("bn",), gamma=2.0).as_dict()
    assert record["overrides"]["gamma"] == 2.0 and "alpha" not in record["overrides"]
    assert record["peak_rss"] > 1e7 and record["seconds"] > 0 and record["threads"] >= 1
    assert record["output"]["size"] == [32, 24]


def test_inputs_are_identified_by_their_bytes(pictures):
    import hashlib

    inputs = run(pictures, iterations=1).record["inputs"]
    for name, path in zip(("content", "style"), pictures, strict=True):
        assert inputs[name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert inputs[name]["name"] == path.name


def test_the_output_is_identified_by_its_pixels(pictures):
    import hashlib

    result = run(pictures, iterations=2)
    assert result.record["output"]["pixels_sha256"] == hashlib.sha256(result.image.tobytes()).hexdigest()


def test_the_reported_objective_is_that_of_the_fixed_draw(pictures):
    """Two runs that end at the same picture report the same, though their last draws differ."""
    one = run(pictures, method=("gaussian",), iterations=3, learning_rate=1e-12, momentum=0.0).record
    two = run(pictures, method=("gaussian",), iterations=5, learning_rate=1e-12, momentum=0.0).record
    assert one["final"]["terms"] == pytest.approx(two["final"]["terms"], rel=1e-6)
    assert one["final"]["draw"] == 0
    drawn = [entry["terms"]["style.gaussian.relu2_1"] for entry in two["trace"]]
    assert len(set(drawn)) == 5  # redrawn each iteration


@pytest.mark.parametrize(
    ("optimizer", "draws"), [("sgd", [1, 2, 3]), ("lbfgs", [1, 1, 1]), ("preconditioned-nag", [1, 1, 3])]
)
def test_the_trace_tells_the_draw_of_each_of_its_values(optimizer, draws, pictures):
    """The objective at the same picture with the same draw has the same value."""
    config = small_config(method=("gaussian",), optimizer=optimizer, iterations=3, horizon=6)
    frames = []
    result = transfer(*pictures, config, on_iterate=lambda progress: frames.append(progress))
    trace = result.record["trace"]
    assert [entry["draw"] for entry in trace] == draws
    objective = prepare(*pictures, config).objective
    if optimizer == "sgd":  # the first entry has the values before the first update
        expected, other = (objective.evaluate(prepare(*pictures, config).start, {}, draw).terms for draw in (1, 0))
        assert trace[0]["terms"] == pytest.approx(expected, rel=1e-6)
        assert trace[0]["terms"] != pytest.approx(other, rel=1e-6)
    else:  # the last has those after the last update, as `final` has, by another draw
        final = result.record["final"]
        assert final["draw"] == 0
        assert final["terms"]["content"] == pytest.approx(trace[-1]["terms"]["content"], rel=1e-6)
        for layer in LAYERS:
            name = f"style.gaussian.{layer}"
            assert final["terms"][name] != pytest.approx(trace[-1]["terms"][name], rel=1e-6)


def test_reconstruction_needs_no_content_and_takes_the_styles_size(pictures):
    result = transfer(None, pictures[1], small_config(alpha=0.0, method=("bn",), iterations=30))
    assert result.image.shape == (32, 27, 3)  # style 30 x 36, long edge 32
    assert "content" not in result.record["trace"][0]["terms"] and "content" not in result.record["inputs"]
    totals = [entry["total"] for entry in result.record["trace"]]
    assert totals[-1] < totals[0]
    first = result.record["trace"][0]
    assert first["total"] == pytest.approx(sum(first["terms"].values()), rel=1e-9)  # beta = 1
    tall = transfer(None, pictures[1], small_config(alpha=0.0, style_size=16, iterations=1))
    assert tall.image.shape[:2] == (16, 13)


@pytest.mark.parametrize(("content", "alpha"), [(True, 0.0), (False, 1.0)])
def test_content_is_given_exactly_where_alpha_is_not_0(content, alpha, pictures):
    with pytest.raises(InputError, match="alpha"):
        transfer(pictures[0] if content else None, pictures[1], small_config(alpha=alpha))


@pytest.mark.parametrize("method", ["poly", "gaussian"])
def test_the_same_run_gives_the_same_pixels(method, pictures):
    one, two = (run(pictures, method=(method,)) for _ in range(2))
    np.testing.assert_array_equal(one.image, two.image)
    assert [entry["terms"] for entry in one.record["trace"]] == [entry["terms"] for entry in two.record["trace"]]


def test_the_seed_changes_the_start_and_the_draws(pictures):
    frames = {}
    for seed in (0, 1):
        run(pictures, lambda progress: frames.setdefault(seed, progress.image()), seed=seed, init_amplitude=100.0)  # noqa: B023
    assert (frames[0] != frames[1]).mean() > 0.5


def test_two_processes_give_the_same_pixels(pictures, network_file):
    program = (
        "import sys; from small_transfer import small_config; from neural_style_mmd import transfer;"
        "config = small_config(weights=sys.argv[3], method=('gaussian', 'poly'));"
        "print(transfer(*sys.argv[1:3], config).record['output']['pixels_sha256'])"
    )
    arguments = [sys.executable, "-c", program, *map(str, (*pictures, network_file))]
    folder = __file__.rpartition("/")[0]
    shas = {subprocess.check_output(arguments, cwd=folder, timeout=120, text=True) for _ in range(2)}
    assert len(shas) == 1


def test_on_iterate_is_told_how_it_goes(pictures):
    seen = []
    result = run(pictures, lambda progress: seen.append((progress, progress.image())), method=("bn", "poly"))
    assert [progress.iteration for progress, _ in seen] == [1, 2, 3, 4, 5, 6]
    for (progress, image), entry in zip(seen, result.record["trace"], strict=True):
        assert progress.total == entry["total"] and progress.terms == entry["terms"]
        assert progress.change == entry["change"] and image.shape == (24, 32, 3)
        assert set(progress.parts) == {"content", "bn", "poly"}
        assert sum(progress.parts.values()) == pytest.approx(progress.total)
        unrounded = progress.x[0].transpose(1, 2, 0) + np.array([123.68, 116.779, 103.939])  # the network's mean colour
        assert progress.x.dtype == np.float32 and np.abs(np.clip(unrounded, 0, 255) - image).max() <= 0.5
    np.testing.assert_array_equal(seen[-1][1], result.image)


# The choices do what they say


def test_the_defaults_are_the_papers_and_where_it_is_silent_the_mxnet_examples():
    config = TransferConfig()
    paper = {
        "alpha": 1.0,
        "gamma": 1.0,
        "content_layer": "relu4_2",
        "layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        "stop_change": 0.005,
        "iterations": 500,
        "tv_weight": 0.0,
        "beta_prime": (),  # calibrated
    }
    example = {
        "pooling": "avg",
        "init": "noise",
        "init_amplitude": 0.1,
        "optimizer": "sgd",
        "step_size": 1e-3,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "decay_factor": 0.9,
        "decay_every": 80,
        "clip": 1.0,  # in units of 3HW
    }
    for name, value in (paper | example | {"size": 512}).items():
        assert getattr(config, name) == value, name
    assert set(config.style_layer_weights.values()) == {1.0}
    assert config.overrides == {}


def test_sizes(pictures):
    """The long edge is `size`, smaller pictures are enlarged; the style has its own."""
    result = run(pictures, size=48, style_size=20, iterations=1)
    assert result.image.shape == (36, 48, 3)
    assert (result.image != run(pictures, size=48, style_size=40, iterations=1).image).any()


def test_starts(pictures):
    still = {"learning_rate": 1e-12, "iterations": 1, "weight_decay": 0.0}
    content = run(pictures, init="content", **still)
    resized = pixels(pictures[0])
    resized = np.asarray(Image.fromarray(resized).resize((32, 24), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(content.image, resized)
    noise = run(pictures, **still).image
    mean = [124, 117, 104]  # of (123.68, 116.779, 103.939), with noise of 0.1 at most
    assert np.abs(noise.astype(int) - mean).max() <= 1
    loud = run(pictures, init_amplitude=50.0, **still).image.astype(int) - mean
    assert 45 < np.abs(loud).max() <= 51
    file = run(pictures, init=str(pictures[1]), **still)
    stretched = np.asarray(Image.fromarray(pixels(pictures[1])).resize((32, 24), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(file.image, stretched)
    assert file.record["inputs"]["init"]["name"] == pictures[1].name


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "max"},
        {"gamma": 5.0},
        {"tv_weight": 1e6},
        {"poly_c": 1e5},
        {"layers": ("relu1_2",)},
        {"layers": ("pool1",)},
        {"layer_weights": (0.0, 1.0)},
        {"content_layer": "relu1_1"},
        {"optimizer": "adam"},
        {"learning_rate": 0.01},
        {"momentum": 0.0},
        {"clip": 0.01},
    ],
    ids=str,
)
def test_each_choice_changes_the_picture(changes, pictures):
    common = {"iterations": 12, "learning_rate": 0.02}
    assert (run(pictures, **(common | changes)).image != run(pictures, **common).image).any()


def test_total_variation_smooths(pictures):
    def roughness(result):
        return np.abs(np.diff(result.image.astype(float), axis=1)).mean()

    common = {"iterations": 60, "learning_rate": 0.02}
    smooth = run(pictures, tv_weight=1e5, **common)
    assert roughness(smooth) < 0.8 * roughness(run(pictures, **common))
    assert "tv" in smooth.record["trace"][0]["terms"]


# Bad input is one line, before the first iteration


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": ("wct",)}, "unknown method 'wct'; known are linear, poly, gaussian, bn, gram"),
        ({"method": ()}, "no method is given"),
        ({"method": ("bn", "BN")}, "named twice"),
        ({"layers": ("relu9_1",)}, "unknown layer 'relu9_1'; the layers are relu1_1"),
        ({"content_layer": "conv4_2"}, "unknown layer 'conv4_2'"),
        ({"optimizer": "rmsprop"}, "unknown optimizer 'rmsprop'; known are sgd, nag, adam, lbfgs, preconditioned-nag"),
        ({"pooling": "mean"}, "unknown pooling 'mean'; known are avg, max"),
        ({"preset": "best"}, "unknown preset"),
        ({"fusion": (0.5, 0.5)}, "fusion has 2 numbers, expected 1"),
        ({"beta_prime": (1.0, 2.0)}, "beta_prime has 2 numbers, expected 1"),
        ({"layer_weights": (1.0,)}, "layer_weights has 1 numbers, expected 2"),
        ({"gamma": -1.0}, "gamma is -1; allowed is 0 or more"),
        ({"gamma": float("nan")}, "gamma is nan"),
        ({"alpha": float("inf")}, "alpha is inf"),
        ({"size": 0}, "size is 0; allowed is 1 or more"),
        ({"iterations": 0}, "iterations is 0"),
        ({"lbfgs_restart": 0}, "lbfgs_restart is 0; allowed is 1 or more"),
        ({"horizon": -1}, "horizon is -1; allowed is 0 or more"),
        ({"momentum": 1.0}, "momentum is 1; allowed is 0, or 1e-37 to below 1"),
        ({"beta_prime": (0.0,)}, "beta_prime is 0; allowed is more than 0"),
        ({"init": "content", "alpha": 0.0}, "init is content, but alpha is 0"),
    ],
    ids=str,
)
def test_a_choice_that_is_not_allowed_is_an_error(changes, message):
    with pytest.raises(InputError) as caught:
        small_config(**changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_single_name_may_be_given_without_a_tuple():
    """The mistake that everybody makes once: method="bn" is not the methods "b" and "n"."""
    assert TransferConfig(method="BN").method == ("bn",)
    assert TransferConfig(method="bn,poly").method == ("bn", "poly")
    assert TransferConfig(layers="relu1_1,relu2_1").layers == ("relu1_1", "relu2_1")


@pytest.mark.parametrize(
    "changes", [{"gamma": "two"}, {"size": 2.5}, {"fusion": 0.5}, {"method": (1,)}, {"seed": None}], ids=str
)
def test_a_value_of_another_type_is_an_error(changes):
    with pytest.raises(InputError) as caught:
        small_config(**changes)
    assert next(iter(changes)) in str(caught.value)


@pytest.mark.parametrize("size", [1, 2])
def test_a_picture_too_small_for_the_deepest_layer_is_an_error(size, pictures):
    with pytest.raises(InputError, match="too small for relu2_1"):
        run(pictures, size=size)


def test_a_file_that_is_no_picture_is_an_error(pictures, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("<html>")
    for pair in ((bad, pictures[1]), (pictures[0], bad), (tmp_path / "none.png", pictures[1])):
        with pytest.raises(InputError) as caught:
            run(pair)
        assert pair[0].name in str(caught.value) or pair[1].name in str(caught.value)
    with pytest.raises(InputError, match=r"bad\.jpg"):
        run(pictures, init=str(bad))


def test_the_configuration_survives_json():
    config = small_config(method=("bn", "poly"), fusion=(0.3, 0.7))
    assert TransferConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config
    with pytest.raises(InputError, match="unknown setting 'gama'"):
        TransferConfig.from_dict({"gama": 1})


def test_offline_reaches_the_zoo(pictures, network, monkeypatch):
    seen = []

    def load(name, *, offline=False, notify=None):
        seen.append((name, offline))
        return network

    monkeypatch.setattr("model_zoo.load", load)
    run(pictures, offline=True, weights="vgg19", iterations=1)
    assert seen == [("vgg19", True)]
