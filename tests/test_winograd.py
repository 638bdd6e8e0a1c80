"""Deep convolutions by Winograd's F(4 x 4, 3 x 3) (Lavin and Gray, CVPR 2016): a 3 x 3 correlation with zeros around
the picture, as VGG-19's, and its gradient, but for rounding."""

import json

import numpy as np
import pytest
from naive_convolution import naive_convolution
from planned_memory import planned

import model_zoo
from model_zoo.vgg19 import LAYERS, Layer
from neural_style_mmd import TransferConfig, vgg19_symbol, winograd
from neural_style_mmd._mxnet import mx
from neural_style_mmd.evaluation import noise
from neural_style_mmd.objective import Objective

SIZES = [(8, 12), (4, 4), (5, 7), (3, 2), (1, 1), (6, 9)]


def bound(x, weight, bias):
    outputs, inputs = weight.shape[:2]
    row = Layer("conv9_9", "conv", inputs, outputs, 1)
    symbol = winograd.Winograd().convolution(mx.sym.Variable("data"), row, *x.shape[1:])
    known = {"data": x[None], "conv9_9_weight": weight, "conv9_9_bias": bias} | winograd.constants()
    assert sorted(symbol.list_arguments()) == sorted(known)
    arguments = {name: mx.nd.array(array) for name, array in known.items()}
    requests = {name: "write" if name == "data" else "null" for name in known}
    return symbol.bind(mx.cpu(), arguments, {"data": mx.nd.zeros(x[None].shape)}, requests)


@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_correlation_with_its_bias(size):
    rng = np.random.default_rng(1)
    x, weight, bias = rng.standard_normal((5, *size)), rng.standard_normal((7, 5, 3, 3)), rng.standard_normal(7)
    found = bound(x, weight, bias).forward(is_train=True)[0].asnumpy()[0]
    np.testing.assert_allclose(found, naive_convolution(x, weight, bias), atol=2e-5)


@pytest.mark.parametrize("size", SIZES)
def test_its_gradient_is_the_correlation_with_the_kernels_turned_and_transposed(size):
    rng = np.random.default_rng(2)
    x, weight, head = (
        rng.standard_normal((5, *size)),
        rng.standard_normal((7, 5, 3, 3)),
        rng.standard_normal((7, *size)),
    )
    nothing = np.zeros(7)
    executor = bound(x, weight, nothing)
    executor.forward(is_train=True)
    executor.backward([mx.nd.array(head[None])])
    expected = naive_convolution(head, weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), np.zeros(5))
    found = executor.grad_dict["data"].asnumpy()[0]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    delta = 1e-4 * rng.standard_normal(x.shape)  # linear in x, so the difference is exact
    higher, lower = (naive_convolution(at, weight, nothing) for at in (x + delta, x - delta))
    rise = np.sum(head * (higher - lower)) / 2
    assert np.sum(found * delta) == pytest.approx(rise, rel=1e-4)


def test_of_512_channels_it_rounds_less_than_a_hundred_thousandth_of_the_largest_feature():
    rng = np.random.default_rng(3)
    x, weight = np.maximum(rng.standard_normal((512, 8, 8)), 0), rng.standard_normal((512, 512, 3, 3)) / 48
    nothing = np.zeros(512)
    expected = naive_convolution(x, weight, nothing)
    found = bound(x, weight, nothing).forward(is_train=True)[0].asnumpy()[0]
    assert np.abs(found - expected).max() < 5e-6 * np.abs(expected).max()


def test_the_transforms_make_a_tile_of_a_patch_and_a_kernel_exactly():
    rng = np.random.default_rng(4)
    patch, kernel = rng.standard_normal((6, 6)), rng.standard_normal((3, 3))
    b, g, a = winograd.transforms()
    expected = [[np.sum(patch[i : i + 3, j : j + 3] * kernel) for j in range(4)] for i in range(4)]
    tile = a @ ((g @ kernel.ravel()) * (b @ patch.ravel()))
    np.testing.assert_allclose(tile.reshape(4, 4), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("layer", "size", "pays"),
    [
        ("conv4_2", (48, 64), True),  # of a picture of 512 x 384
        ("conv4_2", (32, 64), True),  # 8 x 16 tiles, the fewest
        ("conv4_2", (31, 61), True),  # the same, some of them not full
        ("conv4_2", (28, 64), False),
        ("conv4_1", (48, 64), False),  # of 256 channels
        ("conv5_1", (24, 32), False),
        ("conv5_1", (48, 64), True),
    ],
)
def test_wide_layers_of_large_pictures_are_made_so(layer, size, pays):
    assert winograd.pays(LAYERS[layer], *size) == pays


