"""Opening a zip archive that nobody vouches for: `.npz` and torch's `.pth` are such."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .binary import UnreadableError, quoted
from .names import LONGEST_NAME, MOST_TENSORS

LARGEST_READ = 1 << 20  # bytes; the directory of a VGG-19's archive takes about 4,000


class _BoundedReader(io.BufferedReader):
    """A file that never gives more than LARGEST_READ bytes at once.

    `zipfile` reads the directory, whatever its size, in one piece and makes objects some ten times larger of it.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LARGEST_READ:
            raise UnreadableError(f"its zip directory takes {size} bytes; the most that is read is {LARGEST_READ}")
        return super().read(size)


@contextmanager
def archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, its directory checked: of a sane size, no name twice, nothing encrypted, only stored or deflated."""
    with _BoundedReader(io.FileIO(path)) as stream, zipfile.ZipFile(stream) as opened:
        _check(opened.infolist())
        yield opened


def _check(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MOST_TENSORS:
        raise UnreadableError(f"holds {len(entries)} entries: not a VGG-19")
    if len({entry.filename for entry in entries}) != len(entries):
        raise UnreadableError("an entry's name comes twice")
    for entry in entries:
        if len(entry.filename) > LONGEST_NAME:
            raise UnreadableError(f"the name {quoted(entry.filename)} is longer than {LONGEST_NAME} characters")
        if entry.flag_bits & 1:
            raise UnreadableError(f"{quoted(entry.filename)} is encrypted")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableError(f"{quoted(entry.filename)} is compressed by method {entry.compress_type}")
