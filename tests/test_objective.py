"""The objective: what it relies on in MXNet 1.9.1, and its values and gradient against a float64 network in NumPy."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from bf16_cpu import needs_bf16
from planned_memory import planned

import model_zoo
from model_zoo.errors import InputError
from neural_style_mmd._mxnet import mx
from neural_style_mmd.config import TransferConfig
from neural_style_mmd.evaluation import FIXED_DRAW, noise
from neural_style_mmd.network import vgg19_symbol
from neural_style_mmd.network_plan import NetworkPlan
from neural_style_mmd.objective import Objective

LAYERS = ("relu1_1", "relu1_2")
HEIGHT, WIDTH = 5, 6


# What MXNet must do


def bound(wrap=lambda symbol: symbol):
    """A network of two convolutions with three losses of shape (1,), its gradient, and the gradient of each loss."""
    x = mx.sym.Variable("x")
    first = mx.sym.Activation(mx.sym.Convolution(x, num_filter=8, kernel=(3, 3), name="one"), act_type="relu")
    second = mx.sym.Activation(mx.sym.Convolution(first, num_filter=8, kernel=(3, 3), name="two"), act_type="relu")
    terms = [mx.sym.sum(mx.sym.square(each - 1)) for each in (x, first, second)]
    group = mx.sym.Group([wrap(term) for term in terms])
    shapes = group.infer_shape(x=(1, 3, 12, 12))[0]
    random = np.random.default_rng(0)
    arguments = {
        name: mx.nd.array(random.normal(0, 0.3, shape))
        for name, shape in zip(group.list_arguments(), shapes, strict=True)
    }
    gradient = mx.nd.zeros((1, 3, 12, 12))
    requests = {name: "write" if name == "x" else "null" for name in arguments}
    return group.bind(mx.cpu(), arguments, {"x": gradient}, requests), gradient


def backward(executor, gradient, heads):
    executor.backward([mx.nd.array([head]) for head in heads])
    return gradient.asnumpy().astype(np.float64)


def test_head_gradients_weight_the_terms_if_each_backward_has_its_forward():
    executor, gradient = bound()
    alone = []
    for heads in np.eye(3):
        executor.forward(is_train=True)
        alone.append(backward(executor, gradient, heads))
    random, right_first, right_second = np.random.default_rng(1), 0, 0

    def is_right(heads):
        expected = sum(head * each for head, each in zip(heads, alone, strict=True))
        return np.allclose(backward(executor, gradient, heads), expected, atol=1e-4 * np.abs(expected).max())

    for _ in range(100):
        executor.forward(is_train=True)
        right_first += is_right(random.uniform(-2, 2, 3))
        right_second += is_right(random.uniform(-2, 2, 3))  # without a forward of its own
    assert right_first == 100
    assert right_second < 50  # the reason for one forward per backward; 0 here, 1 elsewhere


def test_make_loss_ignores_head_gradients():
    """The reason why no loss here ends in MakeLoss."""
    executor, gradient = bound(mx.sym.MakeLoss)
    executor.forward(is_train=True)
    ones = backward(executor, gradient, [1, 1, 1])
    executor.forward(is_train=True)
    np.testing.assert_array_equal(backward(executor, gradient, [5, 0, 2]), ones)


def test_relu_turns_nan_into_0():
    """The reason why picture and gradient are looked at, not only the losses."""
    x = mx.nd.array(np.full((1, 3, 8, 8), np.nan))
    np.testing.assert_array_equal(mx.nd.Activation(x, act_type="relu").asnumpy(), 0)


# The same objective, naively


def convolve(x, weight, bias):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    _, height, width = x.shape
    return bias[:, None, None] + sum(
        np.einsum("oi,ihw->ohw", weight[:, :, i, j], padded[:, i : i + height, j : j + width])
        for i in range(3)
        for j in range(3)
    )


def naive_features(picture, weights):
    parameters = {name: value.astype(np.float64) for name, value in weights.parameters.items()}
    at, found = picture[0].astype(np.float64), {}
    for name in ("1_1", "1_2"):
        at = np.maximum(convolve(at, parameters[f"conv{name}_weight"], parameters[f"conv{name}_bias"]), 0)
        found[f"relu{name}"] = at.reshape(len(at), -1)
    return found


def naive_terms(x, content, style, weights, c, pairs, bandwidths):
    f, p, s = (naive_features(each, weights) for each in (x, content, style))
    terms = {"content": ((f["relu1_2"] - p["relu1_2"]) ** 2).sum() / 2}
    for layer in LAYERS:
        a, b = f[layer], s[layer]
        n = len(a)
        gram = ((a @ a.T / a.shape[1] - b @ b.T / b.shape[1]) ** 2).sum() / (4 * n**2)
        means = ((a.mean(1) - b.mean(1)) ** 2).sum()
        terms[f"style.linear.{layer}"] = means / n
        terms[f"style.gram.{layer}"] = gram
        terms[f"style.poly.{layer}"] = gram + 2 * c * means / (4 * n**2)
        terms[f"style.bn.{layer}"] = (means + ((a.std(1) - b.std(1)) ** 2).sum()) / n
        (i, j), (k, m) = pairs[layer]["pairs"].T, pairs[layer]["style_pairs"].T
        d = [
            ((u - v) ** 2).sum(0)
            for u, v in ((a[:, i], a[:, j]), (b[:, k], b[:, m]), (a[:, i], b[:, m]), (a[:, j], b[:, k]))
        ]
        bandwidth = bandwidths.setdefault(layer, np.mean(d))  # held at its first value
        e = [np.exp(-each / (2 * bandwidth)) for each in d]
        terms[f"style.gaussian.{layer}"] = (e[0] + e[1] - e[2] - e[3]).mean()
    terms["tv"] = ((np.diff(x, axis=2) ** 2).sum() + (np.diff(x, axis=3) ** 2).sum()) / 2
    return terms


def made(network, methods, width=WIDTH):
    random = np.random.default_rng(5)
    x, content = random.uniform(-120, 130, (2, 1, 3, HEIGHT, width)).astype(np.float32)
    style = random.uniform(-120, 130, (1, 3, 4, 4)).astype(np.float32)
    config = TransferConfig(
        method=methods,
        poly_c=50.0,
        layers=LAYERS,
        content_layer="relu1_2",
        tv_weight=1.0,
        seed=3,
    )
    return config, x, content, style, Objective(config, network, style, content, x.shape)


@pytest.fixture(scope="module")
def case(network):
    return made(network, ("linear", "gram", "poly", "bn", "gaussian"))


def drawn_pairs(objective):
    """The pairs that the objective's executor has got."""
    arrays = objective._pairs
    return {
        layer: {key: arrays[f"style.gaussian.{layer}.{key}"].asnumpy() for key in ("pairs", "style_pairs")}
        for layer in LAYERS
    }


