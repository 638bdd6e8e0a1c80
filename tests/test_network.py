"""VGG-19's convolutions (Simonyan and Zisserman, ICLR 2015, table 1, column E) as an MXNet symbol."""

import numpy as np
import pytest
from naive_convolution import naive_convolution

from model_zoo.errors import InputError
from model_zoo.vgg19 import FEATURE_LAYERS, LAYERS, parameter_shapes
from neural_style_mmd import vgg19_symbol
from neural_style_mmd._mxnet import mx

COLUMN_E = """
    conv1_1 64, conv1_2 64, maxpool,
    conv2_1 128, conv2_2 128, maxpool,
    conv3_1 256, conv3_2 256, conv3_3 256, conv3_4 256, maxpool,
    conv4_1 512, conv4_2 512, conv4_3 512, conv4_4 512, maxpool,
    conv5_1 512, conv5_2 512, conv5_3 512, conv5_4 512, maxpool
"""


def naive_pooling(x, reduce):
    channels, height, width = x.shape
    out = np.empty((channels, height // 2, width // 2))
    for i in range(height // 2):
        for j in range(width // 2):
            out[:, i, j] = reduce(x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2], axis=(1, 2))
    return out


def naive_features(x, parameters, reduce):
    """Every layer up to relu2_1."""
    found = {"data": x.astype(np.float64)}
    at = "data"
    for name in ("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1", "conv2_1", "relu2_1"):
        if name.startswith("conv"):
            found[name] = naive_convolution(found[at], parameters[f"{name}_weight"], parameters[f"{name}_bias"])
        elif name.startswith("relu"):
            found[name] = np.maximum(found[at], 0)
        else:
            found[name] = naive_pooling(found[at], reduce)
        at = name
    return found


def run(symbols, x, parameters):
    group = mx.sym.Group(list(symbols.values()))
    known = {"data": mx.nd.array(x[None])} | {name: mx.nd.array(value) for name, value in parameters.items()}
    executor = group.bind(mx.cpu(), {name: known[name] for name in group.list_arguments()}, grad_req="null")
    return {name: out.asnumpy()[0] for name, out in zip(symbols, executor.forward(), strict=True)}


def test_the_table_is_column_e():
    expected = []
    for entry in COLUMN_E.replace("\n", " ").split(","):
        expected.append(("pool", None) if entry.strip() == "maxpool" else tuple(entry.split()))
    found = [(row.name, str(row.channels)) for row in LAYERS.values() if row.kind == "conv"]
    assert found == [entry for entry in expected if entry[0] != "pool"]
    kinds = [row.kind for row in LAYERS.values()]
    assert [kind for kind in kinds if kind != "relu"] == ["pool" if e[0] == "pool" else "conv" for e in expected]
    names = list(LAYERS)
    for name in names:
        if name.startswith("conv"):
            assert names[names.index(name) + 1] == name.replace("conv", "relu")  # a ReLU after each convolution


def test_the_parameters_are_the_publications_number():
    """144 million in all (table 2), of which the three fully connected layers hold 123,642,856."""
    fully_connected = 512 * 7 * 7 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 1000 + 1000
    convolutions = sum(int(np.prod(shape)) for shape in parameter_shapes().values())
    assert fully_connected == 123_642_856
    assert round((convolutions + fully_connected) / 1e6) == 144


def test_shapes_with_odd_sizes_round_down_at_each_pooling():
    layers = ["relu1_1", "pool1", "relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1", "pool5"]
    symbols = vgg19_symbol(layers)
    _, shapes, _ = mx.sym.Group(list(symbols.values())).infer_shape(data=(1, 3, 37, 51))
    assert dict(zip(layers, shapes, strict=True)) == {
        "relu1_1": (1, 64, 37, 51),
        "pool1": (1, 64, 18, 25),
        "relu2_1": (1, 128, 18, 25),
        "relu3_1": (1, 256, 9, 12),
        "relu4_1": (1, 512, 4, 6),
        "relu4_2": (1, 512, 4, 6),
        "relu5_1": (1, 512, 2, 3),
        "pool5": (1, 512, 1, 1),
    }
    for layer, shape in zip(layers, shapes, strict=True):  # the table's own account agrees
        row = LAYERS[layer]
        assert shape[1:] == (row.channels, 37 // row.stride, 51 // row.stride)


def test_parameters_have_the_tables_shapes():
    symbol = vgg19_symbol(["pool5"])["pool5"]
    shapes, _, _ = symbol.infer_shape(data=(1, 3, 64, 64))
    found = dict(zip(symbol.list_arguments(), shapes, strict=True))
    assert found.pop("data") == (1, 3, 64, 64)
    assert found == parameter_shapes()


def test_the_network_is_cut_at_the_deepest_layer():
    symbols = vgg19_symbol(["relu3_1", "relu1_1"])
    assert list(symbols) == ["relu3_1", "relu1_1"]
    arguments = mx.sym.Group(list(symbols.values())).list_arguments()
    kept = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1")
    assert sorted(arguments) == sorted(["data", *(f"{name}_{part}" for name in kept for part in ("weight", "bias"))])
    assert vgg19_symbol(["relu1_1"])["relu1_1"].list_arguments() == ["data", "conv1_1_weight", "conv1_1_bias"]


def gradient_of_all(symbols, x, parameters):
    """Of the sum of all entries of `symbols` with respect to the picture `x` (3, H, W)."""
    symbol = mx.sym.Group(list(symbols.values()))
    names = [name for name in symbol.list_arguments() if name != "data"]
    arguments = {"data": mx.nd.array(x[None])} | {name: mx.nd.array(parameters[name]) for name in names}
    gradient = mx.nd.zeros(arguments["data"].shape)
    requests = dict.fromkeys(names, "null") | {"data": "write"}
    executor = symbol.bind(mx.cpu(), arguments, {"data": gradient}, requests)
    outputs = executor.forward(is_train=True)
    executor.backward([mx.nd.ones(each.shape) for each in outputs])
    return gradient.asnumpy()


@pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
def test_features_are_those_of_naive_convolutions(pooling, reduce, network):
    parameters = network.parameters
    x = np.random.default_rng(1).uniform(-120, 130, (3, 7, 10)).astype(np.float32)
    layers = ["relu1_1", "relu1_2", "pool1", "relu2_1"]
    found, expected = run(vgg19_symbol(layers, pooling), x, parameters), naive_features(x, parameters, reduce)
    for layer in layers:
        assert found[layer].shape == expected[layer].shape
        np.testing.assert_allclose(found[layer], expected[layer], atol=1e-5 * np.abs(expected[layer]).max())


HEIGHTS = (4, 5, 6, 7, 8, 9, 38, 39)


@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize(("pooling", "reduce"), [("avg", np.mean), ("max", np.max)])
def test_layers_made_of_the_pictures_halves_are_the_same(pooling, reduce, height, network):
    """Whichever row is the middle: values are those of naive convolutions, the gradient that of the network in whole,
    and computed again both have the same bits."""
    x = np.random.default_rng(4).uniform(-120, 130, (3, height, 10)).astype(np.float32)
    layers = ["pool1", "relu2_1"]
    expected = naive_features(x, network.parameters, reduce)
    found = {}
    for key in ({}, {"halves_of": height}, {"halves_of": height, "recompute": "pool1"}):
        symbols = vgg19_symbol(layers, pooling, **key)
        outputs = run(symbols, x, network.parameters)
        for layer in layers:
            assert symbols[layer].name == layer and outputs[layer].shape == expected[layer].shape
            np.testing.assert_allclose(outputs[layer], expected[layer], atol=1e-5 * np.abs(expected[layer]).max())
        found[len(key)] = gradient_of_all(symbols, x, network.parameters)
    np.testing.assert_allclose(found[1], found[0], atol=1e-5 * np.abs(found[0]).max())
    np.testing.assert_array_equal(found[2], found[1])


def test_of_halves_no_array_is_as_large_as_relu1_1(network):
    _, shapes, _ = vgg19_symbol(["pool1"], halves_of=40)["pool1"].get_internals().infer_shape(data=(1, 3, 40, 16))
    assert sorted(shape[2] for shape in shapes if shape[1:2] == (64,) and shape[3:] == (16,)) == [22] * 8


@pytest.mark.parametrize(
    ("layers", "precision", "rows"),
    [(["relu2_1", "relu1_2"], "float32", 8), (["pool1"], "bf16", 8), (["pool1"], "float32", 3)],
)
def test_halves_have_no_layer_before_pool1_and_are_of_float32(layers, precision, rows):
    said = f"halves of {rows} rows for {', '.join(layers)} in {precision}: give four rows or more, layers from pool1 on"
    with pytest.raises(InputError, match=said):
        vgg19_symbol(layers, precision=precision, halves_of=rows)


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_what_is_computed_again_for_the_backward_pass_has_the_same_bits(pooling, network):
    x = np.random.default_rng(3).uniform(-120, 130, (1, 3, 37, 51)).astype(np.float32)
    found = []
    for recompute in (None, "pool1", "conv2_1"):
        symbol = mx.sym.Group(list(vgg19_symbol(["relu1_2", "relu2_1"], pooling, recompute=recompute).values()))
        names = [name for name in symbol.list_arguments() if name != "data"]
        arguments = {"data": mx.nd.array(x)} | {name: mx.nd.array(network.parameters[name]) for name in names}
        gradient = mx.nd.zeros(x.shape)
        requests = dict.fromkeys(names, "null") | {"data": "write"}
        executor = symbol.bind(mx.cpu(), arguments, {"data": gradient}, requests)
        outputs = executor.forward(is_train=True)
        executor.backward([mx.nd.ones(each.shape) for each in outputs])
        found.append([each.asnumpy() for each in (*outputs, gradient)])
    kept, *others = found
    assert all(np.abs(each).max() > 0 for each in kept)
    for again in others:
        for each, expected in zip(again, kept, strict=True):
            np.testing.assert_array_equal(each, expected)


def test_average_pooling_is_the_default(network):
    parameters = network.parameters
    x = np.random.default_rng(2).uniform(-120, 130, (3, 8, 8)).astype(np.float32)
    found = run(vgg19_symbol(["pool1"]), x, parameters)["pool1"]
    expected = naive_features(x, parameters, np.mean)["pool1"]
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("layer", FEATURE_LAYERS)
def test_every_relu_and_pool_may_be_named(layer):
    symbol = vgg19_symbol([layer])[layer]
    assert symbol.name == layer
    _, ((_, channels, height, width),), _ = symbol.infer_shape(data=(1, 3, 64, 96))
    block = int(layer.removeprefix("relu").removeprefix("pool")[0])
    halvings = block if layer.startswith("pool") else block - 1
    assert (channels, height, width) == (min(64 * 2 ** (block - 1), 512), 64 >> halvings, 96 >> halvings)


@pytest.mark.parametrize("name", ["relu6_1", "conv1_1", "relu1-1", "RELU1_1", "fc6", ""])
def test_an_unknown_layer_lists_the_known_ones(name):
    with pytest.raises(InputError) as caught:
        vgg19_symbol(["relu1_1", name])
    message = str(caught.value)
    assert repr(name) in message and all(layer in message for layer in ("relu1_1", "pool1", "relu5_4", "pool5"))
    assert "\n" not in message


def test_no_layer_an_unknown_pooling_and_an_unknown_last_layer_are_errors():
    with pytest.raises(InputError, match="no layer"):
        vgg19_symbol([])
    with pytest.raises(InputError, match="unknown pooling 'median'; allowed are avg, max"):
        vgg19_symbol(["relu1_1"], "median")
    with pytest.raises(InputError, match="recompute is True; give the last layer"):
        vgg19_symbol(["relu1_1"], recompute=True)


def test_a_user_can_put_their_own_symbol_in_front_and_save_the_graph(network):
    parameters = network.parameters
    x = np.random.default_rng(3).uniform(0, 1, (3, 6, 6)).astype(np.float32)
    symbols = vgg19_symbol(["relu1_1"], data=mx.sym.Variable("data") * 255 - 120)
    loaded = {"relu1_1": mx.sym.load_json(symbols["relu1_1"].tojson())}
    expected = naive_features(x * 255 - 120, parameters, np.mean)["relu1_1"]
    np.testing.assert_allclose(run(loaded, x, parameters)["relu1_1"], expected, atol=1e-5 * expected.max())
