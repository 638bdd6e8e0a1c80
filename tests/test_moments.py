"""The moments of a layer's features (Eq. 7 and 12), shared by the methods of a fusion: values and gradients against
float64 NumPy, whether the mean squares are the Gram matrix's diagonal or not, and whether features are read again."""

import re
from itertools import product

import numpy as np
import pytest

from neural_style_mmd import losses
from neural_style_mmd._mxnet import mx
from neural_style_mmd.moments import Moments, MomentsInParts, position_sums

N, HEIGHT, WIDTH = 3, 4, 5
M = HEIGHT * WIDTH
WAYS = [
    {"with_gram": with_gram, "by_samples": by_samples, "recompute": recompute, "channels": channels, "in_rows": in_rows}
    for with_gram, by_samples, recompute, in_rows in product([False, True], repeat=4)
    for channels in (None, N)
]


def features(seed=0):
    """What follows a ReLU: not negative, about one half zeros."""
    return np.maximum(np.random.default_rng(seed).normal(0.3, 1.0, (1, N, HEIGHT, WIDTH)), 0)


def value_and_gradient(symbol, inputs, heads, dtype="float64"):
    arrays = {name: mx.nd.array(value, dtype=dtype) for name, value in inputs.items()}
    gradient = mx.nd.zeros(arrays["f"].shape, dtype=dtype)
    requests = {name: "write" if name == "f" else "null" for name in arrays}
    executor = symbol.bind(mx.cpu(), arrays, {"f": gradient}, requests)
    values = [each.asnumpy() for each in executor.forward(is_train=True)]
    executor.backward([mx.nd.array(each, dtype=dtype) for each in heads])
    return values, gradient.asnumpy()


