"""`make test-formats`: files written by the formats' own libraries give the same tensors, bit for bit.

Not part of the ordinary suite: torch's CPU build alone takes 200 MB. A library that is not installed is skipped.
Run as `python -m pytest tests/formats_by_library.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
import weight_files as wf

from model_zoo import formats
from model_zoo.errors import InputError
from model_zoo.loading import load_file

PARAMETERS = wf.random_parameters()


@pytest.fixture(autouse=True)
def first_layers_are_enough(monkeypatch):
    monkeypatch.setattr(formats, "FEWEST_CONVOLUTIONS", 3)


def assert_same(path):
    weights = load_file(path)
    for name, array in PARAMETERS.items():
        np.testing.assert_array_equal(weights.parameters[name], array, err_msg=name)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def state_dict(torch):
    from collections import OrderedDict

    return OrderedDict((name, torch.from_numpy(array.copy())) for name, array in wf.bgr(PARAMETERS).items())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_torch_state_dict(torch, tmp_path, zipped):
    torch.save(state_dict(torch), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_same(tmp_path / "a.pth")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_torch_module_state_dict_with_its_metadata(torch, tmp_path, zipped):
    """Of torch.nn.Sequential, as torchvision makes VGG: `_metadata` is pickled along."""
    features, tensors = [], wf.bgr(PARAMETERS)
    for layer, position in list(wf.CONVOLUTIONS.items())[:3]:
        features += [torch.nn.ReLU()] * (position - len(features))
        weight = tensors[f"{layer}_weight"]
        features.append(torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1))
        features[-1].weight.data = torch.from_numpy(weight)
        features[-1].bias.data = torch.from_numpy(tensors[f"{layer}_bias"])
    network = torch.nn.Module()
    network.features = torch.nn.Sequential(*features)
    torch.save(network.state_dict(), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    contents = formats.read(tmp_path / "a.pth")
    for name, array in tensors.items():
        np.testing.assert_array_equal(contents.parameters[name], array, err_msg=name)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_torch_tensors_that_share_a_storage(torch, tmp_path, zipped):
    tensors = wf.bgr(PARAMETERS)
    whole = torch.from_numpy(np.concatenate([array.ravel() for array in tensors.values()]))
    views, start = {}, 0
    for name, array in tensors.items():
        views[name] = whole[start : start + array.size].view(*array.shape)
        start += array.size
    torch.save(views, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert_same(tmp_path / "a.pth")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("what", ["half", "module", "parameter"])
def test_torch_files_that_are_no_plain_float_state_dict_are_refused(torch, tmp_path, zipped, what):
    saved = {
        "half": lambda: {name: tensor.half() for name, tensor in state_dict(torch).items()},
        "module": lambda: torch.nn.Conv2d(3, 64, 3),
        "parameter": lambda: {"conv1_1_weight": torch.nn.Parameter(torch.zeros(64, 3, 3, 3))},
    }[what]()
    torch.save(saved, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(InputError, match=r"a\.pth: its pickle names 'torch"):
        load_file(tmp_path / "a.pth")


def test_safetensors(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    library.save_file(
        {k: v for k, v in PARAMETERS.items()}, tmp_path / "a.safetensors", {"mean_rgb": "123.68,116.779,103.939"}
    )
    assert_same(tmp_path / "a.safetensors")


def test_what_we_write_safetensors_reads(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    from model_zoo.convert import convert
    from model_zoo.weights import Preprocessing, Weights

    convert(Weights(PARAMETERS, Preprocessing(), "unverified", "a", "b"), tmp_path / "a.safetensors", "nobody")
    for name, array in library.load_file(tmp_path / "a.safetensors").items():
        np.testing.assert_array_equal(array, PARAMETERS[name])


def test_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    tensors = wf.bgr(PARAMETERS)
    nodes, initializers, picture = [], [], "data_0"
    for layer in wf.layers(PARAMETERS):
        inputs = [picture, f"{layer}_w_0", f"{layer}_b_0"]
        nodes.append(onnx.helper.make_node("Conv", inputs, [layer], pads=[1, 1, 1, 1], kernel_shape=[3, 3]))
        nodes.append(onnx.helper.make_node("Relu", [layer], [picture := f"r{layer}"]))
        for name, part in zip(inputs[1:], ("weight", "bias"), strict=True):
            initializers.append(onnx.numpy_helper.from_array(tensors[f"{layer}_{part}"], name))
    make = onnx.helper.make_tensor_value_info
    first, last = make("data_0", 1, [1, 3, 8, 8]), make(picture, 1, [1, 128, 8, 8])
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "vgg19", [first], [last], initializers))
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "a.onnx")
    assert_same(tmp_path / "a.onnx")


def test_our_writing_of_the_formats_is_valid_to_their_libraries(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_model_from_string(wf.onnx(PARAMETERS))
    assert [n.op_type for n in model.graph.node] == ["Conv", "Relu"] * 3
    library = pytest.importorskip("safetensors.numpy")
    assert set(library.load(wf.safetensors(PARAMETERS))) == set(PARAMETERS)


@pytest.mark.parametrize(
    "data",
    [wf.pth(PARAMETERS), wf.pth_legacy(PARAMETERS), wf.pth_legacy(PARAMETERS, pickle=wf.python2_pickle(PARAMETERS))],
    ids=["zip", "legacy", "Python 2"],
)
def test_our_writing_of_torch_files_is_valid_to_torch(torch, tmp_path, data):
    (tmp_path / "a.pth").write_bytes(data)
    for name, tensor in torch.load(tmp_path / "a.pth", weights_only=True).items():
        np.testing.assert_array_equal(tensor.numpy(), PARAMETERS[name])
