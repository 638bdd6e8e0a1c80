"""Peak resident memory of fresh processes, against one that runs the bare network in MXNet. One of each: peaks hardly
vary, and at twice the edges a process takes a minute or two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .against_torch import is_installed
from .contenders import BARE
from .descents import FAST
from .processes import collected, once, ratios, summary
from .setting import DISTINCT_METHODS, Setting

BARE_NETWORK = "MXNet, bare network"
FAST_ITERATIONS = 4  # from the second on the optimizer keeps a velocity and what it measured


def measure(setting: Setting) -> dict[str, Any]:
    """Rows of {"size", "what", "peak", "ratio"} at the setting's size and at twice its edges."""
    tasks = {}
    for factor in (1, 2):
        width, height = factor * setting.width, factor * setting.height
        for what, task in _tasks(setting, setting.pictures(width, height)).items():
            tasks[f"{width} x {height}", what] = task
    bare: dict[str, list[int]] = {}

    def rows(subject: tuple[str, str]) -> Iterator[dict[str, Any]]:
        size, what = subject
        setting.say(f"memory: {size}, {what}")
        peak = [once(*tasks[subject])]
        if what == BARE_NETWORK:
            bare[size] = peak
        yield {"size": size, "what": what, "peak": summary(peak)} | (
            {"ratio": ratios(peak, bare[size])} if size in bare else {}
        )

    return collected(tasks, rows, ", ".join)


def _tasks(setting: Setting, pictures: dict[str, str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """What -> a child's task and its arguments; the bare network, which the others are compared with, first."""
    methods = setting.methods or DISTINCT_METHODS
    tasks: dict[str, tuple[str, dict[str, Any]]] = {
        BARE_NETWORK: ("ours:bare_memory", {"content": pictures["content"]})
    }
    tasks |= {f"transfer, {name}": ("ours:transfer_memory", {"methods": name, **pictures}) for name in methods}
    fast = {"preset": FAST, "iterations": FAST_ITERATIONS, **pictures}
    tasks |= {f"preset fast, {name}": ("ours:transfer_memory", {"methods": name, **fast}) for name in methods}
    if is_installed():
        tasks |= {
            f"PyTorch eager, {name}": ("torch_transfer:memory", {"methods": name, **pictures})
            for name in (BARE, *methods)
        }
    return tasks