@pytest.mark.parametrize("way", WAYS)
def test_values_and_gradients_are_those_of_the_equations(way):
    moments = Moments(mx.sym.Variable("f"), M, **way)
    random = np.random.default_rng(1)
    of_mean, of_square, of_gram = random.normal(size=(N, 1)), random.normal(size=(N, 1)), random.normal(size=(N, N))
    of_gram += of_gram.T
    group = mx.sym.Group([moments.mean, moments.mean_square, moments.gram])
    (mean, mean_square, gram), gradient = value_and_gradient(group, {"f": features()}, [of_mean, of_square, of_gram])
    f = features().reshape(N, M)
    np.testing.assert_allclose(mean[:, 0], f.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(mean_square[:, 0], (f**2).mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(gram, f @ f.T / M, rtol=1e-12)
    expected = (of_mean + 2 * of_square * f + 2 * of_gram @ f) / M
    np.testing.assert_allclose(gradient.reshape(N, M), expected, rtol=1e-10)


@pytest.mark.parametrize("way", [way for way in WAYS if way["in_rows"] and not way["by_samples"]])
def test_features_in_several_arrays_have_the_same_moments(way):
    """Of 9 and of the other 11 positions."""
    whole = mx.sym.reshape(mx.sym.Variable("f"), shape=(N, M))
    parts = [mx.sym.slice_axis(whole, axis=1, begin=begin, end=end) for begin, end in ((0, 9), (9, None))]
    moments = Moments(parts, M, **way)
    rows, centre = features().reshape(N, M), np.random.default_rng(7).normal(size=(N, 1))
    found = [moments.mean, moments.mean_square, moments.gram, moments.held_mean_square_about(mx.sym.Variable("c"))]
    random = np.random.default_rng(1)
    of_mean, of_square, of_gram = random.normal(size=(N, 1)), random.normal(size=(N, 1)), random.normal(size=(N, N))
    heads = [of_mean, of_square, of_gram + of_gram.T, random.normal(size=(N, 1))]
    inputs = {"f": features(), "c": centre}
    (mean, mean_square, gram, about), gradient = value_and_gradient(mx.sym.Group(found), inputs, heads)
    np.testing.assert_allclose(mean[:, 0], rows.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(mean_square[:, 0], (rows**2).mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(gram, rows @ rows.T / M, rtol=1e-12)
    np.testing.assert_allclose(about, ((rows - centre) ** 2).mean(axis=1, keepdims=True), rtol=1e-12)
    expected = (of_mean + 2 * of_square * rows + 2 * (of_gram + of_gram.T) @ rows) / M
    np.testing.assert_allclose(gradient.reshape(N, M), expected, rtol=1e-10)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_samples_in_any_order_and_in_parts_of_the_channels_have_the_same_moments(parts, offset):
    """Of 9 positions drawn and of the other 11; also where a centre near the values leaves little of them."""
    everywhere = mx.sym.transpose(mx.sym.reshape(mx.sym.Variable("f"), shape=(N, M)))
    order = np.random.default_rng(8).permutation(M)
    samples = []
    for at in ("first", "others"):
        drawn = mx.sym.take(everywhere, mx.sym.Variable(at))
        width = N // parts
        samples += [mx.sym.slice_axis(drawn, axis=1, begin=i, end=i + width) for i in range(0, N, width)]
    moments = MomentsInParts(samples, parts, M)
    assert moments.positions == M
    f, random = features() + offset, np.random.default_rng(7)
    rows = f.reshape(N, M)
    centre, of_mean, of_square = rows.mean(axis=1, keepdims=True) + 0.1, *random.normal(size=(2, N, 1))
    found = mx.sym.Group([moments.mean, moments.mean_square, moments.held_mean_square_about(mx.sym.Variable("c"))])
    inputs = {"f": f, "c": centre, "first": order[:9], "others": order[9:]}
    heads = [of_mean, of_square, random.normal(size=(N, 1))]
    (mean, mean_square, about), gradient = value_and_gradient(found, inputs, heads)
    np.testing.assert_allclose(mean[:, 0], rows.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(mean_square[:, 0], (rows**2).mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(about, ((rows - centre) ** 2).mean(axis=1, keepdims=True), rtol=1e-8)
    np.testing.assert_allclose(gradient.reshape(N, M), (of_mean + 2 * of_square * rows) / M, rtol=1e-10)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_bn_beside_a_gram_matrix_is_bn(offset, way):
    """Eq. 11, and its derivative with respect to mu and sigma, also where sigma << mu: E[F^2] - mu^2 would cancel."""
    f, s = features() + offset, features(seed=2) + offset
    label, chosen = "style.bn.relu1_1", losses.method("bn")
    moments, with_gram = Moments(mx.sym.Variable("f"), M, **way), way["with_gram"]
    picture = chosen.statistic(moments)
    loss = losses.style_distance(chosen, picture, losses.loss_inputs(chosen, picture, label), label, N, M)
    symbol = mx.sym.Group([loss, moments.gram]) if with_gram else loss
    rows, style = f.reshape(N, M), s.reshape(N, M)
    target = {"mean": style.mean(axis=1, keepdims=True), "std": style.std(axis=1, keepdims=True)}
    inputs = {"f": f, **{f"{label}.{name}": value for name, value in target.items()}}
    heads = [np.ones(1), np.zeros((N, N))][: 1 + with_gram]
    (value, *_), gradient = value_and_gradient(symbol, inputs, heads)
    mean, std = rows.mean(axis=1, keepdims=True), rows.std(axis=1, keepdims=True)
    expected = (((mean - target["mean"]) ** 2).sum() + ((std - target["std"]) ** 2).sum()) / N
    assert value[0] == pytest.approx(expected, rel=1e-8)
    slope = 2 * (mean - target["mean"]) + 2 * (std - target["std"]) * (rows - mean) / std
    expected_gradient = slope / (N * M)
    np.testing.assert_allclose(gradient.reshape(N, M), expected_gradient, atol=1e-8 * np.abs(expected_gradient).max())


@pytest.mark.parametrize(("dtype", "error"), [("float64", 1e-12), ("float32", 1e-6)])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (46, 31), *((n, 32 - n) for n in range(1, 32))])
def test_sums_over_positions_leave_none_out_at_any_size(height, width, dtype, error):
    """Whatever is left over beside the windows, and in both types, because in float32 other operators run."""
    f = np.random.default_rng(3).normal(size=(1, N, height, width))
    head = np.random.default_rng(4).normal(size=(N, 1))
    (sums,), gradient = value_and_gradient(position_sums(mx.sym.Variable("f")), {"f": f}, [head], dtype)
    np.testing.assert_allclose(sums[:, 0], f.sum(axis=(0, 2, 3)), atol=error * np.sqrt(f.size))
    np.testing.assert_allclose(gradient, np.broadcast_to(head[None, :, :, None], f.shape), rtol=error)


def test_sums_of_a_large_layer_keep_their_digits():
    """In float32, by the operator that a network uses, where each digit of the mean is of a sum of 196608."""
    f = np.random.default_rng(5).uniform(0, 1000, (1, 8, 384, 512)).astype(np.float32)
    found = position_sums(mx.sym.Variable("f")).bind(mx.cpu(), {"f": mx.nd.array(f)}).forward()[0].asnumpy()
    np.testing.assert_allclose(found[:, 0], f.astype(np.float64).sum(axis=(0, 2, 3)), rtol=1e-6)


@pytest.mark.parametrize("channels", [None, 8])
def test_moments_of_a_large_layer_keep_their_digits(channels):
    """In float32, of features in plain order, by each of the operators that multiply: each digit of an entry is of a
    sum of 196608."""
    f = np.random.default_rng(6).uniform(0, 1000, (1, 8, 384, 512)).astype(np.float32)
    moments = Moments(mx.sym.Variable("f"), 384 * 512, channels=channels, in_rows=True)
    executor = mx.sym.Group([moments.mean, moments.gram]).bind(mx.cpu(), {"f": mx.nd.array(f)})
    mean, gram = (each.asnumpy() for each in executor.forward())
    rows = f.reshape(8, -1).astype(np.float64)
    np.testing.assert_allclose(mean[:, 0], rows.mean(axis=1), rtol=4e-6)
    np.testing.assert_allclose(gram, rows @ rows.T / rows.shape[1], rtol=4e-6)


@pytest.mark.parametrize("way", [way for way in WAYS if way["by_samples"] or way["in_rows"]])
def test_no_product_is_computed_again_for_the_backward_pass(way):
    """What it multiplies may be. MXNet leaves a product out that it would repeat if no array is made of its result."""
    moments = Moments(mx.sym.Variable("f"), M, **way)
    group = mx.sym.Group([moments.mean, moments.mean_square, moments.gram])
    arrays = {"f": mx.nd.array(features())}
    executor = group.bind(mx.cpu(), arrays, {"f": mx.nd.zeros(arrays["f"].shape)})
    operators = re.findall(r"^Op:(\S+), Name=(\S+)$", executor.debug_str(), re.MULTILINE)
    repeated = [name for kind, name in operators if kind in ("dot", "FullyConnected") and name.endswith("_mirror")]
    assert bool(repeated) == (way["by_samples"] or way["recompute"] or not way["with_gram"])
    assert not [name for name in repeated if f"={name}(" in executor.debug_str()]


@pytest.mark.parametrize(("recompute", "samples_again"), [(False, True), (True, False), (True, True), (False, False)])
def test_samples_are_computed_again_where_that_is_wanted_or_the_features_are(recompute, samples_again):
    moments = Moments(mx.sym.Variable("data"), 12, recompute=recompute, samples_again=samples_again)
    again = moments.samples.attr_dict()[moments.samples.name].get("__force_mirroring__")
    assert (again == "True") == (recompute or samples_again)
