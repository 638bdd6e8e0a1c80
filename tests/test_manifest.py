"""The manifest: one record for each known weight file and picture, complete, and true to what was published."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

import model_zoo
from model_zoo.checksums import ALGORITHMS, Checksum, digests
from model_zoo.errors import InputError
from model_zoo.formats import READERS
from model_zoo.manifest import DEFAULT_WEIGHTS, KIND_OF_TRAINING, find, find_picture, manifest, parse
from model_zoo.weights import KINDS

RAW = json.loads((Path(model_zoo.__file__).parent / "manifest.json").read_text(encoding="utf-8"))

PUBLISHED = {
    "vgg19.params": ("git-blob-sha1", "9dfbe2ed44e0e8914f9551888bf763e14c09c778", None),
    "VGG_ILSVRC_19_layers.caffemodel": (
        "sha384",
        "86b83739d448a81ddc927922d4d7581e06113478106b59480097b02cc63ff51c9da7c3cd8a865b08946d07d0281d5b2e",
        574671192,
    ),
    "imagenet-vgg-verydeep-19.mat": ("md5", "106118b7cf60435e6d8e04f6a6dc3657", None),
    "imagenet-vgg-verydeep-19-older.mat": ("md5", "49e623de543b207d57fab0f6eaf79a7e", None),
    "imagenet-vgg-verydeep-19-beta16.mat": ("md5", "8ee3263992981a1d26e73b3ca028a123", None),
    "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5": ("md5", "253f8cb515780f3b799900260a226db6", None),
    "vgg19_weights_tf_dim_ordering_tf_kernels.h5": ("md5", "cbe5617147190e668d6c5d5026f83318", None),
    "vgg19-d01eb7cb.pth": ("sha256-prefix", "d01eb7cb", None),
    "vgg19-74e45263.pth": ("sha256-prefix", "74e45263", None),
    "vgg19-caffe2-9.onnx": (
        "sha256",
        "cfb97260b303ad3963999662456571b89c5f73dbdd2fd9dffd19fed7a90f766b",
        574674712,
    ),
    "vgg_normalised.caffemodel": None,
    "vgg19-dcbb9e9d.pth": ("sha256-prefix", "dcbb9e9d", None),
    "vgg19.tv_in1k.safetensors": None,
    "vgg19-ad2f660d.params": ("sha1", "ad2f660d101905472b83590b59708b71ea22b2e5", None),
    "vgg19-7.onnx": ("sha256", "692f9f927f1df1b89033787a77a73eac59fd9b3344f9ecdf0b13221e41c2046f", 574677321),
    "vgg19-0000.params": None,
}
"""Name -> (algorithm, digest, bytes) as their publishers give them, typed in again here."""


def test_every_known_weight_file_has_its_published_checksum_and_size():
    found = {
        name: (r.checksum.algorithm, r.checksum.digest, r.bytes) if r.checksum else None
        for name, r in manifest().weights.items()
    }
    assert found == PUBLISHED


def test_only_oxfords_own_training_counts_as_vgg19():
    kinds = {name: record.kind for name, record in manifest().weights.items()}
    retrained = {"vgg19-dcbb9e9d.pth", "vgg19.tv_in1k.safetensors", "vgg19-ad2f660d.params", "vgg19-7.onnx"}
    assert {name for name, kind in kinds.items() if kind == "vgg19-retrained"} == retrained
    assert kinds.pop("vgg_normalised.caffemodel") == "unverified"
    assert {kind for name, kind in kinds.items() if name not in retrained} == {"vgg19"}
    assert set(KIND_OF_TRAINING.values()) < set(KINDS)


def test_every_retrained_record_divides_by_a_deviation_and_no_other_does():
    for record in manifest().weights.values():
        divides = record.convention.std != (1.0, 1.0, 1.0)
        assert divides == (record.kind == "vgg19-retrained"), record.name


@pytest.mark.parametrize("item", [*RAW["weights"], *RAW["pictures"]], ids=lambda item: item["name"])
def test_every_record_states_its_origin_and_where_it_can_be_had(item):
    assert item["origin"] and item["urls"]
    assert {"title", "author", "licence", "attribution", "checksum", "bytes"} <= set(item)
    assert item["checksum"] is None or item["checksum"]["source"]


def test_every_weight_file_states_licence_attribution_and_input_or_that_nobody_says():
    for item in RAW["weights"]:
        assert {"format", "channel_order", "scale", "mean", "std", "training"} <= set(item)
        assert item["attribution"] or item["licence"] is None
    oxford = [item for item in RAW["weights"] if item["training"] == "original" and item["licence"]]
    assert oxford and all(item["licence"] == "CC BY 4.0" and "Simonyan" in item["attribution"] for item in oxford)


def test_bgr_means_are_oxfords_reversed():
    for record in manifest().weights.values():
        if record.convention.scale == 255:
            rgb = (123.68, 116.779, 103.939)
            assert record.convention.mean == (rgb if record.convention.channel_order == "RGB" else rgb[::-1]), (
                record.name
            )


def test_a_file_without_a_published_checksum_is_never_downloaded():
    without = [record for record in manifest().weights.values() if record.checksum is None]
    assert without and all(record.not_fetched_because for record in without)
    assert not manifest().weights[DEFAULT_WEIGHTS].not_fetched_because


def test_what_is_downloaded_can_be_read_and_the_others_are_got_by_hand():
    by_hand = {record.name for record in manifest().weights.values() if record.not_fetched_because}
    assert by_hand == {name for name, published in PUBLISHED.items() if published is None} | {
        "imagenet-vgg-verydeep-19-older.mat",  # its address holds a newer file
        "vgg19-ad2f660d.params",  # its address holds a zip
        "vgg19-d01eb7cb.pth",  # a tar
    }
    unread = {record.name for record in manifest().weights.values() if f".{record.format}" not in READERS}
    assert unread == {"vgg19-d01eb7cb.pth"}


def test_pictures_are_named_with_sha256_size_and_several_addresses():
    pictures = manifest().pictures
    assert len(pictures) == 16 and {"tubingen.jpg", "starry_night.jpg", "brad_pitt.jpg"} <= set(pictures)
    for record in pictures.values():
        assert record.checksum.algorithm == "sha256" and record.bytes and len(record.urls) >= 2
        assert all(re.search(r"/[0-9a-f]{40}/", url) for url in record.urls)  # pinned to a commit
        assert (record.title, record.author, record.licence) == (None, None, None)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"'nothing'.*vgg19\.params.*tubingen\.jpg"):
        find("nothing")
    with pytest.raises(InputError, match=r"unknown picture 'vgg19\.params'; known are .*tubingen\.jpg"):
        find_picture("vgg19.params")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../vgg19.params"}, "plain file name"),
        ({"urls": ["ftp://example.org/x"]}, "http"),
        ({"checksum": {"algorithm": "md5", "digest": "49e6", "source": "s"}}, "32 hexadecimal digits"),
        ({"checksum": {"algorithm": "crc", "digest": "49e6", "source": "s"}}, "unknown checksum algorithm"),
        ({"checksum": None}, "no checksum"),
        ({"training": "guessed"}, "training"),
        ({"channel_order": "GBR"}, "channel order"),
        ({"mean": [1e9, 0, 0]}, "mean"),
        ({"bytes": None, "bytes_at_least": 5, "bytes_at_most": 4}, "sizes"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        parse({**RAW, "weights": [{**RAW["weights"][0], **change}]})


def test_a_name_is_given_once():
    with pytest.raises(ValueError, match="twice"):
        parse({**RAW, "weights": [RAW["weights"][0]] * 2})


def test_digests_are_those_of_the_algorithms_definitions(tmp_path):
    data = b"what is up, doc?"
    (tmp_path / "file").write_bytes(data)
    expected = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "sha384": hashlib.sha384(data).hexdigest(),
        "sha1": hashlib.sha1(data).hexdigest(),
        "md5": hashlib.md5(data).hexdigest(),
        "sha256-prefix": hashlib.sha256(data).hexdigest()[:8],
        # Pro Git, 10.2, "Object Storage": this content as a blob.
        "git-blob-sha1": "bd9dbf5aae1a3862dd1526723246b20206e5fc37",
    }
    assert digests(tmp_path / "file", ALGORITHMS) == expected


def test_weak_checksums_say_so():
    assert not Checksum("sha256", "0" * 64, "s").weakness and not Checksum("sha384", "0" * 96, "s").weakness
    for name, digits in (("md5", 32), ("sha1", 40), ("git-blob-sha1", 40), ("sha256-prefix", 8)):
        assert "accident" in Checksum(name, "0" * digits, "s").weakness
    assert not Checksum("sha256-prefix", "0" * 8, "s").is_whole
