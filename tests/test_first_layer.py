"""relu1_1 by a matrix product over patches is relu1_1: against float64 convolutions written out, in both orders."""

import numpy as np
import pytest

from neural_style_mmd._mxnet import mx
from neural_style_mmd.first_layer import FirstLayer

HEIGHT, WIDTH = 4, 5
FEATURES = ("features",)
SAMPLES = ("samples.0", "samples.1")


def relu1_1(picture, network):
    """(3, H, W) -> (64, H W), float64."""
    weight, bias = (network.parameters[f"conv1_1_{name}"].astype(np.float64) for name in ("weight", "bias"))
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.maximum(np.einsum("oiyx,ihwyx->ohw", weight, windows) + bias[:, None, None], 0).reshape(64, -1)


def picture():
    return np.random.default_rng(4).uniform(-120, 130, (1, 3, HEIGHT, WIDTH))


def bound(network, order):
    """The executor of relu1_1 in one order, and the array that its gradient is written into."""
    layer, data = FirstLayer(), mx.sym.Variable("data")
    symbols = {"features": layer.features(data)} if order == FEATURES else layer.samples(data)
    assert tuple(symbols) == order
    known = {name: mx.nd.array(value, dtype="float64") for name, value in network.parameters.items()}
    known["data"] = mx.nd.array(picture(), dtype="float64")
    group = mx.sym.Group(list(symbols.values()))
    names = group.list_arguments()
    gradient = mx.nd.zeros(known["data"].shape, dtype="float64")
    requests = {name: "write" if name == "data" else "null" for name in names}
    return group.bind(mx.cpu(), {name: known[name] for name in names}, {"data": gradient}, requests), gradient


@pytest.mark.parametrize("order", [FEATURES, SAMPLES])
def test_the_numbers_are_those_of_the_convolution(order, network):
    executor, _ = bound(network, order)
    expected = relu1_1(picture()[0], network)
    found = [each.asnumpy() for each in executor.forward()]
    if order == FEATURES:
        assert found[0].shape == (1, 64, 1, HEIGHT * WIDTH)
        found = found[0][0, :, 0]
    else:
        assert [each.shape for each in found] == [(HEIGHT * WIDTH, 32)] * 2
        found = np.concatenate(found, axis=1).T
    np.testing.assert_allclose(found, expected, atol=1e-10 * expected.max())


@pytest.mark.parametrize("order", [FEATURES, SAMPLES])
def test_the_gradient_is_that_of_central_differences(order, network):
    executor, gradient = bound(network, order)
    heads = np.random.default_rng(5).normal(size=(64, HEIGHT * WIDTH))
    executor.forward(is_train=True)
    outputs = [heads.reshape(1, 64, 1, -1)] if order == FEATURES else [heads[:32].T, heads[32:].T]
    executor.backward([mx.nd.array(each, dtype="float64") for each in outputs])
    numeric = np.zeros(gradient.shape)
    for index in np.ndindex(numeric.shape):
        step = np.zeros(numeric.shape)
        step[index] = 1e-5
        higher, lower = (relu1_1((picture() + by)[0], network) for by in (step, -step))
        numeric[index] = (heads * (higher - lower)).sum() / 2e-5
    assert np.linalg.norm(gradient.asnumpy() - numeric) < 1e-6 * np.linalg.norm(numeric)
