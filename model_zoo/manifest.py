"""The records of `manifest.json`: the weight files and the pictures that are known, with where and what they are.

Pictures are recorded here only; whoever needs one refers to it by its manifest name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .checksums import Checksum
from .conventions import Convention
from .errors import InputError
from .files import cache_home

KIND_OF_TRAINING = {"original": "vgg19", "retrained": "vgg19-retrained", "rescaled": "unverified"}
"""What weights of each training count as. Only the original one (Oxford's, in Caffe) reproduces the paper."""

DEFAULT_WEIGHTS = "vgg19.params"
"""The true network's smallest file (80 MB), downloaded where none is at hand."""


@dataclass(frozen=True)
class Record:
    """A file that can be fetched, or brought by hand.

    name: the file's name in the cache and on a mirror.
    urls: its addresses, tried in this order.
    size: (fewest, most) bytes; equal where the size is published.
    checksum: as published, or None where none is.
    title, author, licence, attribution: None where nobody says.
    not_fetched_because: why the program does not download it; empty where it does.
    """

    name: str
    urls: tuple[str, ...]
    size: tuple[int, int]
    checksum: Checksum | None
    title: str | None
    author: str | None
    licence: str | None
    attribution: str | None
    origin: str
    not_fetched_because: str = ""

    folder = "pictures"  # of the cache
    noun = "picture"

    def __post_init__(self) -> None:
        if Path(self.name).name != self.name or self.name.startswith("."):
            raise ValueError(f"{self.name!r} is not a plain file name")
        for url in self.urls:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError(f"{self.name}: {url!r} is not an http address")
        if not 0 < self.size[0] <= self.size[1]:
            raise ValueError(f"{self.name}: sizes {self.size}")
        if not self.not_fetched_because and (self.checksum is None or not self.urls):
            raise ValueError(f"{self.name}: no address or no checksum, and no reason given")

    @property
    def path(self) -> Path:
        """Where the file lies in the cache once it is fetched."""
        return cache_home() / self.folder / self.name

    @property
    def bytes(self) -> int | None:
        """The published size, or None."""
        return self.size[0] if self.size[0] == self.size[1] else None


@dataclass(frozen=True, kw_only=True)
class WeightsRecord(Record):
    """A file of VGG-19's weights.

    format: a key of `formats.READERS` without its dot, or another where no reader reads the file.
    training: a key of KIND_OF_TRAINING.
    """

    format: str
    convention: Convention
    training: str

    folder = "weights"
    noun = "weights"

    @property
    def kind(self) -> str:
        """What the file's network counts as: one of `weights.KINDS`."""
        return KIND_OF_TRAINING[self.training]


@dataclass(frozen=True)
class Manifest:
    """Everything in `manifest.json`, by name. `identities`: known networks, see identity.py."""

    weights: dict[str, WeightsRecord]
    pictures: dict[str, Record]
    identities: tuple[dict[str, Any], ...]


@cache
def manifest() -> Manifest:
    """The manifest that ships with the program, checked."""
    return parse(json.loads(Path(__file__).with_name("manifest.json").read_text(encoding="utf-8")))


def parse(data: dict[str, Any]) -> Manifest:
    """A manifest from its JSON form; ValueError where a record contradicts itself or a name comes twice."""
    weights = [_weights_record(item) for item in data["weights"]]
    pictures = [Record(**_common(item)) for item in data["pictures"]]
    names = [record.name for record in (*weights, *pictures)]
    if len(set(names)) != len(names):
        raise ValueError("a name comes twice in the manifest")
    return Manifest(
        {record.name: record for record in weights},
        {record.name: record for record in pictures},
        tuple(data["identities"]),
    )


def find(name: str) -> Record:
    """The record called `name`; InputError, listing the known names, where there is none."""
    known = manifest()
    record = known.weights.get(name) or known.pictures.get(name)
    if record is None:
        raise InputError(f"unknown name {name!r}; known are {', '.join([*known.weights, *known.pictures])}")
    return record


def find_picture(name: str) -> Record:
    """The picture called `name`; InputError, listing the known ones, where there is none."""
    if name not in manifest().pictures:
        raise InputError(f"unknown picture {name!r}; known are {', '.join(manifest().pictures)}")
    return manifest().pictures[name]


def _common(item: dict[str, Any]) -> dict[str, Any]:
    size = item["bytes"]
    return {
        "name": item["name"],
        "urls": tuple(item["urls"]),
        "size": (size, size) if size else (item["bytes_at_least"], item["bytes_at_most"]),
        "checksum": Checksum(**item["checksum"]) if item["checksum"] else None,
        "title": item["title"],
        "author": item["author"],
        "licence": item["licence"],
        "attribution": item["attribution"],
        "origin": item["origin"],
        "not_fetched_because": item.get("not_fetched_because") or "",
    }


def _weights_record(item: dict[str, Any]) -> WeightsRecord:
    if item["training"] not in KIND_OF_TRAINING:
        raise ValueError(f"{item['name']}: training {item['training']!r}; known are {', '.join(KIND_OF_TRAINING)}")
    convention = Convention(item["channel_order"], item["scale"], tuple(item["mean"]), tuple(item["std"]))
    return WeightsRecord(**_common(item), format=item["format"], convention=convention, training=item["training"])
