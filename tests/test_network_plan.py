"""How the network is made: what is computed again for the backward pass, and from how many channels on convolutions are
by Winograd's algorithm. Memory, within 1.3 of the bare network's, decides it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from planned_memory import planned

import model_zoo
from benchmarks.processes import once
from benchmarks.setting import Setting
from neural_style_mmd import TransferConfig, losses, objective, vgg19_symbol
from neural_style_mmd._mxnet import mx
from neural_style_mmd.evaluation import noise
from neural_style_mmd.network_plan import NetworkPlan, has_avx512, network_plan
from neural_style_mmd.objective import Objective

ROOT = Path(__file__).resolve().parents[1]
AS_FAST_AS_CAN_BE = NetworkPlan(None, 256, samples_again=False, kernels_once=True)
ALL_AND_WINOGRAD, LESS_AND_WINOGRAD = NetworkPlan(None, 256), NetworkPlan("pool1", 256)
HALVES_BUT_CONV4_4 = NetworkPlan("pool1", 256, halves=True, direct=("conv4_4",))
HALVES, HALVES_AND_512 = NetworkPlan("pool1", 256, halves=True), NetworkPlan("pool1", 512, halves=True)


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
        (False, "gaussian", "pairs", HALVES, HALVES),
        (False, "gaussian", "blocks", HALVES, HALVES),
        (True, "poly", "pairs", NetworkPlan(None, 512), LESS_AND_WINOGRAD),
        (True, "gram", "pairs", NetworkPlan(None, 512), LESS_AND_WINOGRAD),
        (True, "linear+bn", "pairs", NetworkPlan(None, 512), LESS_AND_WINOGRAD),
        (True, "gaussian", "pairs", NetworkPlan(None, 512), HALVES),
        (True, "gaussian", "blocks", HALVES_AND_512, HALVES),
        *(
            (avx512, *row)
            for avx512 in (False, True)
            for row in (
                ("linear", "pairs", ALL_AND_WINOGRAD, LESS_AND_WINOGRAD),
                ("linear+gaussian", "pairs", HALVES_BUT_CONV4_4, HALVES_BUT_CONV4_4),
                ("linear+gaussian", "blocks", HALVES_AND_512, HALVES_AND_512),
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
        halved, found = (
            network_plan([method], height, width // 2, "float32"),
            network_plan([method], height, width, "bf16"),
        )
        large = height * width // 2 > 512**2
        assert found == (NetworkPlan("conv2_1" if large else "pool1", None) if halved.halves else halved)
    assert not network_plan([method], 384, 512, "bf16").recompute
    assert network_plan([method], 768, 1024, "bf16").recompute


@pytest.mark.parametrize("estimator", ["pairs", "blocks"])
@pytest.mark.parametrize("methods", [("gaussian",), ("bn", "gaussian")])
def test_halves_are_of_float32_alone(methods, estimator):
    sizes = [(384, 512), (512, 768), (768, 1024), (1536, 2048)]
    assert any(network_plan(methods, *size, "float32", estimator).halves for size in sizes)
    assert not any(network_plan(methods, *size, "bf16", estimator).halves for size in sizes)


def found_by(plan, monkeypatch, methods, estimator="pairs", height=75, **choices):
    """Terms and gradient of a picture whose half is no multiple of anything."""
    monkeypatch.setattr(objective, "network_plan", lambda *_: plan)
    style, content, x = (noise((1, 3, height, 60), 100.0, seed) for seed in range(3))
    made = Objective(TransferConfig(method=methods, **choices), model_zoo.load("surrogate"), style, content, x.shape)
    made.use("float32", estimator)
    nodes = json.loads(made._parts[0].executor._symbol.tojson())["nodes"]
    convolutions = [node["name"] for node in nodes if node["op"] == "Convolution" and node["name"][:5] == "conv1"]
    return made.evaluate(x, dict.fromkeys(made.terms, 1.0), draw=1), convolutions


@pytest.mark.parametrize(
    ("methods", "estimator"), [(("poly",), "pairs"), (("bn", "gaussian"), "pairs"), (("gaussian",), "blocks")]
)
def test_of_the_pictures_halves_terms_and_gradient_are_the_same(methods, estimator, monkeypatch):
    whole, convolutions = found_by(NetworkPlan("pool1", None), monkeypatch, methods, estimator)
    assert convolutions == ["conv1_1", "conv1_2"]
    halves, convolutions = found_by(NetworkPlan("pool1", None, halves=True), monkeypatch, methods, estimator)
    assert convolutions == ["conv1_1_upper", "conv1_2_upper", "conv1_1_lower", "conv1_2_lower"]
    assert halves.terms == pytest.approx(whole.terms, rel=1e-5)
    error = np.linalg.norm(halves.gradient - whole.gradient)
    assert error <= 1e-4 * np.linalg.norm(whole.gradient)


@pytest.mark.parametrize(
    "choices",
    [{"content_layer": "relu1_1"}, {"layers": ("relu1_1", "relu1_2", "relu2_1")}],
    ids=["content of relu1_1", "style of relu1_2"],
)
def test_layers_before_pool1_that_somebody_reads_are_made_whole(choices, monkeypatch):
    """Bit by bit as without halves."""
    methods = ("bn", "gaussian")
    (whole, _), (asked, convolutions) = (
        found_by(NetworkPlan("pool1", None, halves=halves), monkeypatch, methods, **choices) for halves in (False, True)
    )
    assert convolutions == ["conv1_1", "conv1_2"] and asked.terms == whole.terms
    np.testing.assert_array_equal(asked.gradient, whole.gradient)


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


PEAK = """
import sys
import numpy as np
import model_zoo
from benchmarks.ours import bare_network
from neural_style_mmd import TransferConfig
from neural_style_mmd.evaluation import noise
from neural_style_mmd.record import peak_rss
from neural_style_mmd.stylization import prepare

what, height, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
x = noise((1, 3, height, width), 100.0, seed=0)
if what == "bare":
    weights = model_zoo.load("surrogate")
    run = bare_network(weights, x)[0]
else:
    content, style = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    config = TransferConfig(method=tuple(what.split("+")), size=width, weights="surrogate")
    objective = prepare(content, style, config).objective
    run = lambda: objective.evaluate(x, dict.fromkeys(objective.terms, 1.0))
for _ in range(2):
    run()
print(peak_rss())
"""


def peak(*arguments):
    """Of a fresh process, in bytes."""
    command = [sys.executable, "-c", PEAK, *map(str, arguments)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def test_the_memory_of_a_process():
    """At most 1.3 times that of one which runs the bare network, which is required, by methods with little to spare."""
    assert peak("bn+gaussian", 384, 512) <= 1.3 * peak("bare", 384, 512)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("size", [(384, 512), (768, 1024)])
@pytest.mark.parametrize(
    ("preset", "methods"),
    [
        ("paper", "bn+gaussian"),
        ("paper", "poly+gaussian"),
        ("fast", "bn+gaussian"),
        ("fast", "poly+gaussian"),
        ("fast", "gaussian"),
        ("fast", "linear"),
    ],
)
def test_the_memory_of_a_transfer(preset, methods, size, tmp_path):
    """The same from pictures to picture, with the calibration, another estimator after it, and the optimizer's arrays,
    each as large as the picture."""
    height, width = size
    pictures = Setting(width, height, 1, (), (), tmp_path, lambda line: None).pictures()
    ours = once("ours:transfer_memory", pictures | {"methods": methods, "preset": preset, "iterations": 3})
    assert ours <= 1.3 * once("ours:bare_memory", {"content": pictures["content"]})


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
