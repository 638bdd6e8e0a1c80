"""One reader per file format, and the one place that turns what a reader finds into a network or a one-line refusal.

No reader executes anything from a file. Each checks names and shapes before it reads a tensor, and every length against
the file's size; memory stays below twice the file plus 200 MB.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from ..errors import InputError
from . import caffe, keras, matconvnet, mxnet_params, numpy_arrays, onnx, safetensors, torch_state
from .binary import UnreadableError
from .contents import Contents
from .names import CONVOLUTIONS

__all__ = ["READERS", "Contents", "read"]

READERS: dict[str, Callable[[Path], Contents]] = {
    ".params": mxnet_params.read,
    ".npz": numpy_arrays.read_npz,
    ".npy": numpy_arrays.read_npy,
    ".mat": matconvnet.read,
    ".safetensors": safetensors.read,
    ".caffemodel": caffe.read,
    ".onnx": onnx.read,
    ".h5": keras.read,
    ".hdf5": keras.read,
    ".pth": torch_state.read,
    ".pt": torch_state.read,
}
"""The reader of each format, by the file name's last part."""

FEWEST_CONVOLUTIONS = len(CONVOLUTIONS)
"""A file with fewer is refused: a cut file of some formats cannot be told from a network that stops early."""

IMPOSTORS = (
    (b"<!doctype html", "an HTML page, not the file"),
    (b"<html", "an HTML page, not the file"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file it stands for"),
)
"""What servers send in a file's place: (its first bytes, in lower case; what to call it)."""

_LIBRARY_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    ValueError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OverflowError,
    MemoryError,
)
"""What the standard library and NumPy raise over corrupt bytes. A missing key or attribute would be our own bug."""


def read(path: Path) -> Contents:
    """The convolutions of the weight file at `path`, whose format its name's last part tells.

    Names and shapes are checked; finiteness and magnitudes are left to `weights.check_parameters`.
    Raises InputError, in one line that names the file and the cause.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: unknown weight format {path.suffix!r}; readable are {', '.join(READERS)}")
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
        if not head or impostor_of(head):
            raise UnreadableError(impostor_of(head) or "the file is empty")
        contents = reader(path)
        _require_whole(contents)
        return contents
    except UnreadableError as error:
        cause = str(error)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except _LIBRARY_ERRORS as error:
        cause = f"corrupt: {' '.join(str(error).split())[:200] or type(error).__name__}"
    raise InputError(f"cannot read {path}: {cause}")


def _require_whole(contents: Contents) -> None:
    missing = [name for name in CONVOLUTIONS if f"{name}_weight" not in contents.parameters]
    found = len(CONVOLUTIONS) - len(missing)
    if found < FEWEST_CONVOLUTIONS:
        what = f"{found} of VGG-19's {len(CONVOLUTIONS)} convolutions are there, {missing[0]} is missing"
        raise UnreadableError(f"{what}: cut off, or another network")


def impostor_of(head: bytes) -> str:
    """What a file that begins with `head` is where a server sent something else; empty where nothing is known."""
    head = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((what for start, what in IMPOSTORS if head.startswith(start)), "")