def by_winograd(symbol):
    """The convolutions that are no Convolution."""
    kinds = {node["name"]: node["op"] for node in json.loads(symbol.tojson())["nodes"]}
    return [
        name for name, kind in kinds.items() if name in LAYERS and LAYERS[name].kind == "conv" and kind != "Convolution"
    ]


def test_the_network_has_it_where_it_is_told_the_size_and_float32():
    layers = ["relu5_1"]
    assert by_winograd(vgg19_symbol(layers, size=(384, 512))["relu5_1"]) == ["conv4_2", "conv4_3", "conv4_4"]
    assert by_winograd(vgg19_symbol(layers)["relu5_1"]) == []
    assert by_winograd(vgg19_symbol(layers, precision="bf16", size=(384, 512))["relu5_1"]) == []


def objective(methods, monkeypatch, tiles):
    monkeypatch.setattr(winograd, "TILES", tiles)
    shape = (1, 3, 72, 88)  # relu4_1 is 9 x 11
    x, y = noise(shape, 100.0, seed=0), noise((1, 3, 64, 80), 60.0, seed=1)
    return Objective(TransferConfig(method=methods), model_zoo.load("surrogate"), y, x, shape)


@pytest.mark.parametrize("methods", [("linear",), ("poly",), ("bn",), ("gram", "bn")])
def test_terms_and_gradient_are_the_direct_convolutions(methods, monkeypatch):
    direct, ours = (objective(methods, monkeypatch, tiles) for tiles in (10**9, 1))
    assert by_winograd(direct._parts[0].executor._symbol) == []
    assert by_winograd(ours._parts[0].executor._symbol) == ["conv4_2", "conv4_3", "conv4_4", "conv5_1"]
    x = noise(direct.shape, 80.0, seed=2)
    expected, found = (each.evaluate(x, dict.fromkeys(each.terms, 1.0)) for each in (direct, ours))
    assert found.terms == pytest.approx(expected.terms, rel=1e-5)
    difference = np.linalg.norm(found.gradient - expected.gradient)
    assert difference < 1e-3 * np.linalg.norm(expected.gradient)  # rounding moves single features across the rectifier
    assert ours.terms_at(x) == found.terms


def test_the_content_picture_has_no_content_loss(monkeypatch):
    ours = objective(("linear",), monkeypatch, 1)
    assert ours.terms_at(noise(ours.shape, 100.0, seed=0))["content"] == 0


@pytest.mark.parametrize("methods", [("gaussian",), ("gaussian", "bn")])
def test_methods_that_sample_keep_the_direct_convolutions(methods, monkeypatch):
    """The transformed kernels would find no place beside the samples within 1.3 of the bare network's memory."""
    assert by_winograd(objective(methods, monkeypatch, 1)._parts[0].executor._symbol) == []


@pytest.mark.parametrize("methods", [("linear",), ("bn", "poly")])
def test_it_needs_a_third_more_arrays_than_the_direct_convolutions(methods, monkeypatch):
    """At 512 x 384: above all the kernels of three layers, 36 x 512 x 512, which are kept until the backward pass."""
    style, arrays = noise((1, 3, 32, 32), 100.0, seed=0), []
    for tiles in (10**9, winograd.TILES):
        monkeypatch.setattr(winograd, "TILES", tiles)
        config, weights = TransferConfig(method=methods), model_zoo.load("surrogate")
        network, *_ = Objective(config, weights, style, None, (1, 3, 384, 512))._parts
        arrays.append(planned(network.executor))
    direct, ours = arrays
    assert ours <= 1.4 * direct
