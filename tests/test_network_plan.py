"""How the network is made: what is computed again for the backward pass, and from how many channels on convolutions are
by Winograd's algorithm. Memory, within 1.3 of the bare network's, decides it."""

import pytest
from planned_memory import planned

import model_zoo
from neural_style_mmd import TransferConfig, vgg19_symbol
from neural_style_mmd._mxnet import mx
from neural_style_mmd.evaluation import noise
from neural_style_mmd.network_plan import NetworkPlan, network_plan
from neural_style_mmd.objective import Objective

ALL_AND_WINOGRAD, LESS_AND_WINOGRAD = NetworkPlan(None, 256), NetworkPlan("pool1", 256)


@pytest.mark.parametrize("estimator", ["pairs", "blocks"])
@pytest.mark.parametrize("method", ["linear", "poly", "gram", "bn", "gaussian", "bn+gaussian"])
def test_small_pictures_are_made_as_fast_as_can_be(method, estimator):
    assert network_plan(method.split("+"), 384, 384, "float32", estimator) == ALL_AND_WINOGRAD


@pytest.mark.parametrize(
    ("method", "estimator", "at_512", "at_1024"),
    [
        ("linear", "pairs", ALL_AND_WINOGRAD, LESS_AND_WINOGRAD),
        ("poly", "pairs", LESS_AND_WINOGRAD, LESS_AND_WINOGRAD),
        ("gram", "pairs", LESS_AND_WINOGRAD, LESS_AND_WINOGRAD),
        ("linear+bn", "pairs", LESS_AND_WINOGRAD, LESS_AND_WINOGRAD),
        ("gaussian", "pairs", LESS_AND_WINOGRAD, NetworkPlan("conv2_1", 512)),
        ("gaussian", "blocks", NetworkPlan("pool1", 512), NetworkPlan("conv2_1", None)),
        ("linear+gaussian", "pairs", NetworkPlan("conv2_1", 512), NetworkPlan("conv2_1", None, parts=1)),
        ("linear+gaussian", "blocks", NetworkPlan(None, None), NetworkPlan("conv2_1", None)),
    ],
)
def test_in_larger_ones_memory_decides(method, estimator, at_512, at_1024):
    assert network_plan(method.split("+"), 384, 512, "float32", estimator) == at_512
    assert network_plan(method.split("+"), 512, 512, "float32", estimator) == at_512
    assert network_plan(method.split("+"), 768, 1024, "float32", estimator) == at_1024


@pytest.mark.parametrize("method", ["linear", "poly", "gaussian"])
def test_in_bfloat16_a_picture_counts_half(method):
    for height, width in ((384, 512), (512, 512), (768, 1024)):
        halved = network_plan([method], height, width // 2, "float32")
        assert network_plan([method], height, width, "bf16") == halved
    assert not network_plan([method], 384, 512, "bf16").recompute
    assert network_plan([method], 768, 1024, "bf16").recompute


MOST = {  # of the arrays of the bare network by direct convolutions: at 512 x 384, and at 1024 x 768
    "linear": (1.65, 1.15),
    "poly": (1.5, 1.15),
    "bn+poly": (1.5, 1.15),
    "gaussian": (1.45, 1.1),
    "bn+gaussian": (1.3, 1.1),
}


@pytest.mark.parametrize(("size", "index"), [((384, 512), 0), ((768, 1024), 1)])
@pytest.mark.parametrize("methods", MOST)
def test_the_arrays_of_a_picture(methods, size, index):
    """Of the process's memory they are half at 512 x 384, and more at 1024 x 768: `python -m benchmarks memory`."""
    shape = (1, 3, *size)
    symbol = vgg19_symbol(["relu5_1"])["relu5_1"]
    requests = {name: "write" if name == "data" else "null" for name in symbol.list_arguments()}
    bare = planned(symbol.simple_bind(mx.cpu(), requests, data=shape))
    config, style = TransferConfig(method=tuple(methods.split("+"))), noise((1, 3, 32, 32), 100.0, seed=0)
    network, *_ = Objective(config, model_zoo.load("surrogate"), style, None, shape)._parts
    assert planned(network.executor) <= MOST[methods][index] * bare
