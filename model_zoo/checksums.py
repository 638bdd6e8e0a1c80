"""Checksums as they were published: the algorithm is part of the checksum, and a weak one is said to be weak."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

BLOCK = 1 << 20  # bytes read at once


@dataclass(frozen=True)
class Algorithm:
    """How a digest is made and what it is worth. `hex_digits` is the length of a published digest."""

    hash_name: str
    hex_digits: int
    weakness: str = ""  # empty: no practical way is known to make another file with the same digest


ALGORITHMS = {
    "sha256": Algorithm("sha256", 64),
    "sha384": Algorithm("sha384", 96),
    "git-blob-sha1": Algorithm("sha1", 40, "SHA-1: proof against accidents; colliding pairs can be made on purpose"),
    "sha1": Algorithm("sha1", 40, "SHA-1: proof against accidents; colliding pairs can be made on purpose"),
    "md5": Algorithm("md5", 32, "MD5: proof against accidents; colliding pairs are easily made on purpose"),
    "sha256-prefix": Algorithm("sha256", 8, "32 bits of a SHA-256: proof against accidents, not against forgery"),
}


@dataclass(frozen=True)
class Checksum:
    """A published digest, hexadecimal, with where it was published."""

    algorithm: str
    digest: str
    source: str

    def __post_init__(self) -> None:
        known = ALGORITHMS.get(self.algorithm)
        if known is None:
            raise ValueError(f"unknown checksum algorithm {self.algorithm!r}; known are {', '.join(ALGORITHMS)}")
        if len(self.digest) != known.hex_digits or set(self.digest) - set("0123456789abcdef"):
            raise ValueError(f"{self.digest!r} is not {known.hex_digits} hexadecimal digits, as {self.algorithm} has")

    @property
    def weakness(self) -> str:
        return ALGORITHMS[self.algorithm].weakness

    @property
    def is_whole(self) -> bool:
        """Whether the published digest is a whole one, not the first digits of one."""
        return self.algorithm != "sha256-prefix"

    def __str__(self) -> str:
        return f"{self.algorithm} {self.digest}"


def digests(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """The file's digest by each of `algorithms`, the file being read once; a prefix is cut to its published length."""
    states = {name: hashlib.new(ALGORITHMS[name].hash_name, usedforsecurity=False) for name in set(algorithms)}
    if "git-blob-sha1" in states:
        # Git hashes a file together with its kind and size.
        states["git-blob-sha1"].update(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            for state in states.values():
                state.update(block)
    return {name: state.hexdigest()[: ALGORITHMS[name].hex_digits] for name, state in states.items()}
