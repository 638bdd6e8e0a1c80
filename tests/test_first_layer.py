"""relu1_1 by a matrix product over patches is relu1_1: against float64 convolutions written out, in both orders."""

import numpy as np
import pytest

from neural_style_mmd._mxnet import mx
from neural_style_mmd.config import METHODS, TransferConfig
from neural_style_mmd.first_layer import FirstLayer
from neural_style_mmd.objective import Objective

HEIGHT, WIDTH = 5, 4
DRAWN = ([7, 3, 19], [0, 3, 12])  # positions; some are in neither, one in both


def relu1_1(picture, network):
    """(3, H, W) -> (64, H W), float64."""
    weight, bias = (network.parameters[f"conv1_1_{name}"].astype(np.float64) for name in ("weight", "bias"))
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.maximum(np.einsum("oiyx,ihwyx->ohw", weight, windows) + bias[:, None, None], 0).reshape(64, -1)


def picture():
    return np.random.default_rng(4).uniform(-120, 130, (1, 3, HEIGHT, WIDTH))


def features(layer, data):
    return [layer.features(data)], lambda every: [every.reshape(1, 64, HEIGHT, WIDTH)]


def in_halves(layer, data):
    """Of an odd number of rows the lower half has one more."""
    return layer.halves(data, HEIGHT), lambda every: [every[:, :8], every[:, 8:]]


def drawn_samples(layer, data):
    """Of two arrays of positions, in one part of the channels."""
    samples = layer.samples(data, [mx.sym.Variable(f"drawn{i}") for i in range(2)], parts=1)
    assert list(samples) == ["samples.0", "samples.1"]
    return list(samples.values()), lambda every: [every[:, there].T for there in DRAWN]


def samples_in_parts(layer, data):
    """Of one array of positions, in two parts of the channels."""
    samples = layer.samples(data, [mx.sym.Variable("drawn0")], parts=2)
    assert list(samples) == ["samples.0", "samples.1"]
    return list(samples.values()), lambda every: [half[:, DRAWN[0]].T for half in (every[:32], every[32:])]


ORDERS = [features, in_halves, drawn_samples, samples_in_parts]


def bound(network, order):
    """The executor of relu1_1 in one order; how float64 (64, M) is put into it; and where the gradient is written."""
    data = mx.sym.Variable("data")
    symbols, arrange = order(FirstLayer(), data)
    known = {name: mx.nd.array(value, dtype="float64") for name, value in network.parameters.items()}
    known["data"] = mx.nd.array(picture(), dtype="float64")
    known |= {f"drawn{i}": mx.nd.array(there, dtype="int32") for i, there in enumerate(DRAWN)}
    group = mx.sym.Group(symbols)
    names = group.list_arguments()
    gradient = mx.nd.zeros(known["data"].shape, dtype="float64")
    requests = {name: "write" if name == "data" else "null" for name in names}
    executor = group.bind(mx.cpu(), {name: known[name] for name in names}, {"data": gradient}, requests)
    return executor, arrange, gradient


@pytest.mark.parametrize("order", ORDERS)
def test_the_numbers_are_those_of_the_convolution(order, network):
    executor, arrange, _ = bound(network, order)
    every = relu1_1(picture()[0], network)
    for found, expected in zip(executor.forward(), arrange(every), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.asnumpy(), expected, atol=1e-10 * every.max())


@pytest.mark.parametrize("order", ORDERS)
def test_the_gradient_is_that_of_central_differences(order, network):
    executor, arrange, gradient = bound(network, order)
    heads = [np.random.default_rng(5).normal(size=each.shape) for each in executor.forward(is_train=True)]
    executor.backward([mx.nd.array(each, dtype="float64") for each in heads])

    def total(at):
        outputs = arrange(relu1_1(at[0], network))
        return sum((head * output).sum() for head, output in zip(heads, outputs, strict=True))

    numeric = np.zeros(gradient.shape)
    for index in np.ndindex(numeric.shape):
        step = np.zeros(numeric.shape)
        step[index] = 1e-5
        numeric[index] = (total(picture() + step) - total(picture() - step)) / 2e-5
    assert np.linalg.norm(gradient.asnumpy() - numeric) < 1e-6 * np.linalg.norm(numeric)


def test_of_the_style_picture_only_the_gaussian_samples_are_computed_in_each_evaluation(network, monkeypatch):
    """Every other target was measured before: the style picture is an input there alone, nothing is measured again, and
    no gradient is taken but the picture's."""
    x, content, style = np.random.default_rng(0).uniform(-100, 100, (3, 1, 3, 6, 7)).astype(np.float32)
    config = TransferConfig(method=METHODS, layers=("relu1_1", "relu1_2"), content_layer="relu1_2")
    objective = Objective(config, network, style, content, x.shape)
    monkeypatch.setattr(Objective, "_forward", lambda *_: pytest.fail("a target is measured again"))
    objective.evaluate(x, dict.fromkeys(objective.terms, 1.0), 1)
    for terms, executor, _ in objective._parts:
        pictures = [name for name, array in executor.arg_dict.items() if array.shape == style.shape]
        expected = ["data", "style.picture"] if terms == ("style.gaussian.relu1_1",) else ["data"]
        assert sorted(pictures) == expected, terms
        assert [name for name, gradient in executor.grad_dict.items() if gradient is not None] == ["data"]
    assert objective._parts[-1].terms == ("style.gaussian.relu1_1",)
