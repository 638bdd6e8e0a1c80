"""Which weights a name means, what a file is recognised as, and when the surrogate may replace the true network."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import weight_files as wf
from local_server import Site, serving

import model_zoo
from model_zoo import fetch as fetch_module
from model_zoo import formats
from model_zoo.checksums import Checksum
from model_zoo.conventions import CONVENTIONS
from model_zoo.errors import InputError
from model_zoo.fetch import Patience
from model_zoo.manifest import Manifest, Record, WeightsRecord
from model_zoo.reachability import UnreachableError
from model_zoo.weights import Preprocessing, Weights, network_sha256, tensor_sha256

PARAMETERS = wf.random_parameters("conv1_2")
RETRAINED = wf.random_parameters("conv1_2", seed=5)
TRUE_FILE = wf.params(PARAMETERS)
CAFFE_FILE = wf.caffemodel(PARAMETERS)
RETRAINED_FILE = wf.pth(wf.torchvision_names(RETRAINED))
PREFIX_FILE = wf.pth_legacy(wf.torchvision_names(wf.bgr(PARAMETERS)))
PICTURE = b"\xff\xd8 a picture"
NOBODY = dict.fromkeys(("title", "author", "licence", "attribution"))


def weights_record(name, data, algorithm, convention, training="original", urls=("https://example.invalid/x",)):
    digest = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "sha256-prefix": hashlib.sha256(data).hexdigest()[:8],
        "git-blob-sha1": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
        "md5": hashlib.md5(data).hexdigest(),
    }[algorithm]
    return WeightsRecord(
        name,
        urls,
        (len(data) - 5, len(data) + 5),
        Checksum(algorithm, digest, "the test"),
        origin="the test",
        format=name.rpartition(".")[2],
        convention=CONVENTIONS[convention],
        training=training,
        **NOBODY,
    )


RECORDS = (
    weights_record("vgg19.params", TRUE_FILE, "git-blob-sha1", "vgg-rgb"),
    weights_record("oxford.caffemodel", CAFFE_FILE, "sha256", "vgg-bgr"),
    weights_record("jcjohnson.pth", PREFIX_FILE, "sha256-prefix", "vgg-bgr"),
    weights_record("torchvision.pth", RETRAINED_FILE, "sha256", "torchvision", "retrained"),
)
PICTURE_RECORD = Record(
    "cat.jpg",
    ("https://example.invalid/cat.jpg",),
    (len(PICTURE), len(PICTURE)),
    Checksum("sha256", hashlib.sha256(PICTURE).hexdigest(), "the test"),
    origin="the test",
    **NOBODY,
)


@pytest.fixture(autouse=True)
def zoo(tmp_path, monkeypatch):
    """A cache of its own, and a manifest of small files in place of the true one."""
    monkeypatch.setenv("NEURAL_STYLE_MMD_HOME", str(tmp_path / "home"))
    for name in ("OFFLINE", "WEIGHTS", "MIRROR"):
        monkeypatch.delenv(f"NEURAL_STYLE_MMD_{name}", raising=False)
    monkeypatch.setattr(formats, "FEWEST_CONVOLUTIONS", 2)
    monkeypatch.setitem(fetch_module.fetch.__kwdefaults__, "patience", Patience(5, 5, 0.5, 1, 0.01))
    use_manifest(monkeypatch)


def use_manifest(monkeypatch, identities=(), records=RECORDS):
    small = Manifest({r.name: r for r in records}, {"cat.jpg": PICTURE_RECORD}, tuple(identities))
    for module in ("manifest", "identity", "loading"):
        monkeypatch.setattr(f"model_zoo.{module}.manifest", lambda: small)


@pytest.fixture
def surrogate(monkeypatch):
    """A small surrogate; the list tells how often it was asked for."""
    asked: list[str] = []

    def load_surrogate(*, notify):
        asked.append("surrogate")
        return Weights(wf.random_parameters("conv1_1", 9), Preprocessing(), "surrogate", "surrogate", "a recipe")

    monkeypatch.setattr("model_zoo.surrogate.load_surrogate", load_surrogate, raising=False)
    return asked


@pytest.fixture
def mirror(monkeypatch):
    with serving(Site(TRUE_FILE)) as site:
        monkeypatch.setenv("NEURAL_STYLE_MMD_MIRROR", site.url)
        yield site


@pytest.fixture
def no_network(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("NEURAL_STYLE_MMD_MIRROR", f"http://127.0.0.1:{port}")


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def assert_true_network(weights):
    assert weights.kind == "vgg19" and weights.sha256 == network_sha256(PARAMETERS)
    assert weights.preprocessing.mean_rgb == wf.MEAN_RGB


# What a file is recognised as.


def test_a_file_whose_bytes_match_a_published_checksum_is_that_network(tmp_path):
    weights = model_zoo.load(put(tmp_path / "whatever.caffemodel", CAFFE_FILE))
    assert_true_network(weights)
    assert weights.name == "oxford.caffemodel" and not weights.notes


def test_a_known_file_is_not_taken_for_another_convention(tmp_path):
    path = tmp_path / "a.caffemodel"
    path.write_bytes(CAFFE_FILE)
    with pytest.raises(InputError, match=r"is the known oxford\.caffemodel, which expects BGR"):
        model_zoo.load_file(path, CONVENTIONS["vgg-rgb"])
    assert_true_network(model_zoo.load_file(path, CONVENTIONS["vgg-bgr"]))


def test_a_weak_checksum_is_said_to_be_weak(tmp_path):
    assert "SHA-1" in model_zoo.load(put(tmp_path / "a.params", TRUE_FILE)).notes[0]
    weights = model_zoo.load(put(tmp_path / "a.pth", PREFIX_FILE))
    assert_true_network(weights)
    assert "32 bits of a SHA-256: proof against accidents, not against forgery" in weights.notes[0]


@pytest.mark.parametrize("name", wf.WRITERS)
def test_once_learned_the_network_is_recognised_in_every_container(name, tmp_path):
    path = put(tmp_path / name, wf.WRITERS[name](PARAMETERS) + b"")
    if name not in ("vgg19-v0.params", "vgg19.caffemodel"):  # whose bytes are published here
        assert model_zoo.load(path).kind == "unverified"
    model_zoo.load(put(tmp_path / "oxford.caffemodel", CAFFE_FILE))
    assert_true_network(model_zoo.load(path))


def test_what_is_learned_is_stored_with_its_origin(tmp_path):
    model_zoo.load(put(tmp_path / "a.caffemodel", CAFFE_FILE))
    model_zoo.load(put(tmp_path / "a.caffemodel", CAFFE_FILE))
    model_zoo.load(put(tmp_path / "a.params", TRUE_FILE))  # the same network, learned already
    (entry,) = json.loads((tmp_path / "home" / "identities.json").read_text())["identities"]
    assert entry["kind"] == "vgg19" and RECORDS[1].checksum.digest in entry["origin"]
    assert entry["tensors"] == {name: tensor_sha256(array) for name, array in PARAMETERS.items()}
    weights = model_zoo.load(put(tmp_path / "copy.npz", wf.npz(PARAMETERS)))
    assert any("learned from oxford.caffemodel" in note for note in weights.notes)


def test_torch_files_for_bgr_are_recognised_though_their_names_suggest_torchvision(tmp_path):
    model_zoo.load(put(tmp_path / "oxford.caffemodel", CAFFE_FILE))
    assert_true_network(model_zoo.load(put(tmp_path / "a.pth", wf.pth(wf.torchvision_names(wf.bgr(PARAMETERS))))))


def test_nothing_is_learned_from_the_first_bits_of_a_checksum(tmp_path):
    model_zoo.load(put(tmp_path / "a.pth", PREFIX_FILE))
    assert model_zoo.load(put(tmp_path / "copy.npz", wf.npz(PARAMETERS))).kind == "unverified"


def test_a_prefix_without_a_fitting_size_is_no_evidence(tmp_path, monkeypatch):
    monkeypatch.setitem(RECORDS[2].__dict__, "size", (1, 10))
    assert model_zoo.load(put(tmp_path / "a.pth", PREFIX_FILE)).kind == "unverified"


def test_a_network_pinned_in_the_manifest_is_recognised(tmp_path, monkeypatch):
    tensors = {name: tensor_sha256(array) for name, array in PARAMETERS.items()}
    pinned = {"name": "oxford", "kind": "vgg19", "mean_rgb": wf.MEAN_RGB, "tensors": tensors, "origin": "pinned"}
    use_manifest(monkeypatch, [pinned])
    assert_true_network(model_zoo.load(put(tmp_path / "copy.npz", wf.npz(PARAMETERS))))


def test_a_retrained_network_is_vgg19_retrained_and_says_that_it_does_not_reproduce(tmp_path):
    weights = model_zoo.load(put(tmp_path / "a.pth", RETRAINED_FILE))
    assert weights.kind == "vgg19-retrained" and "does not reproduce the paper" in weights.notes[0]
    copy = model_zoo.load(put(tmp_path / "a.safetensors", wf.safetensors(wf.torchvision_names(RETRAINED))))
    assert copy.kind == "vgg19-retrained" and copy.sha256 == weights.sha256


def test_one_changed_bit_makes_a_network_unverified(tmp_path):
    model_zoo.load(put(tmp_path / "oxford.caffemodel", CAFFE_FILE))
    changed = {name: array.copy() for name, array in PARAMETERS.items()}
    changed["conv1_2_bias"].view(np.uint32)[0] ^= 1
    weights = model_zoo.load(put(tmp_path / "a.npz", wf.npz(changed)))
    assert weights.kind == "unverified" and "no network that is known" in weights.notes[-1]


def test_the_same_tensors_with_another_mean_are_another_network(tmp_path):
    model_zoo.load(put(tmp_path / "oxford.caffemodel", CAFFE_FILE))
    file = put(tmp_path / "a.npz", wf.npz(PARAMETERS, mean_rgb=np.array([100.0, 100, 100])))
    assert model_zoo.load(file).kind == "unverified"


def test_a_damaged_store_of_identities_is_named(tmp_path):
    put(tmp_path / "home" / "identities.json", b"{")
    with pytest.raises(InputError, match=r"identities\.json is damaged; remove it"):
        model_zoo.load(put(tmp_path / "a.npz", wf.npz(PARAMETERS)))


def test_a_cache_that_cannot_be_written_costs_a_note_not_the_weights(tmp_path):
    (tmp_path / "home").write_text("a file where the folder should be")
    weights = model_zoo.load(put(tmp_path / "a.caffemodel", CAFFE_FILE))
    assert_true_network(weights)
    assert "could not be remembered" in weights.notes[-1]


# auto.


def test_auto_takes_the_file_that_the_variable_names_first(tmp_path, monkeypatch, mirror, surrogate):
    put(tmp_path / "home" / "weights" / "vgg19.params", TRUE_FILE)
    monkeypatch.setenv("NEURAL_STYLE_MMD_WEIGHTS", put(tmp_path / "mine.npz", wf.npz(RETRAINED)))
    lines: list[str] = []
    weights = model_zoo.load("auto", notify=lines.append)
    assert weights.kind == "unverified" and weights.sha256 == network_sha256(RETRAINED)
    assert any("unverified: it does not reproduce the paper" in line for line in lines)
    assert not mirror.requests and not surrogate


@pytest.mark.parametrize("data", [None, b"<html>", b"junk"])
def test_a_named_file_that_cannot_be_read_is_an_error_not_a_reason_to_fall_back(data, tmp_path, monkeypatch, surrogate):
    path = tmp_path / "mine.npz"
    if data is not None:
        path.write_bytes(data)
    monkeypatch.setenv("NEURAL_STYLE_MMD_WEIGHTS", str(path))
    with pytest.raises(InputError, match=rf"NEURAL_STYLE_MMD_WEIGHTS: .*{path}.*--weights surrogate"):
        model_zoo.load("auto")
    assert not surrogate


@pytest.mark.parametrize(("name", "data"), [("vgg19.params", TRUE_FILE), ("oxford.caffemodel", CAFFE_FILE)])
@pytest.mark.parametrize("wanted", ["auto", "vgg19"])
def test_auto_takes_a_verified_file_of_the_true_network_from_the_cache(wanted, name, data, tmp_path, mirror, surrogate):
    put(tmp_path / "home" / "weights" / name, data)
    weights = model_zoo.load(wanted)
    assert_true_network(weights)
    assert weights.name == name and not mirror.requests and not surrogate


@pytest.mark.parametrize("wanted", ["auto", "vgg19"])
def test_auto_passes_over_a_verified_file_that_no_reader_reads(wanted, tmp_path, monkeypatch, mirror):
    tar = b"sys_info".ljust(257, b"\0") + b"ustar\x0000" + bytes(300)
    unread = replace(weights_record("first.pth", tar, "sha256", "vgg-bgr"), format="pth-tar")
    use_manifest(monkeypatch, records=(unread, *RECORDS))
    put(tmp_path / "home" / "weights" / unread.name, tar)
    assert_true_network(model_zoo.load(wanted))
    assert [path for path, _ in mirror.requests] == ["/vgg19.params"]
    with pytest.raises(InputError, match=r"first\.pth: torch's first layout, a tar .*load it with torch and save it"):
        model_zoo.load(unread.name)


@pytest.mark.parametrize("offline", [False, True])
def test_auto_takes_a_file_of_the_true_network_that_lies_under_another_ones_name(
    offline, tmp_path, monkeypatch, mirror, surrogate
):
    """As an older file does that was published under the name of a newer one; nor is it written over."""
    newer = weights_record("newer.caffemodel", CAFFE_FILE + b"newer", "sha256", "vgg-bgr")
    newer = replace(newer, size=(1, len(CAFFE_FILE) + 5))
    use_manifest(monkeypatch, records=(newer, *RECORDS))
    path = tmp_path / "home" / "weights" / newer.name
    put(path, CAFFE_FILE)
    weights = model_zoo.load("auto", offline=offline)
    assert_true_network(weights)
    assert weights.name == "oxford.caffemodel" and not mirror.requests and not surrogate
    with pytest.raises(InputError, match=r"newer\.caffemodel is oxford\.caffemodel, another file that is known"):
        model_zoo.load(newer.name, offline=offline)
    assert path.read_bytes() == CAFFE_FILE


@pytest.mark.parametrize("wanted", ["auto", "vgg19"])
def test_auto_downloads_vgg19_params_and_keeps_it(wanted, mirror, surrogate):
    assert_true_network(model_zoo.load(wanted))
    assert_true_network(model_zoo.load(wanted))
    assert [path for path, _ in mirror.requests] == ["/vgg19.params"] and not surrogate


def test_auto_replaces_a_damaged_file_in_the_cache(tmp_path, mirror):
    put(tmp_path / "home" / "weights" / "vgg19.params", TRUE_FILE[:-1] + b"?")
    assert_true_network(model_zoo.load("auto"))


def test_auto_falls_back_where_no_address_accepts_a_connection_and_says_so(no_network, surrogate):
    lines: list[str] = []
    weights = model_zoo.load("auto", notify=lines.append)
    assert weights.kind == "surrogate" and surrogate == ["surrogate"]
    assert "no address accepted a connection" in weights.notes[-1] and "does not reproduce" in weights.notes[-1]
    assert any(line.startswith("warning: no address accepted") for line in lines)


def test_auto_does_not_fall_back_where_the_mirrors_address_is_mistyped(monkeypatch, surrogate):
    monkeypatch.setenv("NEURAL_STYLE_MMD_MIRROR", "https://mirror..example.org")
    with pytest.raises(InputError, match=r"NEURAL_STYLE_MMD_MIRROR is 'https://mirror\.\.example\.org'; it must be"):
        model_zoo.load("auto")
    assert not surrogate


def test_connections_are_waited_for_ten_seconds_in_all():
    assert Patience().reach == 10


@pytest.mark.parametrize("how", ["argument", "variable"])
def test_auto_offline_never_touches_the_network(how, mirror, surrogate, monkeypatch):
    if how == "variable":
        monkeypatch.setenv("NEURAL_STYLE_MMD_OFFLINE", "1")
    weights = model_zoo.load("auto", offline=how == "argument")
    assert weights.kind == "surrogate" and not mirror.requests


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ({"status": 404}, "404"),
        ({"status": 500}, "500"),
        ({"data": b"<!doctype html>"}, "HTML page"),
        ({"data": b"version https://git-lfs.github.com/spec/v1\n"}, "LFS pointer"),
        ({"data": TRUE_FILE[:-1] + b"?"}, "wrong content"),
        ({"cut": 100}, "broke"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.parametrize("wanted", ["auto", "vgg19"])
def test_every_other_failure_is_an_error_that_names_the_surrogate(wanted, fault, cause, mirror, surrogate):
    for name, value in fault.items():
        setattr(mirror, name, value)
    with pytest.raises(InputError, match=rf"{cause}.*use --weights surrogate") as caught:
        model_zoo.load(wanted)
    assert "\n" not in str(caught.value) and not surrogate


def test_a_full_disk_is_an_error_that_names_the_surrogate(mirror, surrogate, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match=r"10 bytes free.*use --weights surrogate"):
        model_zoo.load("auto")
    assert not surrogate


def test_a_damaged_cache_offline_is_an_error(tmp_path, surrogate):
    put(tmp_path / "home" / "weights" / "vgg19.params", TRUE_FILE[:-1] + b"?")
    with pytest.raises(InputError, match=r"damaged.*use --weights surrogate"):
        model_zoo.load("auto", offline=True)
    assert not surrogate


@pytest.mark.parametrize("wanted", ["auto", "vgg19", "vgg19.params", "surrogate"])
@pytest.mark.parametrize("where", ["too long", "locked"])
def test_a_cache_that_cannot_be_looked_into_is_named(wanted, where, tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    home = root / ("x" * 300 if where == "too long" else "home")
    monkeypatch.setenv("NEURAL_STYLE_MMD_HOME", str(home))
    if where == "locked":
        lock_folder(root, monkeypatch)
    cause = "File name too long" if where == "too long" else "Permission denied"
    with pytest.raises(InputError, match=rf"cannot (read|create the folder) {home}.*: {cause}; .*") as caught:
        model_zoo.load(wanted)
    assert not isinstance(caught.value, UnreachableError) and "\n" not in str(caught.value)


def lock_folder(folder, monkeypatch):
    """As /root is to an ordinary user; root, as whom tests may run, sees everything."""

    def refusing(function):
        def call(path, *arguments, **keywords):
            if folder in Path(path).parents:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return function(path, *arguments, **keywords)

        return call

    for name in ("stat", "mkdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


def test_a_cached_file_that_another_user_keeps_to_himself_is_named(tmp_path, monkeypatch):
    path = put(tmp_path / "home" / "weights" / "vgg19.params", TRUE_FILE)

    def refuse(self, *arguments, **keywords):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=f"cannot read {path}: Permission denied; make it readable, or name"):
        model_zoo.load("auto")


def test_a_user_without_a_home_is_told_how_to_name_a_cache(monkeypatch):
    for name in ("NEURAL_STYLE_MMD_HOME", "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000_000)
    for wanted in ("auto", "surrogate"):
        with pytest.raises(InputError, match="no home folder for the cache; name one with NEURAL_STYLE_MMD_HOME"):
            model_zoo.load(wanted)


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_named(number, tmp_path, monkeypatch, mirror):
    def refuse(stream, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    lock = tmp_path / "home" / "weights" / ".vgg19.params.lock"
    with pytest.raises(InputError, match=rf"cannot lock {lock}: .*; choose a folder on another file system"):
        model_zoo.load("vgg19.params")


# vgg19, surrogate, names and files.


def test_vgg19_fails_clearly_where_the_true_network_is_not_to_be_had(no_network, surrogate):
    with pytest.raises(InputError, match=r"--weights vgg19: no address accepted.*use --weights surrogate"):
        model_zoo.load("vgg19")
    assert not surrogate


@pytest.mark.parametrize("data", [wf.npz(RETRAINED), wf.npz(PARAMETERS)], ids=["other", "unknown copy"])
def test_vgg19_accepts_no_unverified_file(data, tmp_path, monkeypatch):
    monkeypatch.setenv("NEURAL_STYLE_MMD_WEIGHTS", put(tmp_path / "mine.npz", data))
    with pytest.raises(InputError, match=r"WEIGHTS: .*mine\.npz is unverified, not the true network"):
        model_zoo.load("vgg19")


def test_surrogate_is_only_the_surrogate(tmp_path, mirror, monkeypatch, surrogate):
    put(tmp_path / "home" / "weights" / "vgg19.params", TRUE_FILE)
    monkeypatch.setenv("NEURAL_STYLE_MMD_WEIGHTS", str(tmp_path / "missing"))
    assert model_zoo.load("surrogate").kind == "surrogate" and not mirror.requests


def test_a_manifest_name_is_fetched(mirror):
    mirror.data = RETRAINED_FILE
    assert model_zoo.load("torchvision.pth").kind == "vgg19-retrained"
    assert mirror.requests[0][0] == "/torchvision.pth"


def test_an_unknown_name_lists_what_is_allowed():
    with pytest.raises(
        InputError, match=r"'vgg91' is neither auto, vgg19, surrogate, a file, nor one of vgg19\.params"
    ):
        model_zoo.load("vgg91")


def test_files_are_found_in_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / "mine.npz", wf.npz(PARAMETERS))
    assert model_zoo.load("~/mine.npz").kind == "unverified"


# Pictures.


def test_a_picture_is_fetched_by_its_name_and_kept(mirror, tmp_path):
    mirror.data = PICTURE
    path = model_zoo.picture("cat.jpg")
    assert path.read_bytes() == PICTURE and path == tmp_path / "home" / "pictures" / "cat.jpg"
    assert model_zoo.picture("cat.jpg", offline=True) == path
    assert [path for path, _ in mirror.requests] == ["/cat.jpg"]


def test_a_picture_without_a_network_lets_the_caller_fall_back(no_network):
    with pytest.raises(UnreachableError):
        model_zoo.picture("cat.jpg")
    with pytest.raises(UnreachableError):
        model_zoo.picture("cat.jpg", offline=True)


def test_a_wrong_picture_is_an_error(mirror):
    mirror.data = b"\xff\xd8 b picture"
    with pytest.raises(InputError, match="wrong content") as caught:
        model_zoo.picture("cat.jpg")
    assert not isinstance(caught.value, UnreachableError)


def test_an_unknown_picture_lists_the_known_ones():
    with pytest.raises(InputError, match=r"unknown picture 'dog\.jpg'; known are cat\.jpg"):
        model_zoo.picture("dog.jpg")
