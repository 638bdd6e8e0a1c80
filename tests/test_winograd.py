"""Deep convolutions by Winograd's F(4 x 4, 3 x 3) (Lavin and Gray, CVPR 2016): a 3 x 3 correlation with zeros around
the picture, as VGG-19's, and its gradient, but for rounding."""

import json

import numpy as np
import pytest
from bound_convolution import bound_convolution
from naive_convolution import naive_convolution
from planned_memory import planned

import model_zoo
from model_zoo.vgg19 import LAYERS, Layer
from neural_style_mmd import TransferConfig, vgg19_symbol, winograd
from neural_style_mmd._mxnet import mx
from neural_style_mmd.evaluation import noise
from neural_style_mmd.network import copied
from neural_style_mmd.network_plan import NetworkPlan
from neural_style_mmd.objective import Objective

SIZES = [(8, 12), (4, 4), (5, 7), (3, 2), (1, 1), (6, 9)]


IN_BOTH_WAYS = pytest.mark.parametrize(
    ("once", "few"), [(False, 0), (True, 10**9)], ids=["kernels in the graph, many tiles", "kernels once, few tiles"]
)


def bound(x, weight, bias, once, few, monkeypatch):
    """The convolution of x (I, H, W) with weight (O, I, 3, 3); `once`: its kernels are made before; `few`: with fewer
    tiles than that it is made as is best for few."""
    outputs, inputs = weight.shape[:2]
    row = Layer("conv9_9", "conv", inputs, outputs, 1)
    monkeypatch.setattr(winograd, "LAYERS", {"conv9_9": row})
    monkeypatch.setattr(winograd, "TILES", 1)
    monkeypatch.setattr(winograd, "FEW_TILES", few)
    algorithm = winograd.Winograd(*x.shape[1:], inputs, once)
    network = {"conv9_9_weight": mx.nd.array(weight), "conv9_9_bias": mx.nd.array(bias)}
    known, unread = network | algorithm.parameters(network), {"winograd_kernel", "conv9_9_weight"} if once else set()
    known = {name: array for name, array in known.items() if name not in unread}
    return bound_convolution(lambda features: algorithm.convolution(features, row), known, x, np.float32)


@IN_BOTH_WAYS
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_correlation_with_its_bias(size, once, few, monkeypatch):
    rng = np.random.default_rng(1)
    x, weight, bias = rng.standard_normal((5, *size)), rng.standard_normal((7, 5, 3, 3)), rng.standard_normal(7)
    found = bound(x, weight, bias, once, few, monkeypatch).forward(is_train=True)[0].asnumpy()[0]
    np.testing.assert_allclose(found, naive_convolution(x, weight, bias), atol=2e-5)


@IN_BOTH_WAYS
@pytest.mark.parametrize("size", SIZES)
def test_its_gradient_is_the_correlation_with_the_kernels_turned_and_transposed(size, once, few, monkeypatch):
    rng = np.random.default_rng(2)
    x, weight, head = (
        rng.standard_normal((5, *size)),
        rng.standard_normal((7, 5, 3, 3)),
        rng.standard_normal((7, *size)),
    )
    nothing = np.zeros(7)
    executor = bound(x, weight, nothing, once, few, monkeypatch)
    executor.forward(is_train=True)
    executor.backward([mx.nd.array(head[None])])
    expected = naive_convolution(head, weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), np.zeros(5))
    found = executor.grad_dict["data"].asnumpy()[0]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    delta = 1e-4 * rng.standard_normal(x.shape)  # linear in x, so the difference is exact
    higher, lower = (naive_convolution(at, weight, nothing) for at in (x + delta, x - delta))
    rise = np.sum(head * (higher - lower)) / 2
    assert np.sum(found * delta) == pytest.approx(rise, rel=1e-4)


@IN_BOTH_WAYS
def test_of_512_channels_it_rounds_less_than_a_hundred_thousandth_of_the_largest_feature(once, few, monkeypatch):
    rng = np.random.default_rng(3)
    x, weight = np.maximum(rng.standard_normal((512, 8, 8)), 0), rng.standard_normal((512, 512, 3, 3)) / 48
    nothing = np.zeros(512)
    expected = naive_convolution(x, weight, nothing)
    found = bound(x, weight, nothing, once, few, monkeypatch).forward(is_train=True)[0].asnumpy()[0]
    assert np.abs(found - expected).max() < 5e-6 * np.abs(expected).max()


