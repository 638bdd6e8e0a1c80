"""Our iteration in float32 against ours in bf16, in two processes that take turns."""

from __future__ import annotations

from functools import partial
from typing import Any

from .contenders import refusal
from .ours import WHOLE
from .processes import Child, alternate, ratios, summary
from .setting import DISTINCT_METHODS, Setting


def measure(setting: Setting) -> dict[str, Any]:
    """A row for each method; ratio: the seconds of float32 over those of bf16."""
    if (reason := refusal("bf16")) is not None:
        return {"rows": [], "skipped": reason}
    rows = []
    for method in setting.methods or DISTINCT_METHODS:
        setting.say(f"bf16: {method}")
        problem = {"methods": method, **setting.pictures()}
        with (
            Child("ours:iterate", {**problem, "precision": "float32"}) as float32,
            Child("ours:iterate", {**problem, "precision": "bf16"}) as bf16,
        ):
            runs = {"float32": partial(float32.ask, WHOLE), "bf16": partial(bf16.ask, WHOLE)}
            seconds = alternate(runs, setting.rounds)
        rows.append(
            {
                "method": method,
                "ratio": ratios(seconds["float32"], seconds["bf16"]),
                "float32_seconds": summary(seconds["float32"]),
                "bf16_seconds": summary(seconds["bf16"]),
            }
        )
    return {"rows": rows, "notes": ["iterations in bf16; the last tenth of a run is float32 and is not among them"]}
