"""Peak resident memory of fresh processes, against one that runs the bare network in MXNet. One of each: peaks hardly
vary, and at twice the edges a process takes a minute or two."""

from __future__ import annotations

from typing import Any

from .against_torch import is_installed
from .contenders import BARE
from .descents import FAST
from .processes import once, ratios, summary
from .setting import DISTINCT_METHODS, Setting

FAST_ITERATIONS = 4  # from the second on the optimizer keeps a velocity and what it measured


def measure(setting: Setting) -> dict[str, Any]:
    """Rows of {"size", "what", "peak", "ratio"} at the setting's size and at twice its edges."""
    rows = []
    for factor in (1, 2):
        width, height = factor * setting.width, factor * setting.height
        setting.say(f"memory: {width} x {height}")
        rows += [{"size": f"{width} x {height}", **row} for row in _at(setting, setting.pictures(width, height))]
    return {"rows": rows}


def _at(setting: Setting, pictures: dict[str, str]) -> list[dict[str, Any]]:
    methods = setting.methods or DISTINCT_METHODS
    tasks: dict[str, tuple[str, dict[str, Any]]] = {
        "MXNet, bare network": ("ours:bare_memory", {"content": pictures["content"]})
    }
    tasks |= {f"transfer, {name}": ("ours:transfer_memory", {"methods": name, **pictures}) for name in methods}
    fast = {"preset": FAST, "iterations": FAST_ITERATIONS, **pictures}
    tasks |= {f"preset fast, {name}": ("ours:transfer_memory", {"methods": name, **fast}) for name in methods}
    if is_installed():
        tasks |= {
            f"PyTorch eager, {name}": ("torch_transfer:memory", {"methods": name, **pictures})
            for name in (BARE, *methods)
        }
    peaks = {name: [once(task, arguments)] for name, (task, arguments) in tasks.items()}
    bare = peaks["MXNet, bare network"]
    return [{"what": name, "peak": summary(each), "ratio": ratios(each, bare)} for name, each in peaks.items()]