def test_the_transforms_make_a_tile_of_a_patch_and_a_kernel_exactly():
    rng = np.random.default_rng(4)
    patch, kernel = rng.standard_normal((6, 6)), rng.standard_normal((3, 3))
    b, g, a = winograd.transforms()
    expected = [[np.sum(patch[i : i + 3, j : j + 3] * kernel) for j in range(4)] for i in range(4)]
    tile = a @ ((g @ kernel.ravel()) * (b @ patch.ravel()))
    np.testing.assert_allclose(tile.reshape(4, 4), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("layer", "height", "width", "makes"),
    [
        ("conv3_2", 384, 512, True),
        ("conv4_2", 384, 512, True),
        ("conv4_2", 192, 256, True),  # 6 x 8 tiles, the fewest
        ("conv4_2", 168, 232, True),  # the same, some of them not full
        ("conv4_2", 160, 256, False),
        ("conv3_1", 384, 512, False),  # of 128 channels
        ("conv5_1", 768, 1024, False),
    ],
)
def test_wide_layers_of_pictures_that_are_not_small_are_made_so(layer, height, width, makes):
    assert winograd.Winograd(height, width, 256).makes(LAYERS[layer]) == makes


@pytest.mark.parametrize(("height", "width", "second"), [(192, 256, True), (288, 384, True), (384, 512, False)])
def test_kernels_are_the_second_factor_where_tiles_are_few_and_not_where_that_costs_memory(height, width, second):
    algorithm = winograd.Winograd(height, width, 256, kernels_once=True)
    symbol = algorithm.convolution(mx.sym.Variable("features"), LAYERS["conv4_2"])
    nodes = json.loads(symbol.tojson())["nodes"]
    (product,) = (node for node in nodes if any(nodes[i]["name"] == "conv4_2_kernels" for i, *_ in node["inputs"]))
    assert [nodes[i]["name"] for i, *_ in product["inputs"]].index("conv4_2_kernels") == second


def by_winograd(symbol):
    """The convolutions that are no Convolution."""
    kinds = {node["name"]: node["op"] for node in json.loads(symbol.tojson())["nodes"]}
    return [
        name for name, kind in kinds.items() if name in LAYERS and LAYERS[name].kind == "conv" and kind != "Convolution"
    ]


OF_512 = ["conv4_2", "conv4_3", "conv4_4"]
OF_256 = ["conv3_2", "conv3_3", "conv3_4", "conv4_1", *OF_512]


@pytest.mark.parametrize(("channels", "made"), [(256, OF_256), (512, OF_512), (None, [])])
def test_the_network_has_it_for_features_of_so_many_channels_in_float32(channels, made):
    algorithm = channels and winograd.Winograd(384, 512, channels)
    assert by_winograd(vgg19_symbol(["relu5_1"], winograd=algorithm)["relu5_1"]) == made
    assert by_winograd(vgg19_symbol(["relu5_1"], precision="bf16", winograd=algorithm)["relu5_1"]) == []


@pytest.mark.parametrize("direct", [("conv4_4",), ("conv3_2", "conv4_1")])
def test_the_network_has_it_but_for_layers_that_are_to_be_direct(direct):
    algorithm = winograd.Winograd(384, 512, 256, direct=direct)
    made = by_winograd(vgg19_symbol(["relu5_1"], winograd=algorithm)["relu5_1"])
    assert made == [name for name in OF_256 if name not in direct]


