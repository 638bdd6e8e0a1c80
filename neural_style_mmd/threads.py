"""The number of threads MXNet uses. It reads OMP_NUM_THREADS once, when it is imported, so this comes before."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from model_zoo.errors import InputError

VARIABLE = "OMP_NUM_THREADS"
_GET, _SET = "scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"


def usable_cores() -> int:
    """The number of cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_threads(threads: int | None) -> None:
    """Fix the number of threads; None keeps OMP_NUM_THREADS where it is set and takes every usable core elsewhere.

    MXNet left alone takes half the cores. Raises InputError for a number below 1, or when MXNet is already loaded with
    another.
    """
    if threads is None:
        os.environ.setdefault(VARIABLE, str(usable_cores()))
        return
    if threads < 1:
        raise InputError(f"threads is {threads}; at least 1 is needed")
    if "mxnet" in sys.modules and chosen_threads() != threads:
        raise InputError(
            f"threads is {threads}, but MXNet is loaded with {chosen_threads()}; choose before the first transfer"
        )
    os.environ[VARIABLE] = str(threads)


def chosen_threads() -> int | None:
    """The number that is fixed, None where none is."""
    value = os.environ.get(VARIABLE, "")
    return int(value) if value.isdigit() else None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """The OpenBLAS that SciPy's wheel for Linux brings runs in one thread meanwhile; nothing elsewhere.

    With several they and MXNet's keep each other waiting (052721d has times). OPENBLAS_NUM_THREADS would
    come too late where SciPy is loaded already, and bind NumPy's too.
    """
    import scipy

    paths = Path(scipy.__file__).parent.with_name("scipy.libs").glob("libscipy_openblas*.so*")
    libraries = [library for library in map(ctypes.CDLL, map(str, paths)) if hasattr(library, _SET)]
    before = [getattr(library, _GET)() for library in libraries]
    for library in libraries:
        getattr(library, _SET)(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            getattr(library, _SET)(threads)
