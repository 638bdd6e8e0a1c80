"""Which network a file holds, whatever its container.

Two kinds of evidence. The file's bytes match a checksum that was published for one of the manifest's records; or its
tensors are, bit for bit, those of a network that was once read from such a file on this machine ("learned", kept with
its origin in the cache folder) or that is pinned in the manifest. A checksum that is only the first 32 bits of one is
accepted with the file's size, but said to be weak, and nothing is learned from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .checksums import digests
from .conventions import CONVENTIONS, FIRST, Convention, preprocessing, rewritten
from .errors import InputError
from .files import cache_home, locked, make_folder, write_json
from .manifest import WeightsRecord, manifest
from .weights import Preprocessing, tensor_sha256

LEARNED = "identities.json"  # in the cache folder


@dataclass(frozen=True)
class Identity:
    """A known network: its kind, the mean colour it expects, the sha256 of each tensor, and how it is known."""

    name: str
    kind: str
    mean_rgb: tuple[float, float, float]
    tensors: Mapping[str, str]
    origin: str

    def differing(self, hashes: Mapping[str, str]) -> list[str]:
        """The parameters among `hashes` that are not this network's."""
        return [name for name, digest in hashes.items() if self.tensors.get(name) != digest]


def record_of(path: Path) -> WeightsRecord | None:
    """The manifest's record whose published size and checksum the file's bytes match, or None."""
    size = path.stat().st_size
    candidates = [r for r in manifest().weights.values() if r.checksum and r.size[0] <= size <= r.size[1]]
    if not candidates:
        return None
    found = digests(path, {r.checksum.algorithm for r in candidates if r.checksum})
    for record in candidates:
        if record.checksum and found[record.checksum.algorithm] == record.checksum.digest:
            return record
    return None


def tensor_hashes(parameters: Mapping[str, np.ndarray]) -> dict[str, str]:
    """sha256 of each tensor's canonical bytes."""
    return {name: tensor_sha256(array) for name, array in parameters.items()}


def known_networks() -> list[Identity]:
    """The networks pinned in the manifest, then the learned ones."""
    return [_identity(item) for item in (*manifest().identities, *_learned())]


def find_network(hashes: Mapping[str, str], mean: Preprocessing) -> Identity | None:
    """The known network with exactly these tensors (all of it or its first layers) and this mean colour."""
    for network in known_networks():
        if network.mean_rgb == mean.mean_rgb and not network.differing(hashes):
            return network
    return None


def find_convention(parameters: Mapping[str, np.ndarray]) -> tuple[Convention, Identity] | None:
    """The convention under which tensors, as a file holds them, are those of a known network.

    For files that do not say which input they expect: only the first convolution depends on it.
    """
    networks = known_networks()
    if not networks or FIRST not in parameters:
        return None
    others = tensor_hashes({name: array for name, array in parameters.items() if name != FIRST})
    candidates = [n for n in networks if not n.differing(others)]
    for convention in CONVENTIONS.values() if candidates else ():
        first = tensor_hashes({FIRST: rewritten({FIRST: parameters[FIRST]}, convention)[FIRST]})
        for network in candidates:
            if network.mean_rgb == preprocessing(convention).mean_rgb and not network.differing(first):
                return convention, network
    return None


def learn(record: WeightsRecord, parameters: Mapping[str, np.ndarray], mean: Preprocessing) -> None:
    """Remember the network of a file that matched `record`, unless its checksum is too weak to learn from."""
    if record.checksum is None or not record.checksum.is_whole or record.kind == "unverified":
        return
    hashes = tensor_hashes(parameters)
    # The same network from another container is not learned twice.
    if any(n.mean_rgb == mean.mean_rgb and n.tensors == hashes and n.kind == record.kind for n in known_networks()):
        return
    entry = {
        "name": record.name,
        "kind": record.kind,
        "mean_rgb": list(mean.mean_rgb),
        "origin": f"learned from {record.name}, whose bytes match the published {record.checksum}",
        "tensors": hashes,
    }
    folder = make_folder(cache_home())
    with locked(folder / f".{LEARNED}.lock"):
        write_json(folder / LEARNED, {"schema": 1, "identities": [*_learned(), entry]})


def _learned() -> list[dict[str, Any]]:
    path = cache_home() / LEARNED
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        identities = list(data["identities"])
        for item in identities:
            _identity(item)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged; remove it, it is made again from verified files") from error
    return identities


def _identity(item: Mapping[str, Any]) -> Identity:
    red, green, blue = (float(m) for m in item["mean_rgb"])
    return Identity(item["name"], item["kind"], (red, green, blue), dict(item["tensors"]), item["origin"])
