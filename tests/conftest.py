"""What every test shares: a temporary cache, so that the surrogate network is made at most once per test run; a network
of three convolutions in a file, and two small pictures."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import SMALL, invoke
from PIL import Image

import model_zoo
from model_zoo.vgg19 import parameter_shapes
from model_zoo.weights import Preprocessing, Weights

# Read when MXNet is loaded. Threads that spin while they wait make small pictures many times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:  # `make test`: as many processes as cores, so that two threads each only wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """Leave the tests and their modules out of Python's search for garbage, which follows each executor that goes."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """NEURAL_STYLE_MMD_HOME for the whole run, the same in all its processes; the user's own cache is never read or
    written, nor the network used."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEURAL_STYLE_MMD_HOME", str(folder))
        patch.setenv("NEURAL_STYLE_MMD_OFFLINE", "1")
        patch.delenv("NEURAL_STYLE_MMD_WEIGHTS", raising=False)
        patch.delenv("NEURAL_STYLE_MMD_MIRROR", raising=False)
        yield folder


@pytest.fixture(scope="session")
def network() -> Weights:
    """Seeded random weights of VGG-19 up to conv2_1 (He et al.'s scale): enough for any layer up to relu2_1."""
    random, parameters, inputs = np.random.default_rng(0), {}, 3
    for name, outputs in (("conv1_1", 64), ("conv1_2", 64), ("conv2_1", 128)):
        deviation = np.sqrt(2 / (9 * inputs))
        parameters[f"{name}_weight"] = random.normal(0, deviation, (outputs, inputs, 3, 3)).astype(np.float32)
        parameters[f"{name}_bias"] = random.normal(0, 1, outputs).astype(np.float32)
        inputs = outputs
    return Weights(parameters, Preprocessing(), "unverified", "small", "seeded random numbers")


@pytest.fixture
def small_network(network: Weights, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """While the test runs, every name of weights means `network`."""
    monkeypatch.setattr(model_zoo, "load", lambda name, **options: network)
    return network


@pytest.fixture(scope="session")
def network_file(network: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`network` in a file, for another process; the convolutions beyond conv2_1, which a file must have, are zeros."""
    zeros = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes().items()}
    path = tmp_path_factory.mktemp("network") / "small.npz"
    np.savez(path, **(zeros | dict(network.parameters)))
    return path


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(content 40 x 30, style 30 x 36) as PNG files: a disc on a slope of colours, and stripes of two colours."""
    folder = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:30, :40]
    content = np.stack([6 * x, 8 * y, 255 - 3 * x - 3 * y], axis=-1)
    content[(y - 15) ** 2 + (x - 14) ** 2 < 64] = (240, 200, 30)
    y, x = np.mgrid[:36, :30]
    style = np.where(((x + 2 * y) // 5 % 2 == 0)[..., None], (30, 60, 160), (250, 220, 90)) + (x % 3 * 4)[..., None]
    paths = folder / "content.png", folder / "style.png"
    for path, pixels in zip(paths, (content, style), strict=True):
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return paths


@pytest.fixture
def transfer(pictures, tmp_path, small_network):
    """Runs `transfer CONTENT STYLE -o out.png` with small settings, six iterations unless told."""

    def run(*options, output="out.png", sources=pictures):
        return invoke("transfer", *sources, "-o", tmp_path / output, *SMALL, "--iterations", "6", *options)

    return run


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The targets of an Objective are zeros of their shapes, which takes no pass of the network: for tests of what is
    bound, not of what it computes."""
    from neural_style_mmd._mxnet import mx
    from neural_style_mmd.config import FLOAT32, PAIRS
    from neural_style_mmd.network import parameters_in
    from neural_style_mmd.objective import Objective

    def zeros(objective: Objective, symbols: dict, picture: np.ndarray) -> dict:
        winograd = objective._winograd(picture.shape, FLOAT32, PAIRS)
        group, known = mx.sym.Group(list(symbols.values())), parameters_in(FLOAT32, objective._parameters, winograd)
        known = {name: known[name].shape for name in group.list_arguments() if name != "data"}
        shapes = group.infer_shape(data=picture.shape, **known)[1]
        return {name: mx.nd.zeros(shape) for name, shape in zip(symbols, shapes, strict=True)}

    monkeypatch.setattr(Objective, "_forward", zeros)
