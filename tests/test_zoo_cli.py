"""`python -m model_zoo list | fetch | verify | convert | show`."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import weight_files as wf
from click.testing import CliRunner
from local_server import Site, serving

from model_zoo import formats
from model_zoo.__main__ import CONVENTION_NAMES, main
from model_zoo.checksums import Checksum
from model_zoo.conventions import CONVENTIONS
from model_zoo.convert import WRITERS
from model_zoo.loading import load_file
from model_zoo.manifest import Manifest, WeightsRecord, manifest

PARAMETERS = wf.random_parameters("conv1_2")
CAFFE_FILE = wf.caffemodel(PARAMETERS)
RECORD = WeightsRecord(
    "oxford.caffemodel",
    ("https://example.invalid/x",),
    (len(CAFFE_FILE), len(CAFFE_FILE)),
    Checksum("sha256", hashlib.sha256(CAFFE_FILE).hexdigest(), "the test"),
    title=None,
    author=None,
    licence="CC BY 4.0",
    attribution="VGG-19 by its authors",
    origin="the test",
    format="caffemodel",
    convention=CONVENTIONS["vgg-bgr"],
    training="original",
)


@pytest.fixture(autouse=True)
def zoo(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURAL_STYLE_MMD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("NEURAL_STYLE_MMD_OFFLINE", raising=False)
    monkeypatch.setattr(formats, "FEWEST_CONVOLUTIONS", 2)


@pytest.fixture
def one_record(monkeypatch):
    for module in ("manifest", "identity", "loading"):
        monkeypatch.setattr(f"model_zoo.{module}.manifest", lambda: Manifest({RECORD.name: RECORD}, {}, ()))


def run(*arguments: object, code: int = 0) -> str:
    """What the command prints, both streams; its exit code is checked."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="zoo")
    assert result.exit_code == code, result.output
    return result.output


def test_list_shows_every_record_with_licence_size_training_and_state(tmp_path):
    lines = run("list").splitlines()
    known = manifest()
    for name in (*known.weights, *known.pictures):
        assert sum(line.split(" ")[0] == name for line in lines) == 1, name
    by_name = {line.split(" ")[0]: line for line in lines}
    assert all(t in by_name["vgg19.params"] for t in ("original Caffe", "80.1 MB", "CC BY 4.0", "(weak)", "not here"))
    assert "retrained" in by_name["vgg19-dcbb9e9d.pth"] and "BSD-3-Clause" in by_name["vgg19-dcbb9e9d.pth"]
    assert "by hand only" in by_name["vgg_normalised.caffemodel"]
    assert "unknown" in by_name["tubingen.jpg"] and "407 kB" in by_name["tubingen.jpg"]


def test_list_tells_a_verified_file_from_a_damaged_one(tmp_path, one_record):
    path = tmp_path / "home" / "weights" / RECORD.name
    path.parent.mkdir(parents=True)
    path.write_bytes(CAFFE_FILE)
    assert "verified" in run("list")
    path.write_bytes(CAFFE_FILE[:-1] + b"?")
    assert "damaged" in run("list")


def test_list_does_not_call_a_file_damaged_that_nothing_was_published_for(tmp_path):
    path = tmp_path / "home" / "weights" / "vgg_normalised.caffemodel"
    path.parent.mkdir(parents=True)
    path.write_bytes(CAFFE_FILE)
    (line,) = [line for line in run("list").splitlines() if line.startswith(path.name)]
    assert line.endswith("here, unverifiable")


def test_list_goes_on_where_the_cache_cannot_be_looked_into(tmp_path, monkeypatch):
    monkeypatch.setenv("NEURAL_STYLE_MMD_HOME", str(tmp_path / ("x" * 300)))
    known = manifest()
    lines = [line for line in run("list").splitlines() if line.split(" ")[0] in {*known.weights, *known.pictures}]
    assert len(lines) > 20 and all(line.endswith("unreadable") for line in lines)


def test_an_error_of_the_system_that_nobody_foresaw_is_one_line(monkeypatch):
    def refuse() -> None:
        raise PermissionError(13, "Permission denied", "/secret/manifest.json")

    monkeypatch.setattr("model_zoo.manifest.manifest", refuse)
    assert run("list", code=2) == "zoo: cannot use /secret/manifest.json: Permission denied\n"