@pytest.mark.parametrize(
    ("methods", "avx512", "made", "again"),
    [
        (("linear",), False, OF_256, False),
        (("poly",), False, OF_256, True),
        (("poly",), True, OF_512, False),
        (("gaussian",), False, OF_256, True),
        (("gaussian",), True, OF_512, False),
        (("bn", "gaussian"), False, OF_256[:-1], True),  # all but conv4_4
    ],
)
def test_the_objective_is_made_as_its_plan_says(methods, avx512, made, again, monkeypatch):
    """At 512 x 384, see test_network_plan.py."""
    monkeypatch.setattr("neural_style_mmd.network_plan.has_avx512", lambda: avx512)
    config, style = TransferConfig(method=methods), noise((1, 3, 32, 48), 60.0, seed=1)
    network, *_ = Objective(config, model_zoo.load("surrogate"), style, None, (1, 3, 384, 512))._parts
    assert by_winograd(network.executor._symbol) == made
    attributes = network.executor._symbol.attr_dict()
    convolutions = [name for name in ("conv1_2", "conv1_2_upper", "conv1_2_lower") if name in attributes]
    assert convolutions == (["conv1_2_upper", "conv1_2_lower"] if again and "gaussian" in methods else ["conv1_2"])
    assert all(("__force_mirroring__" in attributes[name]) == again for name in convolutions)


def test_so_it_is_after_a_change_of_the_estimator(monkeypatch):
    monkeypatch.setattr("neural_style_mmd.network_plan.has_avx512", lambda: False)
    style = noise((1, 3, 32, 48), 60.0, seed=1)
    changed = Objective(
        TransferConfig(method=("bn", "gaussian")), model_zoo.load("surrogate"), style, None, (1, 3, 384, 512)
    )
    for estimator, made in (("blocks", OF_512), ("pairs", OF_256[:-1])):
        changed.use("float32", estimator)
        assert by_winograd(changed._parts[0].executor._symbol) == made


@pytest.mark.parametrize(("size", "pooling"), [((192, 256), "avg"), ((192, 256), "max"), ((168, 232), "avg")])
@pytest.mark.parametrize("direct", [(), ("conv4_4",), ("conv3_3", "conv4_2"), ("conv3_4", "conv4_1")])
def test_features_and_gradient_of_the_network_are_those_of_direct_convolutions(direct, size, pooling):
    """Whatever reads a layer: another of them, with or without a pooling between, a direct convolution, which gives its
    gradient in oneDNN's order, or a loss, as a copy does here; of layers of full tiles and not."""
    read, x = ["relu3_4", "relu4_3", "relu4_4", "relu5_1"], mx.nd.array(noise((1, 3, *size), 60.0, seed=1))
    weights = {name: mx.nd.array(array) for name, array in model_zoo.load("surrogate").parameters.items()}
    features, gradients = [], []
    for algorithm in (None, winograd.Winograd(*size, 256, direct=direct)):
        layers = vgg19_symbol(read, pooling, winograd=algorithm)
        group = mx.sym.Group([copied(layers[name], name) for name in read])
        known = weights | (algorithm.parameters(weights) if algorithm else {}) | {"data": x}
        arguments = {name: known[name] for name in group.list_arguments()}
        gradients.append(mx.nd.zeros(x.shape))
        executor = group.bind(mx.cpu(), arguments, {"data": gradients[-1]})
        features.append([each.asnumpy() for each in executor.forward(is_train=True)])
        executor.backward([mx.nd.array(noise(each.shape, 1.0, seed=i)) for i, each in enumerate(features[-1])])
    for expected, found in zip(*features, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())
    expected, found = (each.asnumpy() for each in gradients)
    assert np.abs(found - expected).mean() < 5e-3 * np.abs(expected).mean()  # features about 0 that are rectified


def test_no_more_is_planned_than_where_each_is_an_array_of_its_own(monkeypatch):
    """At 512 x 384, by linear; of conv4_1 it must be: its results are half as large as those of the layers before."""
    config, style = TransferConfig(method=("linear",)), noise((1, 3, 32, 48), 60.0, seed=1)
    memory = {}
    for apart in ("as it is", True, False):
        with monkeypatch.context() as context:
            if apart != "as it is":
                context.setattr(winograd.Winograd, "_apart", lambda *_, apart=apart: apart)
            made = Objective(config, model_zoo.load("surrogate"), style, None, (1, 3, 384, 512))
        memory[apart] = planned(made._parts[0].executor)
    assert memory["as it is"] == memory[True] < memory[False]


