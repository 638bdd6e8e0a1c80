"""Keras's `.h5`: a group per layer (`block1_conv1`), in it the kernel (H, W, I, O) and the bias; channels BGR.

Keras 3's save_weights gives only a layer's class and its number (`layers/conv2d_3/vars/0`), which is not read.

HDF5 is read by its own library, which is written in C and has crashed on corrupt files before. So it runs in a child
process with limited memory and time, which hands the convolutions over as safetensors; whatever happens to the child,
the parent says so in one line. Needs h5py (the extra `h5`).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..conventions import CONVENTIONS
from . import safetensors
from .binary import UnreadableError
from .contents import Contents
from .names import CONVOLUTIONS, require_shape

KERNEL = "HWIO"
SECONDS = 120  # for the child; the largest file takes about 2
ALLOWANCE = 200_000_000  # bytes of memory beyond twice the file
REFUSED = 3  # the child's exit code where it has said why
CHILD = "import sys; sys.path[:] = {path!r}; from model_zoo.formats.keras import child; child()"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def read(path: Path) -> Contents:
    """The convolutions of Keras's VGG-19, in the form Keras 2's `save_weights` gives it (or a whole saved model)."""
    with path.open("rb") as stream:
        if stream.read(8) != HDF5_MAGIC:
            raise UnreadableError("not an HDF5 file")
    if importlib.util.find_spec("h5py") is None:
        raise UnreadableError("reading HDF5 needs h5py: .venv/bin/pip install -e '.[h5]' in the project's folder")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each thread's buffers would count as memory
    command = [sys.executable, "-c", CHILD.format(path=sys.path), str(path.absolute())]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise UnreadableError(f"the HDF5 library did not finish within {SECONDS} s: corrupt") from None
    if done.returncode == REFUSED:
        raise UnreadableError(done.stderr.decode("utf-8", "replace").strip())
    if done.returncode:
        raise UnreadableError(f"the HDF5 library failed (exit code {done.returncode}): corrupt")
    parameters = safetensors.decode(memoryview(done.stdout)).parameters
    return Contents(parameters, CONVENTIONS["vgg-bgr"], True)


def child() -> None:
    """In the child process: read the file named on the command line, write safetensors to standard output."""
    path = Path(sys.argv[1])
    import h5py

    _limit_memory(2 * path.stat().st_size + ALLOWANCE)
    try:
        with h5py.File(path, "r") as file:
            parameters = _parameters(file, h5py)
    except (UnreadableError, OSError, KeyError, ValueError, TypeError, RuntimeError, MemoryError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        sys.stderr.write(cause if isinstance(error, UnreadableError) else f"corrupt HDF5: {cause}")
        raise SystemExit(REFUSED) from None
    sys.stdout.buffer.write(safetensors.encode(parameters, {}))


def _parameters(file: Any, h5py: Any) -> dict[str, np.ndarray]:
    root = _member(file, "model_weights", h5py) if "model_weights" in file else file
    parameters: dict[str, np.ndarray] = {}
    for layer in CONVOLUTIONS:
        group = f"block{layer[4]}_conv{layer[6]}"
        if group not in root:
            break
        for dataset in _datasets(_member(root, group, h5py), h5py):
            name = f"{layer}_{'weight' if dataset.ndim == 4 else 'bias'}"
            if name in parameters:
                raise UnreadableError(f"holds {name} twice")
            require_shape(name, dataset.shape, KERNEL)
            if dataset.dtype != np.dtype("<f4"):
                raise UnreadableError(f"{name} has type {dataset.dtype}, expected float32")
            if dataset.is_virtual or dataset.external:
                raise UnreadableError(f"{name} lies in another file, which is not followed")
            array = dataset[()]
            parameters[name] = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array  # (H, W, I, O) -> (O, I, H, W)
    extra = [f"block{b}_conv{i}" for b in range(1, 6) for i in range(1, 6) if f"conv{b}_{i}" not in CONVOLUTIONS]
    extra = [group for group in extra if group in root]
    if not parameters and "layers" in root and "conv2d" in _member(root, "layers", h5py):
        raise UnreadableError("Keras 3's save_weights does not name the layers; write model.save('NAME.h5') instead")
    if extra or not parameters:
        what = f"has the layer {extra[0]}" if extra else "has no layer block1_conv1"
        raise UnreadableError(f"{what}: not Keras's VGG-19")
    return parameters


def _datasets(group: Any, h5py: Any) -> list[Any]:
    """The datasets of a layer's group, which Keras may put one or two groups deeper."""
    for _ in range(3):
        if not isinstance(group, h5py.Group) or not 1 <= len(group) <= 2:
            break
        members = [_member(group, name, h5py) for name in group]
        if all(isinstance(member, h5py.Dataset) for member in members):
            return members
        group = members[0]
    raise UnreadableError("a layer's group does not hold a kernel and a bias")


def _member(group: Any, name: str, h5py: Any) -> Any:
    """A member by a hard link; soft and external links could lead anywhere."""
    if not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise UnreadableError(f"{name!r} is not stored in the file itself")
    return group[name]


def _limit_memory(more: int) -> None:
    """Let this process take `more` bytes beyond what it has; where the system cannot say, there is no limit."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