def test_fetch_prints_the_path_and_the_attribution(tmp_path, one_record, monkeypatch):
    with serving(Site(CAFFE_FILE)) as site:
        monkeypatch.setenv("NEURAL_STYLE_MMD_MIRROR", site.url)
        output = run("fetch", RECORD.name)
    assert f"\n{tmp_path}/home/weights/{RECORD.name}\n" in output and "VGG-19 by its authors" in output
    assert run("fetch", "--offline", RECORD.name).startswith(f"{tmp_path}/home/weights/{RECORD.name}\n")


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("fetch", "nothing"), "unknown name 'nothing'; known are vgg19.params"),
        (("fetch", "vgg19.params", "--offline"), "not in the cache"),
        (("fetch", "vgg_normalised.caffemodel"), "no checksum is published"),
        (("verify", "missing.npz"), "no such file"),
        (("verify", f"{'x' * 300}/vgg19.params"), "File name too long"),
        (("show", "missing.npz"), "no such file"),
        (("convert", "missing.npz", "out.npz"), "no such file"),
        (("convert", "missing.npz", "nowhere/out.npz"), "folder nowhere does not exist"),
        (("show", "--convention", "hsv", "a.npz"), "hsv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_misuse_is_one_line_and_exit_code_2(arguments, cause, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = run(*arguments, code=2)
    assert cause in output and len(output.splitlines()) == 1 and output.startswith("zoo: ")


def test_verify_names_the_network_and_how_it_is_known(tmp_path, one_record):
    (tmp_path / "a.caffemodel").write_bytes(CAFFE_FILE)
    assert "vgg19, oxford.caffemodel; 4 tensors" in run("verify", tmp_path / "a.caffemodel")
    (tmp_path / "a.npz").write_bytes(wf.npz(PARAMETERS))
    output = run("verify", tmp_path / "a.npz")
    assert "vgg19, oxford.caffemodel" in output and "learned from oxford.caffemodel" in output


def test_verify_tells_which_tensors_differ(tmp_path, one_record):
    (tmp_path / "a.npz").write_bytes(wf.npz({**PARAMETERS, "conv1_2_bias": PARAMETERS["conv1_2_bias"] + 1}))
    assert "no network has been learned here yet" in run("verify", tmp_path / "a.npz", code=1)
    (tmp_path / "a.caffemodel").write_bytes(CAFFE_FILE)
    run("verify", tmp_path / "a.caffemodel")
    output = run("verify", tmp_path / "a.npz", code=1)
    assert "beside oxford.caffemodel: 1 of 4 tensors differ: conv1_2_bias" in output


def test_verify_says_where_a_file_only_bears_a_known_name(tmp_path, one_record):
    path = tmp_path / RECORD.name
    path.write_bytes(CAFFE_FILE[:1000])
    output = run("verify", path, code=2)
    assert f"its bytes are not (published: sha256 {RECORD.checksum.digest})" in output and "cannot read" in output


def test_show_prints_layers_shapes_ranges_and_the_input(tmp_path):
    (tmp_path / "a.caffemodel").write_bytes(CAFFE_FILE)
    output = run("show", tmp_path / "a.caffemodel")
    assert "expects BGR, 0 to 255, minus (103.939, 116.779, 123.68)" in output
    (row,) = [line.split() for line in output.splitlines() if line.startswith("conv1_2_weight")]
    array = PARAMETERS["conv1_2_weight"]
    assert row[1:8] == ["64", "x", "64", "x", "3", "x", "3"]
    assert [float(cell) for cell in row[8:]] == pytest.approx(
        [array.min(), array.max(), np.abs(array).mean()], rel=1e-3
    )


@pytest.mark.parametrize("suffix", WRITERS)
def test_convert_keeps_every_bit_and_the_identity(suffix, tmp_path, one_record):
    (tmp_path / "a.caffemodel").write_bytes(CAFFE_FILE)
    out = tmp_path / f"b{suffix}"
    output = run("convert", tmp_path / "a.caffemodel", out)
    assert "vgg19, 4 tensors" in output and "VGG-19 by its authors" in output
    weights = load_file(out)
    assert weights.kind == "vgg19" and weights.preprocessing.mean_rgb == wf.MEAN_RGB
    for name, array in PARAMETERS.items():
        np.testing.assert_array_equal(weights.parameters[name], array)


def test_convert_writes_the_attribution_where_the_format_has_a_place(tmp_path, one_record):
    (tmp_path / "a.caffemodel").write_bytes(CAFFE_FILE)
    run("convert", tmp_path / "a.caffemodel", tmp_path / "b.npz")
    run("convert", tmp_path / "a.caffemodel", tmp_path / "b.safetensors")
    assert str(np.load(tmp_path / "b.npz")["about"]) == "VGG-19 by its authors"
    assert b"VGG-19 by its authors" in (tmp_path / "b.safetensors").read_bytes()


def test_convert_attributes_a_file_by_its_content_not_by_its_name(tmp_path, one_record):
    path = tmp_path / RECORD.name
    path.write_bytes(wf.caffemodel(wf.random_parameters("conv1_2", seed=7)))
    output = run("convert", path, tmp_path / "b.npz")
    assert "unverified, 4 tensors" in output and "VGG-19 by its authors" not in output
    nobody = f"converted from {RECORD.name}; author and licence unknown"
    assert nobody in output and str(np.load(tmp_path / "b.npz")["about"]) == nobody


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_convert_keeps_another_mean_colour(suffix, tmp_path):
    (tmp_path / "a.pth").write_bytes(wf.pth(wf.torchvision_names(PARAMETERS)))
    run("convert", tmp_path / "a.pth", tmp_path / f"b{suffix}")
    before, after = load_file(tmp_path / "a.pth"), load_file(tmp_path / f"b{suffix}")
    assert before.preprocessing == after.preprocessing and before.sha256 == after.sha256


def test_convert_refuses_what_would_lose_something(tmp_path):
    (tmp_path / "a.pth").write_bytes(wf.pth(wf.torchvision_names(PARAMETERS)))
    assert "no place for the mean colour" in run("convert", tmp_path / "a.pth", tmp_path / "b.params", code=2)
    assert "writable are .npz, .safetensors, .params" in run("convert", tmp_path / "a.pth", tmp_path / "b.h5", code=2)
    (tmp_path / "b.npz").write_text("mine")
    assert "--force" in run("convert", tmp_path / "a.pth", tmp_path / "b.npz", code=2)
    assert (tmp_path / "b.npz").read_text() == "mine"
    run("convert", "--force", tmp_path / "a.pth", tmp_path / "b.npz")
    assert {path.name for path in tmp_path.iterdir()} == {"a.pth", "b.npz"}


MXNET_READS = """
import sys
from neural_style_mmd._mxnet import mx
for name, array in mx.nd.load(sys.argv[1]).items():
    print(name, array.shape, float(array.asnumpy().astype("f8").sum()))
"""


def test_mxnet_itself_reads_what_convert_writes(tmp_path):
    (tmp_path / "a.caffemodel").write_bytes(CAFFE_FILE)
    run("convert", tmp_path / "a.caffemodel", tmp_path / "b.params")
    done = subprocess.run(
        [sys.executable, "-c", MXNET_READS, str(tmp_path / "b.params")],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    expected = [f"arg:{n} {a.shape} {float(a.astype('f8').sum())}" for n, a in PARAMETERS.items()]
    assert sorted(done.stdout.splitlines()) == sorted(expected)


def test_a_convention_can_be_chosen_by_name(tmp_path):
    assert set(CONVENTION_NAMES) == set(CONVENTIONS)
    (tmp_path / "a.pth").write_bytes(wf.pth(wf.torchvision_names(wf.bgr(PARAMETERS))))
    assert "expects BGR" in run("show", "--convention", "vgg-bgr", tmp_path / "a.pth")


def test_the_commands_run_as_a_module():
    done = subprocess.run([sys.executable, "-m", "model_zoo", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and all(c in done.stdout for c in ("list", "fetch", "verify", "convert", "show"))