def test_every_term_has_its_true_value(case, network):
    config, x, content, style, objective = case
    found = objective.evaluate(x, {})
    expected = naive_terms(x, content, style, network, config.poly_c, drawn_pairs(objective), {})
    assert set(found.terms) == set(expected) == set(objective.terms)
    for name, value in expected.items():
        assert found.terms[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name
    assert found.total == 0
    np.testing.assert_array_equal(found.gradient, 0)


def assert_value_and_gradient(case, network):
    """The total of random heads, and its gradient by central differences of float64."""
    config, x, content, style, objective = case
    random = np.random.default_rng(6)
    size = objective.evaluate(x, {}).terms
    heads = {name: float(random.uniform(0.5, 2) / max(size[name], 1e-3)) for name in objective.terms}
    found = objective.evaluate(x, heads)
    pairs, held = drawn_pairs(objective), {}

    def total(picture):
        terms = naive_terms(picture, content, style, network, config.poly_c, pairs, held)
        return sum(head * terms[name] for name, head in heads.items())

    assert found.total == pytest.approx(total(x.astype(np.float64)), rel=1e-4)
    assert found.gradient.dtype == np.float32 and found.gradient.shape == x.shape
    numeric = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[index] = 1e-4
        numeric[index] = (total(x + step) - total(x - step)) / 2e-4
    assert np.linalg.norm(found.gradient - numeric) < 1e-4 * np.linalg.norm(numeric)


def test_the_total_is_the_weighted_sum_and_its_gradient_that_of_central_differences(case, network):
    assert_value_and_gradient(case, network)


@pytest.mark.parametrize(
    ("width", "estimator", "bound_apart"),
    [
        (6, "pairs", [["linear", "bn", "gaussian"]]),
        (7, "pairs", [["linear", "bn"], ["gaussian"]]),
        (6, "blocks", [["linear", "bn"], ["gaussian"]]),
    ],
)
def test_beside_gaussian_the_first_layers_moments_are_of_its_samples(width, estimator, bound_apart, network):
    """If these are pairs, and all: of 30 positions none is left over, of 35 one. By blocks that takes more memory."""
    case = made(network, ("linear", "bn", "gaussian"), width)
    objective = case[-1]
    objective.use("float32", estimator)
    if estimator == "pairs":
        assert_value_and_gradient(case, network)
    apart = [[f"style.{method}.relu1_1" for method in methods] for methods in bound_apart]
    assert [list(part.terms) for part in objective._parts[1:]] == apart


@pytest.mark.parametrize("last", ["pool1", "conv2_1"])
def test_what_is_computed_again_in_a_large_picture_is_what_is_kept_in_a_small_one(last, case, network, monkeypatch):
    config, x, content, style, objective = case
    heads = dict.fromkeys(objective.terms, 1.0) | {"content": 0.0}
    kept = objective.evaluate(x, heads, 2)
    monkeypatch.setattr("neural_style_mmd.objective.network_plan", lambda *_: NetworkPlan(last, None))
    again = Objective(config, network, style, content, x.shape).evaluate(x, heads, 2)
    assert again.terms == kept.terms
    np.testing.assert_array_equal(again.gradient, kept.gradient)


def test_each_evaluation_has_the_heads_it_was_given(case):
    """One after another, in any order, alone or together."""
    _, x, _, _, objective = case
    alone = {name: objective.evaluate(x, {name: 1.0}).gradient.astype(np.float64) for name in objective.terms}
    random = np.random.default_rng(7)
    for _ in range(20):
        heads = {name: random.uniform(0, 1) / np.linalg.norm(each) for name, each in alone.items()}
        expected = sum(heads[name] * alone[name] for name in alone)
        np.testing.assert_allclose(objective.evaluate(x, heads).gradient, expected, atol=1e-4 * np.abs(expected).max())


EVALUATIONS = """
import model_zoo
from neural_style_mmd import TransferConfig
from neural_style_mmd.evaluation import noise
from neural_style_mmd.objective import Objective

weights, x, style = model_zoo.load("surrogate"), noise((1, 3, 112, 112), 60.0, 0), noise((1, 3, 112, 112), 60.0, 1)
for methods, precision, estimator in {choices}:
    objective = Objective(TransferConfig(method=methods), weights, style, x, x.shape)
    objective.use(precision, estimator)
    objective.evaluate(x, dict.fromkeys(objective.terms, 1.0))
"""
CHOICES = [
    (("linear",), "float32", "pairs"),
    (("gaussian",), "float32", "pairs"),
    (("bn", "gaussian"), "float32", "blocks"),
]
IN_BF16 = [(("poly",), "bf16", "pairs"), (("gaussian",), "bf16", "pairs")]


@pytest.mark.parametrize("choices", [CHOICES, pytest.param(IN_BF16, marks=needs_bf16)], ids=["float32", "bf16"])
def test_no_time_goes_into_gradients_of_weights(choices):
    """oneDNN writes what it does. MXNet takes such gradients by chance, so that one evaluation may not show it."""
    program = EVALUATIONS.format(choices=choices)
    oneDNN = {**os.environ, "DNNL_VERBOSE": "1"}
    run = subprocess.run([sys.executable, "-c", program], env=oneDNN, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    made = [line.split(",") for line in run.stdout.splitlines() if line.startswith("dnnl_verbose,exec")]
    backward = {(fields[3], fields[5]) for fields in made if fields[5].startswith("backward")}
    assert ("convolution", "backward_data") in backward
    assert {what for _, what in backward} == {"backward_data"}, backward


def test_the_terms_alone_are_the_bits_of_an_evaluation(case):
    _, x, _, _, objective = case
    for draw in (FIXED_DRAW, 1):
        assert objective.terms_at(x, draw) == objective.evaluate(x, {}, draw).terms


def test_draws_are_functions_of_seed_and_number_alone(case, network):
    config, x, content, style, objective = case
    names = [f"style.gaussian.{layer}" for layer in LAYERS]

    def values(an_objective, draw):
        terms = an_objective.evaluate(x, {}, draw).terms
        return [terms[name] for name in names]

    in_order = [values(objective, draw) for draw in (FIXED_DRAW, 1, 2, 3)]
    again = Objective(config, network, style, content, x.shape)
    assert [values(again, draw) for draw in (3, 1, FIXED_DRAW, 2)] == [in_order[i] for i in (3, 1, 0, 2)]
    assert len({tuple(each) for each in in_order}) == 4
    other_seed = TransferConfig.from_dict(config.as_dict() | {"seed": 4})
    assert values(Objective(other_seed, network, style, content, x.shape), 1) != in_order[1]


def test_drawn_pairs_are_those_of_the_method(case):
    _, x, _, _, objective = case
    objective.evaluate(x, {}, 9)
    for pairs in drawn_pairs(objective).values():
        assert pairs["pairs"].shape == (HEIGHT * WIDTH // 2, 2)
        assert len(set(pairs["pairs"].ravel().tolist())) == HEIGHT * WIDTH // 2 * 2
        assert (pairs["style_pairs"][:, 0] != pairs["style_pairs"][:, 1]).all()
        assert pairs["style_pairs"].max() < 16


LIMITS = {  # of the arrays of the bare network: in a small picture, and in a large one
    ("linear", "pairs"): (1.05, 0.9),
    ("poly", "pairs"): (1.1, 0.9),
    ("bn", "pairs"): (1.1, 0.9),
    ("gaussian", "pairs"): (1.3, 1.15),
    ("gaussian", "blocks"): (1.3, 1.1),
    ("bn+poly", "pairs"): (1.1, 0.9),
    ("bn+gaussian", "pairs"): (1.35, 1.15),
    ("bn+gaussian", "blocks"): (1.3, 1.1),
}


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(("methods", "estimator"), LIMITS)
def test_the_losses_need_hardly_more_arrays_than_the_network(methods, estimator, large, monkeypatch):
    """Bound together and with all arrays kept, the terms of poly, bn and gaussian took more than this, and so did those
    of fusions whose methods shared nothing; in large pictures the network itself does not keep all of its arrays. Those
    of linear, which need no array of relu1_1's order, are bound together."""
    shape = (1, 3, 288, 384)
    monkeypatch.setattr(
        "neural_style_mmd.objective.network_plan", lambda *_: NetworkPlan("conv2_1" if large else None, None)
    )
    symbol = vgg19_symbol(["relu5_1"])["relu5_1"]
    requests = {name: "write" if name == "data" else "null" for name in symbol.list_arguments()}
    bare = planned(symbol.simple_bind(mx.cpu(), requests, data=shape))
    picture = noise(shape, 100.0, seed=0)
    config, weights = TransferConfig(method=tuple(methods.split("+"))), model_zoo.load("surrogate")
    objective = Objective(config, weights, picture, picture, shape)
    objective.use("float32", estimator)
    network, *first = objective._parts
    apart = [] if methods == "linear" else [f"style.{each}.relu1_1" for each in config.method]
    assert sorted(term for part in first for term in part.terms) == apart
    assert planned(network.executor) <= LIMITS[methods, estimator][large] * bare
    for part in first:  # it has its place in the memory of the network
        assert planned(part.executor) <= 0.7 * planned(network.executor)


@pytest.mark.usefixtures("unmeasured")
def test_the_content_loss_needs_no_array_beside_the_kernels():
    """Linear at 512 x 384: its backward pass is not the first, before which all of Winograd's kernels are kept."""
    style, content = noise((1, 3, 32, 48), 60.0, seed=1), noise((1, 3, 384, 512), 60.0, seed=2)
    without, with_it = (
        Objective(TransferConfig(method=("linear",)), model_zoo.load("surrogate"), style, each, content.shape)
        for each in (None, content)
    )
    assert planned(with_it._parts[0].executor) <= planned(without._parts[0].executor)


@pytest.mark.parametrize("methods", [("gaussian",), ("bn", "gaussian"), ("gaussian", "poly")])
def test_all_methods_fused_with_gaussian_read_one_copy_of_a_layer(methods):
    """One that read the layer itself would put it into another order; the next layer would have to order it back."""
    picture = noise((1, 3, 64, 64), 100.0, seed=0)
    objective = Objective(TransferConfig(method=methods), model_zoo.load("surrogate"), picture, picture, picture.shape)
    nodes = json.loads(objective._parts[0].executor._symbol.tojson())["nodes"]
    following = {"relu2_1": "conv2_2", "relu3_1": "conv3_2", "relu4_1": "conv4_2", "relu5_1": None}
    for layer, next_layer in following.items():
        index = next(i for i, node in enumerate(nodes) if node["name"] == layer)
        readers = [node for node in nodes if index in (source for source, *_ in node["inputs"])]
        others = [node["op"] for node in readers if node["name"] != next_layer]
        assert others == ["Convolution"]  # the copy


def test_the_first_layers_samples_are_made_in_two_parts_of_the_channels():
    picture = noise((1, 3, 32, 32), 100.0, seed=0)
    config = TransferConfig(method=("bn", "gaussian"))
    sampled = Objective(config, model_zoo.load("surrogate"), picture, picture, picture.shape)._parts[-1]
    nodes = json.loads(sampled.executor._symbol.tojson())["nodes"]
    widths = [int(node["attrs"]["num_hidden"]) for node in nodes if node["op"] == "FullyConnected"]
    # Of both ends of the pairs, for the picture and for the style picture; of one column are sums of rows.
    assert [width for width in widths if width > 1] == [32] * 8


def test_without_a_content_picture_there_is_no_content_term(case, network):
    config, x, _, style, _ = case
    objective = Objective(config, network, style, None, x.shape)
    assert "content" not in objective.terms and "style.bn.relu1_1" in objective.terms


def test_weights_that_end_too_early_are_an_error(network):
    config = TransferConfig(layers=("relu1_1",), content_layer="relu2_2")
    big = np.zeros((1, 3, 16, 16), np.float32)
    with pytest.raises(InputError, match=r"small: the weights end before relu2_2: conv2_2_weight is missing"):
        Objective(config, network, big, big, big.shape)


def test_a_picture_too_small_for_the_deepest_layer_is_an_error(network):
    config = TransferConfig(layers=("relu1_1",), content_layer="relu2_1")
    good, bad = np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 3, 2, 2), np.float32)
    for style, content in ((good, bad), (bad, good)):
        with pytest.raises(InputError, match="too small for relu2_1"):
            Objective(config, network, style, content, content.shape)


def test_noise_is_seeded_uniform_and_centred():
    one = noise((1, 3, 50, 60), 20.0, seed=1)
    assert one.dtype == np.float32 and np.abs(one).max() <= 20
    assert abs(one.mean()) < 20 / np.sqrt(3) / np.sqrt(one.size) * 4
    assert one.std() == pytest.approx(20 / np.sqrt(3), rel=0.05)
    np.testing.assert_array_equal(one, noise((1, 3, 50, 60), 20.0, seed=1))
    assert (one != noise((1, 3, 50, 60), 20.0, seed=2)).any()
    assert (one != noise((1, 3, 50, 60), 20.0, seed=1, draw=1)).any()


def test_the_style_target_is_the_same_statistic_at_the_styles_own_size(case, network):
    """At x = style, of its size, every term but the gaussian estimate is 0: target and statistic are one formula."""
    config, _, _, style, _ = case
    terms = Objective(config, network, style, None, style.shape).evaluate(style, {}).terms
    for name, value in terms.items():
        if name.startswith("style.") and "gaussian" not in name:
            assert value == pytest.approx(0, abs=1e-6), name
