"""Deep convolutions in bfloat16 by Winograd's F(4, 3) along the height (Lavin and Gray, CVPR 2016): a 3 x 3 correlation
with zeros around the picture, as VGG-19's, and its gradient, but for rounding."""

import json

import numpy as np
import pytest
from bf16_cpu import BFLOAT16, needs_bf16
from bound_convolution import bound_convolution
from naive_convolution import naive_convolution

import model_zoo.samples
from model_zoo.vgg19 import LAYERS, Layer
from neural_style_mmd import TransferConfig, vgg19_symbol, winograd_bf16
from neural_style_mmd._mxnet import mx
from neural_style_mmd.evaluation import noise
from neural_style_mmd.network import parameters_in
from neural_style_mmd.objective import Objective
from neural_style_mmd.setting import prepare
from neural_style_mmd.winograd_bf16 import Bf16Winograd

ARITHMETIC = [pytest.param(np.float32, 1e-5, id="float32"), pytest.param(BFLOAT16, 0.05, marks=needs_bf16, id="bf16")]
SIZES = [(8, 12), (4, 4), (5, 7), (6, 9), (7, 3), (1, 1)]


def bound(x, weight, bias, kind, monkeypatch):
    """The convolution of x (I, H, W) with weight (O, I, 3, 3), its numbers of the type `kind`."""
    outputs, inputs = weight.shape[:2]
    row = Layer("conv9_9", "conv", inputs, outputs, 1)
    for name, value in {"LAYERS": {"conv9_9": row}, "CHANNELS": 1, "ROWS": 1}.items():
        monkeypatch.setattr(winograd_bf16, name, value)
    algorithm = Bf16Winograd(x.shape[1])
    known = algorithm.parameters({"conv9_9_weight": mx.nd.array(weight), "conv9_9_bias": mx.nd.array(bias)})
    return bound_convolution(lambda features: algorithm.convolution(features, row), known, x, kind)


@pytest.mark.parametrize(("kind", "error"), ARITHMETIC)
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_correlation_with_its_bias(size, kind, error, monkeypatch):
    rng = np.random.default_rng(1)
    x, weight, bias = rng.standard_normal((16, *size)), rng.standard_normal((32, 16, 3, 3)), rng.standard_normal(32)
    found = bound(x, weight, bias, kind, monkeypatch).forward(is_train=True)[0].asnumpy()[0]
    expected = naive_convolution(x, weight, bias)
    np.testing.assert_allclose(found, expected, atol=error * np.abs(expected).max())


@pytest.mark.parametrize(("kind", "error"), ARITHMETIC)
@pytest.mark.parametrize("size", SIZES)
def test_its_gradient_is_the_correlation_with_the_kernels_turned_and_transposed(size, kind, error, monkeypatch):
    rng = np.random.default_rng(2)
    x, weight = rng.standard_normal((16, *size)), rng.standard_normal((32, 16, 3, 3))
    head = rng.standard_normal((32, *size))
    executor = bound(x, weight, np.zeros(32), kind, monkeypatch)
    executor.forward(is_train=True)
    executor.backward([mx.nd.array(head[None])])
    expected = naive_convolution(head, weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), np.zeros(16))
    found = executor.grad_dict["data"].asnumpy()[0]
    np.testing.assert_allclose(found, expected, atol=error * np.abs(expected).max())


@needs_bf16
def test_of_512_channels_it_rounds_less_than_a_hundredth_of_the_features(monkeypatch):
    """Two to three times as much as a direct convolution in bfloat16, whose results alone are off by 2^-9 at most."""
    rng = np.random.default_rng(3)
    x, weight = np.maximum(rng.standard_normal((512, 8, 8)), 0), rng.standard_normal((512, 512, 3, 3)) / 48
    expected = naive_convolution(x, weight, np.zeros(512))
    found = bound(x, weight, np.zeros(512), BFLOAT16, monkeypatch).forward(is_train=True)[0].asnumpy()[0]
    error = np.sqrt(np.mean((found - expected) ** 2)) / expected.std()
    assert 2**-10 < error < 0.01
    assert abs(np.mean(found - expected)) < 1e-3 * expected.std()  # no drift


def test_the_taps_of_the_transforms_are_numbers_of_bfloat16():
    """The sixteen bits that it lacks are 0."""
    network = {name: mx.nd.array(array) for name, array in model_zoo.load("surrogate").parameters.items()}
    parameters = Bf16Winograd(384).parameters(network)
    taps = [array for name, array in parameters.items() if name.startswith(("winograd_patch", "winograd_tile"))]
    assert taps and not any((array.view(np.uint32) & 0xFFFF).any() for array in taps)


OF_128 = ["conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4", "conv4_1", "conv4_2", "conv4_3", "conv4_4"]


@pytest.mark.parametrize(
    ("height", "made"), [(384, OF_128), (320, OF_128), (192, OF_128[:5]), (96, OF_128[:1]), (64, [])]
)
def test_wide_layers_of_pictures_that_are_not_small_are_made_so(height, made):
    """Layers of 128 channels and more, of 40 rows and more."""
    convolutions = [row for row in LAYERS.values() if row.kind == "conv"]
    assert [row.name for row in convolutions if Bf16Winograd(height).makes(row)] == made


def by_winograd(symbol):
    """The convolutions that are no Convolution."""
    kinds = {node["name"]: node["op"] for node in json.loads(symbol.tojson())["nodes"]}
    return [
        name for name, kind in kinds.items() if name in LAYERS and LAYERS[name].kind == "conv" and kind != "Convolution"
    ]


