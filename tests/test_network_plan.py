"""How the network is made: what is computed again for the backward pass, and from how many channels on convolutions are
by Winograd's algorithm. Memory, within 1.3 of the bare network's, decides it."""

import json

import numpy as np
import pytest
from planned_memory import planned

import model_zoo
from neural_style_mmd import TransferConfig, losses, objective, vgg19_symbol
from neural_style_mmd._mxnet import mx
from neural_style_mmd.evaluation import noise
from neural_style_mmd.network_plan import NetworkPlan, has_avx512, network_plan
from neural_style_mmd.objective import Objective

AS_FAST_AS_CAN_BE = NetworkPlan(None, 256, samples_again=False, kernels_once=True)
ALL_AND_WINOGRAD, LESS_AND_WINOGRAD = NetworkPlan(None, 256), NetworkPlan("pool1", 256)


EITHER_CPU = pytest.mark.parametrize("avx512", [False, True], ids=["without AVX-512", "with AVX-512"])


@pytest.fixture
def cpu(avx512, monkeypatch):
    monkeypatch.setattr("neural_style_mmd.network_plan.has_avx512", lambda: avx512)


def test_the_cpu_is_asked(monkeypatch):
    for flags, expected in ((["avx2", "avx512f"], True), (["avx2"], False), ([], False)):
        monkeypatch.setattr("neural_style_mmd.network_plan.instructions", lambda flags=flags: flags)
        has_avx512.cache_clear()
        assert has_avx512() is expected
    has_avx512.cache_clear()


@EITHER_CPU
@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("estimator", ["pairs", "blocks"])
@pytest.mark.parametrize("method", ["linear", "poly", "gram", "bn", "gaussian", "bn+gaussian"])
def test_small_pictures_are_made_as_fast_as_can_be(method, estimator):
    assert network_plan(method.split("+"), 384, 384, "float32", estimator) == AS_FAST_AS_CAN_BE


@pytest.mark.parametrize(
    ("avx512", "method", "estimator", "at_512", "at_1024"),
    [
        (False, "poly", "pairs", LESS_AND_WINOGRAD, LESS_AND_WINOGRAD),
        (False, "gram", "pairs", LESS_AND_WINOGRAD, LESS_AND_WINOGRAD),
        (False, "linear+bn", "pairs", LESS_AND_WINOGRAD, LESS_AND_WINOGRAD),
        (False, "gaussian", "pairs", LESS_AND_WINOGRAD, NetworkPlan("conv2_1", 512)),
        (True, "poly", "pairs", NetworkPlan(None, 512), LESS_AND_WINOGRAD),
        (True, "gram", "pairs", NetworkPlan(None, 512), LESS_AND_WINOGRAD),
        (True, "linear+bn", "pairs", NetworkPlan(None, 512), LESS_AND_WINOGRAD),
        (True, "gaussian", "pairs", NetworkPlan(None, 512), NetworkPlan("conv2_1", 512)),
        *(
            (avx512, *row)
            for avx512 in (False, True)
            for row in (
                ("linear", "pairs", ALL_AND_WINOGRAD, LESS_AND_WINOGRAD),
                ("gaussian", "blocks", NetworkPlan("pool1", 512), NetworkPlan("conv2_1", None)),
                ("linear+gaussian", "pairs", NetworkPlan("conv2_1", 512), NetworkPlan("conv2_1", None, parts=1)),
                ("linear+gaussian", "blocks", NetworkPlan(None, None), NetworkPlan("conv2_1", None)),
            )
        ),
    ],
)
@pytest.mark.usefixtures("cpu")
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


MOST_WITH_AVX512 = MOST | {"poly": (1.65, 1.15), "bn+poly": (1.65, 1.15)}


@EITHER_CPU
@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize(("size", "index"), [((384, 512), 0), ((768, 1024), 1)])
@pytest.mark.parametrize("methods", MOST)
def test_the_arrays_of_a_picture(methods, size, index, avx512):
    """Of the process's memory they are half at 512 x 384, and more at 1024 x 768: `python -m benchmarks memory`."""
    shape = (1, 3, *size)
    symbol = vgg19_symbol(["relu5_1"])["relu5_1"]
    requests = {name: "write" if name == "data" else "null" for name in symbol.list_arguments()}
    bare = planned(symbol.simple_bind(mx.cpu(), requests, data=shape))
    config, style = TransferConfig(method=tuple(methods.split("+"))), noise((1, 3, 32, 32), 100.0, seed=0)
    network, *_ = Objective(config, model_zoo.load("surrogate"), style, None, shape)._parts
    assert planned(network.executor) <= (MOST_WITH_AVX512 if avx512 else MOST)[methods][index] * bare


@pytest.mark.parametrize("estimator", ["pairs", "blocks"])
@pytest.mark.parametrize("methods", ["gaussian", "bn+gaussian"])
def test_samples_that_are_computed_again_are_the_same_in_less_memory(methods, estimator, monkeypatch):
    """Bit by bit, terms and gradient; and by blocks, whose products are kept either way, in no more memory."""
    weights, shape = model_zoo.load("surrogate"), (1, 3, 144, 192)
    style, content, x = (noise((1, 3, 144, 192), 100.0, seed) for seed in range(3))
    found, memory = {}, {}
    for again in (False, True):
        plan = NetworkPlan(None, 256, samples_again=again)
        monkeypatch.setattr(objective, "network_plan", lambda *_, plan=plan: plan)
        made = Objective(TransferConfig(method=tuple(methods.split("+"))), weights, style, content, shape)
        made.use("float32", estimator)
        found[again] = made.evaluate(x, dict.fromkeys(made.terms, 1.0), draw=1)
        memory[again] = sum(planned(part.executor) for part in made._parts)
        network = json.loads(made._parts[0].executor._symbol.tojson())["nodes"]
        samples = [node for node in network if node.get("attrs", {}).get("axes") == "(0, 2, 3, 1)"]
        ends = [node for node in network if node["op"] == "take" and estimator == "pairs"]
        assert (len(samples), len(ends)) == (4, 16 if estimator == "pairs" else 0)  # x0, x1, y0 and y1 of four layers
        assert all(("__force_mirroring__" in node.get("attrs", {})) == again for node in samples + ends)
    assert found[True].terms == found[False].terms
    np.testing.assert_array_equal(found[True].gradient, found[False].gradient)
    assert memory[True] < memory[False] if estimator == "pairs" else memory[True] <= memory[False]


@pytest.mark.parametrize("again", [False, True])
def test_all_that_is_made_of_pairs_is_computed_again_or_nothing(again):
    gaussian = losses.method("gaussian", samples_again=again)
    picture = {"samples": mx.sym.Variable("samples")}
    distance = gaussian.distance(picture, losses.loss_inputs(gaussian, picture, "style"), 3, 12)
    nodes = json.loads(distance.tojson())["nodes"]
    kinds = ("take", "elemwise_sub", "square")
    made = [node for kind in kinds for node in [each for each in nodes if each["op"] == kind][:4]]
    # Four ends, and the differences and squares of four couples.
    assert [node["op"] for node in made] == ["take"] * 4 + ["elemwise_sub"] * 4 + ["square"] * 4
    assert all(("__force_mirroring__" in node.get("attrs", {})) == again for node in made)