POOLINGS = ["pool1", "pool2", "pool3", "pool4"]


@pytest.mark.parametrize(
    ("pooling", "channels", "direct", "others"),
    [
        ("avg", 256, (), ["pool3"]),
        ("avg", 256, ("conv3_4",), []),
        ("avg", 256, ("conv4_1",), []),
        ("avg", 512, (), []),
        ("max", 256, (), []),
    ],
)
def test_a_pooling_between_two_of_them_is_a_convolution_if_it_averages(pooling, channels, direct, others):
    """pool4 is before conv5_1, which is direct."""
    algorithm = winograd.Winograd(384, 512, channels, direct=direct)
    symbol = vgg19_symbol(["relu5_1"], pooling, winograd=algorithm)["relu5_1"]
    kinds = {node["name"]: node["op"] for node in json.loads(symbol.tojson())["nodes"]}
    assert [name for name in POOLINGS if kinds[name] != "Pooling"] == others


def test_that_pooling_averages_and_so_does_its_gradient(monkeypatch):
    """Of 19 x 23 features, whose last row and column it leaves out."""
    monkeypatch.setattr(winograd, "TILES", 1)
    height, width = 79, 94
    algorithm = winograd.Winograd(height, width, 256)
    symbols = vgg19_symbol(["relu3_4", "pool3", "relu4_1"], winograd=algorithm)
    network = {name: mx.nd.array(array) for name, array in model_zoo.load("surrogate").parameters.items()}
    known = network | algorithm.parameters(network) | {"data": mx.nd.array(noise((1, 3, height, width), 80.0, seed=1))}
    group = mx.sym.Group([symbols["relu3_4"], symbols["pool3"]])
    gradient = mx.nd.zeros((1, 3, height, width))
    requests = {name: "write" if name == "data" else "null" for name in group.list_arguments()}
    arguments = {name: known[name] for name in requests}
    executor = group.bind(mx.cpu(), arguments, {"data": gradient}, requests)

    def run(*heads):
        outputs = [each.asnumpy() for each in executor.forward(is_train=True)]
        executor.backward([mx.nd.array(head) for head in heads])
        return outputs, gradient.asnumpy()

    head = np.random.default_rng(1).standard_normal((1, 256, 9, 11))
    (features, pooled), found = run(np.zeros((1, 256, 19, 23)), head)
    squares = features[:, :, :18, :22].astype(np.float64).reshape(1, 256, 9, 2, 11, 2)
    np.testing.assert_allclose(pooled, squares.mean((3, 5)), rtol=1e-6)
    spread = np.zeros((1, 256, 19, 23))
    spread[:, :, :18, :22] = np.kron(head, np.full((2, 2), 0.25))
    _, expected = run(spread, np.zeros((1, 256, 9, 11)))
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def objective(methods, monkeypatch, plan, shape=(1, 3, 40, 56), with_content=True):
    """relu4_1 is 5 x 7, or as `shape` has it."""
    monkeypatch.setattr("neural_style_mmd.objective.network_plan", lambda *_: plan)
    monkeypatch.setattr(winograd, "TILES", 1)
    style, content = noise((1, 3, 32, 48), 60.0, seed=1), noise(shape, 100.0, seed=0) if with_content else None
    return Objective(TransferConfig(method=methods), model_zoo.load("surrogate"), style, content, shape)


def difference(direct, ours, x):
    """Of the gradients, over the direct one's; the terms are the same but for rounding."""
    expected, found = (each.evaluate(x, dict.fromkeys(each.terms, 1.0)) for each in (direct, ours))
    assert found.terms == pytest.approx(expected.terms, rel=1e-5)
    assert ours.terms_at(x) == found.terms
    return np.linalg.norm(found.gradient - expected.gradient) / np.linalg.norm(expected.gradient)


