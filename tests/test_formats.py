"""Every format gives the same network, bit for bit: float32 (O, I, 3, 3), RGB of range 0 to 255, canonical names.

The files are written byte by byte from the formats' definitions (weight_files.py), by NumPy, SciPy and h5py, and, for
`.params`, by MXNet itself; `make test-formats` adds files written by torch, safetensors and onnx.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import weight_files as wf

import model_zoo
from model_zoo import formats
from model_zoo.conventions import CONVENTIONS, Convention, preprocessing, rewritten
from model_zoo.errors import InputError
from model_zoo.loading import load_file
from model_zoo.weights import Preprocessing, Weights, network_sha256, tensor_sha256

PARAMETERS = wf.random_parameters()


@pytest.fixture(autouse=True)
def first_layers_are_enough(monkeypatch):
    """So that the files are small: three convolutions of sixteen."""
    monkeypatch.setattr(formats, "FEWEST_CONVOLUTIONS", 3)


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def assert_same(weights, parameters=PARAMETERS):
    assert set(weights.parameters) == set(parameters)
    for name, array in parameters.items():
        assert weights.parameters[name].dtype == np.float32
        np.testing.assert_array_equal(weights.parameters[name], array, err_msg=name)


@pytest.mark.parametrize("name", wf.WRITERS)
def test_every_container_gives_the_same_network(name, tmp_path):
    weights = load_file(written(tmp_path, name, wf.WRITERS[name](PARAMETERS)))
    assert_same(weights)
    assert weights.preprocessing.mean_rgb == wf.MEAN_RGB
    assert weights.sha256 == network_sha256(PARAMETERS)


def test_keras_files_give_the_same_network(tmp_path):
    pytest.importorskip("h5py")
    wf.write_h5(tmp_path / "vgg19.h5", PARAMETERS)
    weights = load_file(tmp_path / "vgg19.h5")
    assert_same(weights)
    assert weights.preprocessing.mean_rgb == wf.MEAN_RGB


def test_keras_groups_may_be_nested_as_later_releases_nest_them(tmp_path):
    h5py = pytest.importorskip("h5py")
    wf.write_h5(tmp_path / "flat.h5", PARAMETERS)
    with h5py.File(tmp_path / "flat.h5") as flat, h5py.File(tmp_path / "model.h5", "w") as model:
        for name, group in flat.items():
            for dataset in group:
                flat.copy(f"{name}/{dataset}", model, f"model_weights/{name}/{name}/{dataset}")
    assert_same(load_file(tmp_path / "model.h5"))


def test_weights_of_keras_3_without_the_layers_names_are_refused_with_what_to_do(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        for k, layer in enumerate(wf.layers(PARAMETERS)):
            name = f"layers/conv2d_{k}/vars" if k else "layers/conv2d/vars"
            file[f"{name}/0"] = PARAMETERS[f"{layer}_weight"].transpose(2, 3, 1, 0)
            file[f"{name}/1"] = PARAMETERS[f"{layer}_bias"]
    with pytest.raises(InputError, match=r"does not name the layers; write model\.save\('NAME\.h5'\) instead"):
        load_file(tmp_path / "model.weights.h5")


def test_a_matconvnet_network_may_be_one_variable(tmp_path):
    content = scipy.io.loadmat(io.BytesIO(wf.mat(PARAMETERS)))
    scipy.io.savemat(tmp_path / "a.mat", {"net": {name: content[name] for name in ("layers", "meta")}})
    assert_same(load_file(tmp_path / "a.mat"))


def test_what_is_passed_over_in_a_compressed_mat_is_not_held(tmp_path):
    """A variable of 12 MB that does not compress: the file is inflated slice by slice."""
    content = scipy.io.loadmat(io.BytesIO(wf.mat(PARAMETERS)))
    noise = np.random.default_rng(6).bytes(12_000_000)
    variables = {name: content[name] for name in ("layers", "meta")} | {"fc6": np.frombuffer(noise, np.uint8)}
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, variables, do_compression=True)
    assert path.stat().st_size > 12_000_000
    tracemalloc.start()
    assert_same(load_file(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000


def test_keras_files_without_h5py_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"vgg19\.h5: .*h5py: \.venv/bin/pip install -e '\.\[h5\]'"):
        formats.read(written(tmp_path, "vgg19.h5", b"\x89HDF\r\n\x1a\n" + bytes(100)))


MXNET_WRITES = """
import sys, numpy
from neural_style_mmd._mxnet import mx
arrays = numpy.load(sys.argv[1])
mx.nd.save(sys.argv[2], {"arg:" + name: mx.nd.array(arrays[name]) for name in arrays.files})
"""


def test_what_mxnet_itself_writes_is_read(tmp_path):
    written(tmp_path, "in.npz", wf.npz(PARAMETERS))
    out = tmp_path / "out.params"
    subprocess.run([sys.executable, "-c", MXNET_WRITES, str(tmp_path / "in.npz"), str(out)], check=True, timeout=120)
    assert_same(load_file(out))


def test_text_of_python_2_may_be_written_long(tmp_path):
    """BINSTRING, with a length of four bytes, in place of SHORT_BINSTRING."""
    pickle = wf.python2_pickle(wf.bgr(PARAMETERS)).replace(b"U\x07storage", b"T\x07\0\0\0storage")
    assert_same(load_file(written(tmp_path, "a.pth", wf.pth_legacy(wf.bgr(PARAMETERS), pickle=pickle))))


FULLY_CONNECTED = {
    "params": lambda p: wf.params({**p, "fc6_weight": np.ones((5, 7), np.float32), "fc6_bias": np.ones(5, np.float32)}),
    "npz": lambda p: wf.npz({**p, "fc8_weight": np.ones((5, 7), np.float32)}),
    "safetensors": lambda p: wf.safetensors(
        {
            **wf.torchvision_names(p),
            "pre_logits.fc1.weight": np.ones((5, 7), np.float32),
            "head.fc.bias": np.ones(3, "f4"),
        }
    ),
    "pth": lambda p: wf.pth({**wf.torchvision_names(wf.bgr(p)), "classifier.0.weight": np.ones((5, 7), np.float32)}),
}


@pytest.mark.parametrize("suffix", FULLY_CONNECTED)
def test_fully_connected_layers_are_left_out(suffix, tmp_path):
    path = written(tmp_path, f"vgg19.{suffix}", FULLY_CONNECTED[suffix](PARAMETERS))
    assert set(formats.read(path).parameters) == set(PARAMETERS)


GLUON = {
    f"vgg0_conv{k}_{part}": PARAMETERS[f"{layer}_{part}"]
    for k, layer in enumerate(wf.layers(PARAMETERS))
    for part in ("weight", "bias")
}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("torchvision.pth", wf.pth(wf.torchvision_names(PARAMETERS))),
        ("legacy.pth", wf.pth_legacy(wf.torchvision_names(PARAMETERS))),
        ("parallel.pth", wf.pth({f"module.{k}": v for k, v in wf.torchvision_names(PARAMETERS).items()})),
        ("timm.safetensors", wf.safetensors(wf.torchvision_names(PARAMETERS))),
        ("gluon.params", wf.params(GLUON, 2)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_retrained_networks_compute_what_they_computed_border_included(name, data, tmp_path):
    """The network as published, on (v/255 - mean)/std, and ours, on v - mean_rgb, give the same first features."""
    weights = load_file(written(tmp_path, name, data))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    picture = np.random.default_rng(1).uniform(0, 255, (3, 9, 8))
    published = (picture / 255 - mean[:, None, None]) / std[:, None, None]
    ours = picture - np.array(weights.preprocessing.mean_rgb)[:, None, None]
    expected = correlate(published, PARAMETERS["conv1_1_weight"])
    # 27 products of float32 weights: each is rounded once, by at most 2^-24 of its size.
    bound = 2.0**-24 * correlate(np.abs(published), np.abs(PARAMETERS["conv1_1_weight"])).max()
    assert np.abs(correlate(ours, weights.parameters["conv1_1_weight"]) - expected).max() <= bound
    for parameter in set(PARAMETERS) - {"conv1_1_weight"}:
        np.testing.assert_array_equal(weights.parameters[parameter], PARAMETERS[parameter])


def correlate(picture: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """(I, H, W), (O, I, 3, 3) -> (O, H, W): the definition, with a border of zeros, in float64."""
    height, width = picture.shape[1:]
    padded = np.pad(picture, ((0, 0), (1, 1), (1, 1)))
    result = np.zeros((len(filters), height, width))
    for i in range(3):
        for j in range(3):
            window = padded[:, i : i + height, j : j + width]
            result += np.einsum("oc,chw->ohw", filters[:, :, i, j].astype(np.float64), window)
    return result


def test_a_network_for_bgr_sees_the_same_picture():
    picture = np.random.default_rng(2).uniform(0, 255, (3, 6, 5))
    convention = CONVENTIONS["vgg-bgr"]
    as_bgr = picture[::-1] - np.array(convention.mean)[:, None, None]
    ours = rewritten(PARAMETERS, convention)["conv1_1_weight"]
    as_rgb = picture - np.array(preprocessing(convention).mean_rgb)[:, None, None]
    np.testing.assert_allclose(correlate(as_rgb, ours), correlate(as_bgr, PARAMETERS["conv1_1_weight"]), atol=1e-9)


def test_a_convention_in_any_scale_and_order_is_rewritten_exactly():
    convention = Convention("BGR", 2.0, (0.9, 1.0, 1.1), (0.5, 2.0, 4.0))  # powers of 2: no rounding of the weights
    picture = np.random.default_rng(3).uniform(0, 255, (3, 5, 7))
    published = picture[::-1] * (2.0 / 255) - np.array(convention.mean)[:, None, None]
    published /= np.array(convention.std)[:, None, None]
    ours = picture - np.array(preprocessing(convention).mean_rgb)[:, None, None]
    weights = rewritten(PARAMETERS, convention)["conv1_1_weight"]
    np.testing.assert_allclose(correlate(ours, weights), correlate(published, PARAMETERS["conv1_1_weight"]), atol=1e-5)


def test_the_mean_colour_is_read_from_the_files_that_hold_one(tmp_path):
    mean = np.array([120.0, 110.0, 100.0])
    npz = load_file(written(tmp_path, "a.npz", wf.npz(PARAMETERS, mean_rgb=mean)))
    st = load_file(written(tmp_path, "a.safetensors", wf.safetensors(PARAMETERS, {"mean_rgb": "120.0,110,1e2"})))
    assert npz.preprocessing.mean_rgb == st.preprocessing.mean_rgb == (120, 110, 100)


def test_oxfords_mean_stays_oxfords_though_a_file_rounds_it(tmp_path):
    weights = load_file(written(tmp_path, "a.mat", wf.mat(PARAMETERS)))  # holds it as float32
    assert weights.preprocessing.mean_rgb == (123.68, 116.779, 103.939)


def test_a_guessed_convention_is_noted_and_can_be_overruled(tmp_path):
    path = written(tmp_path, "a.pth", wf.pth(wf.torchvision_names(PARAMETERS)))
    assert "does not say which input it expects" in load_file(path).notes[0]
    overruled = load_file(path, CONVENTIONS["vgg-bgr"])
    np.testing.assert_array_equal(overruled.parameters["conv1_1_weight"], PARAMETERS["conv1_1_weight"][:, ::-1])
    assert not any("does not say" in note for note in overruled.notes)


def test_a_tensors_hash_is_of_its_canonical_bytes():
    array = np.array([[1.0, -2.0]], dtype=np.float32)
    expected = hashlib.sha256(b"\x00\x00\x80\x3f\x00\x00\x00\xc0").hexdigest()
    assert (
        tensor_sha256(array)
        == tensor_sha256(np.asfortranarray(array))
        == tensor_sha256(array.astype(">f4"))
        == expected
    )


def test_a_network_that_stops_early_is_refused_since_the_file_may_be_cut_off(tmp_path, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"a\.npz: 3 of VGG-19's 16 convolutions are there, conv2_2 is missing"):
        load_file(written(tmp_path, "a.npz", wf.npz(PARAMETERS)))


def test_an_unknown_suffix_lists_the_readable_ones(tmp_path):
    with pytest.raises(InputError, match=r"'\.t7'; readable are \.params, \.npz, .*\.pth"):
        formats.read(written(tmp_path, "vgg19.t7", b"x"))


def test_transferring_with_any_of_the_files_gives_the_same_picture(tmp_path):
    """The surrogate's first layers from every container; pictures of 32 pixels, three iterations."""
    from small_transfer import small_config

    from neural_style_mmd import transfer

    surrogate = model_zoo.load("surrogate").parameters
    first = {name: surrogate[name] for name in PARAMETERS}
    random = np.random.default_rng(4)
    content, style = (random.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(2))
    paths = [written(tmp_path, name, writer(first)) for name, writer in wf.WRITERS.items()]
    if importlib.util.find_spec("h5py"):
        wf.write_h5(tmp_path / "vgg19.h5", first)
        paths.append(tmp_path / "vgg19.h5")
    pictures = [transfer(content, style, small_config(weights=str(path), iterations=3)).image for path in paths]
    direct = Weights(first, Preprocessing(), "surrogate", "surrogate", "a recipe")
    expected = transfer(content, style, small_config(iterations=3), weights=direct).image
    assert len(pictures) >= 17
    other = written(tmp_path, "other.npz", wf.npz(PARAMETERS))
    assert not np.array_equal(transfer(content, style, small_config(weights=str(other), iterations=3)).image, expected)
    for path, picture in zip(paths, pictures, strict=True):
        np.testing.assert_array_equal(picture, expected, err_msg=path.name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*wf.WRITERS, "vgg19.h5"])
def test_the_whole_network_is_read_in_twice_its_size_and_200_mb(name, tmp_path):
    """All sixteen convolutions of the surrogate, 80 MB, in a process of its own whose peak memory is looked at."""
    parameters = dict(model_zoo.load("surrogate").parameters)
    path = tmp_path / name
    if name.endswith(".h5"):
        pytest.importorskip("h5py")
        wf.write_h5(path, parameters)
    else:
        path.write_bytes(wf.WRITERS[name](parameters))
    before, after, digest = subprocess.run(
        [sys.executable, "-c", wf.PEAK_OF_READING, str(path)], check=True, capture_output=True, text=True, timeout=300
    ).stdout.split()
    assert digest == network_sha256(parameters)
    assert int(after) - int(before) <= 2 * path.stat().st_size + 200_000_000
