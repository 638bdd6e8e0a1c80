"""The number of threads MXNet uses. It reads OMP_NUM_THREADS once, when it is imported, so this comes before."""

from __future__ import annotations

import os
import sys

from model_zoo.errors import InputError

VARIABLE = "OMP_NUM_THREADS"


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