@pytest.mark.parametrize(
    ("methods", "recompute"),
    [
        (("linear",), False),
        (("poly",), False),
        (("poly",), True),
        (("bn",), False),
        (("gram", "bn"), True),
        (("gaussian",), False),
        (("bn", "gaussian"), True),
    ],
)
def test_terms_and_gradient_are_the_direct_convolutions(methods, recompute, monkeypatch):
    plans = (NetworkPlan(None, None), NetworkPlan("pool1" if recompute else None, 256))
    direct, ours = (objective(methods, monkeypatch, plan) for plan in plans)
    assert by_winograd(direct._parts[0].executor._symbol) == []
    assert by_winograd(ours._parts[0].executor._symbol) == OF_256
    differences = [difference(direct, ours, noise(direct.shape, 80.0, seed)) for seed in range(2, 6)]
    # Some 1e-5, but up to 1e-3 in the pictures where rounding moves a single feature across the rectifier.
    assert min(differences) < 1e-4


@pytest.mark.parametrize("methods", [("linear",), ("poly",), ("bn",), ("gram", "bn")])
def test_of_512_channels_they_are_at_this_picture(methods, monkeypatch):
    plans = (NetworkPlan(None, None), NetworkPlan(None, 512))
    direct, ours = (objective(methods, monkeypatch, plan, (1, 3, 72, 88)) for plan in plans)
    assert by_winograd(ours._parts[0].executor._symbol) == OF_512
    assert difference(direct, ours, noise(direct.shape, 80.0, seed=2)) < 1e-3


@pytest.mark.parametrize("methods", [("linear",), ("bn", "gaussian")])
def test_kernels_that_are_made_once_are_the_same_and_no_evaluation_makes_them(methods, monkeypatch):
    """Bit by bit, terms and gradient."""
    found, x = [], noise((1, 3, 40, 56), 80.0, seed=2)
    for once in (False, True):
        ours = objective(methods, monkeypatch, NetworkPlan(None, 256, kernels_once=once))
        variables = ours._parts[0].executor._symbol.list_arguments()
        assert ("winograd_kernel" in variables) == ("conv4_2_weight" in variables) == (not once)
        found.append(ours.evaluate(x, dict.fromkeys(ours.terms, 1.0), draw=1))
    in_each, once_for_all = found
    assert once_for_all.terms == in_each.terms
    np.testing.assert_array_equal(once_for_all.gradient, in_each.gradient)


@pytest.mark.parametrize(
    ("channels", "copied"),
    [
        (256, ["relu2_1", "relu5_1"]),
        (512, ["relu2_1", "relu3_1", "relu5_1"]),
        (None, ["relu2_1", "relu3_1", "relu4_1", "relu4_2", "relu5_1"]),
    ],
    ids=["256", "512", "none"],
)
@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("methods", [("gaussian",), ("bn", "gaussian")])
def test_samples_are_read_without_a_copy_where_it_reads_the_features_next(methods, channels, copied, monkeypatch):
    """It reads rows of them, too, so that nothing has to be ordered back. conv5_2 would be a direct convolution. The
    content loss, of relu4_2, does as the samples do."""
    symbol = objective(methods, monkeypatch, NetworkPlan(None, channels))._parts[0].executor._symbol
    nodes = json.loads(symbol.tojson())["nodes"]
    copies = [node for node in nodes if node.get("attrs", {}).get("num_group", "1") != "1"]
    assert [nodes[node["inputs"][0][0]]["name"] for node in copies] == copied


def test_the_content_picture_has_no_content_loss(monkeypatch):
    ours = objective(("linear",), monkeypatch, NetworkPlan(None, 256))
    assert ours.terms_at(noise(ours.shape, 100.0, seed=0))["content"] == 0


@pytest.mark.parametrize("methods", [("linear",), ("bn", "poly")])
def test_it_needs_a_third_more_arrays_than_the_direct_convolutions(methods, monkeypatch):
    """For 512 channels at 512 x 384: above all the kernels of three layers, 36 x 512 x 512, which are kept until the
    backward pass."""
    arrays = []
    for channels in (None, 512):
        plan = NetworkPlan(None, channels)
        network, *_ = objective(methods, monkeypatch, plan, (1, 3, 384, 512), with_content=False)._parts
        arrays.append(planned(network.executor))
    direct, ours = arrays
    assert ours <= 1.4 * direct