def test_the_network_has_it_in_bf16_and_its_variables():
    symbol = vgg19_symbol(["relu5_1"], precision="bf16", winograd=Bf16Winograd(384))["relu5_1"]
    assert by_winograd(symbol) == OF_128
    assert by_winograd(vgg19_symbol(["relu5_1"], winograd=Bf16Winograd(384))["relu5_1"]) == []
    network = {name: mx.nd.array(array) for name, array in model_zoo.load("surrogate").parameters.items()}
    known = parameters_in("bf16", network, Bf16Winograd(384))
    assert set(symbol.list_arguments()) - {"data"} <= set(known)
    assert not set(known) - set(network) - set(symbol.list_arguments())


def objective(methods, shape):
    style, content = noise((1, 3, 32, 48), 60.0, seed=1), noise(shape, 100.0, seed=0)
    return Objective(TransferConfig(method=methods), model_zoo.load("surrogate"), style, content, shape)


@pytest.fixture
def without_amx(monkeypatch):
    monkeypatch.setattr("neural_style_mmd._mxnet.USES_AMX", False)


@pytest.mark.usefixtures("without_amx", "unmeasured")
@pytest.mark.parametrize(
    ("methods", "shape", "made", "parts"),
    [
        (("linear",), (384, 512), OF_128, 1),
        (("bn", "poly"), (512, 512), OF_128, 1),
        (("gaussian",), (384, 512), OF_128, 2),
        (("bn", "gaussian"), (384, 512), OF_128, 2),
        (("poly", "gaussian"), (384, 512), OF_128, 3),  # a Gram matrix is apart where samples are compared, too
        (("linear",), (384, 768), [], 2),
        (("bn",), (768, 1024), [], 2),
    ],
)
def test_larger_pictures_have_neither_it_nor_relu1_1_of_the_network(methods, shape, made, parts):
    """Which take more memory: that, too, is one part more. Samples of relu1_1 are never the network's."""
    ours = objective(methods, (1, 3, *shape))
    ours.use("bf16")
    assert by_winograd(ours._parts[0].executor._symbol) == made
    assert len(ours._parts) == parts


@pytest.mark.usefixtures("unmeasured")
def test_by_amx_no_picture_has_it(monkeypatch):
    monkeypatch.setattr("neural_style_mmd._mxnet.USES_AMX", True)
    ours = objective(("bn",), (1, 3, 384, 512))
    ours.use("bf16")
    assert by_winograd(ours._parts[0].executor._symbol) == []
    assert len(ours._parts) == 2


@pytest.mark.usefixtures("without_amx")
@pytest.mark.parametrize("methods", [("linear",), ("poly",), ("bn",), ("gaussian",), ("bn", "gaussian")])
def test_but_for_rounding_terms_and_gradient_are_those_of_float32(methods, monkeypatch):
    """On any CPU, with float32 in the place of bfloat16, where all convolutions from conv2_2 on are made so."""
    monkeypatch.setattr("neural_style_mmd.network._BFLOAT16", np.float32)
    monkeypatch.setattr(winograd_bf16, "ROWS", 1)
    ours = objective(methods, (1, 3, 40, 56))
    pictures = [noise(ours.shape, 80.0, seed) for seed in range(2, 6)]
    expected = [ours.evaluate(x, dict.fromkeys(ours.terms, 1.0)) for x in pictures]
    ours.use("bf16")
    assert by_winograd(ours._parts[0].executor._symbol) == [*OF_128, "conv5_1"]
    differences = []
    for x, direct in zip(pictures, expected, strict=True):
        found = ours.evaluate(x, dict.fromkeys(ours.terms, 1.0))
        assert found.terms == pytest.approx(direct.terms, rel=1e-5)
        differences.append(np.linalg.norm(found.gradient - direct.gradient) / np.linalg.norm(direct.gradient))
    # Some 1e-5, but up to 1e-3 in the pictures where rounding moves a single feature across the rectifier.
    assert min(differences) < 1e-4


def errors(setting):
    """Of bf16 against float32, at the picture where beta' is measured: the largest of the terms, and the gradient's."""
    heads, x, objective = setting.measure_balance().term_weights, setting.point, setting.objective
    objective.use("float32")
    expected = objective.evaluate(x, heads)
    objective.use("bf16")
    found = objective.evaluate(x, heads)
    gradient = np.linalg.norm(found.gradient - expected.gradient) / np.linalg.norm(expected.gradient)
    return max(abs(found.terms[name] / value - 1) for name, value in expected.terms.items()), gradient


@needs_bf16
@pytest.mark.parametrize("method", ["linear", "poly", "bn", "gaussian", "gram"])
def test_in_bfloat16_they_are_as_near_as_by_direct_convolutions(method, monkeypatch):
    """All convolutions from conv2_2 on, of a picture, whose rows have much in common: where no point is 1 the content
    loss is more than twice that of float32, and the gradient is off by half."""
    pictures = model_zoo.samples.pair(0, 128)
    config = TransferConfig(method=(method,), size=128)
    setting = prepare(pictures.content, pictures.style, config, weights=model_zoo.load("surrogate"))
    monkeypatch.setattr(winograd_bf16, "ROWS", 10**9)
    direct_term, direct_gradient = errors(setting)
    monkeypatch.setattr(winograd_bf16, "ROWS", 1)
    term, gradient = errors(setting)
    assert term < 1.5 * direct_term < 0.03
    assert 1e-5 < gradient < 1.2 * direct_gradient < 0.12
