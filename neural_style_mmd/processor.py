"""What the system says of the CPU."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from pathlib import Path


def cpu_model() -> str:
    """The CPU's name as the system gives it."""
    return next(_entries("model name"), "") or platform.processor() or platform.machine()


def instructions() -> list[str]:
    """The CPU's sets of instructions, such as "avx2", as Linux names them on x86; none elsewhere."""
    return next(_entries("flags"), "").split() if sys.platform == "linux" else []


def _entries(name: str) -> Iterator[str]:
    """What Linux says of `name`, core by core."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            yield value.strip()
