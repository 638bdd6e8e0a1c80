"""How much memory more processes may take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_GROUPS = {
    "": ("", "memory.max", "memory.current"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
}
"""Controller in /proc/self/cgroup (version 2 has one without a name) -> its folder, the files of limit and usage."""


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that are free or can be freed, here and in the process's control groups; very many where nobody says.

    The page cache counts as free: it fills all memory on a machine that has read many files.
    """
    return min([_available(root), *_left_in_groups(root)])


def _available(root: Path) -> int:
    for line in _lines(root / "proc/meminfo"):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 1 << 62


def _left_in_groups(root: Path) -> Iterator[int]:
    """What each limit leaves, of the process's own groups and of those around them."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        for controller in set(controllers.split(",")) & set(_GROUPS):
            folder, limit_file, usage_file = _GROUPS[controller]
            top = root / "sys/fs/cgroup" / folder
            group = top / path.strip("/")
            for each in (group, *group.parents):
                limit, usage = (_lines(each / name) for name in (limit_file, usage_file))
                if each.is_relative_to(top) and limit and usage and limit[0].isdigit():
                    yield int(limit[0]) - int(usage[0]) + _cached(each)


def _cached(group: Path) -> int:
    numbers = dict(line.split(maxsplit=1) for line in _lines(group / "memory.stat"))
    names = ("inactive_file", "active_file")
    return sum(int(numbers.get(f"total_{name}") or numbers.get(name, "0")) for name in names)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
